"""Weights of several widths in one pass, against searches of one width each."""

from dataclasses import replace

import numpy as np
import pytest

from arch.formats import Format
from quantizer.accumulators import check_limits
from quantizer.model import Limits
from quantizer.search import Options, narrower_weights
from tests.quantizer.networks import SlowReference, inputs_for, quantized, small_graph


LIMITS = Limits(acc_bits=32)


def narrower(model, images, bits, fixed=None, **options):
    return narrower_weights(
        model, bits, images, reference=SlowReference(model.graph),
        options=Options(**options), limits=LIMITS, fixed=fixed or {}, progress=lambda *args: None)


@pytest.mark.parametrize("options", [
    {}, {"correct": True}, {"weight_rounding": "feedback", "per_channel": True},
    {"weight_rounding": "learned", "correct": True},
])
def test_first_layer_is_that_of_a_search_with_its_width(options):
    """It has the same input in both; later layers have the codes of the widest network here."""
    graph = small_graph()
    images = inputs_for(graph, 4)
    model = quantized(graph, images, fuse_add=False, **options)
    found = narrower(model, images, [5, 3], **options)
    assert list(found) == [5, 3]
    for bits, each in found.items():
        alone = quantized(
            graph, images, fuse_add=False, weight_bits=bits, overrides=model.formats, **options)
        assert each.formats == model.formats
        assert {weights.bits for weights in each.weights.values()} == {bits}
        name = graph.accelerated[0].name
        np.testing.assert_array_equal(each.weights[name].codes, alone.weights[name].codes)
        np.testing.assert_array_equal(each.weights[name].bias, alone.weights[name].bias)


def test_later_layers_suit_the_codes_of_the_widest_network():
    graph = small_graph()
    images = inputs_for(graph, 4)
    model = quantized(graph, images, fuse_add=False, correct=True)
    last = [node.name for node in graph.accelerated if node.name in model.weights][-1]
    found = narrower(model, images, [3], correct=True)[3]
    widths = {f"{last}.weights": 3}
    alone = quantized(
        graph, images, fuse_add=False, correct=True, widths=widths, overrides=model.formats)
    np.testing.assert_array_equal(found.weights[last].codes, alone.weights[last].codes)
    np.testing.assert_array_equal(found.weights[last].bias, alone.weights[last].bias)


def test_widths_and_formats_of_single_layers_stay():
    graph = small_graph()
    images = inputs_for(graph, 3)
    model = quantized(graph, images, fuse_add=False)
    first, second, *rest = model.weights
    fixed = {first: Format(7, int(model.weights[first].frac[0]) - 1)}
    found = narrower(model, images, [4], fixed, widths={f"{second}.weights": 6})[4]
    assert found.weights[first].bits == 7
    assert set(found.weights[first].frac.tolist()) == {fixed[first].frac}
    assert found.weights[second].bits == 6
    assert {found.weights[name].bits for name in rest} <= {4}


def test_model_is_left_alone():
    graph = small_graph()
    images = inputs_for(graph, 3)
    model = quantized(graph, images, fuse_add=False)
    before = replace(model, weights=dict(model.weights))
    narrower(model, images, [4])
    assert model.weights == before.weights
    assert narrower(model, images, []) == {}


def test_width_that_the_shifter_cannot_bring_to_the_format_is_not_taken():
    graph = small_graph()
    images = inputs_for(graph, 3)
    plain = quantized(graph, images, fuse_add=False)
    first = graph.accelerated[0]
    finest = int(plain.weights[first.name].frac.min()) + plain.formats[graph.input].frac
    fmt = replace(plain.formats[first.output], frac=finest)
    model = quantized(graph, images, fuse_add=False, overrides={first.output: fmt})
    assert model.shifts(first).min() == 0
    found = narrower(model, images, [2, 7, 4])
    assert list(found) == [7, 4, 2]
    assert [each.weights[first.name].bits for each in found.values()] == [7, 4, 4]
    for each in found.values():
        check_limits(each, LIMITS)
