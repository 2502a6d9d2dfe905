"""Exact weighted sums over windows, out of float32 convolutions."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..accumulators import product_bounds
from ..graph import Window
from .builder import Builder


__all__ = (
    "Sum",
    "is_exact_single",
    "weighted_sum",
)


_EXACT_SINGLE = 1 << 24
_DIGIT = 8  # bits of the lower part of a wide code


def is_exact_single(lower: int, upper: int) -> bool:
    """Return whether integers within these bounds, and all between, are exact in float32."""
    return -_EXACT_SINGLE <= lower and upper <= _EXACT_SINGLE


@dataclass(frozen=True)
class Sum:
    """A weighted sum over windows: a convolution, or a pooling whose weights are ones.

    Parameters
    ----------
    name : str
        Prefix for initializers.
    x : str
        Dequantized map to read.
    x_frac : int
        Fractional length of its codes.
    bounds : (int, int)
        Smallest and largest of its codes.
    codes : int64, (k, c / groups, r, s)
        Weight codes.
    bits : int
        Width of a weight code.
    frac : int64, (k,)
        Fractional length of each output channel's weights.
    window : Window
        Geometry.
    groups : int
        Groups.
    output_padding : (int, int), optional
        Of a transposed convolution.
    """

    name: str
    x: str
    x_frac: int
    bounds: tuple[int, int]
    codes: NDArray[np.int64]
    bits: int
    frac: NDArray[np.int64]
    window: Window
    groups: int
    output_padding: tuple[int, int] | None = None


@dataclass(frozen=True)
class _Part:
    """A convolution over some input channels that float32 computes exactly."""

    channels: slice
    codes: NDArray[np.int64]


def _split_weights(total: Sum) -> list[tuple[int, NDArray[np.int64]]]:
    """Return the digits of the weight codes, 8 bits each and signed, with their powers of two."""
    if total.bits <= _DIGIT:
        return [(0, total.codes)]
    half = 1 << (_DIGIT - 1)
    lower = ((total.codes + half) & ((1 << _DIGIT) - 1)) - half
    return [(0, lower), (_DIGIT, (total.codes - lower) >> _DIGIT)]


def _split_data(builder: Builder, total: Sum) -> list[tuple[str, tuple[int, int]]]:
    """Return the digits of the map, 8 bits each, as real numbers, and their codes' bounds."""
    lo, hi = total.bounds
    if max(-lo, hi) >> _DIGIT == 0:
        return [(total.x, total.bounds)]
    unit = 2.0 ** (_DIGIT - total.x_frac)
    shifted = builder.node("Mul", total.x, builder.constant(1 / unit, np.float32))
    upper = builder.node(
        "Mul", builder.node("Floor", shifted), builder.constant(unit, np.float32))
    lower = builder.node("Sub", total.x, upper)
    return [(lower, (0, (1 << _DIGIT) - 1)), (upper, (lo >> _DIGIT, hi >> _DIGIT))]


def _runs(codes: NDArray[np.int64], bounds: tuple[int, int]) -> list[slice] | None:
    """Cut the first axis of (terms, k, ...) weights into the longest runs that are exact."""
    axes = tuple(range(2, codes.ndim))
    lo, hi = min(bounds[0], 0), max(bounds[1], 0)
    positive, negative = np.maximum(codes, 0).sum(axes), np.minimum(codes, 0).sum(axes)
    upper, lower = positive * hi + negative * lo, positive * lo + negative * hi
    cuts, high, low = [0], np.zeros_like(upper[0]), np.zeros_like(lower[0])
    for index, (more, less) in enumerate(zip(upper, lower, strict=True)):
        if not is_exact_single(int(less.min()), int(more.max())):
            return None
        high, low = high + more, low + less
        if not is_exact_single(int(low.min()), int(high.max())):
            cuts.append(index)
            high, low = more, less
    return [slice(a, b) for a, b in itertools.pairwise([*cuts, len(codes)])]


