"""Operators that cost nothing, Softmax, and cutting."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from quantizer.errors import ModelError
from quantizer.graph import Pool
from quantizer.onnx_import import load_graph

from .onnx_models import Builder, check, kinds


def test_names_vanish(tmp_path):
    net = Builder(["n", 2, 4, 4])
    y = net.node("Identity", net.node("Dropout", net.conv("x", 3, 2, 3, 3)))
    net.node("Identity", net.node("Relu", net.node("Cast", y, to=1)))
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Conv"]
    assert graph.output == "t4"


def test_identity_alone(tmp_path):
    net = Builder(["n", 2, 4, 4])
    net.node("Identity", "x")
    (node,) = check(net.save(tmp_path))
    assert isinstance(node, Pool)
    assert node.output == "t0"


@pytest.mark.parametrize("last", [
    lambda net, y: net.node("Flatten", y),
    lambda net, y: net.node("Reshape", y, net.integers(-1, 4, 3)),
    lambda net, y: net.node("Unsqueeze", y, net.integers(1)),
    lambda net, y: net.node("Transpose", y, perm=[0, 2, 1, 3]),
], ids=range(4))
def test_view_at_the_end(tmp_path, last):
    net = Builder(["n", 2, 4, 3])
    last(net, net.conv("x", 1, 2, 1, 1))
    graph = check(net.save(tmp_path))
    assert np.prod(graph.output_dims) == 12


def test_squeeze_of_everything(tmp_path):
    net = Builder([1, 2, 4, 4])
    net.node("Squeeze", net.node("GlobalAveragePool", "x"))
    graph = check(net.save(tmp_path))
    assert graph.output_dims == (2,)


def test_transpose_of_a_pixel_or_of_one_channel(tmp_path):
    net = Builder(["n", 2, 4, 4])
    y = net.node("Transpose", net.node("GlobalMaxPool", "x"), perm=[0, 2, 3, 1])
    y = net.node("Relu", net.node("Reshape", y, net.integers(-1, 2, 1, 1)))
    net.conv(y, 3, 2, 1, 1)
    assert kinds(check(net.save(tmp_path))) == ["Pool", "Conv"]


def test_transpose_of_a_map_at_the_end(tmp_path):
    net = Builder(["n", 2, 4, 4])
    net.node("Transpose", net.conv("x", 3, 2, 3, 3), perm=[0, 2, 3, 1])
    path = net.save(tmp_path)
    with pytest.raises(ModelError) as error:
        load_graph(path)
    assert str(error.value) == (
        f"{path}: node 'transpose1' (Transpose): the output of the network is a transposed map; "
        f"cut the network before the Transpose")


def test_reshape_to_another_map_refused(tmp_path):
    net = Builder(["n", 4, 4, 4])
    y = net.node("Reshape", net.node("Relu", "x"), net.integers(0, 1, 8, 8))
    net.conv(y, 2, 1, 3, 3)
    with pytest.raises(ModelError, match=(
            r"reads a map reshaped from \(1, 4, 4, 4\) to \(1, 1, 8, 8\); a reshape between layers "
            r"must keep batch, channels, lines and columns")):
        load_graph(net.save(tmp_path))


def test_input_seen_in_two_ways_refused(tmp_path):
    net = Builder(["n", 16])
    a = net.conv(net.node("Reshape", "x", net.integers(-1, 1, 4, 4)), 2, 1, 4, 4)
    b = net.conv(net.node("Reshape", "x", net.integers(-1, 4, 2, 2)), 2, 4, 2, 2)
    net.node("Add", a, b)
    with pytest.raises(ModelError, match=r"reads a map reshaped from \(1, 1, 4, 4\)"):
        load_graph(net.save(tmp_path))


def test_nhwc_input_refused(tmp_path):
    net = Builder(["n", 4, 4, 3])
    net.conv(net.node("Transpose", "x", perm=[0, 3, 1, 2]), 2, 3, 3, 3)
    with pytest.raises(ModelError, match=r"\(Conv\): reads a transposed map"):
        load_graph(net.save(tmp_path))


def test_reshape_by_the_input_refused(tmp_path):
    net = Builder(["n", 4])
    net.node("Reshape", "x", net.node("Cast", net.node("Relu", "x"), to=TensorProto.INT64))
    with pytest.raises(ModelError, match=r"\(Cast\): to must be FLOAT .* not INT64"):
        load_graph(net.save(tmp_path))


@pytest.mark.parametrize(("arrange", "message"), [
    (lambda net: net.node("Reshape", "x", net.integers(-1, 5)),
     r"\(Reshape\): its shapes do not fit: Dimension could not be inferred"),
    (lambda net: net.node("Reshape", "x", net.integers(0, 2, 2, 5)),
     r"\(Reshape\): \(1, 4, 3, 2\) cannot be reshaped to \(1, 2, 2, 5\): other number of elements"),
    (lambda net: net.node("Reshape", "x", net.integers(0, 4), allowzero=1),
     r"\(Reshape\): its output \(0, 4\) has a dimension of size 0"),
    (lambda net: net.node("Transpose", "x", perm=[0, 1, 1, 2]),
     r"\(Transpose\): perm must order the axes of \(1, 4, 3, 2\), not \[0, 1, 1, 2\]"),
    (lambda net: net.node("Squeeze", "x", net.integers(2)), r"\(Squeeze\): its shapes do not fit"),
    (lambda net: net.node("Softmax", "x", axis=7), r"\(Softmax\): "),
    (lambda net: net.node("MaxPool", "x", name="p"), r"'p' \(MaxPool\): "),
    (lambda net: net.node("Reshape", "x", net.node("Relu", "x")),
     r"\(Reshape\): its shapes do not fit: shape "),
], ids=range(8))
def test_shapes_that_do_not_fit(tmp_path, arrange, message):
    net = Builder(["n", 4, 3, 2], opset=14)
    arrange(net)
    with pytest.raises(ModelError, match=message):
        load_graph(net.save(tmp_path))


def test_dropout_in_training_refused(tmp_path):
    net = Builder(["n", 4])
    net.node("Dropout", "x", net.constant(0.5), net.constant(True, np.bool_))
    with pytest.raises(ModelError, match=r"\(Dropout\): training_mode must be false"):
        load_graph(net.save(tmp_path))


def test_constants_are_computed(tmp_path):
    net = Builder(["n", 3, 4, 4], opset=19)
    w = net.node("Mul", net.node("Constant", value=onnx.numpy_helper.from_array(
        net.rng.standard_normal((2, 3, 3, 3)).astype(np.float32))), net.constant(0.5))
    q = net.node("QuantizeLinear", w, net.constant(0.0625), net.constant(0, np.int8))
    net.node("Conv", "x", net.node("DequantizeLinear", q, net.constant(0.0625),
                                   net.constant(0, np.int8)))
    (node,) = check(net.save(tmp_path))
    assert np.all(node.weight * 16 == np.rint(node.weight * 16))


def test_constant_that_cannot_be_computed(tmp_path):
    net = Builder(["n", 3, 4, 4])
    net.node("Add", "x", net.node("MatMul", net.random(2, 3), net.random(2, 3)))
    with pytest.raises(ModelError, match=r"\(MatMul\): computes a constant that onnx.reference"):
        load_graph(net.save(tmp_path))


# Softmax

@pytest.mark.parametrize(("opset", "axis"), [
    (11, None), (11, 1), (11, -1), (13, None), (13, 1), (13, -1)])
def test_softmax_of_vector(tmp_path, opset, axis):
    net = Builder(["n", 5], opset=opset)
    y = net.node("Gemm", "x", net.random(5, 4))
    net.node("Softmax", y, **({} if axis is None else {"axis": axis}))
    assert kinds(check(net.save(tmp_path))) == ["Conv", "Softmax"]


@pytest.mark.parametrize(("opset", "axis"), [(11, 1), (13, 1), (13, -3)])
def test_softmax_of_pixel(tmp_path, opset, axis):
    net = Builder(["n", 5, 3, 3], opset=opset)
    y = net.node("Softmax", net.node("GlobalAveragePool", "x"), axis=axis)
    net.node("Flatten", y)
    graph = check(net.save(tmp_path))
    assert graph.output_dims == (5,)


def test_softmax_at_every_position(tmp_path):
    net = Builder(["n", 5, 3, 3])
    net.node("Softmax", net.conv("x", 4, 5, 1, 1), axis=1)
    assert kinds(check(net.save(tmp_path))) == ["Conv", "Softmax"]


@pytest.mark.parametrize(("opset", "axis"), [(11, 1), (11, 2), (13, 0), (13, 2), (13, -1)])
def test_softmax_over_positions_refused(tmp_path, opset, axis):
    net = Builder(["n", 3, 3, 3], opset=opset)
    net.node("Softmax", net.node("Relu", "x"), axis=axis)
    message = rf"\(Softmax\): axis {axis % 4} of \(1, 3, 3, 3\) must be the channels"
    with pytest.raises(ModelError, match=message):
        load_graph(net.save(tmp_path))


def test_softmax_before_the_end(tmp_path):
    net = Builder(["n", 5])
    net.node("Relu", net.node("Softmax", net.node("Gemm", "x", net.random(5, 4))))
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Conv", "Softmax", "Pool"]
    assert graph.hosted == [graph.nodes[1]]


def test_softmax_alone_refused(tmp_path):
    net = Builder(["n", 5])
    net.node("Softmax", "x")
    with pytest.raises(ModelError, match="the network holds no operator for the accelerator"):
        load_graph(net.save(tmp_path))


# Names, inputs and outputs

def test_nodes_without_names(tmp_path):
    net = Builder(["n", 2, 5, 5])
    y = net.node("Conv", "x", net.random(3, 2, 3, 3), name="")
    net.node("MaxPool", net.node("Relu", y, name=""), name="", kernel_shape=[2, 2])
    graph = check(net.save(tmp_path))
    assert [node.name for node in graph] == ["t0", "t2"]
    assert graph.nodes[0].sources == ("t0", "t1")


def test_nodes_with_the_same_name(tmp_path):
    net = Builder(["n", 2, 5, 5])
    y = net.node("MaxPool", "x", name="a", kernel_shape=[2, 2])
    y = net.node("MaxPool", y, name="a", kernel_shape=[2, 2])
    net.node("AveragePool", y, name="t0", kernel_shape=[2, 2])
    graph = check(net.save(tmp_path), outputs="t2")  # not by onnxruntime: it refuses such files
    assert [node.name for node in graph] == ["t0'", "t1", "t0"]


def test_initializers_listed_as_inputs(tmp_path):
    net = Builder(["n", 2, 5, 5])
    net.conv("x", 3, 2, 3, 3)
    net.inputs += [helper.make_tensor_value_info(t.name, TensorProto.FLOAT, t.dims)
                   for t in net.initializers]
    graph = check(net.save(tmp_path))
    assert graph.input == "x"


def test_dead_nodes_are_dropped(tmp_path):
    net = Builder(["n", 2, 5, 5])
    y = net.node("Relu", "x")
    net.node("Sigmoid", y)
    graph = check(net.save(tmp_path, y), images=2)
    assert kinds(graph) == ["Pool"]


def test_several_outputs(tmp_path):
    net = Builder(["n", 2, 5, 5])
    a = net.node("Relu", net.conv("x", 3, 2, 3, 3))
    b = net.node("Sigmoid", a)
    path = net.save(tmp_path, a, b)
    with pytest.raises(ModelError) as error:
        load_graph(path)
    assert str(error.value) == (
        f"{path}: a network must have one output, not 2: 't1', 't2'; choose one with outputs=")
    graph = check(path, outputs=[a])
    assert graph.output == a
    assert check(path, outputs="t0").nodes[0].lo == -np.inf


def test_unknown_output(tmp_path):
    net = Builder(["n", 2])
    net.node("Relu", "x")
    with pytest.raises(ModelError, match="no node writes the output 'y'"):
        load_graph(net.save(tmp_path), outputs="y")


def test_several_inputs(tmp_path):
    net = Builder(["n", 2])
    net.inputs.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 2]))
    net.node("Add", net.node("Relu", "x"), "z")
    path = net.save(tmp_path)
    with pytest.raises(ModelError) as error:
        load_graph(path)
    assert str(error.value) == (
        f"{path}: a network must have one input, not 2: 'x', 'z'; make constants of the others, or "
        f"cut with outputs=")
    assert kinds(check(path, outputs="t0")) == ["Pool"]


def test_local_functions_are_inlined(tmp_path):
    net = Builder(["n", 2, 5, 5])
    net.node("Block", "x", domain="local")
    model = net.model()
    model.opset_import.append(helper.make_opsetid("local", 1))
    model.functions.append(helper.make_function(
        "local", "Block", ["a"], ["b"],
        [helper.make_node("Relu", ["a"], ["r"]),
         helper.make_node("MaxPool", ["r"], ["b"], kernel_shape=[2, 2])],
        [helper.make_opsetid("", 13)]))
    path = tmp_path / "functions.onnx"
    onnx.save(model, path)
    assert kinds(check(path)) == ["Pool", "Pool"]


def test_domain_by_its_long_name(tmp_path):
    net = Builder(["n", 2, 5, 5])
    net.node("Relu", "x", domain="ai.onnx")
    model = net.model()
    path = tmp_path / "domain.onnx"
    onnx.save(model, path)
    assert kinds(load_graph(path)) == ["Pool"]
