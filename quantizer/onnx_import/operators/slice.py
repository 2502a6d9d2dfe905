"""Slice and Split of maps along channels."""

from ...graph import Slice
from ..context import Context, Map
from ..node import OnnxNode


__all__ = (
    "convert_slice",
    "convert_split",
)


def convert_slice(context: Context, node: OnnxNode) -> None:
    """Take channels that follow each other."""
    value = context.map(node)
    shape = context.inferred(node)
    starts = context.integers(node, "starts", 1, "starts")
    if starts is None:
        raise node.error("starts must be given")
    axes = context.integers(node, "axes", 3, "axes") or list(range(len(starts)))
    steps = context.integers(node, "steps", 4, "steps") or [1] * len(starts)
    rank = len(value.shape)
    start = 0
    for axis, first, step in zip((axis % rank for axis in axes), starts, steps, strict=True):
        if shape[axis] == value.shape[axis] and step == 1:
            continue
        if axis != 1:
            raise _wrong_axis(node, axis)
        if step != 1:
            raise node.error(f"steps must be 1, not {step}; channels must follow each other")
        size = value.shape[1]
        start = min(max(first + size if first < 0 else first, 0), size)
    if shape == value.shape:
        context.define(node.output, value)
        return
    _emit(context, node, 0, start, shape)


def convert_split(context: Context, node: OnnxNode) -> None:
    """Take all channels, cut into several maps."""
    rank = len(context.map(node).shape)
    axis = int(node.attribute("axis", 0)) % rank
    shapes = context.inferred_all(node)
    if axis != 1:
        raise _wrong_axis(node, axis)
    start = 0
    for number, name in enumerate(node.proto.output):
        shape = shapes[name]
        if shape is None or 0 in shape:
            raise node.error("the shapes of its outputs cannot be determined, or are empty; its "
                             "sizes must be positive constants")
        if context.is_needed(name):
            _emit(context, node, number, start, shape)
        start += shape[1]


def _wrong_axis(node: OnnxNode, axis: int) -> Exception:
    return node.error(f"maps can be cut along channels (axis 1) only, not along axis {axis}")


def _emit(
    context: Context, node: OnnxNode, number: int, start: int, shape: tuple[int, ...]
) -> None:
    """Add the node that makes one output."""
    value = _source(context, node)
    _, height, width = context.shapes[value.base]
    name = node.label if number == 0 else f"{node.label}.{number}"
    context.emit(
        Slice(name, (value.base,), node.proto.output[number], sources=(node.label,), start=start),
        (shape[1], height, width), shape)


def _source(context: Context, node: OnnxNode) -> Map:
    """Return the input, a map (n, c, h, w) or a vector (n, c)."""
    if len(context.map(node).shape) != 2:
        return context.image(node)[0]
    value = context.stream(node)
    shape = context.shapes[value.base]
    if shape[1:] != (1, 1) or value.shape[0] != context.batch:
        raise node.error(f"its input is a flattened map {shape}; only vectors and whole maps can "
                         "be cut, so cut before the Flatten")
    return value
