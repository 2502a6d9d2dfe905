"""LRN and Softmax in the middle of a network: float64 on the host, between codes and codes.

Both are written so that every engine gets the same bits, whatever its order of summation and its
mathematical library: sums are exact, and what is rounded is one addition, multiplication, division
or square root of IEEE 754 each. ``docs/numbers.md`` has the formulas.
"""

from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from arch.formats import Format, Rounding

from .graph import Lrn, Node, Softmax


__all__ = (
    "EXP_FRAC",
    "MOST_CHANNELS",
    "Root",
    "exp_table",
    "host_codes",
    "host_values",
    "lrn_root",
    "lrn_taps",
)


EXP_FRAC = 36
"""Fractional length of the powers in a Softmax, in bits."""

MOST_CHANNELS = 1 << (53 - EXP_FRAC)
"""Channels up to which their sum is exact in float64."""

_LARGEST_ROOT = 4.0
_DIGITS = 50


@dataclass(frozen=True)
class Root:
    """A power as a product: ``d`` to the ``whole``, its square root, and the root of that.

    Parameters
    ----------
    whole : int
        Factors ``d``.
    half, quarter : bool
        Whether the square root, and its square root, are factors.
    """

    whole: int
    half: bool
    quarter: bool


@lru_cache(maxsize=8)
def exp_table(frac: int, size: int) -> NDArray[np.float64]:
    """Return ``exp(-d * 2 ** -frac)`` for ``d`` from 0 up to ``size``.

    The numbers are rounded to multiples of ``2 ** -EXP_FRAC``, from more digits than any float
    has, so that they are the same on every machine.

    Examples
    --------
    >>> exp_table(0, 3).tolist()
    [1.0, 0.36787944116804283, 0.13533528323750943]
    """
    step = 1 << 8
    with localcontext() as context:
        context.prec = _DIGITS
        unit = Decimal(2) ** -frac
        fine = [(-unit * low).exp() for low in range(step)]
        coarse = [
            (-unit * high).exp() * (1 << EXP_FRAC) for high in range(0, size, step)]
        table = [
            int((high * low).to_integral_value()) for high in coarse for low in fine][:size]
    return np.ldexp(np.array(table, np.float64), -EXP_FRAC)


def lrn_taps(node: Lrn, channels: int) -> range:
    """Return the channels that a sum of squares reaches, relative to its own."""
    before, after = (node.size - 1) // 2, node.size // 2
    return range(-min(before, channels - 1), min(after, channels - 1) + 1)


def lrn_root(beta: float) -> Root | None:
    """Return a power that is a multiple of a quarter, up to 4, as roots; ``None`` for others.

    Examples
    --------
    >>> lrn_root(0.75)
    Root(whole=0, half=True, quarter=True)
    """
    quarters = beta * 4
    if not 0 <= beta <= _LARGEST_ROOT or quarters != int(quarters):
        return None
    return Root(int(quarters) // 4, bool(int(quarters) & 2), bool(int(quarters) & 1))


def _power(base: NDArray[np.float64], beta: float) -> NDArray[np.float64]:
    root = lrn_root(beta)
    if root is None:
        return np.asarray(np.power(base, beta))
    half = np.sqrt(base)
    factors = [base] * root.whole + [half] * root.half + [np.sqrt(half)] * root.quarter
    result = np.ones_like(base)
    for factor in factors:
        result = result * factor
    return result


def _lrn(values: NDArray[np.float64], node: Lrn) -> NDArray[np.float64]:
    channels = values.shape[-1]
    squares = values * values
    total = np.zeros_like(values)
    for tap in lrn_taps(node, channels):
        first, stop = max(0, -tap), min(channels, channels - tap)
        total[..., first:stop] += squares[..., first + tap:stop + tap]
    base = total * (node.alpha / node.size) + node.bias
    return values / _power(base, node.beta)


def _softmax(codes: NDArray[np.int64], source: Format) -> NDArray[np.float64]:
    table = exp_table(source.frac, source.max - source.min + 1)
    powers = table[codes.max(axis=-1, keepdims=True) - codes]
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def host_values(
    node: Node, codes: NDArray[np.integer], source: Format
) -> NDArray[np.float64]:
    """Return what a step of the host makes of codes, as real numbers, not yet rounded to codes.

    Parameters
    ----------
    node : Lrn or Softmax
        The step.
    codes : int, (..., c)
        Codes of its input, channels last.
    source : Format
        Their format.

    Returns
    -------
    float64, (..., c)
        Results.
    """
    wide = np.asarray(codes, np.int64)
    if isinstance(node, Softmax):
        return _softmax(wide, source)
    assert isinstance(node, Lrn), node
    return _lrn(source.dequantize(wide), node)


def host_codes(
    node: Node, codes: NDArray[np.integer], source: Format, result: Format,
    bounds: tuple[int, int], rounding: Rounding,
) -> NDArray[np.int64]:
    """Return the codes that a step of the host makes of codes.

    Parameters
    ----------
    node : Lrn or Softmax
        The step.
    codes : int, (..., c)
        Codes of its input, channels last.
    source, result : Format
        Formats of its input and of its result.
    bounds : (int, int)
        Smallest and largest code of the result.
    rounding : Rounding
        Rounding rule.

    Returns
    -------
    int64, (..., c)
        Codes.
    """
    return np.clip(result.quantize(host_values(node, codes, source), rounding), *bounds)
