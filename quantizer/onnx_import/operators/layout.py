"""Operators that only view, rename or reorder."""

from math import prod

import numpy as np
import onnx

from ..context import Context, Map
from ..node import OnnxNode


__all__ = (
    "convert_cast",
    "convert_dropout",
    "convert_identity",
    "convert_reshape",
    "convert_shape",
    "convert_transpose",
    "transpose",
)


def convert_identity(context: Context, node: OnnxNode) -> None:
    """Another name for the same values."""
    context.define(node.output, context.map(node))


def convert_dropout(context: Context, node: OnnxNode) -> None:
    """Nothing, as long as the network is not in training."""
    context.sole_output(node)
    training = context.constant(node, 2, "training_mode")
    if training is not None and training.any():
        raise node.error("training_mode must be false; export the model for inference")
    convert_identity(context, node)


def convert_cast(context: Context, node: OnnxNode) -> None:
    """Nothing: values that depend on the input are float32."""
    kind = node.attribute("to", 0)
    if kind != onnx.TensorProto.FLOAT:
        raise node.error(f"to must be FLOAT for values computed from the input, not "
                         f"{onnx.TensorProto.DataType.Name(kind)}; casts of constants are free")
    convert_identity(context, node)


def convert_reshape(context: Context, node: OnnxNode) -> None:
    """Another shape of the same elements in the same order."""
    value = context.map(node)
    shape = context.inferred(node)
    if prod(shape) != prod(value.shape):
        raise node.error(f"{value.shape} cannot be reshaped to {shape}: other number of elements")
    context.define(node.output, Map(value.base, shape, value.order))


def convert_transpose(context: Context, node: OnnxNode) -> None:
    """Another order of the same elements."""
    value = context.map(node)
    axes = tuple(node.attribute("perm", tuple(reversed(range(len(value.shape))))))
    if sorted(axes) != list(range(len(value.shape))):
        raise node.error(f"perm must order the axes of {value.shape}, not {list(axes)}")
    context.define(node.output, transpose(value, axes))


def convert_shape(context: Context, node: OnnxNode) -> None:
    """Make the shape a constant."""
    shape = np.array(context.map(node).shape, dtype=np.int64)
    first, last = node.attribute("start", 0), node.attribute("end", None)
    context.define(node.output, shape[first:last])


def transpose(value: Map, axes: tuple[int, ...]) -> Map:
    """Return ``value`` with its axes in another order.

    Examples
    --------
    >>> transpose(Map("x", (1, 2, 2, 1)), (0, 2, 3, 1)).order.tolist()
    [0, 2, 1, 3]
    >>> transpose(Map("x", (1, 8, 1, 1)), (0, 2, 3, 1)).order is None
    True
    """
    plain = np.arange(prod(value.shape))
    places = (plain if value.order is None else value.order).reshape(value.shape).transpose(axes)
    order = places.reshape(-1)
    return Map(value.base, places.shape, None if np.array_equal(order, plain) else order)
