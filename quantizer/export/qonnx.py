"""A quantized model as QONNX, and its network alone in float.

QONNX writes the operators in float, with a Quant node behind everything that is quantized. What a
Quant node takes is meant as a real number: where a float32 sum is not exact, evaluators may differ
from ``execute`` in codes that lie at a border.

Source: A. Pappalardo et al., "QONNX: Representing Arbitrary-Precision Quantized Neural Networks",
arXiv:2206.07527; the operator is that of https://github.com/fastmachinelearning/qonnx, Quant.
"""

import json
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from arch.formats import Format, Rounding

from ..errors import ModelError
from ..execute import output_name
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
from .builder import Builder, float_name
from .elementwise import operators
from .moves import give, pad, resize, take
from .qdq import concat, cut_channels, maximum


__all__ = (
    "QONNX_DOMAIN",
    "ROUNDING_MODES",
    "export_float",
    "export_qonnx",
)


QONNX_DOMAIN = "qonnx.custom_op.general"
ROUNDING_MODES = {
    Rounding.HALF_EVEN: "ROUND", Rounding.FLOOR: "FLOOR", Rounding.HALF_AWAY: "HALF_UP"}
"""Names of our rounding rules in QONNX; its HALF_UP is that of Java, away from zero."""

_OPSET = 17
_OPSET_DILATED = 19  # the first with dilations of AveragePool
_IR_VERSION = 8
_BIAS_BITS = 32


class _Builder(Builder):
    """Nodes of a network in float, with or without Quant nodes.

    Parameters
    ----------
    model : QuantizedModel
        The network.
    quantized : bool
        Whether there are Quant nodes.
    """

    def __init__(self, model: QuantizedModel, *, quantized: bool) -> None:
        super().__init__(model.rounding)
        self.model = model
        self.quantized = quantized
        self.start = 0  # first node of the operator that is being written
        self.given: dict[str, str] = {}  # names of what is in the units of the file, and is not

    def quant(self, value: str, frac: NDArray[np.int64], bits: int, *, signed: bool = True,
              rounding: str = "ROUND", output: str = "") -> str:
        """Add a Quant node; ``frac`` has the shape that is broadcast to the value."""
        if not self.quantized:
            return value
        scale = np.ldexp(np.float32(1), -frac).astype(np.float32)
        if (frac == frac.flat[0]).all():
            scale = scale.reshape(-1)[0]
        output = self.node(
            "Quant", value, self.constant(scale, np.float32), self.constant(0, np.float32),
            self.constant(bits, np.float32), output=output, signed=int(signed), narrow=0,
            rounding_mode=rounding)
        self.nodes[-1].domain = QONNX_DOMAIN
        return output

    def give(self, tensor: str) -> str:
        """Add what the host does to a tensor, and return it in the units of the ONNX file.

        In float the tensor is that result, as in every file of a float network.
        """
        held, value = float_name(tensor), give(self, self.model.graph, tensor)
        if value != held and not self.quantized:
            self.given |= {held: f"{tensor}.held", value: tensor}
        return value

    def quantize(
        self, value: str, tensor: str, fmt: Format, lo: int, hi: int | NDArray[np.int64]
    ) -> None:
        """Clamp a map, and give it its format."""
        node, target = self.model.graph.producer(tensor), float_name(tensor)
        if node is not None and node.lo == 0 and node.hi == np.inf:
            value = self.node("Relu", value)
        elif node is not None and node.clamped:
            bounds = (
                (lo * fmt.step, int(np.max(hi)) * fmt.step) if self.quantized
                else (node.lo, node.hi))
            value = self.node("Clip", value, *(
                self.constant(bound, np.float32) for bound in bounds))
            if isinstance(node, Conv) and node.upper.size:
                upper = np.multiply(hi, fmt.step) if self.quantized else node.upper
                value = self.node("Min", value, self.constant(
                    upper.reshape(-1, 1, 1), np.float32, f"{tensor}.upper"))
        elif node is not None and self.quantized and _copies(node):
            self._call(value, target)
            return
        if self.quantized:
            self.quant(value, np.array(fmt.frac), fmt.bits, signed=fmt.signed,
                       rounding=ROUNDING_MODES[self.rounding], output=target)
        else:
            self._call(value, target)

    def _call(self, value: str, target: str) -> None:
        """Give the result of the last node another name."""
        if len(self.nodes) > self.start and self.nodes[-1].output[0] == value:
            self.nodes[-1].output[0] = target
        else:
            self.node("Identity", value, output=target)


