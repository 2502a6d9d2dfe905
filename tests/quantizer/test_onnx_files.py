"""Files that are not what they should be: each with its message."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from quantizer.errors import ModelError, NodeError
from quantizer.onnx_import import load_graph

from .onnx_models import Builder, check


def _refused(path, **options):
    with pytest.raises(ModelError) as error:
        load_graph(path, **options)
    return str(error.value)


def _small(folder, shape=("n", 2, 4, 4), **options):
    net = Builder(list(shape), **options)
    net.node("Relu", "x")
    return net.save(folder)


def test_missing_file(tmp_path):
    assert _refused(tmp_path / "no.onnx") == f"{tmp_path / 'no.onnx'}: no such file"


def test_folder(tmp_path):
    assert _refused(tmp_path) == f"{tmp_path}: cannot be read: Is a directory"


@pytest.mark.parametrize("content", [
    b"", b"not a model, but a text", b"\x89PNG\r\n\x1a\n" + bytes(100), b"\x08\x08",
    bytes(range(256)),
], ids=range(5))
def test_not_onnx(tmp_path, content):
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    assert _refused(path) == f"{path}: not an ONNX file"


def test_no_output(tmp_path):
    path = _small(tmp_path)
    model = onnx.load(path)
    del model.graph.output[:]
    onnx.save(model, path)
    assert _refused(path) == f"{path}: the graph must have an output; export the network again"


def test_truncated(tmp_path):
    path = _small(tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    assert _refused(path) == f"{path}: not an ONNX file"


@pytest.mark.parametrize("opset", [8, 22])
def test_opset(tmp_path, opset):
    path = _small(tmp_path, opset=opset)
    assert _refused(path) == (f"{path}: the opset must be in 9..21, not {opset}; export again with "
                              f"opset 17, or use onnx.version_converter")


@pytest.mark.parametrize(("shape", "message"), [
    (("n", 3, "h", "w"), "has an unresolved dimension 'h' at axis 2; only the batch may be free"),
    (("n", 3, None, 4), "has an unresolved dimension '?' at axis 2; only the batch may be free"),
    (("n", 3, -1, 4), "has an unresolved dimension '?' at axis 2; only the batch may be free"),
    (("n", 0, 4, 4), "must not have a dimension of size 0, not (1, 0, 4, 4)"),
    ((0, 3, 4, 4), "must not have a dimension of size 0, not (0, 3, 4, 4)"),
    ((10,), "must have a shape with the batch in front, such as (n, 3, 32, 32), not 1 axes"),
    ((), "must have a shape with the batch in front, such as (n, 3, 32, 32), not 0 axes"),
], ids=str)
def test_shape(tmp_path, shape, message):
    path = _small(tmp_path, shape)
    assert _refused(path).startswith(f"{path}: input 'x' {message}")


def test_no_shape(tmp_path):
    net = Builder(None)
    net.node("Relu", "x")
    path = net.save(tmp_path)
    assert "input 'x' must have a shape with the batch in front" in _refused(path)


@pytest.mark.parametrize("batch", ["n", None, -1, 1, 4])
def test_batch(tmp_path, batch):
    graph = load_graph(_small(tmp_path, (batch, 2, 4, 4)))
    assert graph.input_dims == graph.output_dims == (2, 4, 4)


def test_other_type(tmp_path):
    net = Builder(["n", 2])
    net.inputs[0] = helper.make_tensor_value_info("x", TensorProto.FLOAT16, ["n", 2])
    net.node("Relu", "x")
    path = net.save(tmp_path)
    assert _refused(path) == (
        f"{path}: input 'x' must be float32, not FLOAT16; convert the model to float32")


def _external(folder):
    net = Builder(["n", 2, 4, 4])
    net.conv("x", 3, 2, 3, 3)
    path = folder / "net.onnx"
    onnx.save(net.model(), path, save_as_external_data=True, location="net.weights",
              size_threshold=0)
    return path


def test_external_data(tmp_path):
    check(_external(tmp_path))


def test_external_data_missing(tmp_path):
    path = _external(tmp_path)
    (tmp_path / "net.weights").unlink()
    message = _refused(path)
    assert message.startswith(f"{path}: the file that holds its weights (external data) cannot be "
                              f"read, it must lie beside the model: ")
    assert "net.weights" in message


def test_external_data_too_short(tmp_path):
    path = _external(tmp_path)
    (tmp_path / "net.weights").write_bytes(b"1234")
    assert "net.onnx" in _refused(path)


@pytest.mark.parametrize(("operator", "domain", "hint"), [
    ("Softplus", "", ": train with Relu, LeakyRelu, HardSwish or SiLU instead"),
    ("Abs", "", ""),
    ("Fancy", "com.example", ""),
    ("RandomNormalLike", "", ""),
])
def test_unsupported_operator(tmp_path, operator, domain, hint):
    net = Builder(["n", 2])
    net.node(operator, "x", name="odd", domain=domain)
    path = net.save(tmp_path)
    shown = f"{domain}::{operator}" if domain else operator
    with pytest.raises(NodeError) as error:
        load_graph(path)
    assert str(error.value) == (
        f"{path}: node 'odd' ({shown}): the operator is not supported{hint}; supported are Add, "
        f"AveragePool, BatchNormalization, Cast, Clip, Concat, Conv, ConvTranspose, Div, Dropout, "
        f"Flatten, Gemm, GlobalAveragePool, GlobalMaxPool, HardSigmoid, HardSwish, Identity, "
        f"LRN, LeakyRelu, MatMul, Max, MaxPool, Min, Mul, PRelu, Pad, ReduceMean, Relu, Reshape, "
        f"Resize, Shape, Sigmoid, Slice, Softmax, Split, Squeeze, Sub, Tanh, Transpose, Unsqueeze, "
        f"Upsample, and any operator on constants")
    assert error.value.reason == f"the operator is not supported{hint}"


def test_unknown_attribute(tmp_path):
    net = Builder(["n", 2])
    net.node("Relu", "x", name="r", slope=0.5)
    path = net.save(tmp_path)
    assert _refused(path) == (f"{path}: node 'r' (Relu): is not valid ONNX: Unrecognized "
                              f"attribute: slope for operator Relu")


def test_too_many_operands(tmp_path):
    net = Builder(["n", 2])
    net.node("Relu", "x", "x", name="r")
    assert "node 'r' (Relu): is not valid ONNX" in _refused(net.save(tmp_path))


def test_tensor_that_nothing_writes(tmp_path):
    net = Builder(["n", 2])
    net.node("Add", "x", "ghost", name="a")
    path = net.save(tmp_path)
    assert _refused(path) == (
        f"{path}: node 'a' (Add): reads 'ghost', which no earlier node writes")


def test_nodes_out_of_order(tmp_path):
    net = Builder(["n", 2])
    net.node("Relu", net.node("Relu", "x"))
    net.nodes.reverse()
    assert "node 'relu1' (Relu) reads 't0' before it is written" in _refused(
        net.save(tmp_path, "t1"))


def test_cycle(tmp_path):
    net = Builder(["n", 2])
    net.node("Add", "x", "t1", name="a")
    net.node("Relu", "t0")
    path = net.save(tmp_path)
    assert _refused(path) == (
        f"{path}: node 'a' (Add) reads 't1' before it is written; the nodes of a graph must be in "
        "an order without cycles: export again")


@pytest.mark.parametrize(("name", "writer"), [("t0", "node 'r'"), ("x", "the network's input")])
def test_tensor_written_twice(tmp_path, name, writer):
    net = Builder(["n", 2])
    net.node("Relu", "x", name="r")
    net.node("Relu", "x", name="s")
    net.nodes[-1].output[0] = name
    assert f"tensor '{name}' must be written once, not by {writer} and by node 's'" in _refused(
        net.save(tmp_path, "t0"))


def test_no_nodes(tmp_path):
    net = Builder(["n", 2])
    net.node("Relu", "x")
    assert "holds no operator for the accelerator" in _refused(net.save(tmp_path), outputs="x")


def test_constant_output(tmp_path):
    net = Builder(["n", 2])
    net.node("Shape", "x")
    assert "(Shape): the output of the network is a constant" in _refused(net.save(tmp_path))


def test_weights_are_read_from_half_precision(tmp_path):
    net = Builder(["n", 2, 4, 4])
    w = net.constant(np.full((3, 2, 3, 3), 0.1), np.float16)
    net.node("Conv", "x", net.node("Cast", w, to=1))
    check(net.save(tmp_path))
