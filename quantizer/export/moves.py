"""Resize, Pad, and what the host does to input and output, as ONNX."""

import numpy as np

from ..graph import Graph, Pad, Resize
from ..intake import Intake
from ..model import QuantizedModel
from .builder import Builder, float_name


__all__ = (
    "give",
    "pad",
    "resize",
    "take",
)


def _cut(
    builder: Builder, value: str, starts: tuple[int, int], stops: tuple[int, int],
    steps: tuple[int, int],
) -> str:
    """Take lines and columns of a map."""
    operands = (
        builder.constant(numbers, np.int64) for numbers in (starts, stops, (2, 3), steps))
    return builder.node("Slice", value, *operands)


def resize(builder: Builder, model: QuantizedModel, node: Resize) -> None:
    """Add a Resize: lines and columns that are taken once, then repeated."""
    value, (_, *size) = float_name(node.inputs[0]), model.graph.shapes[node.output]
    taken = [-(-count // repeat) for count, repeat in zip(size, node.repeats, strict=True)]
    if (*taken, 0, 0, 1, 1) != (
            *model.graph.shapes[node.inputs[0]][1:], *node.offsets, *node.steps):
        stops = [
            offset + (count - 1) * step + 1
            for offset, count, step in zip(node.offsets, taken, node.steps, strict=True)]
        value = _cut(builder, value, node.offsets, (stops[0], stops[1]), node.steps)
    if node.repeats != (1, 1):
        scales = builder.constant((1, 1, *node.repeats), np.float32)
        value = builder.node(
            "Resize", value, "", scales, mode="nearest", nearest_mode="floor",
            coordinate_transformation_mode="asymmetric")
        if [count * repeat for count, repeat in zip(taken, node.repeats, strict=True)] != size:
            value = _cut(builder, value, (0, 0), (size[0], size[1]), (1, 1))
    builder.quantize(value, node.output, model.formats[node.output], *model.bounds(node))


def pad(builder: Builder, model: QuantizedModel, node: Pad) -> None:
    """Add a Pad with the value that the accelerator takes."""
    top, left, bottom, right = node.pads
    fmt = model.formats[node.output]
    fill = [builder.constant(model.fill(node) * fmt.step, np.float32)]
    value = builder.node(
        "Pad", float_name(node.inputs[0]),
        builder.constant((0, 0, top, left, 0, 0, bottom, right), np.int64),
        *(fill if node.mode == "constant" else []), mode=node.mode)
    builder.quantize(value, node.output, fmt, *model.bounds(node))


def take(builder: Builder, value: str, intake: Intake) -> str:
    """Add what the host does to an input, (n, c, h, w), before it rounds it."""
    top, left, bottom, right = intake.pads
    if any(intake.pads):
        value = builder.node(
            "Pad", value, builder.constant((0, 0, top, left, 0, 0, bottom, right), np.int64))
    for operator, numbers in (("Sub", intake.offset), ("Mul", intake.factor)):
        value = builder.node(
            operator, value, builder.constant(numbers[:, None, None], np.float32))
    return value


def give(builder: Builder, graph: Graph, tensor: str) -> str:
    """Add what the host does to the result, and return it in the units of the ONNX file."""
    value = float_name(tensor)
    if tensor in graph.exponents:
        factor = np.exp2(-graph.exponents[tensor])[:, None, None]
        value = builder.node("Mul", value, builder.constant(factor, np.float32))
    if tensor in graph.offsets:
        offset = graph.offsets[tensor][:, None, None]
        value = builder.node("Add", value, builder.constant(offset, np.float32))
    return value
