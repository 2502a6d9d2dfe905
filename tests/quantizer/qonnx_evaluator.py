"""QONNX in real numbers: a small evaluator, node by node in double, without the qonnx package."""

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator


ROUND = {
    "ROUND": np.round, "FLOOR": np.floor,
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + 0.5)}


def evaluate(model, inputs):
    """Return every tensor of a QONNX model for float inputs, in double."""
    values = {model.graph.input[0].name: np.asarray(inputs, np.float64)}
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        values[tensor.name] = array.astype(np.float64) if array.dtype.kind == "f" else array
    opsets = [entry for entry in model.opset_import if not entry.domain]
    for node in model.graph.node:
        operands = [values[name] for name in node.input]
        if node.op_type == "Quant":
            results = [quant(node, *operands)]
        else:
            results = _standard(node, opsets, operands)
        values.update(zip(node.output, results, strict=True))
    return values


def quant(node, x, scale, zero, bits):
    """Return what a Quant node makes of x."""
    given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    bits, signed, narrow = int(bits), given["signed"], given["narrow"]
    low = -(2 ** (bits - 1)) + narrow if signed else 0
    high = 2 ** (bits - 1) - 1 if signed else 2**bits - 1 - narrow
    codes = np.clip(ROUND[given["rounding_mode"].decode()](x / scale + zero), low, high)
    return (codes - zero) * scale


def _standard(node, opsets, operands):
    infos = [onnx.helper.make_tensor_value_info(name, 11 if value.dtype.kind == "f" else 7, None)
             for name, value in zip(node.input, operands, strict=True) if name]
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            [node], "node", infos, [onnx.ValueInfoProto(name=name) for name in node.output]),
        opset_imports=opsets)
    feeds = {name: value for name, value in zip(node.input, operands, strict=True) if name}
    with np.errstate(over="ignore", invalid="ignore"):  # its Sigmoid
        return [np.asarray(value) for value in ReferenceEvaluator(model).run(None, feeds)]
