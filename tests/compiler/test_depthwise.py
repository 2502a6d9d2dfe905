"""Depthwise convolutions of random shapes, and the walk along their lines."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from arch.config import preset

from .check import assert_runs
from .networks import NetworkBuilder


sizes = st.integers(1, 9)
strides = st.integers(1, 3)
pads = st.integers(0, 3)


def depthwise(shape, kernel, **options):
    builder = NetworkBuilder(np.random.default_rng(1), shape)
    return builder.model(builder.conv("input", shape[0], kernel, groups=shape[0], **options))


@settings(deadline=None, max_examples=150)
@given(
    height=sizes, width=sizes, r=st.integers(1, 4), s=st.integers(1, 9), strides=st.tuples(
        strides, strides), dilations=st.tuples(st.integers(1, 2), st.integers(1, 3)),
    around=st.tuples(pads, pads, pads, pads), channels=st.integers(2, 6),
    config=st.sampled_from(("tiny", "small", "large")))
def test_any_shape(height, width, r, s, strides, dilations, around, channels, config):
    top, left, bottom, right = around
    assume((r - 1) * dilations[0] < height + top + bottom)
    assume((s - 1) * dilations[1] < width + left + right)
    model = depthwise(
        (channels, height, width), (r, s), strides=strides, dilations=dilations, pads=around)
    assert_runs(model, preset(config))


@pytest.mark.parametrize(("width", "kernel", "stride", "pads", "line", "wrap"), [
    (5, 3, 1, (1, 1), 5, 1),
    (8, 3, 2, (0, 1), 8, 1),    # as TensorFlow pads
    (8, 3, 2, (1, 0), 8, 0),
    (8, 4, 1, (1, 2), 8, 2),
    (8, 3, 1, (0, 0), 8, 0),
    (8, 3, 1, (2, 2), 10, 0),   # more results than columns
    (1, 2, 1, (0, 1), 1, 1),
    (1, 3, 1, (1, 1), 2, 0),    # narrower than the window
    (7, 3, 2, (1, 1), 8, 0),    # lines of the odd and even columns in turn
])
def test_lines_follow_each_other(width, kernel, stride, pads, line, wrap):
    model = depthwise(
        (4, 6, width), (1, kernel), strides=(1, stride), pads=(0, pads[0], 0, pads[1]))
    program = assert_runs(model, preset("small"))
    walks = {(item.values["count_0"], item.values["wrap"]) for item in program.instructions
             if item.values.get("depthwise")}
    assert walks == {(line, wrap)}
