"""Exact integer convolutions of NHWC maps, through BLAS, tile by tile."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from .accumulators import product_bounds
from .graph import Conv, Window
from .model import QuantizedWeights
from .tiles import EXACT_SINGLE, TILE_SIZE, Tile, cut_tiles, padded_lines


__all__ = (
    "Convolution",
    "with_addend",
)


_DEPTHWISE_SIZE = 1 << 18  # bytes of results, beside several times that of padded data
_LARGEST_TILE_SIZE = 1 << 25  # bytes, where the weights are larger than the cache anyway
_SHORTEST_SPLIT = 64  # products per output below which splitting loses against float64


def _windows(padded: NDArray[Any], window: Window, lines: int, columns: int) -> NDArray[Any]:
    """Return a view of every window: (n, h, w, r, s, c)."""
    n, line, pixel, channel = padded.strides
    return as_strided(
        padded,
        (padded.shape[0], lines, columns, *window.kernel, padded.shape[3]),
        (n, line * window.strides[0], pixel * window.strides[1],
         line * window.dilations[0], pixel * window.dilations[1], channel),
        writeable=False)


def _splits(codes: NDArray[np.int64], lo: int, hi: int) -> list[int] | None:
    """Return where to cut (products, k) weights so that every part is exact in float32.

    ``None`` where the parts would be too short to be worth it.
    """
    starts = np.arange(0, len(codes), _SHORTEST_SPLIT)
    positive = np.add.reduceat(np.maximum(codes, 0), starts)
    negative = np.add.reduceat(np.minimum(codes, 0), starts)
    lo, hi = min(lo, 0), max(hi, 0)
    upper, lower = positive * hi + negative * lo, positive * lo + negative * hi
    cuts, high, low = [0], np.zeros_like(upper[0]), np.zeros_like(lower[0])
    for start, more, less in zip(starts, upper, lower, strict=True):
        high, low = high + more, low + less
        if max(high.max(), -low.min()) > EXACT_SINGLE:
            if max(more.max(), -less.min()) > EXACT_SINGLE:
                return None
            cuts.append(int(start))
            high, low = more, less
    return [*cuts, len(codes)]


class _Columns:
    """Matrix product of im2col columns and kernels, for one or several groups."""

    def __init__(self, node: Conv, weights: QuantizedWeights, lo: int, hi: int) -> None:
        kernels, per_group, height, width = weights.codes.shape
        groups = node.groups
        self._groups = groups
        products = per_group * height * width
        matrix = weights.codes.reshape(groups, kernels // groups, per_group, height, width)
        matrix = matrix.transpose(0, 3, 4, 2, 1).reshape(groups, products, kernels // groups)
        self._bias = weights.bias.astype(np.float64)
        lower, upper = product_bounds(weights.codes, lo, hi)
        cuts = [0, products] if max(np.max(upper), -np.min(lower)) <= EXACT_SINGLE else _splits(
            matrix.transpose(1, 0, 2).reshape(products, kernels), lo, hi)
        if cuts is None or (groups > 1 and len(cuts) > 2):
            self.dtype: type[np.floating[Any]] = np.float64
            cuts = [0, products]
        else:
            self.dtype = np.float32
        single = len(cuts) == 2 and max(
            np.max(upper + np.maximum(weights.bias, 0)),
            np.max(-lower - np.minimum(weights.bias, 0))) <= EXACT_SINGLE
        self._total = np.float32 if single and self.dtype is np.float32 else np.float64
        self._parts = [
            (slice(a, b), np.ascontiguousarray(matrix[:, a:b], self.dtype))
            for a, b in zip(cuts, cuts[1:], strict=False)]
        self.column_size = products * groups * np.dtype(self.dtype).itemsize
        self.tile_size = min(max(TILE_SIZE, weights.codes.size * 4), _LARGEST_TILE_SIZE)

    def __call__(self, windows: NDArray[Any]) -> NDArray[Any]:
        """Return the accumulators (n, h, w, k) of windows (n, h, w, r, s, c)."""
        n, h, w, r, s, channels = windows.shape
        if self._groups == 1:
            columns = windows.reshape(1, n * h * w, r * s * channels)
        else:
            split = windows.reshape(n, h, w, r, s, self._groups, channels // self._groups)
            columns = split.transpose(5, 0, 1, 2, 3, 4, 6).reshape(
                self._groups, n * h * w, r * s * channels // self._groups)
        total = self._product(columns)
        if self._groups == 1:
            return total.reshape(n, h, w, -1)
        return np.ascontiguousarray(total.transpose(1, 0, 2)).reshape(n, h, w, -1)

    def _product(self, columns: NDArray[Any]) -> NDArray[Any]:
        bias = self._bias.reshape(self._groups, 1, -1)
        total: NDArray[Any]
        if len(self._parts) == 1:
            total = np.matmul(columns, self._parts[0][1]).astype(self._total, copy=False)
            total += bias.astype(self._total)
            return total
        total = np.broadcast_to(
            bias, (len(columns), columns.shape[1], bias.shape[2])).astype(np.float64)
        for part, matrix in self._parts:
            total += np.matmul(columns[:, :, part], matrix)
        return total


def _depthwise_sums(
    padded: NDArray[Any], window: Window, taps: NDArray[Any], lines: int, columns: int
) -> NDArray[Any]:
    """Return the sum of products of each channel: (n, h, w * c).

    A line of positions and channels is one vector, which einsum multiplies and adds tap by tap.
    With a stride, positions that are a multiple of it apart come side by side first; taps that
    fall on such positions are summed together.

    Parameters
    ----------
    padded : float, (n, h, w, c)
        Data.
    window : Window
        Geometry.
    taps : float, (r, s, w * c)
        Weights, again for each position of a line.
    lines, columns : int
        Output lines and positions in a line.
    """
    count, _, _, channels = padded.shape
    stride, dilation = window.strides[1], window.dilations[1]
    period = stride // math.gcd(stride, dilation)
    total = np.zeros(0)
    for first in range(min(period, window.kernel[1])):
        own = taps[:, first::period]
        start, phase = divmod(first * dilation, stride)
        side = np.ascontiguousarray(padded[:, :, phase::stride])
        n, line, pixel, item = side.strides
        seen = as_strided(
            side[:, :, start:], (*own.shape[:2], count, lines, columns * channels),
            (line * window.dilations[0], pixel * (period * dilation // stride),
             n, line * window.strides[0], item),
            writeable=False)
        part = np.einsum("rsnyx,rsx->nyx", seen, own)
        total = np.add(total, part, out=part) if first else part
    return total


class _Depthwise:
    """Accumulators of a convolution with one input channel a group, tap by tap."""

    def __init__(self, node: Conv, weights: QuantizedWeights, lo: int, hi: int) -> None:
        lower, upper = product_bounds(weights.codes, lo, hi)
        reach = max(np.max(upper + np.abs(weights.bias)), np.max(np.abs(weights.bias) - lower))
        self._dtype = np.dtype(np.float32 if reach <= EXACT_SINGLE else np.float64)
        self._window = node.window
        taps = weights.codes.reshape(node.groups, -1, *node.window.kernel)
        self._taps = taps.transpose(1, 2, 3, 0).astype(self._dtype, order="C")
        self._bias = weights.bias.astype(self._dtype)

    def __call__(self, x: NDArray[Any]) -> Iterator[tuple[slice, slice, NDArray[Any]]]:
        """Yield images, lines and the accumulators there, (n, h, w, k)."""
        lines, columns = self._window.output_size(x.shape[1], x.shape[2])
        taps, bias = np.tile(self._taps, columns), np.tile(self._bias, columns)
        line_size = len(bias) * self._dtype.itemsize
        for images, rows in cut_tiles(len(x), lines, line_size, _DEPTHWISE_SIZE):
            padded = padded_lines(x, images, rows, self._window, self._dtype)
            count = rows.stop - rows.start
            parts = [
                _depthwise_sums(padded, self._window, own, count, columns) for own in taps]
            total = parts[0] if len(parts) == 1 else np.stack(parts, -1).reshape(
                *parts[0].shape[:2], -1)
            total += bias
            yield images, rows, total.reshape(*total.shape[:2], columns, -1)


class _General:
    """Accumulators of any convolution, through im2col columns."""

    def __init__(self, node: Conv, weights: QuantizedWeights, lo: int, hi: int) -> None:
        self._window = node.window
        self._product = _Columns(node, weights, lo, hi)

    def __call__(self, x: NDArray[Any]) -> Iterator[tuple[slice, slice, NDArray[Any]]]:
        """Yield images, lines and the accumulators there, (n, h, w, k)."""
        product = self._product
        lines, columns = self._window.output_size(x.shape[1], x.shape[2])
        line_size = product.column_size * columns
        for images, rows in cut_tiles(len(x), lines, line_size, product.tile_size):
            padded = padded_lines(x, images, rows, self._window, product.dtype)
            yield images, rows, product(
                _windows(padded, self._window, rows.stop - rows.start, columns))


class Convolution:
    """A convolution whose integers are ready for BLAS: worth keeping for several inputs.

    Parameters
    ----------
    node : Conv
        Geometry and groups.
    weights : QuantizedWeights
        Integers; later changes to them have no effect.
    x_frac : int
        Fractional length of the data.
    bounds : (int, int)
        Smallest and largest data code.
    """

    def __init__(
        self, node: Conv, weights: QuantizedWeights, x_frac: int, bounds: tuple[int, int]
    ) -> None:
        depthwise = weights.codes.shape[1] == 1 and node.groups > 1
        self._frac = x_frac + weights.frac
        self._sums = (_Depthwise if depthwise else _General)(node, weights, *bounds)

    def tiles(self, x: NDArray[Any]) -> Iterator[Tile]:
        """Yield the accumulators over data codes (n, h, w, c), biases included."""
        for images, lines, values in self._sums(x):
            yield Tile(images, lines, values, self._frac)


def with_addend(
    tiles: Iterator[Tile], addend: NDArray[Any], shifts: NDArray[np.int64]
) -> Iterator[Tile]:
    """Yield the accumulators of a convolution with another map added to them.

    Parameters
    ----------
    tiles : iterator of Tile
        Sums of products and biases.
    addend : int, (n, h, w, k)
        Codes of the map.
    shifts : int64, (k,)
        Left shift of the codes of each channel, in bits.

    Yields
    ------
    Tile
        Exact sums.
    """
    scales = np.ldexp(1.0, shifts)
    for tile in tiles:
        values = np.multiply(addend[tile.images, tile.lines], scales, order="C")
        values += tile.values
        yield replace(tile, values=values)
