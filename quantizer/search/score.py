"""Errors of candidate fractional lengths: how far codes are from what the float network has."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arch.formats import Rounding

from ..tiles import Tile, rescale, saturate
from .rules import Norm


__all__ = (
    "candidate_errors",
    "distance",
    "signal",
)


Bounds = tuple[int, int | NDArray[np.int64]]

_BLOCK_SIZE = 1 << 16  # numbers that are worked on at once, with all that belongs to them in cache


def _blocks(values: NDArray[Any]) -> Iterator[tuple[slice, slice]]:
    """Cut (n, positions, k) numbers into pieces of about ``_BLOCK_SIZE``."""
    count, rows, width = values.shape
    step = max(1, _BLOCK_SIZE // (rows * width))
    size = max(1, _BLOCK_SIZE // width)
    for first in range(0, count, step):
        for start in range(0, rows, size):
            yield slice(first, first + step), slice(start, start + size)


def _sums(values: NDArray[Any], norm: Norm) -> NDArray[Any]:
    """Return sums of absolute or squared values, (n,); ``values`` may be overwritten."""
    flat = values.reshape(len(values), -1)
    if norm == "l1":
        return np.asarray(np.abs(flat, out=flat).sum(1))
    return np.asarray(np.vecdot(flat, flat))


def distance(
    codes: NDArray[Any], step: float, exact: NDArray[np.float32], norm: Norm
) -> NDArray[np.float64]:
    """Return sums of absolute or squared differences of ``codes * step`` and ``exact``, (n,)."""
    flat, other = codes.reshape(len(codes), -1, 1), exact.reshape(len(exact), -1, 1)
    totals = np.zeros(len(codes))
    for block in _blocks(flat):
        difference = np.multiply(flat[block], step, dtype=np.float64)
        difference -= other[block]
        totals[block[0]] += _sums(difference, norm)
    return totals


def signal(exact: NDArray[np.float32], norm: Norm) -> NDArray[np.float64]:
    """Return sums of absolute or squared values, (n,)."""
    flat = exact.reshape(len(exact), -1, 1)
    totals = np.zeros(len(exact))
    for block in _blocks(flat):
        totals[block[0]] += _sums(flat[block].astype(np.float64), norm)
    return totals


def candidate_errors(
    tile: Tile, exact: NDArray[np.float32], bounds: Mapping[int, Bounds],
    rounding: Rounding, norm: Norm,
) -> dict[int, NDArray[np.float64]]:
    """Return the errors of each fractional length that a tile may be rounded to.

    Parameters
    ----------
    tile : Tile
        Accumulators (n, h, w, k).
    exact : float32, (n, h, w, k)
        What the float network has there.
    bounds : mapping from int to (int, int or int64 (k,))
        Candidates, with the bounds of their codes, the upper one by channel or not.
    rounding : Rounding
        Rounding rule.
    norm : "l1" or "l2"
        What is summed.

    Returns
    -------
    dict from int to float64, (n,)
        :func:`distance` of the codes that :func:`..tiles.rescale` gives.
    """
    if (tile.divisor is None and rounding is Rounding.HALF_EVEN
            and tile.values.dtype.kind == "f"):
        return _scaled_errors(tile, exact, bounds, norm)
    return {
        frac: distance(
            rescale(tile, frac, lo, hi, rounding, keep=True), math.ldexp(1.0, -frac), exact, norm)
        for frac, (lo, hi) in bounds.items()}


def _scaled_errors(
    tile: Tile, exact: NDArray[np.float32], bounds: Mapping[int, Bounds], norm: Norm
) -> dict[int, NDArray[np.float64]]:
    """Return :func:`candidate_errors` of values that are floats, with halves to even.

    Numbers are in steps of the coarsest candidate, so that no square overflows. After clipping,
    adding and subtracting a number whose LSB is a step of a candidate rounds to that step, halves
    to even, as IEEE 754 does.
    """
    count, *_, kernels = tile.values.shape
    dtype = tile.values.dtype.type
    values, others = (array.reshape(count, -1, kernels) for array in (tile.values, exact))
    coarse = min(bounds)
    unit = np.ldexp(1.0, coarse - np.asarray(tile.frac)).astype(dtype)
    magic = 1.5 * 2.0 ** np.finfo(dtype).nmant
    steps = {frac: math.ldexp(1.0, coarse - frac) for frac in bounds}
    errors = {frac: np.zeros(count) for frac in bounds}
    for block in _blocks(values):
        real, wanted = values[block] * unit, others[block] * dtype(math.ldexp(1.0, coarse))
        codes = np.empty_like(real)
        for frac, (lo, hi) in bounds.items():
            step = steps[frac]
            np.copyto(codes, real)
            saturate(codes, lo * step, hi * step)
            codes += dtype(magic * step)
            codes -= dtype(magic * step)
            codes -= wanted
            errors[frac][block[0]] += _sums(codes, norm)
    back = math.ldexp(1.0, -coarse if norm == "l1" else -2 * coarse)
    return {frac: error * back for frac, error in errors.items()}
