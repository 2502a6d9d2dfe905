"""Exact integer operators on NHWC maps, through BLAS.

Every operator yields *tiles*: small pieces of its accumulators, still in cache when the caller
rounds them. An accumulator is an integer held in float32 where no partial sum can reach 2^24, in
float64 (exact below 2^53) elsewhere, or in int64.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from arch.formats import Format, Rounding, divide_round, requantize

from .accumulators import pool_counts, product_bounds
from .graph import Conv, Pool, Window
from .model import QuantizedSlopes, QuantizedWeights


__all__ = (
    "Convolution",
    "Tile",
    "add_tiles",
    "average_tiles",
    "code_type",
    "concat_tiles",
    "max_pool",
    "mul_tiles",
    "pieces",
    "prelu_tiles",
    "rescale",
    "saturate",
    "with_addend",
)


_TILE_SIZE = 1 << 20  # bytes of im2col columns that stay in a level-2 cache
_DEPTHWISE_SIZE = 1 << 18  # bytes of results, beside several times that of padded data
_LARGEST_TILE_SIZE = 1 << 25  # bytes, where the weights are larger than the cache anyway
_EXACT_SINGLE = 1 << 24
_WIDEST = 32
_LINE_SIZE = 1 << 11  # elements of a bound side by side: numpy is fast on long lines
_SHORTEST_SPLIT = 64  # products per output below which splitting loses against float64


@dataclass(frozen=True)
class Tile:
    """Accumulators of some images and output lines.

    Parameters
    ----------
    images, lines : slice
        Where in the output.
    values : float32, float64 or int64, (n, h, w, k)
        Integers; the caller may overwrite them.
    frac : int or int64 (k,)
        Fractional length of the integers.
    divisor : int64 (h, w, 1), optional
        What the value is still to be divided by.
    real : bool
        Whether the values are any real numbers, in float64, with ``frac`` 0.
    """

    images: slice
    lines: slice
    values: NDArray[Any]
    frac: int | NDArray[np.int64]
    divisor: NDArray[np.int64] | None = None
    real: bool = False


def code_type(fmt: Format) -> np.dtype[Any]:
    """Return the smallest integer type that holds the codes of a format.

    Examples
    --------
    >>> code_type(Format(8, 0, signed=False)), code_type(Format(9, 3))
    (dtype('uint8'), dtype('int16'))
    """
    size = 1 if fmt.bits <= 8 else 2 if fmt.bits <= 16 else 4
    return np.dtype(f"{'i' if fmt.signed else 'u'}{size}")


def rescale(
    tile: Tile, frac: int, lo: int, hi: int | NDArray[np.int64], rounding: Rounding, *,
    keep: bool = False,
) -> NDArray[Any]:
    """Round a tile to codes of fractional length ``frac``, saturating to ``lo..hi``.

    Parameters
    ----------
    tile : Tile
        Accumulators.
    frac : int
        Fractional length of the result; above the tile's the value is shifted left, exactly.
    lo, hi : int
        Bounds of the result; the upper one may be one for each channel, (k,).
    rounding : Rounding
        Rounding rule.
    keep : bool
        Leave ``tile.values`` as they are.

    Returns
    -------
    float or int64, (n, h, w, k)
        Codes.
    """
    if tile.real:
        return np.clip(Format(_WIDEST, frac).quantize(tile.values, rounding), lo, hi)
    shift = np.asarray(tile.frac) - frac
    if tile.divisor is None and rounding is Rounding.HALF_EVEN and tile.values.dtype.kind == "f":
        # A power of two scales a float exactly, so that rint sees the exact quotient.
        scale = np.ldexp(1.0, -shift).astype(tile.values.dtype)
        scaled: NDArray[Any] = np.multiply(tile.values, scale, out=None if keep else tile.values)
        np.rint(scaled, out=scaled)
        return saturate(scaled, lo, hi)
    values = tile.values.astype(np.int64) << np.maximum(-shift, 0)
    right = np.maximum(shift, 0)
    if tile.divisor is None:
        return requantize(values, right, lo, hi, rounding)
    return np.clip(divide_round(values, tile.divisor, int(right), rounding), lo, hi)


def saturate(
    values: NDArray[Any], lo: float, hi: float | NDArray[Any]
) -> NDArray[Any]:
    """Clip floats (..., k), in C order, in place to ``lo..hi``, the upper bound one or (k,)."""
    if not isinstance(hi, np.ndarray):
        return np.clip(values, lo, hi, out=values)
    np.clip(values, lo, float(hi.max()), out=values)
    assert values.flags.c_contiguous, values.strides
    flat = values.reshape(-1)
    repeats = max(1, min(flat.size, _LINE_SIZE) // len(hi))
    line = np.broadcast_to(hi, (repeats, len(hi))).astype(values.dtype, order="C").reshape(-1)
    whole = flat.size - flat.size % len(line)
    rows, rest = flat[:whole].reshape(-1, len(line)), flat[whole:]
    np.minimum(rows, line, out=rows)
    np.minimum(rest, line[:len(rest)], out=rest)
    return values


def _tiles(
    count: int, lines: int, line_size: int, tile_size: int = _TILE_SIZE
) -> Iterator[tuple[slice, slice]]:
    """Cut images and output lines into pieces of about ``tile_size`` bytes."""
    step = max(1, min(lines, tile_size // line_size))
    if step == lines:
        images = max(1, tile_size // (line_size * lines))
        for n in range(0, count, images):
            yield slice(n, min(n + images, count)), slice(0, lines)
        return
    for n in range(count):
        for y in range(0, lines, step):
            yield slice(n, n + 1), slice(y, min(y + step, lines))


def _padded(
    x: NDArray[Any], images: slice, lines: slice, window: Window, dtype: Any, fill: float = 0
) -> NDArray[Any]:
    """Return what a tile of output lines reads, padded, as ``dtype``: (n, h, w, c)."""
    top, left, _, _ = window.pads
    _, height, width, channels = x.shape
    _, columns = window.output_size(height, width)
    extent = [d * (k - 1) + 1 for d, k in zip(window.dilations, window.kernel, strict=True)]
    first = lines.start * window.strides[0] - top
    rows = (lines.stop - lines.start - 1) * window.strides[0] + extent[0]
    cols = (columns - 1) * window.strides[1] + extent[1]
    if first >= 0 and first + rows <= height and left == 0 and cols <= width:
        return x[images, first:first + rows, :cols].astype(dtype, order="C")
    result = np.full((images.stop - images.start, rows, cols, channels), fill, dtype)
    y0, y1 = max(first, 0), min(first + rows, height)
    x1 = min(cols - left, width)
    if y0 < y1 and x1 > 0:
        result[:, y0 - first:y1 - first, left:left + x1] = x[images, y0:y1, :x1]
    return result


def _windows(padded: NDArray[Any], window: Window, lines: int, columns: int) -> NDArray[Any]:
    """Return a view of every window: (n, h, w, r, s, c)."""
    n, line, pixel, channel = padded.strides
    return as_strided(
        padded,
        (padded.shape[0], lines, columns, *window.kernel, padded.shape[3]),
        (n, line * window.strides[0], pixel * window.strides[1],
         line * window.dilations[0], pixel * window.dilations[1], channel),
        writeable=False)


def _taps(padded: NDArray[Any], window: Window, lines: int, columns: int) -> Iterator[NDArray[Any]]:
    """Yield what each tap of a window sees, in order ``r, s``: (n, h, w, c) views."""
    for r in range(window.kernel[0]):
        for s in range(window.kernel[1]):
            y, x = r * window.dilations[0], s * window.dilations[1]
            yield padded[
                :,
                y:y + (lines - 1) * window.strides[0] + 1:window.strides[0],
                x:x + (columns - 1) * window.strides[1] + 1:window.strides[1],
            ]


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
        if max(high.max(), -low.min()) > _EXACT_SINGLE:
            if max(more.max(), -less.min()) > _EXACT_SINGLE:
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
        cuts = [0, products] if max(np.max(upper), -np.min(lower)) <= _EXACT_SINGLE else _splits(
            matrix.transpose(1, 0, 2).reshape(products, kernels), lo, hi)
        if cuts is None or (groups > 1 and len(cuts) > 2):
            self.dtype: type[np.floating[Any]] = np.float64
            cuts = [0, products]
        else:
            self.dtype = np.float32
        single = len(cuts) == 2 and max(
            np.max(upper + np.maximum(weights.bias, 0)),
            np.max(-lower - np.minimum(weights.bias, 0))) <= _EXACT_SINGLE
        self._total = np.float32 if single and self.dtype is np.float32 else np.float64
        self._parts = [
            (slice(a, b), np.ascontiguousarray(matrix[:, a:b], self.dtype))
            for a, b in zip(cuts, cuts[1:], strict=False)]
        self.column_size = products * groups * np.dtype(self.dtype).itemsize
        self.tile_size = min(max(_TILE_SIZE, weights.codes.size * 4), _LARGEST_TILE_SIZE)

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
        return total.transpose(1, 0, 2).reshape(n, h, w, -1)

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
        self._dtype = np.dtype(np.float32 if reach <= _EXACT_SINGLE else np.float64)
        self._window = node.window
        taps = weights.codes.reshape(node.groups, -1, *node.window.kernel)
        self._taps = taps.transpose(1, 2, 3, 0).astype(self._dtype, order="C")
        self._bias = weights.bias.astype(self._dtype)

    def __call__(self, x: NDArray[Any]) -> Iterator[tuple[slice, slice, NDArray[Any]]]:
        """Yield images, lines and the accumulators there, (n, h, w, k)."""
        lines, columns = self._window.output_size(x.shape[1], x.shape[2])
        taps, bias = np.tile(self._taps, columns), np.tile(self._bias, columns)
        line_size = len(bias) * self._dtype.itemsize
        for images, rows in _tiles(len(x), lines, line_size, _DEPTHWISE_SIZE):
            padded = _padded(x, images, rows, self._window, self._dtype)
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
        for images, rows in _tiles(len(x), lines, line_size, product.tile_size):
            padded = _padded(x, images, rows, self._window, product.dtype)
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
        values = addend[tile.images, tile.lines] * scales
        values += tile.values
        yield replace(tile, values=values)


def pieces(x: NDArray[Any], size: int) -> Iterator[tuple[slice, slice]]:
    """Cut a map (n, h, w, c) into images and lines, to work on ``size`` bytes an element."""
    count, lines, columns, channels = x.shape
    return _tiles(count, lines, size * columns * channels)


def _part(x: NDArray[Any], images: slice, lines: slice) -> NDArray[Any]:
    """Return a part of an operand; a channel vector is the same for all lines."""
    return x[images] if x.shape[1] == 1 else x[images, lines]


def mul_tiles(maps: list[NDArray[Any]], fracs: list[int]) -> Iterator[Tile]:
    """Yield the products of two maps, or of a map and a channel vector."""
    a, b = maps
    small = _reach(a, 0) * _reach(b, 0) <= _EXACT_SINGLE
    dtype = np.dtype(np.float32 if small else np.float64)
    for images, rows in pieces(a, 2 * dtype.itemsize):
        values = np.multiply(a[images, rows], _part(b, images, rows), dtype=dtype)
        yield Tile(images, rows, values, sum(fracs))


def prelu_tiles(x: NDArray[Any], slopes: QuantizedSlopes, x_frac: int) -> Iterator[Tile]:
    """Yield a map at the fractional length of its products with the slopes."""
    factors = slopes.codes.astype(np.float64)
    for images, rows in pieces(x, 16):
        values = x[images, rows].astype(np.float64)
        values *= np.where(values >= 0, float(1 << slopes.frac), factors)
        yield Tile(images, rows, values, x_frac + slopes.frac)


def add_tiles(maps: list[NDArray[Any]], fracs: list[int]) -> Iterator[Tile]:
    """Yield the sums of two maps, or of a map and a channel vector.

    They are aligned at the larger of their fractional lengths.
    """
    common = max(fracs)
    a, b = maps
    reach = sum(_reach(m, common - frac) for m, frac in zip(maps, fracs, strict=True))
    dtype = np.dtype(np.float32 if reach <= _EXACT_SINGLE else np.float64)
    scales = [float(1 << (common - frac)) for frac in fracs]
    for images, rows in pieces(a, 2 * dtype.itemsize):
        values: NDArray[Any] = np.multiply(a[images, rows], scales[0], dtype=dtype)
        values += np.multiply(_part(b, images, rows), scales[1], dtype=dtype)
        yield Tile(images, rows, values, common)


def concat_tiles(maps: list[NDArray[Any]], fracs: list[int]) -> Iterator[Tile]:
    """Yield maps side by side, each channel with the fractional length of its map."""
    count, lines, columns, _ = maps[0].shape
    channels = [part.shape[3] for part in maps]
    frac = np.repeat(fracs, channels)
    for images, rows in _tiles(count, lines, 8 * columns * sum(channels)):
        parts = [part[images, rows] for part in maps]
        yield Tile(images, rows, np.concatenate(parts, axis=3, dtype=np.float32), frac)


def _reach(codes: NDArray[Any], shift: int) -> int:
    info = np.iinfo(codes.dtype)
    return max(-int(info.min), int(info.max)) << shift


def average_tiles(x: NDArray[Any], node: Pool, x_frac: int) -> Iterator[Tile]:
    """Yield the sums over each window of an average pooling, with the counts to divide by."""
    counts = pool_counts(node, (x.shape[3], x.shape[1], x.shape[2]))
    lines, columns = counts.shape
    for images, rows in _tiles(len(x), lines, 16 * columns * x.shape[3]):
        padded = _padded(x, images, rows, node.window, np.int64)
        count = rows.stop - rows.start
        total = np.zeros((len(padded), count, columns, x.shape[3]), np.int64)
        for view in _taps(padded, node.window, count, columns):
            total += view
        yield Tile(images, rows, total, x_frac, counts[rows, :, None])


def max_pool(x: NDArray[Any], node: Pool, lo: int, hi: int) -> NDArray[Any]:
    """Return the clamped maximum over each window, padding ignored: (n, h, w, c)."""
    lines, columns = node.window.output_size(x.shape[1], x.shape[2])
    result = np.empty((len(x), lines, columns, x.shape[3]), x.dtype)
    lowest = np.iinfo(x.dtype).min
    for images, rows in _tiles(len(x), lines, 2 * x.itemsize * columns * x.shape[3]):
        padded = _padded(x, images, rows, node.window, x.dtype, lowest)
        views = _taps(padded, node.window, rows.stop - rows.start, columns)
        best = next(views).copy()
        for view in views:
            np.maximum(best, view, out=best)
        result[images, rows] = np.clip(best, lo, hi)
    return result