def _parts(
    codes: NDArray[np.int64], bounds: tuple[int, int], groups: int
) -> Iterator[_Part]:
    """Cut a convolution over its input channels, or where one is too much, over its taps."""
    lower, upper = product_bounds(codes, *bounds)
    whole = slice(0, codes.shape[1])
    if is_exact_single(int(lower.min()), int(upper.max())):
        yield _Part(whole, codes)
        return
    runs = _runs(codes.swapaxes(0, 1), bounds) if groups == 1 else None
    if runs is not None:
        yield from (_Part(run, codes[:, run]) for run in runs)
        return
    flat = codes.reshape(len(codes), -1)
    runs = _runs(flat.T, bounds)
    assert runs is not None, "one product of 8-bit digits has 16 bits"
    for run in runs:
        masked = np.zeros_like(flat)
        masked[:, run] = flat[:, run]
        yield _Part(whole, masked.reshape(codes.shape))


def _convolve(
    builder: Builder, total: Sum, x: str, part: _Part, frac: NDArray[np.int64], name: str,
    bias: str = "",
) -> str:
    narrow = np.iinfo(np.int8)
    fits = narrow.min <= part.codes.min() and part.codes.max() <= narrow.max
    codes = builder.constant(part.codes, np.int8 if fits else np.int16, name)
    weight = builder.dequantize(codes, frac)
    if total.groups == 1 and part.channels != slice(0, total.codes.shape[1]):
        x = builder.node(
            "Slice", x, *(builder.constant([value], np.int64) for value in (
                part.channels.start, part.channels.stop, 1)))
    window = total.window
    if total.output_padding is not None:
        weight = _transposed(builder, total, part, weight)
        return builder.node(
            "ConvTranspose", x, weight, *([bias] if bias else []),
            kernel_shape=list(window.kernel), strides=list(window.strides),
            pads=list(window.pads), dilations=list(window.dilations), group=total.groups,
            output_padding=list(total.output_padding))
    return builder.node(
        "Conv", x, weight, *([bias] if bias else []), kernel_shape=list(window.kernel),
        strides=list(window.strides), pads=list(window.pads), dilations=list(window.dilations),
        group=total.groups)


def _transposed(builder: Builder, total: Sum, part: _Part, weight: str) -> str:
    """Return kernels (k, c / groups, r, s) as ConvTranspose takes them, (c, k / groups, r, s)."""
    kernels, channels, *taps = part.codes.shape
    groups = total.groups
    if groups == 1:
        return builder.node("Transpose", weight, perm=(1, 0, 2, 3))
    split = builder.constant((groups, kernels // groups, channels, *taps), np.int64)
    turned = builder.node(
        "Transpose", builder.node("Reshape", weight, split), perm=(0, 2, 1, 3, 4))
    return builder.node(
        "Reshape", turned,
        builder.constant((groups * channels, kernels // groups, *taps), np.int64))


def weighted_sum(
    builder: Builder, total: Sum, bias: NDArray[np.int64] | None = None
) -> tuple[str, bool]:
    """Add the nodes of an exact weighted sum.

    Parameters
    ----------
    builder : Builder
        Receives the nodes.
    total : Sum
        What to sum.
    bias : int64, (k,), optional
        Bias codes at the fractional length of the products.

    Returns
    -------
    name : str
        The sums, as real numbers.
    double : bool
        Whether they are double, not float32.
    """
    frac = total.x_frac + total.frac
    lower, upper = product_bounds(total.codes, *total.bounds)
    offset = np.zeros_like(lower) if bias is None else bias
    if is_exact_single(
            int((lower + np.minimum(offset, 0)).min()), int((upper + np.maximum(offset, 0)).max())):
        name = ""
        if bias is not None:
            name = builder.dequantize(
                builder.constant(bias, np.int32, f"{total.name}.bias"), frac)
        whole = _Part(slice(0, total.codes.shape[1]), total.codes)
        return _convolve(
            builder, total, total.x, whole, total.frac, f"{total.name}.weights", name), False
    terms: list[str] = []
    for x, bounds in _split_data(builder, total):
        for power, codes in _split_weights(total):
            for part in _parts(codes, bounds, total.groups):
                terms.append(builder.to_double(_convolve(
                    builder, total, x, part, total.frac - power,
                    f"{total.name}.weights.{len(terms)}")))
    if bias is not None:
        name = builder.constant(bias.reshape(1, -1, 1, 1), np.int64, f"{total.name}.bias")
        scales = builder.constant(
            np.ldexp(1.0, -frac).reshape(1, -1, 1, 1), np.float64, f"{total.name}.bias.scale")
        terms.append(builder.node("Mul", builder.to_double(name), scales))
    result = terms[0]
    for term in terms[1:]:
        result = builder.node("Add", result, term)
    return result, True
