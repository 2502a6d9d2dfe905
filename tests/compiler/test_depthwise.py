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


@pytest.mark.parametrize(("kernel", "pads", "in_place"), [
    ((3, 3), (1, 1, 1, 1), True),
    ((3, 3), (0, 1, 2, 1), True),
    ((3, 3), (2, 1, 0, 1), True),    # the last kernel line lies under the result's
    ((1, 3), (0, 2, 0, 0), True),
    ((1, 3), (0, 1, 0, 1), True),
    ((3, 2), (2, 2, 0, 0), False),   # wider, for the other output
    ((3, 3), (1, 2, 1, 0), True),
])
def test_results_take_the_place_of_what_they_are_made_of(kernel, pads, in_place):
    builder = NetworkBuilder(np.random.default_rng(1), (4, 9, 9))
    x = builder.conv("input", 12, (1, 1))
    y = builder.conv(x, 12, kernel, pads=pads, groups=12)
    program = assert_runs(builder.model(builder.conv(y, 4, (1, 1))), preset("small"))
    shared = program.places[x]["feature_row"] == program.places[y]["feature_row"]
    assert shared == in_place


def test_result_that_would_overwrite_what_is_still_read():
    for kernel, pads in (((1, 1), (0, 0, 0, 0)), ((3, 1), (2, 0, 0, 0))):
        builder = NetworkBuilder(np.random.default_rng(1), (4, 9, 9))
        x = builder.conv("input", 12, (1, 1))
        y = builder.conv(x, 12, kernel, pads=pads, groups=12)
        z = builder.add(x, y)
        program = assert_runs(builder.model(z), preset("small"))
        assert program.places[x]["feature_row"] != program.places[y]["feature_row"]
