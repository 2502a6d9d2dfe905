"""Gemm and MatMul against onnxruntime, behind every order of flattening."""

import numpy as np
import pytest

from quantizer.errors import ModelError
from quantizer.graph import Conv
from quantizer.onnx_import import load_graph

from .onnx_models import Builder, check, kinds


@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.5, 3.0), (-2.0, 0.0)])
@pytest.mark.parametrize("c_shape", [(4,), (1, 4), (), (1, 1), None], ids=str)
def test_gemm(tmp_path, trans_b, alpha, beta, c_shape):
    net = Builder(["n", 6])
    operands = ["x", net.random(*((4, 6) if trans_b else (6, 4)))]
    if c_shape is not None:
        operands.append(net.random(*c_shape))
    net.node("Gemm", *operands, transB=trans_b, alpha=alpha, beta=beta)
    (node,) = check(net.save(tmp_path))
    assert isinstance(node, Conv)
    assert node.weight.shape == (4, 6, 1, 1)


def test_gemm_of_transposed_input(tmp_path):
    net = Builder([1, 6])
    y = net.node("Transpose", "x", perm=[1, 0])
    net.node("Gemm", y, net.random(6, 4), transA=1)
    check(net.save(tmp_path))


def test_gemm_of_transposed_input_that_others_read(tmp_path):
    net = Builder([1, 6])
    y = net.node("Transpose", net.node("Relu", "x"), perm=[1, 0])
    a = net.node("Gemm", y, net.random(6, 4), transA=1)
    b = net.node("Gemm", net.node("Transpose", y, perm=[1, 0]), net.random(6, 4))
    net.node("Add", a, b)
    check(net.save(tmp_path))


@pytest.mark.parametrize("bias", [None, (4,), (1, 4), ()], ids=str)
def test_matmul(tmp_path, bias):
    net = Builder(["n", 6])
    y = net.node("MatMul", "x", net.random(6, 4))
    if bias is not None:
        net.node("Add", net.random(*bias), y)
    (node,) = check(net.save(tmp_path))
    assert len(node.sources) == (1 if bias is None else 2)
    assert node.weight.dtype == np.float32


@pytest.mark.parametrize("shape", [(1, 6, 4), (1, 1, 6, 4)], ids=str)
def test_matmul_of_higher_rank(tmp_path, shape):
    net = Builder(["n", 6])
    net.node("MatMul", net.node("Unsqueeze", "x", net.integers(1)), net.random(*shape))
    graph = check(net.save(tmp_path))
    assert graph.output_dims == (1, 1, 4)[-len(shape) + 1:]


# Orders of flattening: every element has another weight, so that a wrong order shows.

def _reshape(*sizes):
    return lambda net, y: net.node("Reshape", y, net.integers(*sizes))


