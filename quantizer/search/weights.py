"""Fractional lengths of weights, and the integers that follow from them."""

import numpy as np
from numpy.typing import NDArray

from arch.formats import Format

from ..accumulators import worst_case
from ..errors import ModelError
from ..graph import Conv, PRelu
from ..model import Limits, QuantizedSlopes, QuantizedWeights
from ..ranges import FRAC_LIMIT, natural_frac
from .rules import Norm, RangeRule, clipped_range, divergences


__all__ = (
    "cap_frac",
    "channel_errors",
    "choose_frac",
    "integer_bias",
    "integer_slopes",
    "integer_weights",
    "natural_weight_frac",
)


_BIAS_LIMIT = float(1 << 62)
_SLOPE_FRAC = 15  # largest fractional length of slopes, in bits


def natural_weight_frac(
    node: Conv, bits: int, rule: RangeRule, *, per_channel: bool
) -> NDArray[np.int64]:
    """Return the largest fractional length that overflows no weight in the rule's range, (k,).

    Output channels without a weight other than zero take the largest of the others.
    """
    flat = node.weight.reshape(len(node.weight), -1)
    if not per_channel:
        return np.full(len(flat), natural_frac(*clipped_range(rule, flat), bits))
    bounds = np.array([clipped_range(rule, row) for row in flat])
    fracs = natural_frac(bounds[:, 0], bounds[:, 1], bits)
    used = flat.any(1)
    return np.where(used, fracs, fracs[used].max()) if used.any() else fracs


def channel_errors(
    node: Conv, bits: int, frac: NDArray[np.int64], norm: Norm
) -> NDArray[np.float64]:
    """Return the sum of absolute or squared rounding errors of each output channel, (k,)."""
    fmt = Format(bits, 0)
    flat = node.weight.reshape(len(node.weight), -1).astype(np.float64)
    codes = fmt.quantize(np.ldexp(flat, frac[:, None]))
    errors = np.abs(flat - np.ldexp(codes.astype(np.float64), -frac[:, None]))
    return np.asarray(errors.sum(1) if norm == "l1" else (errors**2).sum(1))


def _candidate_errors(
    node: Conv, bits: int, rule: RangeRule, natural: NDArray[np.int64], *, per_channel: bool
) -> NDArray[np.float64]:
    """Return the errors of all candidates, (candidates, k), or (candidates, 1) for one a layer."""
    if rule.kind == "entropy":
        parts = node.weight if per_channel else node.weight[None]
        found = [
            list(divergences(part, int(frac), bits).values())
            for part, frac in zip(parts, natural, strict=False)]
        return np.array(found).T
    errors = np.array([
        channel_errors(node, bits, natural + delta, rule.norm) for delta in rule.candidates])
    return errors if per_channel else errors.sum(1, keepdims=True)


def choose_frac(
    node: Conv, bits: int, rule: RangeRule, *, per_channel: bool
) -> tuple[NDArray[np.int64], dict[int, float]]:
    """Search the fractional length of a convolution's weights.

    Parameters
    ----------
    node : Conv
        Holds the float weights.
    bits : int
        Width of a weight code.
    rule : RangeRule
        What makes one the best.
    per_channel : bool
        One fractional length for each output channel, instead of one for all.

    Returns
    -------
    int64 (k,)
        Fractional lengths.
    dict from int to float
        Error of each candidate, by its distance from the largest that overflows nothing.
    """
    natural = natural_weight_frac(node, bits, rule, per_channel=per_channel)
    errors = _candidate_errors(node, bits, rule, natural, per_channel=per_channel)
    totals = dict(zip(rule.candidates, errors.sum(1).tolist(), strict=True))
    return natural + np.array(rule.candidates)[errors.argmin(0)], totals


def integer_weights(
    node: Conv, bits: int, frac: NDArray[np.int64], x_frac: int,
    correction: NDArray[np.float64] | None = None,
) -> QuantizedWeights:
    """Return the integers of a convolution, rounded to nearest, halves to even.

    Parameters
    ----------
    node : Conv
        Holds the float weights and biases.
    bits : int
        Width of a weight code.
    frac : int64, (k,)
        Fractional lengths of the weights.
    x_frac : int
        Fractional length of the data.
    correction : float64, (k,), optional
        What is added to the float biases.

    Raises
    ------
    ModelError
        If a bias does not fit any accumulator.
    """
    correction = np.zeros(len(node.bias)) if correction is None else correction
    scaled = np.ldexp(node.weight.astype(np.float64), frac[:, None, None, None])
    return QuantizedWeights(
        Format(bits, 0).quantize(scaled), bits, np.asarray(frac, np.int64),
        integer_bias(node, frac, x_frac, correction), correction)


