"""Inputs that break usual assumptions: exact, sane results, or errors that say what is wrong."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arch.formats import Format
from quantizer.accumulators import check_limits
from quantizer.errors import ModelError
from quantizer.execute import execute, quantize_input
from quantizer.model import Limits
from quantizer.search import quantize
from quantizer.search.rules import RangeRule
from quantizer.search.weights import choose_frac
from tests.quantizer.networks import (
    SlowReference,
    conv,
    inputs_for,
    make_graph,
    quantized,
    small_graph,
)


WAYS = (
    {}, {"per_channel": True}, {"precision": "static"}, {"ranges": "entropy"},
    {"ranges": "percentile"}, {"ranges": "mode"}, {"ranges": "max", "weight_rounding": "feedback"},
    {"weight_rounding": "learned", "refine": True},
)


def worst_steps(model, images):
    """Return the largest error of the output, in steps of its format."""
    exact = SlowReference(model.graph).tensors(images)[model.graph.output]
    fmt = model.formats[model.graph.output]
    codes = execute(model, quantize_input(model, images))[model.graph.output]
    return np.abs(fmt.dequantize(codes) - exact).max() / fmt.step


@pytest.mark.parametrize("options", WAYS)
@pytest.mark.parametrize("value", [0.0, 0.75, -3.0])
def test_constant_images(options, value):
    graph = small_graph()
    images = np.full((3, *graph.input_dims), value, np.float32)
    model = quantized(graph, images, **options)
    check_limits(model, Limits())
    assert worst_steps(model, images) < 40
    assert model.formats["x"].signed == (value < 0)


@pytest.mark.parametrize("options", WAYS)
def test_a_single_image(options):
    graph = small_graph()
    images = inputs_for(graph, 1)
    model = quantized(graph, images, **options)
    check_limits(model, Limits())
    assert worst_steps(model, images) < 40


@pytest.mark.parametrize("options", WAYS)
def test_all_weights_zero(options):
    node = conv(np.random.default_rng(0), "c", "x", 2, 3)
    node.weight[:] = 0
    graph = make_graph((2, 3, 3), [node])
    model = quantized(graph, **options)
    assert not model.weights["c"].codes.any()
    assert worst_steps(model, inputs_for(graph)) <= 0.51
    node.bias[:] = 0
    model = quantized(graph, **options)
    assert worst_steps(model, inputs_for(graph)) == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_refuses_images_that_are_not_finite(value):
    graph = small_graph()
    images = inputs_for(graph, 3)
    images[1, 0, 0, 0] = value
    with pytest.raises(ModelError) as error:
        quantized(graph, images)
    assert str(error.value) == (
        "Calibration images must be finite: number 1 holds NaN or infinity; check the images and "
        "the preprocessing")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("part", ["weight", "bias"])
def test_refuses_weights_that_are_not_finite(value, part):
    graph = small_graph()
    getattr(graph.node("conv2"), part).flat[1] = value
    with pytest.raises(ModelError) as error:
        quantize(graph, inputs_for(graph), reference=SlowReference(small_graph()))
    assert str(error.value) == (
        f"node 'conv2': {part} must be finite, and holds NaN or infinity; check how the network "
        "was exported")


def test_refuses_no_images():
    with pytest.raises(ModelError) as error:
        quantized(small_graph(), inputs_for(small_graph(), 1)[:0])
    assert str(error.value) == "Calibration images must be at least one, not none"


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1 << 16), st.sampled_from(["l1", "l2"]), st.booleans())
def test_error_of_weights_falls_with_bits(seed, kind, per_channel):
    """One bit more never makes the best format worse."""
    node = conv(np.random.default_rng(seed), "c", "x", 5, 3)
    before = np.inf
    for bits in range(2, 17):
        frac, _ = choose_frac(node, bits, RangeRule(kind), per_channel=per_channel)
        scale = frac[:, None, None, None]
        codes = Format(bits, 0).quantize(np.ldexp(node.weight.astype(float), scale))
        errors = np.abs(np.ldexp(codes.astype(float), -scale) - node.weight)
        error = errors.sum() if kind == "l1" else (errors**2).sum()
        assert error <= before
        before = error


@given(st.integers(2, 16), st.integers(-20, 20), st.booleans(),
       st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=30))
def test_formats_are_idempotent_saturating_and_monotone(bits, frac, signed, values):
    fmt = Format(bits, frac, signed)
    codes = fmt.quantize(np.sort(values))
    real = fmt.dequantize(codes)
    np.testing.assert_array_equal(fmt.quantize(real), codes)
    assert (np.diff(codes) >= 0).all()
    assert fmt.min <= codes.min() <= codes.max() <= fmt.max
    assert fmt.quantize([2e30, -2e30]).tolist() == [fmt.max, fmt.min]
    inside = np.abs(real - np.sort(values)) <= fmt.step / 2
    clipped = (codes == fmt.min) | (codes == fmt.max)
    assert (inside | clipped).all()
