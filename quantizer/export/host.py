"""LRN and Softmax between layers as ONNX: in double, with the operations of ``quantizer.host``."""

import numpy as np
from onnx import TensorProto

from ..graph import Lrn, Node
from ..host import exp_table, lrn_root, lrn_taps
from ..model import QuantizedModel
from .builder import Builder, float_name


__all__ = (
    "lrn",
    "softmax",
)


def _sum_of_squares(builder: Builder, value: str, taps: range, channels: int) -> str:
    """Sum the squares of neighbouring channels; all sums are exact."""
    squares = builder.node("Mul", value, value)
    before = -taps.start
    pads = [0, before, 0, 0, 0, taps.stop - 1, 0, 0]
    padded = builder.node(
        "Pad", squares, builder.constant(pads, np.int64), builder.constant(0, np.float64))
    total = ""
    for first in range(len(taps)):
        part = builder.node("Slice", padded, *(
            builder.constant([number], np.int64) for number in (first, first + channels, 1)))
        total = builder.node("Add", total, part) if total else part
    return total


def _power(builder: Builder, base: str, beta: float) -> str:
    root = lrn_root(beta)
    if root is None:
        return builder.node("Pow", base, builder.constant(beta, np.float64))
    half = builder.node("Sqrt", base)
    quarter = [builder.node("Sqrt", half)] if root.quarter else []
    factors = [base] * root.whole + [half] * root.half + quarter
    result = factors[0] if factors else builder.constant(1, np.float64)
    for factor in factors[1:]:
        result = builder.node("Mul", result, factor)
    return result


def lrn(builder: Builder, model: QuantizedModel, node: Lrn) -> None:
    """Add the nodes of a normalization."""
    value = builder.to_double(float_name(node.inputs[0]))
    channels = model.graph.shapes[node.output][0]
    total = _sum_of_squares(builder, value, lrn_taps(node, channels), channels)
    base = builder.node(
        "Add", builder.multiply(total, node.alpha / node.size),
        builder.constant(node.bias, np.float64))
    builder.quantize_double(
        builder.node("Div", value, _power(builder, base, node.beta)), node.output,
        model.formats[node.output], *model.bounds(node))


def softmax(builder: Builder, model: QuantizedModel, node: Node) -> None:
    """Add the nodes of a Softmax from codes to codes."""
    (source,) = node.inputs
    fmt = model.formats[source]
    axes = builder.constant([1], np.int64)
    value = builder.to_double(float_name(source))
    largest = builder.node("ReduceMax", value, axes)
    below = builder.multiply(builder.node("Sub", largest, value), 1 / fmt.step)
    table = builder.constant(
        exp_table(fmt.frac, fmt.max - fmt.min + 1), np.float64, f"{node.name}.table")
    powers = builder.node(
        "Gather", table, builder.node("Cast", below, to=TensorProto.INT64), axis=0)
    shares = builder.node("Div", powers, builder.node("ReduceSum", powers, axes))
    builder.quantize_double(
        shares, node.output, model.formats[node.output], *model.bounds(node))
