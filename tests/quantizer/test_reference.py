"""The float network in onnxruntime."""

from dataclasses import replace

import numpy as np
import onnx
import pytest

from quantizer.errors import ModelError
from quantizer.onnx_import import load_graph
from quantizer.reference import FloatReference

from .onnx_models import Builder, float_execute


def _net(batch="n"):
    net = Builder([batch, 2, 6, 6])
    y = net.node("Relu", net.batch_normalization(net.conv("x", 4, 2, 3, 3), 4))
    y = net.node("Flatten", net.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2]))
    net.node("Softmax", net.node("Gemm", y, net.random(16, 5), net.random(5)))
    return net


def _images(count, seed=0):
    return np.random.default_rng(seed).standard_normal((count, 2, 6, 6)).astype(np.float32)


@pytest.mark.parametrize("batch", ["n", 1, 3])
@pytest.mark.parametrize("count", [1, 2, 7, 130])
def test_all_tensors(tmp_path, batch, count):
    reference = FloatReference(_net(batch).save(tmp_path))
    images = _images(count)
    tensors = reference.tensors(images)
    assert list(tensors) == list(reference.graph.shapes)
    expected = float_execute(reference.graph, images)
    for name, values in tensors.items():
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, expected[name], atol=1e-4)
    assert reference.run(images).shape == (count, 5)


def test_overflow(tmp_path):
    net = Builder(["n", 2, 6, 6])
    y = net.node("Mul", "x", net.constant(np.float32(1e38)))
    net.node("Conv", y, net.random(4, 2, 3, 3))
    path = net.save(tmp_path)
    with pytest.raises(ModelError) as caught:
        FloatReference(path).tensors(_images(3) * 9)
    assert str(caught.value) == (
        f"{path}: tensor 't1' becomes NaN or infinite in float32 on these images")


def test_chosen_tensors(tmp_path):
    graph = load_graph(_net().save(tmp_path))
    tensors = FloatReference(graph).tensors(_images(2), ["x", "t2"])
    assert {name: values.shape for name, values in tensors.items()} == {
        "x": (2, 2, 6, 6), "t2": (2, 4, 4, 4)}
    assert FloatReference(graph).tensors(_images(2), ["x"])["x"].shape == (2, 2, 6, 6)


def test_in_the_units_of_the_graph(tmp_path):
    graph = load_graph(_net().save(tmp_path))
    exponents, offsets = np.array([0, 1, -2, 3]), np.array([0, 0.5, 4, -1])
    held = replace(graph, exponents={"t2": exponents}, offsets={"t2": offsets})
    images = _images(2)
    before, after = (FloatReference(each).tensors(images) for each in (graph, held))
    for name, values in before.items():
        expected = ((values - offsets[:, None, None]) * 2.0**exponents[:, None, None]
                    if name == "t2" else values)
        np.testing.assert_allclose(after[name], expected, atol=1e-5)
        assert after[name].dtype == np.float32


def test_output_of_a_cut_network(tmp_path):
    graph = load_graph(_net().save(tmp_path), outputs="t5")
    logits = FloatReference(graph).run(_images(4))
    probabilities = FloatReference(tmp_path / "net.onnx").run(_images(4))
    powers = np.exp(logits)
    np.testing.assert_allclose(
        powers / powers.sum(axis=1, keepdims=True), probabilities, atol=1e-6)


def test_output_keeps_the_dimensions_of_the_file(tmp_path):
    net = Builder(["n", 2, 6, 6])
    net.node("Reshape", net.conv("x", 4, 2, 3, 3), net.integers(-1, 8, 8))
    assert FloatReference(net.save(tmp_path)).run(_images(3)).shape == (3, 8, 8)


