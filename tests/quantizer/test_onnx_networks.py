"""Whole networks, and random ones, against onnxruntime."""

import json

import numpy as np
import pytest

from quantizer.errors import ModelError
from quantizer.graph import Conv, Pool, Softmax
from quantizer.onnx_import import load_graph
from quantizer.reference import FloatReference

from .onnx_models import Builder, check, float_execute, kinds


# MACs of one image, by ../shared/MODELS.md, in millions.
SMALL = {
    "ad_autoencoder_mlperftiny": 0.26,
    "cifar10_quick_caffe": 12.35,
    "glyphs": 1.92,
    "kws_dscnn": 2.66,
    "lenet_caffe_mnist": 2.29,
    "mnist_cnn_onnxzoo": 0.78,
    "peers_small_cnn": 1.64,
    "resnet20_cifar10": 40.81,
    "resnet8_mlperftiny": 12.50,
    "vgg_small_cifar10jpeg": 22.10,
    "vww_mobilenetv1_025_96": 7.49,
}
LARGE = {"mobilenet_v1_025_224": 41.0, "mobilenet_v2_100_224": 300.8}


@pytest.mark.parametrize(("name", "macs"), {**SMALL, **LARGE}.items())
def test_network(shared_models, name, macs):
    path = shared_models / f"{name}.onnx"
    graph = check(path, images=1 if name in LARGE else 2, tolerance=2e-4)
    assert sum(graph.macs(node) for node in graph) == pytest.approx(macs * 1e6, rel=0.02)
    assert not any(node.clamped and isinstance(node, Pool) and node.window.kernel == (1, 1)
                   for node in graph)
    assert graph.metadata.get("preprocess", "{}").startswith("{")
    json.loads(graph.metadata.get("preprocess", "{}"))


def test_batch_normalization_is_gone(shared_models):
    graph = load_graph(shared_models / "resnet20_cifar10.onnx")
    assert kinds(graph).count("Conv") == 22
    assert kinds(graph).count("Add") == 9
    assert len(graph.nodes) == 32


def test_dead_channels_are_folded_exactly(shared_models):
    graph = load_graph(shared_models / "mobilenet_v1_025_224.onnx")
    convolutions = [node for node in graph if isinstance(node, Conv)]
    assert len(convolutions) == 28
    assert all(np.isfinite(node.weight).all() and np.isfinite(node.bias).all()
               for node in convolutions)


def test_shipped_network(lenet):
    graph = check(lenet)
    assert isinstance(graph.nodes[0], Conv)
    assert graph.input_dims == (1, 28, 28)


@pytest.mark.parametrize("name", ["lenet_caffe_mnist", "resnet8_mlperftiny", "kws_dscnn"])
def test_published_outputs(shared_models, shared_data, name):
    """The reference outputs come with the networks, made by others."""
    expected = np.load(shared_data / "ref_outputs_dev.npz")[name]
    graph = load_graph(shared_models / f"{name}.onnx")
    images = _images(shared_data, name, graph)
    found = FloatReference(graph).run(images)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    values = float_execute(graph, images)[graph.output].reshape(len(images), -1)
    np.testing.assert_allclose(values, expected, atol=1e-4)


def _images(folder, name, graph):
    data = {"lenet_caffe_mnist": "mnist", "resnet8_mlperftiny": "cifar10", "kws_dscnn": "kws"}[name]
    with np.load(folder / f"{data}_dev.npz") as file:
        raw = file["eval_x"][:8].astype(np.float32)
    if name == "kws_dscnn":
        return ((raw - 83) * np.float32(0.58470)).reshape(8, *graph.input_dims)
    if name == "lenet_caffe_mnist":
        return (raw / 256).reshape(8, *graph.input_dims)
    return raw.transpose(0, 3, 1, 2)


# Random networks: right, or refused.

def _random_window(rng):
    attributes = {"strides": rng.integers(1, 3, 2).tolist()}
    match rng.integers(3):
        case 0:
            attributes["pads"] = rng.integers(0, 2, 4).tolist()
        case 1:
            attributes["auto_pad"] = str(rng.choice(["SAME_UPPER", "SAME_LOWER", "VALID"]))
    if rng.integers(3) == 0:
        attributes["dilations"] = rng.integers(1, 3, 2).tolist()
    return attributes


def _random_step(rng, net, y, channels):
    """Add a random operator; return its output and number of channels."""
    match str(rng.choice(["conv", "depthwise", "pool", "bn", "arithmetic", "clamp", "pad", "add"])):
        case "conv":
            groups = int(rng.choice([1, 2]))
            return net.conv(y, 4, channels // groups, *rng.integers(1, 4, 2), group=groups,
                            bias=bool(rng.integers(2)), **_random_window(rng)), 4
        case "depthwise":
            return net.conv(y, channels, 1, 3, 3, group=channels,
                            **_random_window(rng)), channels
        case "pool":
            operator = str(rng.choice(["MaxPool", "AveragePool"]))
            attributes = {"kernel_shape": rng.integers(2, 4, 2).tolist(),
                          "ceil_mode": int(rng.integers(2)),
                          **_random_window(rng)}
            if operator == "AveragePool":
                attributes["count_include_pad"] = int(rng.integers(2))
            return net.node(operator, y, **attributes), channels
        case "bn":
            return net.batch_normalization(y, channels), channels
        case "arithmetic":
            operator = str(rng.choice(["Add", "Sub", "Mul"]))
            return net.node(operator, y, net.random(channels, 1, 1)), channels
        case "clamp":
            bounds = [net.constant(v) for v in (rng.choice([-1, 0]), rng.choice([1, 6]))]
            return net.node("Clip", y, *bounds), channels
        case "pad":
            top, left, bottom, right = rng.integers(0, 2, 4)
            return net.node("Pad", y, net.integers(0, 0, top, left, 0, 0, bottom, right)), channels
        case "add":
            other = net.conv(y, channels, channels, 3, 3, pads=[1, 1, 1, 1])
            return net.node("Add", y, net.node("Relu", other)), channels


@pytest.mark.parametrize("seed", range(150))
def test_random_network(tmp_path, seed):
    rng = np.random.default_rng(seed)
    net = Builder(["n", 4, 12, 11], opset=int(rng.choice([19, 21])), seed=seed)
    y, channels = "x", 4
    for _ in range(rng.integers(2, 8)):
        y, channels = _random_step(rng, net, y, channels)
    if rng.integers(2):
        y = net.node("GlobalAveragePool", y)
        net.node("Gemm", net.node("Flatten", y), net.random(channels, 5), net.random(5))
        net.node("Softmax", net.nodes[-1].output[0])
    path = net.save(tmp_path)
    known = ("runtimes differ|onnxruntime refuses or ignores|hold a whole window|"
             "is larger than the input")
    try:
        graph = load_graph(path)
    except ModelError:
        with pytest.raises(ModelError, match=known):
            load_graph(path)
        return
    assert not any(isinstance(node, Softmax) for node in graph.nodes[:-1])
    check(path, images=2, tolerance=1e-4)
