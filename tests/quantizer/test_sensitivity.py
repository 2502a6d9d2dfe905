"""Runs of changed networks from the changed layer on."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from arch.formats import Format
from quantizer.errors import ModelError
from quantizer.execute import execute_node, output_name
from quantizer.graph import Conv
from quantizer.model import QuantizedModel, QuantizedWeights
from quantizer.sensitivity import output_noise, rerun, run_all
from tests.quantizer.networks import (
    conv,
    inputs_for,
    make_graph,
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


def _distance(models, inputs):
    """Return the squared distance of two outputs, relative to the first one."""
    first, second = (
        run_all(model, inputs)[output_name(model.graph)].astype(float) for model in models)
    return np.square(first - second).sum() / np.square(first).sum()


def _with(model, name, narrow):
    return replace(model, weights={**model.weights, name: narrow.weights[name]})


def test_noise_is_what_the_width_of_a_layer_adds():
    """Exactly for the width that is run; the others grow as the error of the layer does."""
    graph = small_graph()
    images = inputs_for(graph, 5)
    model = quantized(graph, images)
    narrower = {bits: quantized(graph, images, weight_bits=bits, overrides=model.formats)
                for bits in (2, 5)}
    seen = []
    noise = output_noise(model, narrower, images, lambda *args: seen.append(args))
    maps = run_all(model, images)
    for name, widths in noise.items():
        changed = {bits: _with(model, name, narrower[bits]) for bits in narrower}
        assert widths[5] == pytest.approx(_distance((model, changed[5]), images), rel=1e-9)
        node = model.graph.node(name)
        near = {bits: np.square(
            execute_node(each, node, maps).astype(float) - maps[node.output]).sum()
            for bits, each in changed.items()}
        assert widths[2] == pytest.approx(widths[5] * near[2] / near[5], rel=1e-9)
    assert seen[-1][1] == seen[-1][2] == len(noise)


def test_layer_that_a_width_does_not_change_adds_nothing():
    graph = small_graph()
    images = inputs_for(graph, 2)
    model = quantized(graph, images)
    noise = output_noise(model, {7: model}, images, lambda *args: None)
    assert {each for widths in noise.values() for each in widths.values()} == {0.0}


def test_narrower_width_is_run_where_the_middle_one_does_not_reach_the_output():
    rng = np.random.default_rng(0)
    graph = make_graph((1, 1, 2), [
        conv(rng, "a", "x", 1, 1), conv(rng, "b", "a_out", 1, 1)])
    formats = {"x": Format(8, 0), "a_out": Format(8, 0), "b_out": Format(8, -6)}

    def model(code):
        return QuantizedModel(graph, formats, {
            name: QuantizedWeights(
                np.full((1, 1, 1, 1), each), 8, np.zeros(1, int), np.zeros(1, int))
            for name, each in (("a", code), ("b", 1))})

    images = np.array([[[[2, 6]]]], np.float32)  # 16 and 48, of which 64 make a step of the output
    wide, narrower = model(8), {2: model(20), 5: model(9)}
    noise = output_noise(wide, narrower, images, lambda *args: None)
    assert _distance((wide, narrower[5]), images) == 0
    assert noise["a"][2] == pytest.approx(_distance((wide, narrower[2]), images)) != 0
    assert 0 < noise["a"][5] < noise["a"][2] / 100


def test_formats_of_data_must_be_the_same():
    graph = small_graph()
    images = inputs_for(graph, 2)
    model, other = quantized(graph, images), quantized(graph, images, data_bits=7)
    with pytest.raises(ModelError, match="must have the same format with 4-bit weights"):
        output_noise(model, {4: other}, images, lambda *args: None)


def test_narrow_weights_reach_the_formats_of_wide_ones():
    """Two bits are so coarse that products would have to be shifted to the left."""
    graph = small_graph()
    images = inputs_for(graph, 3)
    narrow = quantized(
        graph, images, fuse_add=False, weight_bits=2,
        overrides={"conv1_out": Format(8, 10, signed=False)})
    assert narrow.shifts(graph.node("conv1")).min() == 0
    assert "raised" in narrow.provenance["chosen"]["conv1.weights"]["rule"]