ORDERS = {
    "flatten": lambda net, y: net.node("Flatten", y),
    "reshape": _reshape(-1, 60),
    "reshape 0": _reshape(0, -1),
    "reshape twice": lambda net, y: _reshape(0, 60)(net, _reshape(0, 5, 12)(net, y)),
    "nhwc": lambda net, y: net.node("Flatten", net.node("Transpose", y, perm=[0, 2, 3, 1])),
    "nwhc": lambda net, y: net.node("Flatten", net.node("Transpose", y, perm=[0, 3, 2, 1])),
    "nhwc and back": lambda net, y: net.node("Flatten", net.node(
        "Transpose", net.node("Transpose", y, perm=[0, 2, 3, 1]), perm=[0, 3, 1, 2])),
    "split axis": lambda net, y: net.node("Flatten", net.node(
        "Transpose", _reshape(0, 5, 3, 4)(net, y), perm=[0, 3, 1, 2])),
    "shape arithmetic": lambda net, y: net.node("Reshape", y, net.node(
        "Concat", net.node("Unsqueeze", net.node(
            "Gather", net.node("Shape", y), net.constant(0, np.int64)), net.integers(0)),
        net.integers(-1), axis=0)),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dense", ["Gemm", "MatMul"])
@pytest.mark.parametrize("batch", ["n", 1, 2])
def test_order(tmp_path, order, dense, batch):
    net = Builder([batch, 3, 4, 5])
    y = ORDERS[order](net, net.node("Relu", "x"))
    if dense == "Gemm":
        net.node("Gemm", y, net.random(7, 60), net.random(7), transB=1)
    else:
        net.node("MatMul", y, net.random(60, 7))
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Pool", "Conv"]
    assert graph.nodes[1].window.kernel == (4, 5)


def test_flatten_in_the_middle_of_a_classifier(tmp_path):
    net = Builder(["n", 2, 3, 3])
    y = net.node("Relu", net.node("Flatten", net.conv("x", 4, 2, 2, 2)))
    y = net.node("Gemm", net.node("Dropout", y), net.random(16, 5), net.random(5))
    net.node("Gemm", net.node("Relu", y), net.random(5, 3))
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Conv", "Conv", "Conv"]
    assert [node.lo for node in graph] == [0, 0, -np.inf]


def test_weight_through_reshape_and_transpose(tmp_path):
    net = Builder(["n", 6])
    w = net.node("Transpose", net.node("Reshape", net.random(2, 2, 6), net.integers(4, 6)))
    net.node("MatMul", "x", w)
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Conv"]


def test_vector_input_seen_as_map(tmp_path):
    net = Builder(["n", 48])
    net.conv(net.node("Reshape", "x", net.integers(-1, 3, 4, 4)), 2, 3, 3, 3)
    graph = check(net.save(tmp_path))
    assert graph.shapes["x"] == (3, 4, 4)
    assert graph.input_dims == (48,)


def test_map_without_channel_axis(tmp_path):
    net = Builder(["n", 6, 5])
    net.conv(net.node("Unsqueeze", "x", net.integers(1)), 2, 1, 3, 3)
    graph = check(net.save(tmp_path))
    assert graph.shapes["x"] == (1, 6, 5)
    assert graph.input_dims == (6, 5)


@pytest.mark.parametrize(("make", "message"), [
    (lambda net: net.node("Gemm", net.random(4, 6), net.node("Transpose", "x", perm=[1, 0])),
     r"\(Gemm\): input 0 must be computed from the network's input, not the constant 'c0'"),
    (lambda net: net.node("Gemm", "x", net.node("Relu", "x"), transB=1),
     r"\(Gemm\): B must be a constant, not 't0', which is computed from the network's input"),
    (lambda net: net.node("Gemm", "x", net.random(6, 4), net.node("Relu", "x")),
     r"\(Gemm\): C must be a constant, not 't0'"),
    (lambda net: net.node("Gemm", "x", net.random(5, 4)),
     r"\(Gemm\): a matrix of 5 rows must fit the 6 elements of the input"),
    (lambda net: net.node("Gemm", "x", net.random(6, 4), net.random(3)),
     r"\(Gemm\): C of shape \(3,\) must be broadcast to the output \(1, 4\)"),
    (lambda net: net.node("Gemm", "x", net.random(6)), r"\(Gemm\): B must be a constant matrix"),
    (lambda net: net.node("MatMul", "x", net.random(6)),
     r"\(MatMul\): the second operand must be one constant matrix, not of shape \(6,\)"),
    (lambda net: net.node("MatMul", "x", net.random(2, 6, 4)),
     r"\(MatMul\): the second operand must be one constant matrix, not of shape \(2, 6, 4\)"),
    (lambda net: net.node("MatMul", net.node("Reshape", "x", net.integers(0, 2, 3)),
                          net.random(3, 4)),
     (r"\(MatMul\): its input must be one vector an image, such as \(1, 6\), not \(1, 2, 3\); "
      r"put a Flatten before it")),
    (lambda net: net.node("MatMul", net.node("Reshape", "x", net.integers(-1, 3)),
                          net.random(3, 4)),
     r"\(MatMul\): its input must be one vector an image, such as \(1, 6\), not \(2, 3\)"),
], ids=range(10))
def test_refused(tmp_path, make, message):
    net = Builder(["n", 6])
    make(net)
    with pytest.raises(ModelError, match=message):
        load_graph(net.save(tmp_path))


def test_addend_for_each_image_of_a_batch(tmp_path):
    net = Builder([2, 3])
    net.node("Gemm", "x", net.random(3, 4), net.random(2, 4))
    with pytest.raises(ModelError, match="C must be the same for all images of a batch"):
        load_graph(net.save(tmp_path))


def test_batch_mixed(tmp_path):
    net = Builder([2, 3])
    y = net.node("Transpose", net.node("Relu", "x"), perm=[1, 0])
    net.node("Gemm", net.node("Reshape", y, net.integers(2, 3)), net.random(3, 4))
    with pytest.raises(ModelError, match=r"\(Gemm\): its input mixes the images of a batch"):
        load_graph(net.save(tmp_path))
