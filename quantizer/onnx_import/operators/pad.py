"""Pad: values around a map, later folded into what follows where that is the same."""

import numpy as np

from ...graph import Conv, Pad, Window
from ..context import Context
from ..node import OnnxNode


__all__ = ("convert_pad",)


def convert_pad(context: Context, node: OnnxNode) -> None:
    """Values around a map, or lines and columns cut off; zeros before or after channels."""
    pads = _pads(context, node, len(context.map(node).shape))
    if not np.any(pads):
        context.define(node.output, context.map(node))
        return
    _, (channels, height, width) = context.image(node)
    mode = node.attribute("mode", "constant")
    if mode not in ("constant", "edge", "reflect"):
        raise node.error(f"mode must be 'constant', 'edge' or 'reflect', not {mode!r}")
    (images_before, first, top, left), (images_after, last, bottom, right) = pads.tolist()
    if images_before or images_after:
        raise node.error("pads the batch; only channels, lines and columns can be padded")
    size = height + top + bottom, width + left + right
    if min(size) < 1 or min(height + top, height + bottom, width + left, width + right) < 1:
        raise node.error(f"pads {pads.reshape(-1).tolist()} must leave a line and a column of the "
                         f"map {(height, width)}")
    if mode != "constant":
        _check_mode(node, mode, pads, (height, width))
    value = _value(context, node) if mode == "constant" else 0.0
    if first or last:
        _pad_channels(context, node, value, pads)
    else:
        chw = (channels, *size)
        context.emit(
            Pad(node.label, (context.image(node)[0].base,), node.output, sources=(node.label,),
                pads=(top, left, bottom, right), value=value, mode=mode),
            chw, (context.batch, *chw))


def _check_mode(
    node: OnnxNode, mode: str, pads: np.ndarray[tuple[int, int], np.dtype], size: tuple[int, int]
) -> None:
    """Refuse what the modes that take their values from the map cannot do."""
    if pads.min() < 0 or np.any(pads[:, 1]):
        raise node.error(f"pads in mode {mode!r} must be at least 0, and 0 for channels, not "
                         f"{pads.reshape(-1).tolist()}")
    if mode == "reflect" and np.any(pads[:, 2:] >= size):
        raise node.error(f"pads in mode 'reflect' must be smaller than the map {size}, not "
                         f"{pads.reshape(-1).tolist()}")


def _value(context: Context, node: OnnxNode) -> float:
    """Return the value around the map."""
    fill = context.constant(node, 2, "the padding value")
    number = np.asarray(node.attribute("value", 0.0) if fill is None else fill)
    if number.size != 1 or np.isnan(number).any() or np.isposinf(number).any():
        raise node.error(f"the padding value must be one number, not {number.tolist()}")
    return float(number.reshape(-1)[0])


def _pad_channels(
    context: Context, node: OnnxNode, value: float, pads: np.ndarray[tuple[int, int], np.dtype]
) -> None:
    """Add a 1 x 1 convolution that copies channels to their places, with pads."""
    if value != 0 or pads.min() < 0:
        raise node.error(
            f"channels can be padded with zeros only, not pads {pads.reshape(-1).tolist()} of "
            f"value {value:g}")
    (_, first, top, left), (_, last, bottom, right) = pads.tolist()
    stored, (channels, height, width) = context.image(node)
    weight = np.eye(channels + first + last, channels, -first)
    window = Window(pads=(top, left, bottom, right))
    chw = (len(weight), *window.output_size(height, width))
    context.emit(
        Conv(node.label, (stored.base,), node.output, sources=(node.label,), window=window,
             weight=weight[:, :, None, None], bias=np.zeros(len(weight))),
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
