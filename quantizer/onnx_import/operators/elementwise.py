"""Clamps, sums, products, and scaling of channels: BatchNormalization, arithmetic on constants."""

from math import prod

import numpy as np
from numpy.typing import NDArray

from ...graph import Add, Conv, Mul, Pool
from ..context import Context, Map
from ..node import OnnxNode


__all__ = (
    "convert_add",
    "convert_batch_normalization",
    "convert_clip",
    "convert_div",
    "convert_max",
    "convert_min",
    "convert_mul",
    "convert_relu",
    "convert_sub",
    "emit_clamp",
)


_LARGEST = float(np.finfo(np.float32).max)


def convert_relu(context: Context, node: OnnxNode) -> None:
    """``max(x, 0)``."""
    emit_clamp(context, node, 0.0, np.inf)


def convert_clip(context: Context, node: OnnxNode) -> None:
    """``min(max(x, lo), hi)``."""
    hi = _bound(context, node, "max", 2, np.inf)
    lo = min(_bound(context, node, "min", 1, -np.inf), hi)
    _emit_bounds(context, node, 0, lo, hi)


def convert_max(context: Context, node: OnnxNode) -> None:
    """``max(x, lo)``, the same ``lo`` for all channels."""
    index, bounds = _bounds(context, node)
    if np.any(bounds != bounds[0]):
        raise node.error("the constant must be the same for all channels; the accelerator has no "
                         "lower bound for each channel",
                         "take one constant for all channels")
    _emit_bounds(context, node, index, _unbounded(float(bounds[0])), np.inf)


def convert_min(context: Context, node: OnnxNode) -> None:
    """``min(x, hi)``; an ``hi`` for each channel is the bound of a convolution that copies."""
    index, bounds = _bounds(context, node)
    if np.all(bounds == bounds[0]):
        _emit_bounds(context, node, index, -np.inf, _unbounded(float(bounds[0])))
        return
    value = context.stream(node, index)
    _emit_scaling(context, node, value, None, None, upper=bounds)


def convert_batch_normalization(context: Context, node: OnnxNode) -> None:
    """``(x - mean) / sqrt(variance + epsilon) * scale + shift``, a scaling of channels."""
    if node.attribute("training_mode", 0) or any(node.proto.output[1:]):
        raise node.error("must be in inference mode; export the model for inference")
    value = context.stream(node)
    if len(value.shape) < 2:
        raise node.error(f"its input must be (n, c, ...), not {value.shape}")
    channels = value.shape[1]
    names = ("scale", "shift", "mean", "variance")
    operands = [context.numbers(node, i, name) for i, name in enumerate(names, start=1)]
    for name, operand in zip(names, operands, strict=True):
        if operand is None or operand.shape != (channels,):
            shape = None if operand is None else operand.shape
            raise node.error(f"{name} must have the shape {(channels,)}, not {shape}")
    scale, shift, mean, variance = (
        np.asarray(operand, dtype=np.float64) for operand in operands)
    spread = variance + node.attribute("epsilon", 1e-5)
    if np.any(spread <= 0):
        raise node.error(f"variance + epsilon must be positive, not {spread.min()}")
    factor = scale / np.sqrt(spread)
    axes = (1, channels) + (1,) * (len(value.shape) - 2)
    _emit_scaling(
        context, node, value,
        context.per_channel(node, value, factor.reshape(axes)),
        context.per_channel(node, value, (shift - mean * factor).reshape(axes)))


def convert_add(context: Context, node: OnnxNode) -> None:
    """Sum of two maps, or of a map and a vector or constant for each channel."""
    operands = context.operands(node)
    if not all(isinstance(operand, Map) for operand in operands):
        value, constant = _map_and_constant(context, node)
        _emit_scaling(context, node, value, None, context.per_channel(node, value, constant))
        return
    first, second = _maps(context, node)
    chw = context.shapes[first.base]
    if first.base == second.base:
        _emit_scaling(context, node, first, np.full(chw[0], 2.0), None)
        return
    context.emit(
        Add(node.label, (first.base, second.base), node.output, sources=(node.label,)),
        chw, first.shape)


def convert_sub(context: Context, node: OnnxNode) -> None:
    """Difference of a map and a constant for each channel."""
    value, constant = _map_and_constant(context, node)
    numbers = context.per_channel(node, value, constant)
    if isinstance(context.operands(node)[0], Map):
        _emit_scaling(context, node, value, None, -numbers)
    else:
        _emit_scaling(context, node, value, -np.ones(len(numbers)), numbers)


def convert_mul(context: Context, node: OnnxNode) -> None:
    """Product of two maps, or of a map and a vector or constant for each channel."""
    if all(isinstance(operand, Map) for operand in context.operands(node)):
        first, second = _maps(context, node)
        context.emit(
            Mul(node.label, (first.base, second.base), node.output, sources=(node.label,)),
            context.shapes[first.base], first.shape)
        return
    value, constant = _map_and_constant(context, node)
    _emit_scaling(context, node, value, context.per_channel(node, value, constant), None)


