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


@dataclass(frozen=True)
class _Part:
    """A convolution that float32 computes exactly: some input channels, some digits."""

    channels: slice
    codes: NDArray[np.int64]


def _data_digits(bounds: tuple[int, int], count: int) -> list[tuple[int, int]]:
    """Return the bounds of one or two digits of data codes, the lower one first."""
    if count == 1:
        return [bounds]
    return [(0, (1 << _DIGIT) - 1), (bounds[0] >> _DIGIT, bounds[1] >> _DIGIT)]


def _weight_digits(codes: NDArray[np.int64], count: int) -> list[tuple[int, NDArray[np.int64]]]:
    """Return signed digits of weight codes with the power of two of each."""
    if count == 1:
        return [(0, codes)]
    half = 1 << (_DIGIT - 1)
    lower = ((codes + half) & ((1 << _DIGIT) - 1)) - half
    return [(0, lower), (_DIGIT, (codes - lower) >> _DIGIT)]


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


def _parts(codes: NDArray[np.int64], bounds: tuple[int, int], groups: int) -> list[_Part] | None:
    """Cut a convolution over its input channels, or where one is too much, over its taps."""
    lower, upper = product_bounds(codes, *bounds)
    whole = slice(0, codes.shape[1])
    if is_exact_single(int(lower.min()), int(upper.max())):
        return [_Part(whole, codes)]
    runs = _runs(codes.swapaxes(0, 1), bounds) if groups == 1 else None
    if runs is not None:
        return [_Part(run, codes[:, run]) for run in runs]
    flat = codes.reshape(len(codes), -1)
    runs = _runs(flat.T, bounds)
    if runs is None:
        return None
    parts = []
    for run in runs:
        masked = np.zeros_like(flat)
        masked[:, run] = flat[:, run]
        parts.append(_Part(whole, masked.reshape(codes.shape)))
    return parts


def _plan(total: Sum) -> tuple[list[tuple[int, int]], list[list[tuple[int, list[_Part]]]]]:
    """Return the cheapest exact way: data digits, and for each its weight digits' parts."""
    plans = []
    for data_count, weight_count in itertools.product((1, 2), (1, 2)):
        if weight_count == 2 and total.bits <= _DIGIT:
            continue
        digits = _data_digits(total.bounds, data_count)
        parts = [
            [(weight, _parts(codes, digit, total.groups))
             for weight, codes in _weight_digits(total.codes, weight_count)]
            for digit in digits]
        found = [
            [(weight, part) for weight, part in row if part is not None] for row in parts]
        if all(len(row) == weight_count for row in found):
            size = sum(part.codes.size for row in found for _, group in row for part in group)
            plans.append((size, data_count, digits, found))
    _, _, digits, found = min(plans, key=lambda plan: plan[:2])
    return digits, found


def _split_data(builder: Builder, total: Sum, digits: list[tuple[int, int]]) -> Iterator[str]:
    """Yield the map, or its lower and its upper digit, each as real numbers."""
    if len(digits) == 1:
        yield total.x
        return
    unit = 2.0 ** (_DIGIT - total.x_frac)
    shifted = builder.node("Mul", total.x, builder.constant(1 / unit, np.float32))
    upper = builder.node(
        "Mul", builder.node("Floor", shifted), builder.constant(unit, np.float32))
    yield builder.node("Sub", total.x, upper)
    yield upper


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
    return builder.node(
        "Conv", x, weight, *([bias] if bias else []), kernel_shape=list(window.kernel),
        strides=list(window.strides), pads=list(window.pads), dilations=list(window.dilations),
        group=total.groups)


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
            codes = builder.constant(bias, np.int32, f"{total.name}.bias")
            name = builder.dequantize(codes, frac)
        whole = _Part(slice(0, total.codes.shape[1]), total.codes)
        return _convolve(
            builder, total, total.x, whole, total.frac, f"{total.name}.weights", name), False
    terms = []
    digits, plan = _plan(total)
    for index, (x, row) in enumerate(
            zip(_split_data(builder, total, digits), plan, strict=True)):
        for weight, parts in row:
            for number, part in enumerate(parts):
                name = f"{total.name}.weights.{index}.{weight}.{number}"
                terms.append(builder.to_double(_convolve(
                    builder, total, x, part, total.frac - weight, name)))
    if bias is not None:
        codes = builder.constant(bias.reshape(1, -1, 1, 1), np.int64, f"{total.name}.bias")
        scales = builder.constant(
            np.ldexp(1.0, -frac).reshape(1, -1, 1, 1), np.float64, f"{total.name}.bias.scale")
        terms.append(builder.node("Mul", builder.to_double(codes), scales))
    result = terms[0]
    for term in terms[1:]:
        result = builder.node("Add", result, term)
    return result, True
