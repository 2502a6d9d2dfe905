"""Small ONNX files, and a plain float execution of what the import makes of them."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from quantizer.graph import (
    Activation,
    Add,
    Concat,
    Conv,
    ConvTranspose,
    Lrn,
    Mul,
    Pad,
    Pool,
    PRelu,
    Resize,
    Slice,
    Softmax,
)
from quantizer.onnx_import import load_graph
from quantizer.reference import FloatReference
from quantizer.tables import activation
from tests.quantizer.slow_moves import slow_pad, slow_resize, slow_transposed


class Builder:
    """An ONNX file in the making; every method that adds a node returns its output's name."""

    def __init__(self, shape, *, opset=13, seed=0):
        self.shape = shape
        self.opset = opset
        self.rng = np.random.default_rng(seed)
        self.nodes = []
        self.initializers = []
        self.inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]

    def constant(self, value, dtype=np.float32):
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def random(self, *shape, scale=1.0):
        return self.constant(self.rng.standard_normal(shape) * scale)

    def integers(self, *values):
        return self.constant(values, np.int64)

    def node(self, operator, *inputs, name=None, outputs=1, domain="", **attributes):
        label = f"{operator.lower()}{len(self.nodes)}" if name is None else name
        names = [f"t{len(self.nodes)}"] + [f"t{len(self.nodes)}_{i}" for i in range(1, outputs)]
        self.nodes.append(helper.make_node(
            operator, list(inputs), names, label, domain=domain, **attributes))
        return names[0]

    def conv(self, source, kernels, channels, *kernel, bias=True, **attributes):
        """Add a convolution; ``channels`` are those of one group."""
        operands = [source, self.random(kernels, channels, *kernel, scale=0.5)]
        if bias:
            operands.append(self.random(kernels))
        return self.node("Conv", *operands, **attributes)

    def batch_normalization(self, source, channels, **attributes):
        parameters = [self.random(channels) for _ in range(3)]
        variance = self.constant(self.rng.uniform(0.1, 2, channels))
        return self.node("BatchNormalization", source, *parameters, variance, **attributes)

    def model(self, *outputs):
        names = outputs or (self.nodes[-1].output[0],)
        graph = helper.make_graph(
            self.nodes, "test", self.inputs, [onnx.ValueInfoProto(name=name) for name in names],
            self.initializers)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        # Old versions of the format want shapes and types of outputs.
        for value in model.graph.output:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
        return model

    def save(self, folder, *outputs):
        path = folder / "net.onnx"
        onnx.save(self.model(*outputs), path)
        return path


