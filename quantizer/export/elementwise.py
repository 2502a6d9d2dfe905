"""Products, PRelu and functions of one number in the exported model."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from arch.formats import Format, Rounding

from ..accumulators import product_worst_case
from ..graph import Activation, Kind, Mul, PRelu
from ..model import QuantizedModel
from ..tables import TABLE_BITS, TABLE_SIZE
from ..tiles import code_type
from .builder import IR_VERSION, OPSET, Builder, codes_name, float_name
from .sums import is_exact_single


__all__ = (
    "add_activation",
    "add_mul",
    "add_prelu",
    "operators",
)


_ROOM = 2.0**-20  # by how much onnxruntime's result may differ elsewhere, relative to one


def add_mul(builder: Builder, model: QuantizedModel, node: Mul) -> None:
    """Add a product, of two maps or of a map and a channel vector."""
    operands = [float_name(name) for name in node.inputs]
    quantize = builder.quantize
    worst = product_worst_case(model, node)
    if not is_exact_single(-worst, worst):
        operands = [builder.to_double(name) for name in operands]
        quantize = builder.quantize_double
    quantize(
        builder.node("Mul", *operands), node.output, model.formats[node.output],
        *model.bounds(node))


def add_prelu(builder: Builder, model: QuantizedModel, node: PRelu) -> None:
    """Add a PRelu: the operator, or where float32 is too short its sum of two halves in double."""
    slopes, x = model.slopes[node.name], float_name(node.inputs[0])
    codes = builder.constant(
        slopes.codes.reshape(-1, 1, 1), code_type(Format(slopes.bits, 0)), f"{node.name}.slopes")
    slope = builder.dequantize(codes, np.array([slopes.frac]))
    result = (node.output, model.formats[node.output], *model.bounds(node))
    worst = product_worst_case(model, node)
    if is_exact_single(-worst, worst):
        builder.quantize(builder.node("PRelu", x, slope), *result)
        return
    zero, wide = builder.constant(0, np.float64), builder.to_double(x)
    below = builder.node("Mul", builder.node("Min", wide, zero), builder.to_double(slope))
    builder.quantize_double(
        builder.node("Add", builder.node("Max", wide, zero), below), *result)


def add_activation(builder: Builder, model: QuantizedModel, node: Activation) -> None:
    """Add a function of one number: as operators where these give its table, else as the table."""
    before, after = (model.formats[name] for name in (node.inputs[0], node.output))
    if before.bits > TABLE_BITS:
        _segments(builder, model, node)
    elif _is_table(model, node):
        value = operators(builder, node, float_name(node.inputs[0]))
        builder.quantize(value, node.output, after, *model.bounds(node))
    else:
        table = builder.constant(
            model.tables[node.name].base, code_type(after), f"{node.name}.table")
        index = _modulo(builder, node.inputs[0], TABLE_SIZE)
        builder.node("Gather", table, index, output=codes_name(node.output))
        builder.dequantize_codes(node.output, after)


def operators(builder: Builder, node: Activation, x: str) -> str:
    """Add the operators of ONNX that compute the function."""
    match node.kind:
        case "sigmoid":
            return builder.node("Sigmoid", x)
        case "tanh":
            return builder.node("Tanh", x)
        case "silu":
            return builder.node("Mul", x, builder.node("Sigmoid", x))
    gate = builder.node("HardSigmoid", x, alpha=node.alpha, beta=node.beta)
    return gate if node.kind == "hard_sigmoid" else builder.node("Mul", x, gate)


def _is_table(model: QuantizedModel, node: Activation) -> bool:
    """Return whether onnxruntime's operators give the table for every code, with room."""
    before, after = (model.formats[name] for name in (node.inputs[0], node.output))
    codes = np.arange(before.min, before.max + 1)
    found = _computed(node.kind, node.alpha, node.beta, before)
    expected = model.tables[node.name].base[codes & (TABLE_SIZE - 1)]
    rooms = _ROOM * np.maximum(np.abs(found), 1)
    rounding, bounds = Rounding(model.rounding), model.bounds(node)
    return all(
        np.array_equal(np.clip(after.quantize(found + room, rounding), *bounds), expected)
        for room in (-rooms, 0 * rooms, rooms))


@lru_cache(maxsize=256)
def _computed(
    kind: Kind, alpha: float, beta: float, fmt: Format
) -> NDArray[np.float64]:
    """Return what onnxruntime's operators give for every code of a format."""
    import onnxruntime

    builder = Builder(Rounding.HALF_EVEN)
    node = Activation("", ("x",), "y", kind=kind, alpha=alpha, beta=beta)
    name = operators(builder, node, "x")
    model = helper.make_model(
        helper.make_graph(
            builder.nodes, "function",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N"])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N"])]),
        opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    values = fmt.dequantize(np.arange(fmt.min, fmt.max + 1)).astype(np.float32)
    (result,) = session.run([name], {"x": values})
    return np.asarray(result, np.float64)


def _modulo(builder: Builder, tensor: str, divisor: int) -> str:
    """Return the lower bits of the codes of a tensor, as int64."""
    wide = builder.node("Cast", codes_name(tensor), to=TensorProto.INT64)
    return builder.node("Mod", wide, builder.constant(divisor, np.int64))


def _segments(builder: Builder, model: QuantizedModel, node: Activation) -> None:
    """Add the table of straight lines, in integers."""
    after, table = model.formats[node.output], model.tables[node.name]
    size = builder.constant(TABLE_SIZE, np.int64)
    index = builder.node("Div", _modulo(builder, node.inputs[0], TABLE_SIZE**2), size)
    base, delta = (
        builder.node("Gather", builder.constant(values, np.int64, f"{node.name}.{name}"), index)
        for name, values in (("base", table.base), ("delta", table.delta)))
    rise = builder.node("Mul", delta, _modulo(builder, node.inputs[0], TABLE_SIZE))
    total = builder.node("Add", builder.node("Mul", base, size), rise)
    value = builder.multiply(builder.to_double(total), after.step / TABLE_SIZE)
    builder.quantize_double(value, node.output, after, *model.bounds(node))
