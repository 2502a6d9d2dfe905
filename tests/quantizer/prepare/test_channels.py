"""Which channels share a factor."""

import numpy as np
import pytest

from quantizer.graph import (
    Activation,
    Add,
    Concat,
    Conv,
    Mul,
    Pad,
    Pool,
    PRelu,
    Resize,
    Slice,
    Softmax,
    Window,
)
from quantizer.prepare import ChannelClasses
from tests.quantizer.networks import conv, make_graph


RNG = np.random.default_rng(0)


def classes_of(*nodes, shape=(3, 4, 4)):
    """Return classes and pins of nodes between a first and a last convolution."""
    graph = make_graph(shape, [
        conv(RNG, "a", "x", 3, 4, relu=True), *nodes,
        conv(RNG, "z", nodes[-1].output, len_of(nodes, shape), 2)])
    return ChannelClasses(graph)


def len_of(nodes, shape):
    graph = make_graph(shape, [conv(RNG, "a", "x", 3, 4), *nodes])
    return graph.shapes[nodes[-1].output][0]


def free(classes, name):
    return not classes.fixed[classes.members[name]].any()


def test_input_and_output_are_fixed():
    classes = classes_of(conv(RNG, "b", "a_out", 4, 5))
    assert [free(classes, name) for name in ("x", "a_out", "b_out", "z_out")] == [
        False, True, True, False]
    assert not np.intersect1d(classes.members["a_out"], classes.members["b_out"]).size


@pytest.mark.parametrize("node", [
    Pool("p", ("a_out",), "y", window=Window((2, 2))),
    Pool("p", ("a_out",), "y", kind="average", window=Window((4, 4))),
    PRelu("p", ("a_out",), "y", slope=np.full(4, 0.1)),
    Pool("p", ("a_out",), "y", lo=0.0),
    Resize("p", ("a_out",), "y", repeats=(2, 2)),
    Pad("p", ("a_out",), "y", pads=(1, 1, 1, 1)),
    Pad("p", ("a_out",), "y", pads=(1, 1, 1, 1), value=1.0, mode="edge"),
], ids=lambda node: type(node).__name__)
def test_handed_on(node):
    classes = classes_of(node)
    assert classes.members["a_out"].tolist() == classes.members["y"].tolist()
    assert free(classes, "y")


@pytest.mark.parametrize("node", [
    Activation("p", ("a_out",), "y", kind="silu"),
    Softmax("p", ("a_out",), "y"),
    Pool("p", ("a_out",), "y", hi=6.0),
    Pool("p", ("a_out",), "y", lo=-1.0),
    Pad("p", ("a_out",), "y", pads=(1, 1, 1, 1), value=1.0),
], ids=lambda node: type(node).__name__)
def test_borders(node):
    classes = classes_of(node)
    assert not free(classes, "a_out")
    assert not free(classes, "y")


def test_clamps_of_a_convolution():
    plain = conv(RNG, "b", "a_out", 4, 4)
    for lo, hi, expected in ((0.0, 6.0, True), (-1.0, 1.0, False), (-np.inf, 2.0, True)):
        node = Conv(**{**vars(plain), "lo": lo, "hi": hi})
        assert free(classes_of(node), "b_out") is expected


def test_add_ties_all():
    classes = classes_of(
        conv(RNG, "b", "a_out", 4, 4), Add("s", ("b_out", "a_out"), "y"))
    assert classes.members["a_out"].tolist() == classes.members["b_out"].tolist()
    assert classes.members["a_out"].tolist() == classes.members["y"].tolist()


def test_concat_and_slice_tie_parts():
    classes = classes_of(
        conv(RNG, "b", "a_out", 4, 3), Concat("c", ("b_out", "a_out"), "y"),
        Slice("s", ("y",), "part", start=2))
    whole = [*classes.members["b_out"], *classes.members["a_out"]]
    assert classes.members["y"].tolist() == whole
    assert classes.members["part"].tolist() == whole[2:]


def test_gate_is_fixed():
    classes = classes_of(
        Pool("g", ("a_out",), "v", kind="average", window=Window((4, 4))),
        conv(RNG, "b", "v", 4, 4), Mul("m", ("a_out", "b_out"), "y"))
    assert classes.members["y"].tolist() == classes.members["a_out"].tolist()
    assert free(classes, "y")
    assert not free(classes, "b_out")
