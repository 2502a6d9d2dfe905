"""Functions of one number as tables of integers.

Data of at most 8 bits: the result for every code, at index ``code & 0xFF``. Wider data: 256
segments of 256 codes, each a straight line between the results at its ends. With
``i = (code & 0xFFFF) >> 8`` and ``r = code & 0xFF`` the result is
``requantize(256 * base[i] + r * delta[i], 8, lo, hi)``.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arch.formats import Format, Rounding, requantize

from .graph import Activation
from .model import ActivationTable, QuantizedModel


__all__ = (
    "TABLE_BITS",
    "TABLE_SIZE",
    "activation",
    "build_table",
    "look_up",
    "model_table",
)


TABLE_BITS = 8  # bits of a code that are an index; with more of them, those above a segment
TABLE_SIZE = 1 << TABLE_BITS


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    power = np.exp(-np.abs(x))  # never overflows
    return np.where(x >= 0, 1.0, power) / (1.0 + power)


def activation(node: Activation, values: ArrayLike) -> NDArray[np.float64]:
    """Return the function of a node at real numbers, in float64, without its clamp.

    Examples
    --------
    >>> from quantizer.graph import Activation
    >>> node = Activation("n", ("x",), "y", kind="hard_sigmoid", alpha=0.25, beta=0.5)
    >>> activation(node, [-4, 0, 1, 9]).tolist()
    [0.0, 0.5, 0.75, 1.0]
    """
    x = np.asarray(values, np.float64)
    match node.kind:
        case "sigmoid":
            return _sigmoid(x)
        case "tanh":
            return np.tanh(x)
        case "silu":
            return x * _sigmoid(x)
        case "hard_sigmoid":
            return np.clip(node.alpha * x + node.beta, 0.0, 1.0)
        case "hard_swish":
            return x * np.clip(node.alpha * x + node.beta, 0.0, 1.0)


def build_table(
    node: Activation,
    before: Format,
    after: Format,
    bounds: tuple[int, int],
    rounding: Rounding = Rounding.HALF_EVEN,
) -> ActivationTable:
    """Return the integers of an activation.

    Parameters
    ----------
    node : Activation
        The function.
    before, after : Format
        Formats of its input and output, at most 16 bits.
    bounds : (int, int)
        ``lo`` and ``hi`` of the result, as codes of ``after``.
    rounding : Rounding
        Rule for values between two codes.

    Returns
    -------
    ActivationTable
        With an input of at most 8 bits, results inside ``bounds``. With a wider one, starts of
        segments in 16 bits with the sign of ``after``, and differences in 17 bits, signed; the
        end of the last segment of a sign is the result one code past the largest.
    """
    index = np.arange(TABLE_SIZE)
    if before.signed:
        index = np.where(index < TABLE_SIZE // 2, index, index - TABLE_SIZE)
    if before.bits <= TABLE_BITS:
        results = after.quantize(activation(node, np.ldexp(index, -before.frac)), rounding)
        return ActivationTable(np.clip(results, *bounds), np.zeros(TABLE_SIZE, np.int64))
    wide = Format(16, after.frac, after.signed)
    starts, ends = (
        wide.quantize(activation(node, np.ldexp(codes * TABLE_SIZE, -before.frac)), rounding)
        for codes in (index, index + 1))
    return ActivationTable(starts, ends - starts)


def model_table(model: QuantizedModel, node: Activation) -> ActivationTable:
    """Return the integers of an activation between the formats that it has in a model."""
    before, after = (model.formats[name] for name in (node.inputs[0], node.output))
    return build_table(node, before, after, model.bounds(node), model.rounding)


def look_up(
    table: ActivationTable,
    codes: NDArray[np.integer],
    bits: int,
    bounds: tuple[int, int],
    rounding: Rounding = Rounding.HALF_EVEN,
) -> NDArray[np.int64]:
    """Return the results of an activation, exactly as the accelerator does.

    Parameters
    ----------
    table : ActivationTable
        What :func:`build_table` returned.
    codes : int, any shape
        Codes of the input.
    bits : int
        Width of the input's format.
    bounds : (int, int)
        ``lo`` and ``hi`` of the result.
    rounding : Rounding
        Rule for the bits below a code of the result.
    """
    wide = codes.astype(np.int64)
    if bits <= TABLE_BITS:
        result: NDArray[np.int64] = table.base[wide & 0xFF]
        return result
    segment, rest = (wide & 0xFFFF) >> TABLE_BITS, wide & 0xFF
    acc = table.base[segment] * TABLE_SIZE + table.delta[segment] * rest
    return requantize(acc, TABLE_BITS, *bounds, rounding)