def convert_div(context: Context, node: OnnxNode) -> None:
    """Quotient of a map and a constant for each channel."""
    value, constant = _map_and_constant(context, node)
    if not isinstance(context.operands(node)[0], Map):
        raise node.error("the divisor must be a constant")
    numbers = context.per_channel(node, value, constant)
    if np.any(numbers == 0):
        raise node.error("the divisor must not be 0")
    _emit_scaling(context, node, value, 1 / numbers, None)


def _bound(context: Context, node: OnnxNode, name: str, index: int, default: float) -> float:
    """Return a bound of Clip: attribute before opset 11, input since; infinite when not given."""
    operand = context.constant(node, index, name)
    bound = node.attribute(name, default) if operand is None else operand
    if np.size(bound) != 1 or np.isnan(bound).any():
        raise node.error(f"{name} must be one number, not {np.asarray(bound).tolist()}")
    return _unbounded(float(np.asarray(bound).item()))


def _unbounded(bound: float) -> float:
    """Return a bound, infinite where it is the largest number of float32, which bounds nothing."""
    return bound if abs(bound) < _LARGEST else float(np.copysign(np.inf, bound))


def _bounds(context: Context, node: OnnxNode) -> tuple[int, NDArray[np.float64]]:
    """Return which operand of Min or Max is the map, and the other one, a bound a channel, (c,)."""
    operands = context.operands(node)
    index = next((i for i, operand in enumerate(operands) if isinstance(operand, Map)), None)
    if len(operands) != 2 or index is None or isinstance(operands[1 - index], Map):
        raise node.error("must have two operands, of which one is a constant",
                         "split it into several, or use Clip or Relu")
    constant = context.numbers(node, 1 - index, "the constant")
    if constant is None:
        raise node.error("must have two operands, of which one is a constant")
    return index, context.per_channel(node, context.stream(node, index), constant)


def _emit_bounds(context: Context, node: OnnxNode, index: int, lo: float, hi: float) -> None:
    """Add a clamp of input ``index``, or nothing where there are no bounds."""
    if lo == np.inf or hi == -np.inf:
        raise node.error("min and max must leave finite values")
    if lo == -np.inf and hi == np.inf:
        context.define(node.output, context.map(node, index))
    else:
        emit_clamp(context, node, lo, hi, index=index)


def _maps(context: Context, node: OnnxNode) -> tuple[Map, Map]:
    """Return two maps of the same shape, or a map and a channel vector, the map first."""
    first, second = context.stream(node, 0), context.stream(node, 1)
    if prod(first.shape) < prod(second.shape):
        first, second = second, first
    shapes = [context.shapes[value.base] for value in (first, second)]
    same = first.shape == second.shape and shapes[0] == shapes[1]
    vector = (first.shape == (context.batch, *shapes[0])
              and second.shape == (context.batch, shapes[0][0], 1, 1)
              and shapes[1] == (shapes[0][0], 1, 1))
    if not same and not vector:
        raise node.error(
            f"two maps must have the same shape, or one must be a vector (n, c, 1, 1) of a number "
            f"for each channel of the other, not {first.shape} and {second.shape}")
    return first, second


def _map_and_constant(
    context: Context, node: OnnxNode
) -> tuple[Map, NDArray[np.float32] | NDArray[np.float64]]:
    """Return the operands of arithmetic, of which one must be a constant."""
    operands = context.operands(node)
    index = next((i for i, operand in enumerate(operands) if not isinstance(operand, Map)), None)
    if index is None or len(operands) != 2:
        raise node.error("one operand must be a constant; of two maps only the sum and the "
                         "product are supported")
    constant = context.numbers(node, index, "the constant")
    assert constant is not None, "Map or constant"
    return context.stream(node, 1 - index), constant


def emit_clamp(
    context: Context, node: OnnxNode, lo: float, hi: float, *, index: int = 0
) -> None:
    """Add a clamp of input ``index``: a maximum over 1 x 1."""
    value = context.stream(node, index)
    context.emit(
        Pool(node.label, (value.base,), node.output, lo, hi, (node.label,)),
        context.shapes[value.base], value.shape)


def _emit_scaling(
    context: Context, node: OnnxNode, value: Map,
    scale: NDArray[np.float64] | None, shift: NDArray[np.float64] | None,
    *, upper: NDArray[np.float64] | None = None,
) -> None:
    """Add ``min(x * scale + shift, upper)``, (c,) each: a 1 x 1 convolution of each channel."""
    chw = context.shapes[value.base]
    channels = chw[0]
    scale = np.ones(channels) if scale is None else scale
    context.emit(
        Conv(node.label, (value.base,), node.output, sources=(node.label,), groups=channels,
             weight=scale.reshape(-1, 1, 1, 1),
             bias=np.zeros(channels) if shift is None else shift,
             hi=np.inf if upper is None else float(upper.max()),
             upper=np.zeros(0) if upper is None else upper),
        chw, value.shape)
