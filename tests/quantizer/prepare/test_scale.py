"""Networks with scaled channels against the ones that they come from, bit for bit."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from quantizer.graph import Conv, Window
from quantizer.prepare import ChannelClasses, ScaledReference, scale_graph
from tests.quantizer.networks import SlowReference, conv, inputs_for, make_graph
from tests.quantizer.test_execute import graphs


def random_exponents(graph, rng, parts=1):
    """Return any exponents that keep to the classes of a network."""
    classes = ChannelClasses(graph)
    chosen = np.where(classes.fixed, 0, rng.integers(-8, 9, classes.count) / parts)
    return {name: chosen[own] for name, own in classes.members.items()}


@settings(max_examples=60, deadline=None)
@given(graphs(), st.integers(0, 999))
def test_exact_in_float(graph, seed):
    rng = np.random.default_rng(seed)
    exponents = random_exponents(graph, rng)
    scaled = scale_graph(graph, exponents)
    images = inputs_for(graph, 2, seed) * 5
    expected = ScaledReference(SlowReference(graph), exponents).tensors(images)
    found = SlowReference(scaled).tensors(images)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
    again = scale_graph(scaled, {name: -values for name, values in exponents.items()})
    assert not again.exponents
    for node, before in zip(again, graph, strict=True):
        if isinstance(node, Conv):
            np.testing.assert_array_equal(node.weight, before.weight)
            np.testing.assert_array_equal(
                np.broadcast_to(node.upper if node.upper.size else node.hi, len(node.weight)),
                np.broadcast_to(before.upper if before.upper.size else before.hi,
                                len(node.weight)))


@settings(max_examples=30, deadline=None)
@given(graphs(), st.integers(0, 999))
def test_parts_of_an_octave_change_nothing_but_rounding(graph, seed):
    exponents = random_exponents(graph, np.random.default_rng(seed), 4)
    images = inputs_for(graph, 2, seed) * 5
    expected = ScaledReference(SlowReference(graph), exponents).tensors(images)
    found = SlowReference(scale_graph(graph, exponents)).tensors(images)
    for name, values in expected.items():
        np.testing.assert_allclose(
            found[name], values, rtol=1e-4, atol=1e-5 * (1 + np.abs(values).max()), err_msg=name)


def clamped_pair(hi=6.0):
    rng = np.random.default_rng(0)
    first = conv(rng, "a", "x", 2, 3, window=Window((3, 3), pads=(1, 1, 1, 1)), relu=True)
    return make_graph((2, 5, 5), [
        Conv(**{**vars(first), "hi": hi}), conv(rng, "b", "a_out", 3, 4)])


def test_clamps_follow_their_channels():
    graph = clamped_pair()
    node = scale_graph(graph, {
        "x": np.zeros(2, int), "a_out": np.array([1, 0, -2]), "b_out": np.zeros(4, int)}).nodes[0]
    assert node.hi == 12
    assert node.upper.tolist() == [12, 6, 1.5]


def test_equal_clamps_are_one():
    graph = clamped_pair()
    node = scale_graph(graph, {
        "x": np.zeros(2, int), "a_out": np.full(3, -1), "b_out": np.zeros(4, int)}).nodes[0]
    assert (node.hi, node.upper.size) == (3, 0)
