"""The table that is shown before any work."""

import numpy as np
import pytest

from quantizer.errors import ModelError
from quantizer.inspect import inspect_model
from quantizer.onnx_import import load_graph

from .onnx_models import Builder


def _net():
    net = Builder(["n", 2, 6, 6])
    y = net.node("Relu", net.batch_normalization(net.conv("x", 4, 2, 3, 3), 4))
    y = net.node("Clip", net.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2]), "",
                 net.constant(3.0))
    y = net.node("Gemm", net.node("Flatten", y), net.random(16, 5), net.random(5))
    return net, net.node("Softmax", y)


def test_every_node_has_its_place(tmp_path):
    net, _ = _net()
    reports = inspect_model(net.save(tmp_path))
    assert [(r.node, r.operator, r.runs_on, r.macs, r.bytes, r.note) for r in reports] == [
        ("conv0", "Conv", "array", 16 * 72, 72, "result at least 0"),
        ("batchnormalization1", "BatchNormalization", "folded", 0, 0, "into 'conv0'"),
        ("relu2", "Relu", "folded", 0, 0, "into 'conv0'"),
        ("maxpool3", "MaxPool", "vector", 0, 0, "result at most 3"),
        ("clip4", "Clip", "folded", 0, 0, "into 'maxpool3'"),
        ("flatten5", "Flatten", "folded", 0, 0, "no work at run time"),
        ("gemm6", "Gemm", "array", 80, 80, ""),
        ("softmax7", "Softmax", "host", 0, 0, ""),
    ]
    assert all(r.supported for r in reports)


def test_unsupported_operators_do_not_end_the_table(tmp_path):
    net = Builder(["n", 2, 6, 6])
    a = net.conv("x", 4, 2, 3, 3)
    b = net.node("Relu", net.conv("x", 4, 2, 3, 3))
    y = net.node("Softplus", net.node("Elu", net.node("Concat", a, b, axis=1)))
    net.node("Relu", net.conv(y, 2, 8, 3, 3))
    path = net.save(tmp_path)
    reports = {r.node: r for r in inspect_model(path)}
    assert [r.node for r in reports.values() if not r.supported] == ["elu4", "softplus5"]
    assert reports["concat3"].note == (
        "free where every input starts at a multiple of out_lanes channels")
    assert reports["concat3"].runs_on == "array"
    assert reports["elu4"].note == (
        "the operator is not supported: train with Relu, LeakyRelu, HardSwish or SiLU instead")
    assert reports["elu4"].runs_on == "-"
    assert reports["conv6"].macs == 4 * 2 * 8 * 9
    assert reports["relu7"].note == "into 'conv6'"
    with pytest.raises(ModelError, match="'elu4'"):
        load_graph(path)


def test_nodes_behind_an_unknown_shape_are_not_checked(tmp_path):
    net = Builder(["n", 2, 6, 6])
    net.conv(net.node("Fancy", net.node("Relu", "x"), domain="com.example"), 2, 2, 3, 3)
    fancy, conv = inspect_model(net.save(tmp_path))[1:]
    assert (fancy.operator, fancy.supported) == ("com.example::Fancy", False)
    assert not conv.supported
    assert conv.note == "not checked, because the shape behind 'fancy1' is unknown"


def test_nodes_behind_an_unsupported_classifier(tmp_path):
    net = Builder(["n", 4])
    net.node("Gemm", net.node("Abs", "x"), net.random(4, 3))
    other, gemm = inspect_model(net.save(tmp_path))
    assert (other.supported, gemm.supported, gemm.macs) == (False, True, 12)


def test_missing_tensor(tmp_path):
    net = Builder(["n", 2])
    net.node("Add", net.node("Relu", "x"), "ghost")
    relu, add = inspect_model(net.save(tmp_path))
    assert relu.supported
    assert add.note == "reads 'ghost', which no earlier node writes"


def test_transposed_output(tmp_path):
    net = Builder(["n", 2, 6, 6])
    net.node("Transpose", net.conv("x", 4, 2, 3, 3), perm=[0, 2, 3, 1])
    conv, transpose = inspect_model(net.save(tmp_path))
    assert (conv.supported, transpose.supported) == (True, False)


def test_nodes_that_the_output_does_not_need(tmp_path):
    net, _ = _net()
    reports = inspect_model(net.save(tmp_path), outputs="t2")
    assert {r.note for r in reports[3:]} == {"not needed for the output"}


def test_padding_goes_into_several_nodes(tmp_path):
    net = Builder(["n", 2, 6, 6])
    y = net.node("Pad", "x", net.integers(0, 0, 1, 1, 0, 0, 1, 1))
    net.node("Add", net.conv(y, 3, 2, 3, 3), net.conv(y, 3, 2, 3, 3))
    assert inspect_model(net.save(tmp_path))[0].note == "into 'conv1', 'conv2'"


def test_file_errors_are_raised(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        inspect_model(tmp_path / "no.onnx")


def test_squeezenet(shared_models):
    reports = inspect_model(shared_models / "squeezenet1_1_224.onnx")
    assert all(r.supported for r in reports)
    assert [r.operator for r in reports].count("Concat") == 8
    assert sum(r.macs for r in reports) == pytest.approx(377.8e6, rel=0.01)


@pytest.mark.parametrize("name", ["resnet8_mlperftiny", "mobilenet_v1_025_224"])
def test_agrees_with_the_import(shared_models, name):
    path = shared_models / f"{name}.onnx"
    graph = load_graph(path)
    reports = inspect_model(path)
    assert all(r.supported for r in reports)
    assert sum(r.macs for r in reports) == sum(graph.macs(node) for node in graph)
    assert [r.node for r in reports if r.runs_on != "folded"] == [
        r.node for r in reports if r.node in {node.name for node in graph}]
    assert np.sum([r.runs_on == "host" for r in reports]) == 1


def test_activations_and_products(tmp_path):
    net = Builder(["n", 2, 6, 6])
    x = net.conv("x", 4, 2, 3, 3)
    x = net.node("Mul", x, net.node("Sigmoid", x))
    y = net.node("HardSigmoid", net.conv(net.node("GlobalAveragePool", x), 4, 4, 1, 1))
    net.node("LeakyRelu", net.node("Clip", net.node("Tanh", net.node("Mul", x, y)),
                                   net.constant(-0.5)))
    reports = inspect_model(net.save(tmp_path))
    assert [(r.node, r.runs_on, r.note) for r in reports] == [
        ("conv0", "array", ""),
        ("sigmoid1", "folded", "into 'mul2'"),
        ("mul2", "vector", "silu, looked up in a table"),
        ("globalaveragepool3", "vector", ""),
        ("conv4", "array", "result 0 to 1"),
        ("hardsigmoid5", "folded", "into 'conv4'"),
        ("mul6", "vector", ""),
        ("tanh7", "vector", "tanh, looked up in a table, result at least -0.5"),
        ("clip8", "folded", "into 'tanh7'"),
        ("leakyrelu9", "vector", ""),
    ]
