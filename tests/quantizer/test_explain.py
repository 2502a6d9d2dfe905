"""Explanations against recomputation by hand."""

import json

import numpy as np
import pytest

from arch.formats import Format
from quantizer.errors import ModelError
from quantizer.execute import execute, quantize_input
from quantizer.explain import explain
from quantizer.onnx_import import load_graph
from quantizer.ranges import snr_db
from quantizer.search import quantize
from quantizer.search.weights import integer_weights
from tests.quantizer.networks import SlowReference, inputs_for, quantized, small_graph


@pytest.fixture(scope="module")
def graph():
    return small_graph(softmax=True)


def explained(model, layer, **more):
    return explain(
        model, layer, inputs_for(model.graph), reference=SlowReference(model.graph), **more)


def test_tensor(graph):
    model = quantized(graph, fuse_add=False)
    images = inputs_for(graph)
    found = explained(model, "conv2")
    assert (found.layer, found.operator, found.name) == ("conv2", "Conv", "conv2_out")
    chosen = model.formats["conv2_out"]
    assert found.format == chosen
    exact = SlowReference(graph).tensors(images)
    assert found.range == (exact["conv2_out"].min(), exact["conv2_out"].max())
    assert [c.frac for c in found.candidates] == [chosen.frac + d for d in (-1, 0, 1)]
    assert [c.chosen for c in found.candidates] == [False, True, False]
    assert found.chosen_by == (
        f"search: least sum of squared errors of fractional lengths "
        f"{model.provenance['chosen']['conv2_out']['natural'] - 1}.."
        f"{model.provenance['chosen']['conv2_out']['natural'] + 4}")
    for candidate in found.candidates:
        model.formats["conv2_out"] = fmt = Format(8, candidate.frac)
        codes = execute(model, quantize_input(model, images))
        assert candidate.snr_db == pytest.approx(
            snr_db(exact["conv2_out"], fmt.dequantize(codes["conv2_out"])))
        assert candidate.network_snr_db == pytest.approx(
            snr_db(exact["fc_out"], model.formats["fc_out"].dequantize(codes["fc_out"])))
        scaled = np.rint(exact["conv2_out"].astype(float) / fmt.step)
        assert candidate.clipped == pytest.approx(np.mean(abs(scaled - np.clip(
            scaled, -128, 127)) > 0))
    assert found.candidates[2].clipped > found.candidates[0].clipped


def test_consumers_follow(graph):
    """Another format of a tensor moves the biases of the convolutions that read it."""
    model = quantized(graph, fuse_add=False)
    found = explained(model, "mean_out")
    images = inputs_for(graph)
    fmt = model.formats["mean_out"]
    model.formats["mean_out"] = Format(8, fmt.frac + 1, fmt.signed)
    fc = graph.node("fc")
    model.weights["fc"] = integer_weights(fc, 8, model.weights["fc"].frac, fmt.frac + 1)
    codes = execute(model, quantize_input(model, images))["fc_out"]
    exact = SlowReference(graph).tensors(images)["fc_out"]
    assert found.candidates[2].network_snr_db == pytest.approx(
        snr_db(exact, model.formats["fc_out"].dequantize(codes)))
    assert found.weights is None


def test_weights(graph):
    model = quantized(graph, ranges="l1")
    found = explained(model, "fc").weights
    weights = model.weights["fc"]
    assert found.name == "fc.weights"
    assert found.chosen_by == (
        "search: least sum of absolute errors of fractional lengths -1..4 steps from the natural "
        "one")
    assert [c.frac for c in found.candidates] == [weights.frac[0] + d for d in (-1, 0, 1)]
    node = graph.node("fc")
    assert found.range == (node.weight.min(), node.weight.max())
    value = weights.codes * 2.0 ** -weights.frac[0]
    assert found.candidates[1].snr_db == pytest.approx(snr_db(node.weight, value))
    assert found.candidates[2].clipped > 0
    network = explained(model, "fc").candidates[1].network_snr_db
    assert found.candidates[1].network_snr_db == network


def test_weights_per_channel():
    graph = small_graph()
    graph.node("conv1").weight[0] *= 8
    model = quantized(graph, per_channel=True)
    found = explained(model, "conv1").weights
    fracs = model.weights["conv1"].frac
    assert found.fracs == (fracs.min(), fracs.max())
    assert fracs.min() < fracs.max()
    assert [c.frac for c in found.candidates] == [-1, 0, 1]


def test_pooling_moves_with_its_input(graph):
    model = quantized(graph)
    found = explained(model, "pool1")
    assert found.chosen_by == "maximum pooling keeps the format of its input"
    assert [c.frac - found.format.frac for c in found.candidates] == [-1, 0, 1]
    assert found.candidates[0].network_snr_db == explained(
        model, "conv1").candidates[0].network_snr_db


def test_input_and_override_and_static(graph):
    model = quantized(graph, overrides={"x": Format(8, 5)})
    found = explained(model, "x")
    assert (found.layer, found.operator, found.chosen_by) == ("x", "Input", "override")
    model = quantized(graph, precision="static", fuse_add=False)
    assert explained(model, "add").chosen_by.startswith(
        "static: least sum of squared errors of fractional lengths ")
    model.provenance = {}
    assert explained(model, "add").chosen_by == "unknown: the model does not say"


def test_obstacle(graph):
    model = quantized(graph)
    model.formats["conv1_out"] = Format(8, int(
        model.formats["x"].frac + model.weights["conv1"].frac[0]), signed=False)
    model.formats["pool1_out"] = model.formats["conv1_out"]
    candidate = explained(model, "conv1").candidates[2]
    assert candidate.obstacle.startswith(
        "node 'conv1': right shift must be in 0..31 bits, not -1")
    assert np.isnan(candidate.snr_db)


def test_batches_and_progress(graph, monkeypatch):
    model = quantized(graph)
    whole = explained(model, "conv2")
    monkeypatch.setattr("quantizer.explain.batches", lambda graph, count: (
        slice(i, i + 1) for i in range(count)))
    calls = []
    pieces = explained(model, "conv2", progress=lambda *call: calls.append(call))
    for a, b in zip(whole.candidates, pieces.candidates, strict=True):
        assert a.snr_db == pytest.approx(b.snr_db)
        assert a.clipped == pytest.approx(b.clipped)
    assert calls[0] == ("explain", 0, 6)
    assert calls[-1] == ("explain", 6, 6)


def test_to_json(graph):
    found = explained(quantized(graph), "conv1").to_json()
    assert json.loads(json.dumps(found))["weights"]["name"] == "conv1.weights"


def test_shipped_network(lenet, mnist):
    graph = load_graph(lenet)
    images = np.load(mnist)["calib_x"][:16, None].astype(np.float32) / 255
    found = explain(quantize(graph, images), graph.nodes[0].name, images)
    assert found.candidates[1].network_snr_db > 20
    assert found.weights.candidates[1].snr_db > 30


@pytest.mark.parametrize(("layer", "message"), [
    ("conv3", "'conv3' must be a layer or tensor of 'net'; did you mean 'conv2'?"),
    ("zzzzzz", ("'zzzzzz' must be a layer or tensor of 'net'; layers are conv1, pool1, conv2, add, "
                "mean, fc")),
])
def test_refuses_unknown_layer(graph, layer, message):
    with pytest.raises(ModelError) as error:
        explained(quantized(graph, fuse_add=False), layer)
    assert str(error.value) == message


def test_refuses_empty_calibration(graph):
    with pytest.raises(ModelError, match="Calibration images must be at least one"):
        explain(quantized(graph), "conv1", np.zeros((0, 3, 8, 8)))
