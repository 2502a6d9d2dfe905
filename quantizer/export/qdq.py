"""A quantized model as QDQ ONNX."""

import json
from collections.abc import Collection

import numpy as np
import onnx
from onnx import TensorProto, helper

from ..accumulators import (
    addend_worst_case,
    code_bounds,
    pool_counts,
    vector_worst_case,
    worst_case,
)
from ..graph import (
    Activation,
    Add,
    Concat,
    Conv,
    ConvTranspose,
    Lrn,
    Mul,
    Node,
    Pad,
    Pool,
    PRelu,
    Resize,
    Slice,
)
from ..model import QuantizedModel
from .builder import IR_VERSION, OPSET, Builder, codes_name, float_name
from .elementwise import add_activation, add_mul, add_prelu
from .host import lrn, softmax
from .moves import give, pad, resize, take
from .record import RECORD, to_record
from .sums import Sum, is_exact_single, weighted_sum


__all__ = (
    "codes_name",
    "concat",
    "cut_channels",
    "export_qdq",
    "maximum",
)


def _conv(builder: Builder, model: QuantizedModel, node: Conv) -> None:
    weights, x = model.weights[node.name], node.inputs[0]
    value, double = weighted_sum(builder, Sum(
        node.name, float_name(x), model.formats[x].frac, code_bounds(model, x), weights.codes,
        weights.bits, weights.frac, node.window, node.groups,
        node.output_padding if isinstance(node, ConvTranspose) else None), weights.bias)
    if node.addend is not None:
        operand = float_name(node.addend)
        worst = int((
            worst_case(weights.codes, weights.bias, *code_bounds(model, x))
            + addend_worst_case(model, node)).max())
        if double or not is_exact_single(-worst, worst):
            value = value if double else builder.to_double(value)
            operand, double = builder.to_double(operand), True
        value = builder.node("Add", value, operand)
    quantize = builder.quantize_double if double else builder.quantize
    quantize(value, node.output, model.formats[node.output], *model.channel_bounds(node))


def _add(builder: Builder, model: QuantizedModel, node: Add) -> None:
    operands = [float_name(name) for name in node.inputs]
    quantize = builder.quantize
    worst = vector_worst_case(model, node)
    if not is_exact_single(-worst, worst):
        operands = [builder.to_double(name) for name in operands]
        quantize = builder.quantize_double
    quantize(
        builder.node("Add", *operands), node.output, model.formats[node.output],
        *model.bounds(node))


def concat(builder: Builder, model: QuantizedModel, node: Concat) -> None:
    """Add a Concat."""
    joined = builder.node("Concat", *(float_name(name) for name in node.inputs), axis=1)
    builder.quantize(joined, node.output, model.formats[node.output], *model.bounds(node))


def cut_channels(builder: Builder, model: QuantizedModel, node: Slice) -> None:
    """Add a Slice."""
    stop = node.start + model.graph.shapes[node.output][0]
    value = builder.node("Slice", float_name(node.inputs[0]), *(
        builder.constant([number], np.int64) for number in (node.start, stop, 1)))
    builder.quantize(value, node.output, model.formats[node.output], *model.bounds(node))


def _average(builder: Builder, model: QuantizedModel, node: Pool) -> None:
    x = node.inputs[0]
    shape = model.graph.shapes[x]
    ones = np.ones((shape[0], 1, *node.window.kernel), np.int64)
    total, double = weighted_sum(builder, Sum(
        node.name, float_name(x), model.formats[x].frac, code_bounds(model, x), ones, 2,
        np.zeros(shape[0], np.int64), node.window, shape[0]))
    counts = pool_counts(node, shape)
    count = counts.flat[0] if (counts == counts.flat[0]).all() else counts
    divided = builder.node(
        "Div", total if double else builder.to_double(total),
        builder.constant(count, np.float64, f"{node.name}.counts"))
    builder.quantize_double(
        divided, node.output, model.formats[node.output], *model.bounds(node))


