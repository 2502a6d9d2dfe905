"""ConvTranspose: the pads that ONNX leaves to be worked out, and kernels in the order of Conv."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...graph import Conv, ConvTranspose, Window
from ..context import Context
from ..node import OnnxNode


__all__ = ("convert_conv_transpose",)


def convert_conv_transpose(context: Context, node: OnnxNode) -> None:
    """Transposed convolution with constant weights; without strides it is a convolution."""
    value, (channels, height, width) = context.image(node)
    weight = context.numbers(node, 1, "weight")
    if weight is None or weight.ndim != 4 or 0 in weight.shape:
        shape = None if weight is None else weight.shape
        raise node.error(f"weight must have the shape (c, k / group, r, s), not {shape}")
    groups = node.attribute("group", 1)
    if groups < 1 or len(weight) != channels or channels % groups:
        raise node.error(
            f"weight {weight.shape} in {groups} groups must fit {channels} input channels")
    weight = _as_conv(weight, groups)
    outputs, _, *kernel = weight.shape
    if tuple(node.attribute("kernel_shape", kernel)) != tuple(kernel):
        raise node.error(f"kernel_shape must be that of the weight, {kernel}, not "
                         f"{list(node.attribute('kernel_shape', kernel))}")
    bias = context.numbers(node, 2, "bias")
    if bias is not None and bias.shape != (outputs,):
        raise node.error(f"bias must have the shape {(outputs,)}, not {bias.shape}")
    window, added = _geometry(node, (kernel[0], kernel[1]), (height, width))
    made = ConvTranspose(
        node.label, (value.base,), node.output, sources=(node.label,), window=window,
        groups=groups, weight=weight,
        bias=np.zeros(outputs) if bias is None else bias.astype(np.float64),
        output_padding=added)
    size = made.output_size(height, width)
    if min(size) < 1:
        raise node.error(f"its output {size} has no line or no column; the pads "
                         f"{list(window.pads)} are too large")
    chw = (outputs, *size)
    context.emit(_as_plain(made) or made, chw, (context.batch, *chw))


def _as_conv(weight: NDArray[Any], groups: int) -> NDArray[Any]:
    """Return kernels (c, k / groups, r, s) as (k, c / groups, r, s)."""
    channels, per_group, r, s = weight.shape
    split = weight.reshape(groups, channels // groups, per_group, r, s)
    return np.ascontiguousarray(
        split.transpose(0, 2, 1, 3, 4).reshape(groups * per_group, channels // groups, r, s))


def _as_plain(node: ConvTranspose) -> Conv | None:
    """Return the convolution that is the same, if there is one."""
    window = node.window
    (r, s), (dy, dx), (top, left, bottom, right) = (
        window.kernel, window.dilations, window.pads)
    y, x = dy * (r - 1), dx * (s - 1)
    pads = (y - top, x - left, y - bottom + node.output_padding[0],
            x - right + node.output_padding[1])
    if window.strides != (1, 1) or min(pads) < 0:
        return None
    return Conv(
        node.name, node.inputs, node.output, sources=node.sources, groups=node.groups,
        window=Window(window.kernel, (1, 1), pads, window.dilations),
        weight=np.ascontiguousarray(node.weight[:, :, ::-1, ::-1]), bias=node.bias)


def _geometry(
    node: OnnxNode, kernel: tuple[int, int], size: tuple[int, int]
) -> tuple[Window, tuple[int, int]]:
    """Return the window, with all pads, and the output padding."""
    strides, dilations = node.pair("strides"), node.pair("dilations")
    added = tuple(node.attribute("output_padding", (0, 0)))
    if len(added) != 2 or min(added) < 0:
        raise node.error(f"output_padding must be two integers of at least 0, not {list(added)}")
    mode = node.attribute("auto_pad", "NOTSET")
    pads = tuple(node.attribute("pads", (0, 0, 0, 0))) if mode == "NOTSET" else (0, 0, 0, 0)
    if len(pads) != 4 or min(pads) < 0:
        raise node.error(f"pads must be four integers of at least 0, not {list(pads)}")
    if mode not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise node.error(f"auto_pad must be NOTSET, VALID, SAME_UPPER or SAME_LOWER, not {mode!r}")
    wanted = node.attribute("output_shape", None)
    if wanted is None and mode.startswith("SAME"):
        wanted = [extent * stride for extent, stride in zip(size, strides, strict=True)]
    if wanted is not None:
        full = [
            (extent - 1) * stride + dilation * (taps - 1) + 1 + more
            for extent, stride, dilation, taps, more in zip(
                size, strides, dilations, kernel, added, strict=True)]
        pads = _shared(node, full, list(wanted)[-2:])
    return Window(kernel, strides, pads, dilations), (added[0], added[1])


def _shared(node: OnnxNode, full: list[int], wanted: list[int]) -> tuple[int, int, int, int]:
    """Return the pads that cut the full output to the one wanted, half on each side."""
    total = [have - want for have, want in zip(full, wanted, strict=True)]
    if min(total) < 0 or any(cut % 2 for cut in total):
        raise node.error(
            f"auto_pad or output_shape must cut an even number of lines and columns from the full "
            f"output {full}, not {total}, because ONNX and onnxruntime differ; write pads and "
            "output_padding instead")
    y, x = (cut // 2 for cut in total)
    return y, x, y, x
