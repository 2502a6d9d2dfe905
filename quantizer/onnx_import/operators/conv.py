"""Conv."""

import numpy as np

from ...graph import Conv
from ..context import Context
from ..node import OnnxNode
from ..windows import resolve_window


__all__ = ("convert_conv",)


def convert_conv(context: Context, node: OnnxNode) -> None:
    """Convolution with constant weights."""
    value, (channels, height, width) = context.image(node)
    weight = context.numbers(node, 1, "weight")
    if weight is None or weight.ndim != 4 or 0 in weight.shape:
        shape = None if weight is None else weight.shape
        raise node.error(f"weight must have the shape (k, c / group, r, s), not {shape}")
    groups = node.attribute("group", 1)
    outputs, inputs, *kernel = weight.shape
    if groups < 1 or inputs * groups != channels or outputs % groups:
        raise node.error(
            f"weight {weight.shape} in {groups} groups must fit {channels} input channels")
    if tuple(node.attribute("kernel_shape", kernel)) != tuple(kernel):
        raise node.error(f"kernel_shape must be that of the weight, {kernel}, not "
                         f"{list(node.attribute('kernel_shape', kernel))}")
    bias = context.numbers(node, 2, "bias")
    if bias is not None and bias.shape != (outputs,):
        raise node.error(f"bias must have the shape {(outputs,)}, not {bias.shape}")
    window, _ = resolve_window(node, (kernel[0], kernel[1]), (height, width))
    chw = (outputs, *window.output_size(height, width))
    context.emit(
        Conv(node.label, (value.base,), node.output, sources=(node.label,), window=window,
             groups=groups, weight=weight,
             bias=np.zeros(outputs) if bias is None else bias.astype(np.float64)),
        chw, (context.batch, *chw))
