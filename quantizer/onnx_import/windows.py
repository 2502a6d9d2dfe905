"""Windows of convolution and pooling: ONNX attributes to explicit pads."""

import numpy as np
from numpy.typing import NDArray

from ..graph import Window
from .node import OnnxNode


__all__ = (
    "has_empty_window",
    "resolve_window",
    "taps",
)


def resolve_window(
    node: OnnxNode, kernel: tuple[int, int], size: tuple[int, int]
) -> tuple[Window, tuple[int, int]]:
    """Resolve ``auto_pad`` and ``ceil_mode`` of a node into pads.

    Parameters
    ----------
    node : OnnxNode
        Convolution or pooling.
    kernel : (int, int)
        Lines and columns of the kernel.
    size : (int, int)
        Lines and columns of the input.

    Returns
    -------
    window : Window
        Geometry; its pads include those of ``ceil_mode``.
    ceil_pads : (int, int)
        Lines below and columns to the right that exist only because of ``ceil_mode``.

    Raises
    ------
    NodeError
        If the attributes contradict each other, no output remains, or ONNX and onnxruntime differ.
    """
    plain = Window(kernel, node.pair("strides"), (0, 0, 0, 0), node.pair("dilations"))
    mode = node.attribute("auto_pad", "NOTSET")
    ceil_pads = (0, 0)
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        window = _same(node, plain, size, mode)
    elif mode in ("NOTSET", "VALID"):
        pads = tuple(node.attribute("pads", (0, 0, 0, 0))) if mode == "NOTSET" else (0, 0, 0, 0)
        if len(pads) != 4 or min(pads) < 0:
            raise node.error(f"pads must be four integers of at least 0, not {list(pads)}")
        window = Window(kernel, plain.strides, pads, plain.dilations)
        if node.attribute("ceil_mode", 0):
            window, ceil_pads = _with_ceil_mode(window, size)
    else:
        raise node.error(f"auto_pad must be NOTSET, VALID, SAME_UPPER or SAME_LOWER, not {mode!r}")
    if min(window.output_size(*size)) < 1:
        raise node.error(f"kernel {kernel} with dilations {window.dilations} is larger than the "
                         f"input {size} with pads {list(window.pads)}")
    return window, ceil_pads


def taps(window: Window, size: tuple[int, int]) -> NDArray[np.int64]:
    """Return how many positions of each window lie inside the input, (h, w) of the output."""
    counts = []
    for axis, outputs in enumerate(window.output_size(*size)):
        start = np.arange(outputs) * window.strides[axis] - window.pads[axis]
        position = start[:, None] + np.arange(window.kernel[axis]) * window.dilations[axis]
        counts.append(((position >= 0) & (position < size[axis])).sum(axis=1))
    return np.outer(*counts)


def has_empty_window(window: Window, size: tuple[int, int]) -> bool:
    """Return whether a window lies in the padding with all its positions."""
    return bool(np.any(taps(window, size) == 0))


def _same(node: OnnxNode, window: Window, size: tuple[int, int], mode: str) -> Window:
    """Return ``window`` with the pads that make the output ``ceil(size / stride)``."""
    before, after = [], []
    pool = node.proto.op_type != "Conv"
    for extent, kernel, stride, dilation in zip(
            size, window.kernel, window.strides, window.dilations, strict=True):
        missing = (-(-extent // stride) - 1) * stride + dilation * (kernel - 1) + 1 - extent
        if pool and missing < 0:
            raise node.error(
                f"auto_pad {mode} with stride {stride} over kernel {kernel} means negative pads, "
                f"on which runtimes differ; write pads instead of auto_pad")
        low = max(missing, 0) // 2
        high = max(missing, 0) - low
        before.append(low if mode == "SAME_UPPER" else high)
        after.append(high if mode == "SAME_UPPER" else low)
    pads = (before[0], before[1], after[0], after[1])
    if window.dilations != (1, 1):
        raise node.error(
            f"auto_pad {mode} with dilations {list(window.dilations)} is not supported, because "
            f"onnxruntime refuses or ignores it; write pads={list(pads)} instead of auto_pad")
    return Window(window.kernel, window.strides, pads, window.dilations)


def _with_ceil_mode(window: Window, size: tuple[int, int]) -> tuple[Window, tuple[int, int]]:
    """Return ``window`` with the pads of a last, incomplete window, and those pads alone.

    A window that would start behind the input and its first pads is dropped. Source: ONNX operator
    AveragePool, version 22, ``ceil_mode``; onnxruntime does so in all versions.
    """
    top, left, bottom, right = window.pads
    extra = []
    for axis, (low, high) in enumerate(((top, bottom), (left, right))):
        stride = window.strides[axis]
        reach = window.dilations[axis] * (window.kernel[axis] - 1) + 1
        steps = -(-(size[axis] + low + high - reach) // stride)
        if steps * stride >= size[axis] + low:
            steps -= 1
        extra.append(max(steps * stride + reach - (size[axis] + low + high), 0))
    pads = (top, left, bottom + extra[0], right + extra[1])
    return Window(window.kernel, window.strides, pads, window.dilations), (extra[0], extra[1])