def run_onnxruntime(path, inputs):
    """Return the output of a file, straight from onnxruntime, a batch at a time, not optimized."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    first = session.get_inputs()[0]
    batch = first.shape[0] if isinstance(first.shape[0], int) else 1
    found = []
    for image in inputs:
        same = np.repeat(image[None], batch, axis=0)
        (result,) = session.run(None, {first.name: same})
        found.append(result.reshape(batch, -1)[-1])
    return np.stack(found)


def float_execute(graph, inputs):
    """Return every tensor of a graph, (n, c, h, w) in float64."""
    values = {graph.input: inputs.astype(np.float64).reshape(-1, *graph.shapes[graph.input])}
    for node in graph:
        operands = [values[name] for name in node.inputs]
        match node:
            case ConvTranspose():
                result = slow_transposed(node, *operands, node.weight.astype(np.float64), node.bias)
            case Resize():
                result = slow_resize(node, *operands, graph.shapes[node.output])
            case Pad():
                result = slow_pad(node, *operands, node.value)
            case Conv():
                result = sum(operands[1:], _conv(node, operands[0]))
            case Pool():
                result = _pool(node, *operands)
            case Add():
                result = operands[0] + operands[1]
            case Mul():
                result = operands[0] * operands[1]
            case PRelu():
                slope = node.slope[:, None, None]
                result = np.where(operands[0] >= 0, operands[0], operands[0] * slope)
            case Activation():
                result = activation(node, operands[0])
            case Concat():
                result = np.concatenate(operands, axis=1)
            case Slice():
                stop = node.start + graph.shapes[node.output][0]
                result = operands[0][:, node.start:stop]
            case Lrn():
                result = _lrn(node, operands[0])
            case Softmax():
                powers = np.exp(operands[0] - operands[0].max(axis=1, keepdims=True))
                result = powers / powers.sum(axis=1, keepdims=True)
        result = np.minimum(np.maximum(result, node.lo), node.hi)
        if isinstance(node, Conv) and node.upper.size:
            result = np.minimum(result, node.upper[:, None, None])
        values[node.output] = result
        assert values[node.output].shape[1:] == graph.shapes[node.output], node.name
    return values


def _lrn(node, values):
    """Sum squares channel by channel."""
    channels = values.shape[1]
    result = np.empty_like(values)
    for c in range(channels):
        near = values[:, max(0, c - node.size // 2):c + node.size // 2 + 1]
        total = (near**2).sum(axis=1)
        result[:, c] = values[:, c] / (node.bias + node.alpha / node.size * total)**node.beta
    return result


def _taps(window, values, fill):
    """Yield each position of a kernel with the inputs it meets, (n, c, h, w) of the output."""
    height, width = window.output_size(*values.shape[2:])
    top, left, bottom, right = window.pads
    padded = np.pad(
        values, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    for r in range(window.kernel[0]):
        for s in range(window.kernel[1]):
            y, x = r * window.dilations[0], s * window.dilations[1]
            yield r, s, padded[:, :, y:, x:][
                :, :, ::window.strides[0], ::window.strides[1]][:, :, :height, :width]


def _conv(node, values):
    n = len(values)
    outputs, inputs = node.weight.shape[:2]
    size = node.window.output_size(*values.shape[2:])
    weight = node.weight.astype(np.float64).reshape(
        node.groups, outputs // node.groups, inputs, *node.window.kernel)
    result = np.zeros((n, node.groups, outputs // node.groups, size[0] * size[1]))
    for r, s, met in _taps(node.window, values, 0):
        result += weight[..., r, s] @ met.reshape(n, node.groups, inputs, -1)
    return result.reshape(n, outputs, *size) + node.bias[:, None, None]


def _pool(node, values):
    if node.kind == "max":
        return np.max([met for _, _, met in _taps(node.window, values, -np.inf)], axis=0)
    h, w = values.shape[2:]
    top, left, bottom, right = node.window.pads
    counted = np.zeros((1, 1, top + h + bottom, left + w + right))
    if node.count_pad:
        counted[:, :, :top + h + bottom - node.ceil_pads[0],
                :left + w + right - node.ceil_pads[1]] = 1
    else:
        counted[:, :, top:top + h, left:left + w] = 1
    plain = replace(node.window, pads=(0, 0, 0, 0))
    total = sum(met for _, _, met in _taps(node.window, values, 0))
    return total / sum(met for _, _, met in _taps(plain, counted, 0))


def check(path, *, images=3, outputs=None, tolerance=1e-5, seed=1):
    """Import a file and compare every tensor with onnxruntime; return the graph."""
    graph = load_graph(path, outputs=outputs)
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((images, *graph.input_dims)).astype(np.float32)
    values = float_execute(graph, inputs)
    reference = FloatReference(graph)
    for name, expected in reference.tensors(inputs).items():
        scale = max(np.abs(expected).max(), 1)
        np.testing.assert_allclose(
            values[name], expected, rtol=0, atol=tolerance * scale, err_msg=name)
    if outputs is None:
        expected = run_onnxruntime(path, inputs)
        found = values[graph.output].reshape(images, -1)
        scale = max(np.abs(expected).max(), 1)
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale)
        np.testing.assert_allclose(
            reference.run(inputs).reshape(images, -1), expected, rtol=1e-5, atol=1e-5 * scale)
    assert set(graph.shapes) == {graph.input, *(node.output for node in graph)}
    assert len({node.name for node in graph}) == len(graph.nodes)
    return graph


def kinds(graph):
    """Return the classes of a graph's nodes, in order, as text."""
    return [type(node).__name__ for node in graph]
