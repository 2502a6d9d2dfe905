"""Corrected biases: means of taps, and means of results."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantizer.execute import execute, quantize_input
from quantizer.graph import ConvTranspose, Window
from quantizer.search.correct import tap_means
from tests.quantizer.networks import (
    SlowReference,
    conv,
    conv_transpose,
    inputs_for,
    make_graph,
    quantized,
    small_graph,
)
from tests.quantizer.test_execute import windows


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 7), st.integers(1, 7), st.integers(0, 99))
def test_tap_means_are_those_of_the_output(data, height, width, seed):
    rng = np.random.default_rng(seed)
    node = conv(rng, "a", "x", 2, 3, window=data.draw(windows(height, width)))
    _assert_mean(node, rng.standard_normal((2, height, width)))


@pytest.mark.parametrize("window", [
    Window(), Window((3, 3), (2, 2), (1, 1, 1, 1)), Window((2, 3), (3, 1), (0, 1, 0, 2)),
    Window((3, 2), (1, 2), (3, 0, 2, 0), (2, 1))])
@pytest.mark.parametrize("padding", [(0, 0), (1, 0)])
def test_tap_means_of_transposed_convolutions(window, padding):
    rng = np.random.default_rng(1)
    if padding[0] >= window.strides[0]:
        padding = (0, 0)
    node = conv_transpose(rng, "a", "x", 2, 3, window, output_padding=padding)
    assert isinstance(node, ConvTranspose)
    _assert_mean(node, rng.standard_normal((2, 5, 4)))


def _assert_mean(node, x):
    graph = make_graph(x.shape, [node])
    image = x[None].astype(np.float32)
    exact = SlowReference(graph).tensors(image)["a_out"][0].mean((1, 2))
    taps = tap_means(node, image[0].astype(np.float64))
    np.testing.assert_allclose(
        (node.weight * taps).sum((1, 2, 3)) + node.bias, exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("precision", ["dynamic", "static"])
def test_means_of_the_result_are_those_of_float(precision):
    graph = small_graph()
    images = inputs_for(graph, 20)
    exact = SlowReference(graph).tensors(images)[graph.output].mean((0, 2, 3))

    def miss(**options):
        model = quantized(graph, images, weight_bits=4, precision=precision, **options)
        codes = execute(model, quantize_input(model, images))[graph.output]
        return np.abs(model.formats[graph.output].dequantize(codes).mean((0, 2, 3)) - exact)

    assert miss().max() > 0.02
    assert miss(correct=True).max() < 0.01


def test_correction_survives_new_integers():
    graph = small_graph()
    model = quantized(graph, weight_bits=4, correct=True)
    weights, node = model.weights["fc"], graph.node("fc")
    assert weights.correction.any()
    frac = model.formats[node.inputs[0]].frac + weights.frac
    np.testing.assert_array_equal(
        weights.bias, np.rint(np.ldexp(node.bias + weights.correction, frac)))
