"""Absorbed biases: the same network in float, less noise in fixed point."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantizer.execute import execute, quantize_input, run
from quantizer.export import ort_tensors
from quantizer.graph import Add, Concat, ConvTranspose, Pool, Window
from quantizer.prepare import ScaledReference, ShiftedReference, choose_shifts, shift_graph
from quantizer.ranges import snr_db
from quantizer.storage import load, save
from tests.quantizer.networks import (
    SlowReference,
    conv,
    conv_transpose,
    inputs_for,
    make_graph,
    quantized,
)
from tests.quantizer.prepare.test_scale import random_exponents
from tests.quantizer.test_execute import assert_same


SAME = Window((3, 3), pads=(1, 1, 1, 1))
VALID = Window((2, 3))


def first(rng, bias, *, hi=np.inf, lo=0.0):
    """Return a convolution of 2 channels with given biases, whose products are in -1 … 1."""
    node = conv(rng, "a", "x", 2, len(bias), window=SAME)
    weight = node.weight / np.abs(node.weight).sum((1, 2, 3), keepdims=True)
    return replace(node, weight=weight, bias=np.array(bias, float), lo=lo, hi=hi)


def network(bias, *, seed=0, hi=np.inf, lo=0.0, window=VALID, groups=1):
    rng = np.random.default_rng(seed)
    kernels = len(bias)
    return make_graph((2, 5, 6), [
        first(rng, bias, hi=hi, lo=lo),
        conv(rng, "b", "a_out", kernels, kernels, groups=groups, window=window)])


def shifts_of(graph, images=None):
    return choose_shifts(
        graph, SlowReference(graph), inputs_for(graph) if images is None else images)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-3, 30), min_size=4, max_size=4), st.sampled_from([np.inf, 6.0, 25.0]),
    st.booleans(), st.sampled_from([VALID, Window()]), st.sampled_from([1, 2, 4]),
    st.integers(0, 99))
def test_exact_on_calibration_images(bias, hi, scaled, window, groups, seed):
    graph = network(bias, seed=seed, hi=hi, window=window, groups=groups)
    images = inputs_for(graph, 4, seed)
    reference = SlowReference(graph)
    if scaled:
        from quantizer.prepare import scale_graph
        exponents = random_exponents(graph, np.random.default_rng(seed))
        graph = scale_graph(graph, exponents)
        reference = ScaledReference(reference, exponents)
    shifts = choose_shifts(graph, reference, images)
    shifted = shift_graph(graph, shifts)
    expected = ShiftedReference(reference, shifts).tensors(images)
    found = SlowReference(shifted).tensors(images)
    for name, values in expected.items():
        size = np.abs(reference.tensors(images)[name]).max((0, 2, 3))[:, None, None]
        tolerance = 1e-5 * np.maximum(size, size.max() if name == "b_out" else size)
        assert (np.abs(found[name] - values) <= tolerance).all(), name
    for name, values in shifts.items():
        exponent = graph.exponents.get(name, np.zeros(len(values), int))
        np.testing.assert_array_equal(shifted.offsets[name], values * 2.0**-exponent)


def test_only_channels_that_are_never_clamped():
    graph = network([0.0, 20.0, -5.0, 0.1])
    shifts = shifts_of(graph)["a_out"]
    least = SlowReference(graph).tensors(inputs_for(graph))["a_out"].min((0, 2, 3))
    assert (shifts > 0).tolist() == [False, True, False, False]
    assert 18 < shifts[1] <= least[1]
    before, after = graph.nodes[0], shift_graph(graph, {"a_out": shifts}).nodes[0]
    np.testing.assert_array_equal((before.bias - after.bias), shifts)
    np.testing.assert_array_equal(before.weight, after.weight)


def test_never_more_than_the_smallest_value():
    graph = network([5.0])
    images = np.zeros((400, 2, 5, 6), np.float32)
    images[0] = -np.sign(graph.nodes[0].weight[0]).mean((1, 2), keepdims=True)
    smallest = SlowReference(graph).tensors(images)["a_out"]
    assert smallest.mean() - 3 * smallest.std() > smallest.min()
    assert shifts_of(graph, images)["a_out"][0] == smallest.min()


def test_clamps_follow_their_channels():
    graph = network([3.0, 0.0, 5.0], hi=6.0)
    shifts = shifts_of(graph)["a_out"]
    node = shift_graph(graph, {"a_out": shifts}).nodes[0]
    assert node.hi == 6
    assert node.upper.tolist() == (6 - shifts).tolist()
    single = network([4.0], hi=6.0)
    node = shift_graph(single, shifts_of(single)).nodes[0]
    assert node.upper.size == 0
    assert 0 < node.hi < 4


def test_held_at_the_upper_clamp():
    assert not shifts_of(network([20.0, 20.0], hi=6.0))


@pytest.mark.parametrize("readers", [
    lambda rng: [conv(rng, "b", "a_out", 3, 3, window=SAME)],
    lambda rng: [conv(rng, "b", "a_out", 3, 3, window=Window((1, 2), pads=(0, 0, 0, 1)))],
    lambda rng: [conv_transpose(rng, "b", "a_out", 3, 3, VALID)],
    lambda rng: [Pool("b", ("a_out",), "b_out", window=VALID)],
    lambda rng: [conv(rng, "b", "a_out", 3, 3), Add("s", ("b_out", "a_out"), "s_out")],
    lambda rng: [conv(rng, "b", "a_out", 3, 3), Concat("s", ("b_out", "a_out"), "s_out")],
    lambda rng: [conv(rng, "b", "a_out", 3, 3),
                 replace(conv(rng, "c", "b_out", 3, 3), inputs=("b_out", "a_out"))],
    lambda rng: [],
], ids=["padded", "padded on one side", "transposed", "pool", "add", "concat", "addend", "output"])
def test_other_readers_are_refused(readers):
    rng = np.random.default_rng(0)
    graph = make_graph((2, 5, 6), [first(rng, [20.0, 30.0, 40.0]), *readers(rng)])
    assert not shifts_of(graph)
    model = quantized(graph, absorb=True, fuse_add=False)
    assert not model.graph.offsets
    assert model.graph.nodes[0].bias.tolist() == [20, 30, 40]


def test_other_clamps_are_refused():
    assert not shifts_of(network([20.0], lo=-np.inf))
    assert not shifts_of(network([20.0], lo=1.0))


def test_behind_a_transposed_convolution():
    rng = np.random.default_rng(0)
    node = first(rng, [20.0, 30.0])
    graph = make_graph((2, 5, 6), [ConvTranspose(**vars(node)), conv(rng, "b", "a_out", 2, 3)])
    images = inputs_for(graph)
    shifted = shift_graph(graph, shifts_of(graph))
    assert shifted.offsets
    np.testing.assert_allclose(
        SlowReference(shifted).tensors(images)["b_out"],
        SlowReference(graph).tensors(images)["b_out"], atol=1e-4)


def biased(hi=np.inf):
    """Return a network with large biases, which the second convolution takes away again."""
    graph = network([20.0, 18.0, 0.0, 12.0], hi=hi)
    a, b = graph.nodes
    return replace(graph, nodes=[a, replace(b, bias=-(b.weight.sum((2, 3)) @ a.bias))])


def loss(graph, **options):
    model = quantized(graph, inputs_for(graph, 16), **options)
    images = inputs_for(graph, 8, 5)
    exact = SlowReference(graph).tensors(images)[graph.output]
    return snr_db(exact.ravel(), run(model, images).ravel())


@pytest.mark.parametrize("options", [{}, {"equalize": True}, {"precision": "static"}],
                         ids=["plain", "equalize", "static"])
def test_large_biases_cost_nothing(options):
    assert loss(biased(), absorb=True, **options) > loss(biased(), **options) + 10


@pytest.mark.parametrize("equalize", [False, True])
def test_engines_files_and_units(tmp_path, equalize):
    graph = biased(hi=20.5)
    model = quantized(graph, inputs_for(graph, 8), absorb=True, equalize=equalize)
    assert model.graph.nodes[0].upper.size
    images = inputs_for(graph, 4, 7)
    expected = execute(model, quantize_input(model, images))
    assert_same(ort_tensors(model, images), expected)
    exact = SlowReference(graph).tensors(images)
    for name, values in exact.items():  # in the units of the ONNX file
        assert snr_db(values, model.real(name, expected[name])) > 30, name
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert_same(execute(again, quantize_input(again, images)), expected)
    np.testing.assert_array_equal(again.graph.offsets["a_out"], model.graph.offsets["a_out"])
    assert bool(again.graph.exponents) is equalize