def test_free_batch_that_mixes_images_runs_one_by_one(tmp_path):
    net = Builder(["n", 4])
    y = net.node("Reshape", net.node("Gemm", "x", net.random(4, 3)), net.integers(1, -1))
    net.node("Softmax", y)
    images = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    found = FloatReference(net.save(tmp_path)).run(images)
    assert found.shape == (5, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_free_batch_that_must_be_one(tmp_path):
    net = Builder(["n", 2, 6, 6])
    y = net.node("Reshape", net.conv("x", 4, 2, 3, 3), net.integers(1, 64))
    net.node("MatMul", y, net.random(64, 3))
    reference = FloatReference(net.save(tmp_path))
    images = _images(4)
    expected = float_execute(reference.graph, images)[reference.graph.output].reshape(4, 3)
    np.testing.assert_allclose(reference.run(images), expected, atol=1e-4)


def test_padding_is_not_optimized_wrongly(tmp_path):
    """Guard against onnxruntime's fusion of Pad into MaxPool, which forgets the zeros."""
    net = Builder(["n", 2, 6, 6])
    y = net.node("Sub", net.node("Relu", "x"), net.constant(10.0))
    y = net.node("Pad", y, net.integers(0, 0, 1, 1, 0, 0, 1, 1))
    net.node("MaxPool", y, kernel_shape=[3, 3], strides=[2, 2])
    assert FloatReference(net.save(tmp_path)).run(_images(2))[:, :, 0, 0].max() == 0


def test_newer_format_version(tmp_path):
    model = _net().model()
    model.ir_version = onnx.IR_VERSION
    onnx.save(model, tmp_path / "new.onnx")
    assert FloatReference(tmp_path / "new.onnx").run(_images(2)).shape == (2, 5)


def test_oldest_format_version(tmp_path):
    net = _net()
    net.inputs += [onnx.helper.make_tensor_value_info(t.name, t.data_type, t.dims)
                   for t in net.initializers]
    model = net.model()
    model.ir_version = 3
    onnx.save(model, tmp_path / "old.onnx")
    assert FloatReference(tmp_path / "old.onnx").run(_images(2)).shape == (2, 5)


@pytest.mark.parametrize(("images", "message"), [
    (_images(2)[:, :1], r"Inputs must have shape \(n, 2, 6, 6\), .* not \(2, 1, 6, 6\)"),
    (_images(2)[0], r"Inputs must have shape \(n, 2, 6, 6\), .* not \(2, 6, 6\)"),
    (_images(2)[:0], "Inputs must hold at least one image for 'net'"),
    (np.full((1, 2, 6, 6), np.nan), "Inputs must be finite: number 0 holds NaN or infinity"),
    (np.full((1, 2, 6, 6), "a"), "Inputs must be numbers"),
], ids=range(5))
def test_bad_images(tmp_path, images, message):
    reference = FloatReference(_net().save(tmp_path))
    with pytest.raises(ModelError, match=message):
        reference.run(images)


def test_overflow_in_float32(tmp_path):
    net = Builder(["n", 2, 6, 6])
    net.node("Mul", net.node("Mul", "x", net.constant(1e30)), net.constant(1e30))
    path = net.save(tmp_path)
    with pytest.raises(ModelError) as error:
        FloatReference(path).run(np.ones((1, 2, 6, 6)))
    assert str(error.value) == (
        f"{path}: tensor 't1' becomes NaN or infinite in float32 on these images")


def test_file_that_is_gone(tmp_path):
    path = _net().save(tmp_path)
    graph = load_graph(path)
    moved = path.rename(tmp_path / "moved.onnx")
    with pytest.raises(ModelError, match=r"net\.onnx: no such file"):
        FloatReference(graph)
    assert FloatReference(graph, source=moved).run(_images(1)).shape == (1, 5)


def test_graph_without_file(tmp_path):
    graph = load_graph(_net().save(tmp_path))
    graph.source = ""
    with pytest.raises(ModelError, match="net: the float network is not known; name the ONNX file"):
        FloatReference(graph)


def test_another_file(tmp_path):
    graph = load_graph(_net().save(tmp_path))
    model = _net().model()
    model.graph.input[0].name = model.graph.node[0].input[0] = "y"
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(ModelError, match="has no input 'x'; it must be the file that 'net'"):
        FloatReference(graph, source=tmp_path / "other.onnx")


def test_file_that_changed(tmp_path):
    graph = load_graph(_net().save(tmp_path))
    net = _net()
    net.nodes[-1].domain = "com.example"
    reference = FloatReference(graph, source=net.save(tmp_path))
    with pytest.raises(ModelError, match=r"net\.onnx: onnxruntime cannot load the network: "):
        reference.run(_images(1))
    del net.nodes[-1]
    net.nodes[-1].output[0] = graph.output
    reference = FloatReference(graph, source=net.save(tmp_path))
    assert reference.run(_images(1)).shape == (1, 5)
    graph.shapes[graph.output] = (6, 1, 1)
    with pytest.raises(ModelError, match=r"shape \(1, 5\) does not hold \(6, 1, 1\) for each"):
        reference.run(_images(1))
