"""Concat of maps along channels."""

from ...graph import Concat
from ..context import Context, Map
from ..node import OnnxNode


__all__ = ("convert_concat",)


def convert_concat(context: Context, node: OnnxNode) -> None:
    """Join maps, one after the other along channels."""
    operands = context.operands(node)
    if len(operands) == 1:
        context.define(node.output, context.map(node))
        return
    if not all(isinstance(operand, Map) for operand in operands):
        raise node.error("all inputs must be computed from the network's input; joining a map and "
                         "a constant is not possible")
    axis = int(node.attribute("axis", 1)) % len(context.map(node).shape)
    if axis != 1:
        raise node.error(f"maps can be joined along channels (axis 1) only, not along axis {axis}")
    values, channels = [], 0
    for index in range(len(operands)):
        value = context.map(node, index)
        if len(value.shape) == 2:
            value = _vector(context, node, index)
        else:
            value, _ = context.image(node, index)
        values.append(value)
        channels += context.shapes[value.base][0]
    shape = context.inferred(node)
    _, height, width = context.shapes[values[0].base]
    context.emit(
        Concat(node.label, tuple(value.base for value in values), node.output,
               sources=(node.label,)),
        (channels, height, width), shape)


def _vector(context: Context, node: OnnxNode, index: int) -> Map:
    """Return an input (n, c) that is one vector an image."""
    value = context.stream(node, index)
    shape = context.shapes[value.base]
    if shape[1:] != (1, 1) or value.shape[0] != context.batch:
        raise node.error(
            f"input {index} is a flattened map {shape}; only vectors and whole maps can be "
            "joined, so join before the Flatten")
    return value