def integer_bias(
    node: Conv, frac: NDArray[np.int64], x_frac: int, correction: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the bias codes of a convolution, rounded to nearest, halves to even: (k,).

    Raises
    ------
    ModelError
        If a bias does not fit any accumulator.
    """
    bias = np.rint(np.ldexp(node.bias.astype(np.float64) + correction, x_frac + frac))
    if np.any(np.abs(bias) >= _BIAS_LIMIT):
        raise ModelError(
            f"node '{node.name}': bias {float(np.abs(node.bias).max()):g} is too large for a "
            f"fractional length of {int((x_frac + frac).max())} bits")
    return bias.astype(np.int64)


def integer_slopes(node: PRelu, data_bits: int) -> QuantizedSlopes:
    """Return the integers of a PRelu, rounded to nearest, halves to even.

    Their fractional length is the largest with which none overflows, at most 15.

    Parameters
    ----------
    node : PRelu
        Holds the float slopes.
    data_bits : int
        Width of the data; slopes have 8 bits with data of at most 8, else 16.

    Raises
    ------
    ModelError
        If a slope does not fit.
    """
    fmt = Format(8 if data_bits <= 8 else 16, 0)
    lo, hi = float(node.slope.min()), float(node.slope.max())
    frac = min(int(natural_frac(lo, hi, fmt.bits)), _SLOPE_FRAC)
    if frac < 0:
        worst = hi if hi > -lo else lo
        raise ModelError(
            f"node '{node.name}': slopes must be in {fmt.min}..{fmt.max} with {data_bits}-bit "
            f"data, not {worst:g}")
    return QuantizedSlopes(fmt.quantize(np.ldexp(node.slope, frac)), fmt.bits, frac)


def _bias_cap(node: Conv, x_frac: int, limits: Limits) -> NDArray[np.int64]:
    """Return the largest weight frac with which the bias fits, and half of the accumulator."""
    magnitude = np.abs(node.bias.astype(np.float64))
    free = np.full(len(magnitude), FRAC_LIMIT, np.int64)
    free[magnitude > 0] = np.floor(
        min(limits.acc_bits, limits.bias_bits) - 2 - np.log2(magnitude[magnitude > 0])) - x_frac
    return np.minimum(free, FRAC_LIMIT)


def cap_frac(
    node: Conv, bits: int, frac: NDArray[np.int64], *, x_frac: int, bounds: tuple[int, int],
    highest: int, limits: Limits, per_channel: bool,
) -> NDArray[np.int64]:
    """Lower fractional lengths of weights until no accumulator can overflow.

    Parameters
    ----------
    node : Conv
        The convolution.
    bits : int
        Width of a weight code.
    frac : int64, (k,)
        Fractional lengths that the weights alone would have.
    x_frac : int
        Fractional length of the data.
    bounds : (int, int)
        Smallest and largest data code.
    highest : int
        Largest fractional length that the shifter after the convolution can bring back.
    limits : Limits
        The hardware.
    per_channel : bool
        Lower each output channel on its own.

    Returns
    -------
    int64, (k,)
        Fractional lengths, at most ``frac``.

    Raises
    ------
    ModelError
        If the products overflow even when the weights have lost half of their bits.
    """
    def together(values: NDArray[np.int64]) -> NDArray[np.int64]:
        return values if per_channel else np.full_like(values, values.min())

    capped = together(np.minimum(np.minimum(frac, highest), _bias_cap(node, x_frac, limits)))
    limit = 1 << (limits.acc_bits - 1)
    while True:
        weights = integer_weights(node, bits, capped, x_frac)
        over = worst_case(weights.codes, weights.bias, *bounds) >= limit
        if not over.any():
            return capped
        if np.any(over & (frac - capped >= bits // 2)):
            break
        capped = together(capped - over)
    raise ModelError(
        f"node '{node.name}': sums of {node.weight[0].size} products of {bits}-bit weights with "
        f"data codes in {bounds[0]}..{bounds[1]} could overflow {limits.acc_bits}-bit "
        "accumulators; use fewer bits for data or weights")
