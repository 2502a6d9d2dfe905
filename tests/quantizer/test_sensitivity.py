"""Runs of changed networks from the changed layer on."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from arch.formats import Format
from quantizer.errors import ModelError
from quantizer.execute import output_name
from quantizer.graph import Conv
from quantizer.sensitivity import output_noise, rerun, run_all
from tests.quantizer.networks import (
    SlowReference,
    inputs_for,
    quantized,
    random_model,
    small_graph,
)
from tests.quantizer.test_execute import graphs


def _halved(weights):
    return replace(weights, codes=weights.codes // 2)


@settings(max_examples=40, deadline=None)
@given(graphs(), st.integers(0, 999))
def test_rerun_is_a_run_of_the_changed_network(graph, seed):
    rng = np.random.default_rng(seed)
    model = random_model(rng, graph)
    convs = [node for node in graph.accelerated if isinstance(node, Conv)]
    assume(convs)
    node = convs[rng.integers(len(convs))]
    changed = replace(model, weights={
        **model.weights, node.name: _halved(model.weights[node.name])})
    inputs = model.formats[graph.input].dequantize(
        rng.integers(-9, 9, (2, *graph.input_dims))).astype(np.float32)
    maps, wanted = run_all(model, inputs), run_all(changed, inputs)
    found = rerun(changed, maps, node)
    assert {**maps, **found}.keys() == wanted.keys()
    for name, codes in wanted.items():
        assert np.array_equal({**maps, **found}[name], codes), name


def _relative_error(model, inputs, reference):
    name = output_name(model.graph)
    exact = reference.tensors(inputs)[name]
    codes = run_all(model, inputs)[name].transpose(0, 3, 1, 2)
    error = np.square(model.formats[name].dequantize(codes) - exact).sum()
    return error / np.square(exact, dtype=np.float64).sum()


def test_noise_is_what_the_width_of_a_layer_adds():
    graph = small_graph()
    images, reference = inputs_for(graph, 5), SlowReference(graph)
    model = quantized(graph, images)
    narrower = {bits: quantized(graph, images, weight_bits=bits, overrides=model.formats)
                for bits in (2, 5)}
    seen = []
    noise = output_noise(model, narrower, images, reference, lambda *args: seen.append(args))
    before = _relative_error(model, images, reference)
    for name, widths in noise.items():
        for bits, added in widths.items():
            mixed = replace(model, weights={
                **model.weights, name: narrower[bits].weights[name]})
            expected = max(0.0, _relative_error(mixed, images, reference) - before)
            assert added == pytest.approx(expected, rel=1e-5, abs=1e-12)
    assert max(noise[name][2] for name in noise) > 0
    assert seen[-1][1] == seen[-1][2] == 2 * len(noise)


def test_formats_of_data_must_be_the_same():
    graph = small_graph()
    images = inputs_for(graph, 2)
    model, other = quantized(graph, images), quantized(graph, images, data_bits=7)
    with pytest.raises(ModelError, match="must have the same format with 4-bit weights"):
        output_noise(model, {4: other}, images, SlowReference(graph), lambda *args: None)


def test_narrow_weights_reach_the_formats_of_wide_ones():
    """Two bits are so coarse that products would have to be shifted to the left."""
    graph = small_graph()
    images = inputs_for(graph, 3)
    narrow = quantized(
        graph, images, fuse_add=False, weight_bits=2,
        overrides={"conv1_out": Format(8, 10, signed=False)})
    assert narrow.shifts(graph.node("conv1")).min() == 0
    assert "raised" in narrow.provenance["chosen"]["conv1.weights"]["rule"]