def _copies(node: Node) -> bool:
    return isinstance(node, Slice | Resize | Pad) or (
        isinstance(node, Pool) and node.kind == "max")


def _conv(builder: _Builder, model: QuantizedModel, node: Conv) -> None:
    weights, window = model.weights[node.name], node.window
    attributes: dict[str, Any] = {
        "kernel_shape": list(window.kernel), "strides": list(window.strides),
        "pads": list(window.pads), "dilations": list(window.dilations), "group": node.groups}
    values = np.ldexp(weights.codes.astype(np.float64), -weights.frac[:, None, None, None])
    frac, operator = weights.frac.reshape(-1, 1, 1, 1), "Conv"
    if isinstance(node, ConvTranspose):
        operator = "ConvTranspose"
        attributes["output_padding"] = list(node.output_padding)
        values, frac = _transposed(node, values), _transposed_frac(node, weights.frac)
    weight = builder.quant(
        builder.constant(values, np.float32, f"{node.name}.weights"), frac, weights.bits)
    bias_frac = model.formats[node.inputs[0]].frac + weights.frac
    exact = np.ldexp(weights.bias.astype(np.float64), -bias_frac)
    upper = exact.astype(np.float32)
    inputs = [float_name(node.inputs[0]), weight]
    if upper.any():
        bias = builder.constant(upper, np.float32, f"{node.name}.bias")
        if np.abs(weights.bias).max() < 1 << (_BIAS_BITS - 1):
            bias = builder.quant(bias, bias_frac, _BIAS_BITS)
        inputs.append(bias)
    value = builder.node(operator, *inputs, **attributes)
    lower = exact - upper
    if lower.any():  # a bias has more bits than float32
        value = builder.node("Add", value, builder.constant(
            lower.reshape(-1, 1, 1), np.float32, f"{node.name}.bias.lower"))
    if node.addend is not None:
        value = builder.node("Add", value, float_name(node.addend))
    builder.quantize(value, node.output, model.formats[node.output], *model.channel_bounds(node))


