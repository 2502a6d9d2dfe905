"""Softmax over channels."""

from math import prod

from ...graph import Softmax
from ..context import Context
from ..node import OnnxNode


__all__ = ("convert_softmax",)


def convert_softmax(context: Context, node: OnnxNode) -> None:
    """Softmax over channels; before opset 13 over all axes from ``axis`` on."""
    value = context.stream(node)
    channels, height, width = context.shapes[value.base]
    rank = len(value.shape)
    new = context.network.opset >= 13
    axis = node.attribute("axis", -1 if new else 1) % rank
    summed = value.shape[axis] if new else prod(value.shape[axis:])
    over_channels = new and axis == 1 and value.shape == (context.batch, channels, height, width)
    if axis == 0 or summed != channels or not (height * width == 1 or over_channels):
        raise node.error(f"axis {axis} of {value.shape} must be the channels")
    context.emit(
        Softmax(node.label, (value.base,), node.output, sources=(node.label,)),
        (channels, height, width), context.inferred(node))
