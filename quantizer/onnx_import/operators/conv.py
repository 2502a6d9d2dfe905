"""Conv, and Pad as the convolution that copies its input into a larger map."""

import numpy as np

from ...graph import Conv, Window
from ..context import Context
from ..node import OnnxNode
from ..windows import resolve_window


__all__ = (
    "convert_conv",
    "convert_pad",
)


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


def convert_pad(context: Context, node: OnnxNode) -> None:
    """Zeros around a map: a 1 x 1 convolution with pads, later folded into what follows."""
    pads = _pads(context, node, len(context.map(node).shape))
    if not np.any(pads):
        context.define(node.output, context.map(node))
        return
    value, (channels, height, width) = context.image(node)
    mode = node.attribute("mode", "constant")
    if mode != "constant":
        raise node.error(f"mode must be 'constant', not {mode!r}")
    fill = context.constant(node, 2, "the padding value")
    number = node.attribute("value", 0.0) if fill is None else fill
    if np.any(np.asarray(number) != 0):
        raise node.error(f"the padding value must be 0, not {np.asarray(number).item()}")
    if pads.min() < 0:
        raise node.error(f"pads must be at least 0, not {pads.reshape(-1).tolist()}; cropping is "
                         f"not supported")
    (images_before, first, top, left), (images_after, last, bottom, right) = pads.tolist()
    if images_before or images_after:
        raise node.error("pads the batch; only channels, lines and columns can be padded")
    if first or last:
        weight, groups = np.eye(channels + first + last, channels, -first), 1
    else:
        weight, groups = np.ones((channels, 1)), channels
    window = Window(pads=(top, left, bottom, right))
    chw = (len(weight), *window.output_size(height, width))
    context.emit(
        Conv(node.label, (value.base,), node.output, sources=(node.label,), window=window,
             groups=groups, weight=weight[:, :, None, None], bias=np.zeros(len(weight))),
        chw, (context.batch, *chw))


def _pads(context: Context, node: OnnxNode, rank: int) -> np.ndarray[tuple[int, int], np.dtype]:
    """Return the amounts of padding, (before and after, axis)."""
    given = context.integers(node, "pads", 1, "pads")
    axes = context.integers(node, "axes", 3, "axes")
    axes = list(range(rank)) if axes is None else axes
    if not all(-rank <= axis < rank for axis in axes):
        raise node.error(f"axes must be in {-rank}..{rank - 1}, not {axes}")
    if given is None or len(given) != 2 * len(axes):
        raise node.error(f"pads must hold two integers for each of {len(axes)} axes, not {given}")
    pads = np.zeros((2, rank), dtype=np.int64)
    pads[:, axes] = np.reshape(given, (2, -1))
    return pads
