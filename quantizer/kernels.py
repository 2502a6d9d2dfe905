"""Exact integer operators on NHWC maps other than convolutions.

All but :func:`max_pool` yield their accumulators, a :class:`~quantizer.tiles.Tile` at a time.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .accumulators import pool_counts
from .graph import Pool, Window
from .model import QuantizedSlopes
from .tiles import EXACT_SINGLE, Tile, cut_tiles, padded_lines, pieces


__all__ = (
    "add_tiles",
    "average_tiles",
    "concat_tiles",
    "max_pool",
    "mul_tiles",
    "prelu_tiles",
)


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


def _part(x: NDArray[Any], images: slice, lines: slice) -> NDArray[Any]:
    """Return a part of an operand; a channel vector is the same for all lines."""
    return x[images] if x.shape[1] == 1 else x[images, lines]


def mul_tiles(maps: list[NDArray[Any]], fracs: list[int]) -> Iterator[Tile]:
    """Yield the products of two maps, or of a map and a channel vector."""
    a, b = maps
    small = _reach(a, 0) * _reach(b, 0) <= EXACT_SINGLE
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
    dtype = np.dtype(np.float32 if reach <= EXACT_SINGLE else np.float64)
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
    for images, rows in cut_tiles(count, lines, 8 * columns * sum(channels)):
        parts = [part[images, rows] for part in maps]
        yield Tile(images, rows, np.concatenate(parts, axis=3, dtype=np.float32), frac)


def _reach(codes: NDArray[Any], shift: int) -> int:
    info = np.iinfo(codes.dtype)
    return max(-int(info.min), int(info.max)) << shift


def average_tiles(x: NDArray[Any], node: Pool, x_frac: int) -> Iterator[Tile]:
    """Yield the sums over each window of an average pooling, with the counts to divide by."""
    counts = pool_counts(node, (x.shape[3], x.shape[1], x.shape[2]))
    lines, columns = counts.shape
    for images, rows in cut_tiles(len(x), lines, 16 * columns * x.shape[3]):
        padded = padded_lines(x, images, rows, node.window, np.int64)
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
    for images, rows in cut_tiles(len(x), lines, 2 * x.itemsize * columns * x.shape[3]):
        padded = padded_lines(x, images, rows, node.window, x.dtype, lowest)
        views = _taps(padded, node.window, rows.stop - rows.start, columns)
        best = next(views).copy()
        for view in views:
            np.maximum(best, view, out=best)
        result[images, rows] = np.clip(best, lo, hi)
    return result
