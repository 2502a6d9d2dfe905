"""Rounding by the error of the output: against brute force, and in whole networks."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arch.formats import Format
from quantizer.accumulators import check_limits
from quantizer.errors import ModelError
from quantizer.execute import accumulate, execute, quantize_input, run
from quantizer.explain import explain
from quantizer.graph import ConvTranspose, Window
from quantizer.model import Limits, QuantizedModel, QuantizedWeights
from quantizer.onnx_import import load_graph
from quantizer.ranges import snr_db
from quantizer.reference import FloatReference
from quantizer.search import quantize
from quantizer.search.rounding import quadratic
from quantizer.search.rounding.descent import descend
from quantizer.search.rounding.feedback import Feedback
from quantizer.search.rounding.patches import output_size, patches
from quantizer.search.rounding.quadratic import blocks, gather
from tests.quantizer.networks import (
    SlowReference,
    conv,
    inputs_for,
    make_graph,
    quantized,
    small_graph,
)
from tests.quantizer.test_export import assert_engines_equal


FOUR = Format(4, 0)


def problem(seed, groups=1, kernels=3, size=6):
    """Return a positive definite matrix and real weights in units of a code."""
    rng = np.random.default_rng(seed)
    factor = rng.standard_normal((groups, size, size))
    target = rng.uniform(-9, 9, (groups, kernels, size))
    return factor @ factor.transpose(0, 2, 1) + 0.1 * np.eye(size), target


def cost(hessian, target, codes):
    difference = codes - target
    return np.einsum("gki,gij,gkj->gk", difference, hessian, difference)


@pytest.mark.parametrize("node", [
    conv(np.random.default_rng(0), "c", "x", 4, 6,
         window=Window((3, 2), (2, 1), (1, 0, 2, 1), (1, 2))),
    conv(np.random.default_rng(1), "c", "x", 4, 6, groups=2, window=Window((2, 2))),
    conv(np.random.default_rng(2), "c", "x", 4, 8, groups=4, window=Window((3, 3))),
])
@pytest.mark.parametrize("transposed", [False, True])
def test_patches_times_kernels_is_the_convolution(node, transposed):
    if transposed:
        node = ConvTranspose(
            node.name, node.inputs, node.output, window=node.window, groups=node.groups,
            weight=node.weight, bias=node.bias, output_padding=(1, 0))
    rng = np.random.default_rng(3)
    codes = rng.integers(-8, 8, node.weight.shape)
    x = rng.integers(0, 16, (1, 7, 6, 4)).astype(np.uint8)
    graph = make_graph((4, 7, 6), [node])
    zeros = np.zeros(len(codes), np.int64)
    weights = QuantizedWeights(codes, 4, zeros, zeros)
    model = QuantizedModel(graph, {"x": Format(4, 0, signed=False)}, {"c": weights})
    lines, columns = output_size(node, 7, 6)
    expected = np.zeros((lines, columns, len(codes)))
    for tile in accumulate(model, node, {"x": x}):
        expected[tile.lines] = tile.values[0]
    positions = np.arange(lines * columns)[::2]
    kernels = codes.reshape(node.groups, len(codes) // node.groups, -1)
    found = patches(x[0], node, positions).astype(float) @ kernels.transpose(0, 2, 1)
    np.testing.assert_array_equal(
        found.transpose(1, 0, 2).reshape(len(positions), -1),
        expected.reshape(-1, len(codes))[::2])


def test_quadratic_form_is_the_error_of_the_output(monkeypatch):
    """Differences between two choices of weights, each with its best bias, without damping."""
    monkeypatch.setattr(quadratic, "_DAMPING", 1e-9)
    monkeypatch.setattr(quadratic, "_UNSEEN_DAMPING", 0)
    monkeypatch.setattr(quadratic, "_PRECISION", 0)
    rng = np.random.default_rng(0)
    node = conv(rng, "c", "x", 3, 4, window=Window((3, 3), pads=(1, 1, 1, 1)))
    x = rng.integers(0, 16, (5, 6, 6, 3))
    exact = (x / 4 + rng.normal(0, 0.1, x.shape)).astype(np.float32)
    form = gather(node, slice(0, 27), x, 0.25, exact)
    places = np.arange(36)
    seen = np.concatenate([patches(image, node, places)[0] for image in x * 0.25])
    wanted = np.concatenate([patches(image, node, places)[0] for image in exact.astype(float)]) @ (
        node.weight.reshape(4, -1).T)

    def error(weights):
        difference = seen @ weights.T - wanted
        assert form.mean_error(weights[None])[0] == pytest.approx(-difference.mean(0), abs=1e-6)
        return difference.var(0)

    a, b = rng.normal(0, 1, (2, 4, 27))
    assert (form.errors(a[None]) - form.errors(b[None]))[0] == pytest.approx(
        error(a) - error(b), rel=1e-4)
    assert (error(form.target[0]) < error(node.weight.reshape(4, -1).astype(float))).all()


@given(st.integers(0, 1 << 16), st.integers(1, 3), st.integers(2, 8))
def test_learned_is_no_worse_and_cannot_be_bettered(seed, groups, bits):
    hessian, target = problem(seed, groups)
    fmt = Format(bits, 0)
    start = Feedback(hessian)(target, fmt)
    found = descend(hessian, target, start, fmt)
    assert found.min() >= fmt.min
    assert found.max() <= fmt.max
    best = cost(hessian, target, found)
    assert (best <= cost(hessian, target, start) + 1e-9).all()
    for index, step in itertools.product(range(target.shape[2]), (-1, 1)):
        moved = found.copy()
        moved[:, :, index] = np.clip(moved[:, :, index] + step, fmt.min, fmt.max)
        assert (cost(hessian, target, moved) >= best - 1e-9).all()


@given(st.integers(0, 1 << 16))
def test_codes_stay_codes(seed):
    """Rounding what is rounded already changes nothing."""
    hessian, target = problem(seed, 2)
    codes = np.clip(np.rint(target), FOUR.min, FOUR.max)
    np.testing.assert_array_equal(Feedback(hessian)(codes, FOUR), codes)
    np.testing.assert_array_equal(descend(hessian, codes, codes, FOUR), codes)


def test_feedback_beats_nearest():
    """On average, over more inputs than a block has."""
    hessian, target = problem(0, 2, 40, 150)
    target *= 0.6
    nearest = np.clip(np.rint(target), FOUR.min, FOUR.max)
    found = Feedback(hessian)(target, FOUR)
    assert cost(hessian, target, found).mean() < 0.5 * cost(hessian, target, nearest).mean()


def test_feedback_by_hand():
    """The second weight makes up for the first; the one with more power comes first."""
    hessian = np.array([[[4.0, 1.8], [1.8, 1.0]]])
    assert Feedback(hessian)(np.array([[[0.4, 0.0]]]), FOUR).tolist() == [[[0, 1]]]
    turned = hessian[:, ::-1, ::-1]
    assert Feedback(turned)(np.array([[[0.0, 0.4]]]), FOUR).tolist() == [[[1, 0]]]


def network_error(model, images):
    exact = SlowReference(model.graph).tensors(images)["fc_out"]
    codes = execute(model, quantize_input(model, images))["fc_out"]
    return ((model.formats["fc_out"].dequantize(codes) - exact)**2).sum()


@pytest.mark.parametrize("options", [
    {}, {"per_channel": True}, {"precision": "static"}, {"ranges": "max"},
])
@pytest.mark.parametrize("rounding", ["feedback", "learned"])
def test_network_is_nearer_to_float(rounding, options):
    graph = small_graph()
    images = inputs_for(graph, 40)
    model = quantized(graph, images, weight_bits=3, weight_rounding=rounding, **options)
    nearest = quantized(graph, images, weight_bits=3, **options)
    assert network_error(model, images) < 0.7 * network_error(nearest, images)
    check_limits(model, Limits())
    assert_engines_equal(model, images[:5])
    again = quantized(graph, images, weight_bits=3, weight_rounding=rounding, **options)
    for name, weights in model.weights.items():
        np.testing.assert_array_equal(weights.codes, again.weights[name].codes)
        assert weights.codes.min() >= -4
        assert weights.codes.max() <= 3


def test_kernels_in_parts(monkeypatch):
    """Kernels with more inputs than are judged together."""
    graph = small_graph()
    images = inputs_for(graph, 20)
    monkeypatch.setattr(quadratic, "_LARGEST", 10)
    node = graph.node("conv2")
    parts = blocks(node)
    assert [part.stop for part in parts[:-1]] == [part.start for part in parts[1:]]
    assert max(part.stop - part.start for part in parts) <= 10
    model = quantized(graph, images, weight_bits=3, weight_rounding="learned")
    assert network_error(model, images) < network_error(
        quantized(graph, images, weight_bits=3), images)


def test_overrides_and_limits_are_kept():
    graph = small_graph()
    model = quantized(graph, weight_rounding="learned", overrides={"conv2.weights": Format(4, 5)})
    assert set(model.weights["conv2"].frac) == {5}
    assert model.weights["conv2"].bits == 4
    node = conv(np.random.default_rng(0), "c", "x", 50, 2)
    narrow = make_graph((50, 2, 2), [node])
    check_limits(
        quantized(narrow, limits=Limits(acc_bits=18), weight_rounding="feedback"),
        Limits(acc_bits=18))


def test_images_without_information():
    """Inputs that are always zero, or always the same, leave weights rounded to nearest."""
    node = conv(np.random.default_rng(0), "c", "x", 2, 3)
    graph = make_graph((2, 3, 3), [node])
    for value in (0.0, 0.5):
        images = np.full((1, 2, 3, 3), value, np.float32)
        model = quantized(graph, images, weight_rounding="learned")
        plain = quantized(graph, images)
        np.testing.assert_array_equal(model.weights["c"].codes, plain.weights["c"].codes)
        found = execute(model, quantize_input(model, images))["c_out"]
        exact = SlowReference(graph).tensors(images)["c_out"]
        error = np.abs(model.formats["c_out"].dequantize(found) - exact)
        assert error.max() <= 0.51 * model.formats["c_out"].step


def test_is_explained():
    graph = small_graph()
    images = inputs_for(graph, 20)
    model = quantized(graph, images, weight_bits=4, weight_rounding="learned")
    found = explain(model, "conv2", images, reference=SlowReference(graph))
    assert "; learned rounding chose codes" in found.weights.chosen_by
    assert found.weights.candidates[1].network_snr_db == found.candidates[1].network_snr_db


def test_refuses_rounding():
    with pytest.raises(ModelError) as error:
        quantized(small_graph(), weight_rounding="up")
    assert str(error.value) == (
        "weight_rounding must be nearest, feedback or learned, not 'up'")


@pytest.mark.parametrize(("bits", "least"), [(8, 34.0), (4, 24.0)])
def test_glyphs(shared_models, shared_data, bits, least):
    """Brevitas without training: 33 dB and 11 dB, with scales that are powers of two."""
    graph = load_graph(shared_models / "glyphs.onnx")
    data = np.load(shared_data / "glyphs_dev.npz")
    reference = FloatReference(graph)
    shape = (-1, *graph.input_dims)
    model = quantize(
        graph, data["calib_x"][:100].reshape(shape), reference=reference, weight_bits=bits,
        weight_rounding="feedback")
    images = data["eval_x"][:500].reshape(shape)
    assert snr_db(reference.run(images), run(model, images)) > least


def test_images_that_are_all_alike():
    """What their differences are is rounding of float32, and no direction of it is negative."""
    node = conv(np.random.default_rng(0), "a", "x", 4, 2, window=Window((8, 8)))
    codes = np.repeat(np.random.default_rng(1).integers(-32768, 32768, (1, 8, 8, 4)), 10, 0)
    form = gather(node, slice(0, 256), codes, 1e4, codes * np.float32(1e4))
    assert np.linalg.eigvalsh(form.hessian).min() > 0
    assert np.isfinite(form.feedback(form.target, Format(16, 0))).all()
