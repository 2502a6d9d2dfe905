"""Pieces of NHWC maps, small enough to be still in cache when they are rounded.

An accumulator is an integer held in float32 where no partial sum can reach 2^24, in float64 (exact
below 2^53) elsewhere, or in int64.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arch.formats import Format, Rounding, divide_round, requantize

from .graph import Window


__all__ = (
    "EXACT_SINGLE",
    "TILE_SIZE",
    "Tile",
    "code_type",
    "cut_tiles",
    "padded_lines",
    "pieces",
    "rescale",
    "saturate",
)


EXACT_SINGLE = 1 << 24
"""Magnitude up to which float32 holds every integer."""

TILE_SIZE = 1 << 20
"""Bytes of im2col columns that stay in a level-2 cache."""

_WIDEST = 32
_LINE_SIZE = 1 << 11  # elements of a bound side by side: numpy is fast on long lines


@dataclass(frozen=True)
class Tile:
    """Accumulators of some images and output lines.

    Parameters
    ----------
    images, lines : slice
        Where in the output.
    values : float32, float64 or int64, (n, h, w, k)
        Integers, in C order; the caller may overwrite them.
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


def cut_tiles(
    count: int, lines: int, line_size: int, tile_size: int = TILE_SIZE
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


def pieces(x: NDArray[Any], size: int) -> Iterator[tuple[slice, slice]]:
    """Cut a map (n, h, w, c) into images and lines, to work on ``size`` bytes an element."""
    count, lines, columns, channels = x.shape
    return cut_tiles(count, lines, size * columns * channels)


def padded_lines(
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