def maximum(builder: Builder, model: QuantizedModel, node: Pool) -> None:
    """Add a maximum pooling; over 1 x 1 it is a clamp or nothing."""
    window, value = node.window, float_name(node.inputs[0])
    if window.kernel != (1, 1) or window.strides != (1, 1):
        value = builder.node(
            "MaxPool", value, kernel_shape=list(window.kernel), strides=list(window.strides),
            pads=list(window.pads), dilations=list(window.dilations))
    builder.quantize(value, node.output, model.formats[node.output], *model.bounds(node))


def _node(builder: Builder, model: QuantizedModel, node: Node) -> None:
    if isinstance(node, Conv):
        _conv(builder, model, node)
    elif isinstance(node, Add):
        _add(builder, model, node)
    elif isinstance(node, Mul):
        add_mul(builder, model, node)
    elif isinstance(node, PRelu):
        add_prelu(builder, model, node)
    elif isinstance(node, Activation):
        add_activation(builder, model, node)
    elif isinstance(node, Concat):
        concat(builder, model, node)
    elif isinstance(node, Slice):
        cut_channels(builder, model, node)
    elif isinstance(node, Resize):
        resize(builder, model, node)
    elif isinstance(node, Pad):
        pad(builder, model, node)
    elif isinstance(node, Pool) and node.kind == "average":
        _average(builder, model, node)
    elif isinstance(node, Pool):
        maximum(builder, model, node)
    elif isinstance(node, Lrn):
        lrn(builder, model, node)
    elif node.output != model.graph.output:
        softmax(builder, model, node)
    else:
        builder.node("Softmax", give(builder, model.graph, node.inputs[0]), axis=1,
                     output=float_name(node.output))


def _reshape(builder: Builder, value: str, dims: tuple[int, ...], output: str = "") -> str:
    return builder.node(
        "Reshape", value, builder.constant([0, *dims], np.int64), output=output)


def export_qdq(
    model: QuantizedModel, *, all_tensors: bool = False, tensors: Collection[str] = (),
) -> onnx.ModelProto:
    """Write a quantized model as ONNX with QuantizeLinear and DequantizeLinear.

    Parameters
    ----------
    model : QuantizedModel
        The network.
    all_tensors : bool
        Make the codes of every tensor outputs too, under :func:`codes_name`.
    tensors : collection of str
        Tensors whose codes become outputs, where not all do.

    Returns
    -------
    ModelProto
        Takes the float input (n, *input_dims) and gives the float output (n, *output_dims). With
        graph optimizations off, onnxruntime computes the same codes as ``execute``, bit for bit.
    """
    graph = model.graph
    builder = Builder(model.rounding)
    fmt = model.formats[graph.input]
    value = _reshape(builder, graph.input, graph.bare_shape)
    if graph.intake is not None:
        value = take(builder, value, graph.intake)
    builder.quantize(value, graph.input, fmt, fmt.min, fmt.max)
    for node in graph:
        _node(builder, model, node)
    _reshape(builder, give(builder, graph, graph.output), graph.output_dims, graph.output)
    outputs = [helper.make_tensor_value_info(
        graph.output, TensorProto.FLOAT, ["N", *graph.output_dims])]
    outputs += [
        _codes_info(model, name) for name in model.formats if all_tensors or name in tensors]
    proto = helper.make_model(
        helper.make_graph(
            builder.nodes, graph.name,
            [helper.make_tensor_value_info(
                graph.input, TensorProto.FLOAT, ["N", *graph.input_dims])],
            outputs, list(builder.initializers.values())),
        producer_name="dynafix", opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION)
    helper.set_model_props(proto, {
        **graph.metadata, "preprocess": json.dumps(model.preprocess),
        RECORD: to_record(model, set(builder.initializers))})
    return proto


def _codes_info(model: QuantizedModel, tensor: str) -> onnx.ValueInfoProto:
    fmt = model.formats[tensor]
    size = 8 if fmt.bits <= 8 else 16
    kind = getattr(TensorProto, f"{'' if fmt.signed else 'U'}INT{size}")
    return helper.make_tensor_value_info(
        codes_name(tensor), kind, ["N", *model.graph.shapes[tensor]])
