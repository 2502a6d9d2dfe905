"""Rules for ranges: each against its definition, by brute force."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arch.formats import Format
from quantizer.errors import ModelError
from quantizer.execute import execute, quantize_input
from quantizer.graph import Conv, Window
from quantizer.ranges import natural_frac
from quantizer.search.rules import RangeRule, Tally, clipped_range, divergences
from quantizer.search.weights import choose_frac
from tests.quantizer.networks import SlowReference, conv, inputs_for, quantized, small_graph


RULES = ("max", "percentile", "percentile:99", "l1", "l2", "entropy", "mode")
SEARCHED = ("x", "conv1_out", "conv2_out", "add_out", "mean_out", "fc_out")


def exact_tensors(graph, images):
    return {**SlowReference(graph).tensors(images), "x": images}


def largest_without_overflow(values, fmt, percentile=100.0):
    sizes = np.sort(np.abs(values).ravel())
    most = sizes[int(np.ceil(percentile / 100 * (len(sizes) - 1)))]
    lo, hi = max(values.min(), -most), min(values.max(), most)
    return int(natural_frac(lo, hi, fmt.bits, signed=fmt.signed))


@pytest.mark.parametrize(("ranges", "percentile"), [("max", 100.0), ("percentile:90", 90.0)])
def test_data_without_overflow(ranges, percentile):
    graph = small_graph()
    images = inputs_for(graph, 6)
    model = quantized(graph, images, ranges=ranges, fuse_add=False)
    exact = exact_tensors(graph, images)
    for name in SEARCHED:
        expected = largest_without_overflow(exact[name], model.formats[name], percentile)
        assert model.formats[name].frac == expected, name


@pytest.mark.parametrize(("ranges", "percentile"), [("max", 100.0), ("percentile:90", 90.0)])
def test_static_without_overflow(ranges, percentile):
    graph = small_graph()
    images = inputs_for(graph, 6)
    model = quantized(graph, images, ranges=ranges, precision="static", fuse_add=False)
    exact = exact_tensors(graph, images)
    frac, = {fmt.frac for fmt in model.formats.values()}
    assert frac == min(
        largest_without_overflow(exact[name], model.formats[name], percentile)
        for name in SEARCHED)
    weight_frac, = {int(f) for weights in model.weights.values() for f in weights.frac}
    assert weight_frac == min(
        largest_without_overflow(node.weight, Format(8, 0), percentile)
        for node in graph if isinstance(node, Conv))


@pytest.mark.parametrize("per_channel", [False, True])
def test_weights_without_overflow(per_channel):
    node = conv(np.random.default_rng(1), "c", "x", 8, 3, window=Window((3, 3)))
    node.weight[1, 0, 0, 0] = 40
    parts = [(k, k + 1) for k in range(3)] if per_channel else [(0, 3)]
    for ranges, percentile in (("max", 100.0), ("percentile:95", 95.0)):
        frac, _ = choose_frac(node, 8, RangeRule.parse(ranges), per_channel=per_channel)
        for a, b in parts:
            assert set(frac[a:b]) == {
                largest_without_overflow(node.weight[a:b], Format(8, 0), percentile)}


def test_mode_is_the_vote_of_the_images():
    graph = small_graph()
    images = inputs_for(graph, 7)
    images[:2] *= 16  # two images far larger than the others
    model = quantized(graph, images, ranges="mode")
    votes = Counter()
    natural = int(natural_frac(images.min(), images.max(), 8))
    for image in images:
        errors = {
            frac: ((Format(8, frac).dequantize(Format(8, frac).quantize(image)) - image)**2).sum()
            for frac in range(natural - 1, natural + 5)}
        votes[min(errors, key=errors.get)] += 1
    assert votes[model.formats["x"].frac] == max(votes.values())
    assert model.formats["x"].frac > quantized(graph, images).formats["x"].frac


def test_ties_of_a_vote_go_to_the_least_error():
    tally = Tally(RangeRule("mode"), (3, 4), 2)
    tally.add_signal(slice(None), np.full(2, 10.0))
    tally.add(3, slice(0, 2), np.array([1.0, 5.0]))
    tally.add(4, slice(0, 2), np.array([2.0, 3.0]))
    assert tally.best() == 4
    assert tally.totals == {3: 6.0, 4: 5.0}


def test_divergence_ignores_outliers():
    """One value far out is not worth the resolution of all others; a uniform range is."""
    rng = np.random.default_rng(0)
    values = np.append(rng.standard_normal(100_000), 60.0)
    natural = int(natural_frac(-60, 60, 8))
    found = divergences(values, natural, 8)
    assert min(found, key=found.get) >= natural + 2
    flat = rng.uniform(-1, 1, 100_000)
    found = divergences(flat, 7, 8)
    assert min(found, key=found.get) == 7
    assert set(divergences(np.zeros(4), 7, 8).values()) == {0.0}


def test_divergence_by_hand():
    """Four levels of two bits unsigned: counts of 32 fine bins for each level of the widest."""
    values = np.array([0.25] * 6 + [1.5] * 2 + [3.99])
    found = divergences(values, 0, 2, signed=False)
    counts = np.zeros(128)
    counts[[8, 48, 127]] = 6, 2, 1  # each alone in its level: nothing is lost
    assert found[0] == pytest.approx(0)
    p = np.array([6, 3]) / 9  # range 2: the largest value falls into the bin of 1.99, empty before
    q = np.array([6, 2]) / 8
    expected = 6 / 9 * np.log(p[0] / q[0]) + 2 / 9 * np.log(2 / 9 / q[1]) + (
        1 / 9 * np.log(1 / 9 / 1e-9))
    assert found[1] == pytest.approx(expected)


@pytest.mark.parametrize("precision", ["dynamic", "static"])
@pytest.mark.parametrize("ranges", RULES)
def test_every_rule_gives_a_network_that_runs(ranges, precision):
    graph = small_graph()
    images = inputs_for(graph, 6)
    model = quantized(graph, images, ranges=ranges, precision=precision, data_bits=10,
                      weight_bits=10)
    exact = SlowReference(graph).tensors(images)["fc_out"]
    codes = execute(model, quantize_input(model, images))["fc_out"]
    error = model.formats["fc_out"].dequantize(codes) - exact
    assert (error**2).sum() < 0.05 * (exact**2).sum()
    assert model.provenance["options"]["ranges"] == ranges


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50),
       st.floats(0.1, 100), st.floats(0.1, 100))
def test_percentiles_are_monotone(values, a, b):
    found = [clipped_range(RangeRule("percentile", each), np.array(values))
             for each in sorted((a, b))]
    assert found[1][0] <= found[0][0]
    assert found[0][1] <= found[1][1]
    assert clipped_range(RangeRule("percentile", 100), np.array(values)) == (
        min(values), max(values))


def test_refuses_no_text():
    with pytest.raises(ModelError) as error:
        RangeRule.parse(3)
    assert str(error.value) == (
        "ranges must be max, percentile, percentile:P, l1, l2, entropy or mode, not 3")