def _transposed(node: ConvTranspose, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return kernels (k, c / groups, r, s) as ConvTranspose takes them, (c, k / groups, r, s)."""
    kernels, channels, *taps = values.shape
    split = values.reshape(node.groups, kernels // node.groups, channels, *taps)
    return split.swapaxes(1, 2).reshape(node.groups * channels, kernels // node.groups, *taps)


def _transposed_frac(node: ConvTranspose, frac: NDArray[np.int64]) -> NDArray[np.int64]:
    split = frac.reshape(node.groups, -1)
    if np.any(split != split[0]):
        raise ModelError(
            f"node '{node.name}': QONNX has one scale for each output channel of a group of "
            "ConvTranspose, the same in all groups; quantize its weights per tensor")
    found: NDArray[np.int64] = split[0].reshape(1, -1, 1, 1)
    return found


def _average(builder: _Builder, model: QuantizedModel, node: Pool) -> None:
    window, (below, beside) = node.window, node.ceil_pads
    top, left, bottom, right = window.pads
    dilations: dict[str, Any] = (
        {} if window.dilations == (1, 1) else {"dilations": list(window.dilations)})
    value = builder.node(
        "AveragePool", float_name(node.inputs[0]), kernel_shape=list(window.kernel),
        strides=list(window.strides), pads=[top, left, bottom - below, right - beside],
        ceil_mode=int(below + beside > 0), count_include_pad=int(node.count_pad), **dilations)
    builder.quantize(value, node.output, model.formats[node.output], *model.bounds(node))


def _prelu(builder: _Builder, model: QuantizedModel, node: PRelu) -> None:
    slopes = model.slopes[node.name]
    values = np.ldexp(slopes.codes.astype(np.float64), -slopes.frac).reshape(-1, 1, 1)
    slope = builder.quant(builder.constant(values, np.float32, f"{node.name}.slopes"),
                          np.array(slopes.frac), slopes.bits)
    value = builder.node("PRelu", float_name(node.inputs[0]), slope)
    builder.quantize(value, node.output, model.formats[node.output], *model.bounds(node))


def _plain(builder: _Builder, model: QuantizedModel, node: Node) -> None:
    """Add an operator of ONNX that does what the node does."""
    inputs = [builder.give(name) if name == output_name(model.graph) else float_name(name)
              for name in node.inputs]
    builder.start = len(builder.nodes)  # what the host does before is not the operator
    if isinstance(node, Activation):
        value = operators(builder, node, inputs[0])
        builder.nodes[-1].name = node.name
    elif isinstance(node, Lrn):
        value = builder.node("LRN", *inputs, size=node.size, alpha=node.alpha, beta=node.beta,
                             bias=node.bias)
    elif isinstance(node, Add | Mul):
        value = builder.node(type(node).__name__, *inputs)
    else:
        value = builder.node("Softmax", *inputs, axis=1)
        if node.output == model.graph.output:
            builder.nodes[-1].output[0] = float_name(node.output)
            return
    builder.quantize(value, node.output, model.formats[node.output], *model.bounds(node))


def _node(builder: _Builder, model: QuantizedModel, node: Node) -> None:
    builder.start = len(builder.nodes)
    if isinstance(node, Conv):
        _conv(builder, model, node)
    elif isinstance(node, PRelu):
        _prelu(builder, model, node)
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
    else:
        _plain(builder, model, node)
    added = [proto for proto in builder.nodes[builder.start:] if proto.op_type != "Quant"]
    if added and not isinstance(node, Activation):
        added[0].name = node.name


def _export(model: QuantizedModel, *, quantized: bool) -> onnx.ModelProto:
    graph, builder = model.graph, _Builder(model, quantized=quantized)
    fmt, value = model.formats[graph.input], graph.input
    if graph.input_dims != graph.bare_shape:
        value = builder.node(
            "Reshape", value, builder.constant([0, *graph.bare_shape], np.int64))
    if graph.intake is not None:
        value = take(builder, value, graph.intake)
    builder.quantize(value, graph.input, fmt, fmt.min, fmt.max)
    for node in graph:
        _node(builder, model, node)
    builder.node("Reshape", builder.give(graph.output),
                 builder.constant([0, *graph.output_dims], np.int64), output=graph.output)
    _rename(builder, {
        float_name(node.output): node.output for node in graph if node.output != graph.output
    } | builder.given)
    dilated = any(
        proto.op_type == "AveragePool" and any(a.name == "dilations" for a in proto.attribute)
        for proto in builder.nodes)
    opsets = [helper.make_opsetid("", _OPSET_DILATED if dilated else _OPSET)]
    if quantized:
        opsets.append(helper.make_opsetid(QONNX_DOMAIN, 1))
    proto = helper.make_model(
        helper.make_graph(
            builder.nodes, graph.name,
            [helper.make_tensor_value_info(
                graph.input, TensorProto.FLOAT, ["N", *graph.input_dims])],
            [helper.make_tensor_value_info(
                graph.output, TensorProto.FLOAT, ["N", *graph.output_dims])],
            list(builder.initializers.values())),
        producer_name="dynafix", opset_imports=opsets, ir_version=_IR_VERSION)
    metadata = dict(graph.metadata)
    if model.preprocess:
        metadata["preprocess"] = json.dumps(model.preprocess)
    helper.set_model_props(proto, metadata)
    return proto


def _rename(builder: Builder, names: dict[str, str]) -> None:
    for proto in builder.nodes:
        for tensors in (proto.input, proto.output):
            for index, name in enumerate(tensors):
                tensors[index] = names.get(name, name)


def export_qonnx(model: QuantizedModel) -> onnx.ModelProto:
    """Write a quantized model as QONNX.

    Parameters
    ----------
    model : QuantizedModel
        The network.

    Returns
    -------
    ModelProto
        Takes the float input (n, *input_dims) and gives the float output (n, *output_dims);
        tensors and operators have their names of the graph.

    Raises
    ------
    ModelError
        If QONNX has no name for the rounding rule, or no scales for the weights of a node.
    """
    if model.rounding not in ROUNDING_MODES:
        raise ModelError(
            f"{model.graph.name}: QONNX has no rounding mode for {model.rounding}, it has "
            f"{', '.join(ROUNDING_MODES)}; quantize with one of these, or export as QDQ")
    return _export(model, quantized=True)


def export_float(model: QuantizedModel) -> onnx.ModelProto:
    """Write the network of a quantized model in float: its weights are rounded, its data is not.

    Parameters
    ----------
    model : QuantizedModel
        The network.

    Returns
    -------
    ModelProto
        Takes the float input (n, *input_dims) and gives the float output (n, *output_dims);
        tensors have their names of the graph.
    """
    return _export(model, quantized=False)
