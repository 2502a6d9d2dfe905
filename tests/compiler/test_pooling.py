"""Max pooling of the results of convolutions: which, where, and always the same integers."""

import copy
import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arch.config import preset
from arch.isa import Opcode, Region, is_pooled
from compiler import DramTiming, compile_model
from compiler.pooling import find_fusions
from compiler.verify import VerifyError, verify

from .check import assert_runs
from .networks import NetworkBuilder


TINY = preset("tiny")
WIDE = replace(TINY, name="wide", data_bits=16, weight_bits=16, acc_bits=48)


def builder(shape=(3, 14, 13), seed=4, **options):
    return NetworkBuilder(np.random.default_rng(seed), shape, **options)


def pooled(program):
    """Return the CONVs that pool."""
    return [item for item in program.instructions
            if item.opcode == Opcode.CONV and item.values["finish"] and is_pooled(item.values)]


def joined(seed=1, channels=(8, 12)):
    """Return a fire module with a pooling behind it."""
    b = builder(seed=seed)
    x = b.conv("input", 6, (1, 1))
    parts = [b.conv(x, count, (k, k), pads=(k // 2,) * 4) for count, k in zip(channels, (1, 3))]
    b.same_format(*parts)
    y = b.concat(*parts)
    b.formats[y] = b.formats[parts[0]]
    return b, b.max_pool(y, (3, 3), strides=(2, 2), relu="clip")


@st.composite
def poolings(draw):
    """Draw a network of a convolution and a pooling, and a config."""
    kernel, stride = draw(st.sampled_from(
        [(2, 2), (3, 2), (3, 3), (2, 1), (4, 3), (4, 4), (2, 3), (1, 2), (4, 2), (3, 1)]))
    size = [draw(st.integers(kernel, 23)) for _ in range(2)]
    pads = [draw(st.integers(0, kernel - 1)) for _ in range(4)]
    b = builder((draw(st.integers(1, 6)), *size), draw(st.integers(0, 99)),
                signed=draw(st.booleans()))
    depthwise = draw(st.booleans())
    count = b.shapes["input"][0] * (1 if depthwise else draw(st.integers(1, 4)))
    x = b.conv(
        "input", count, (3, 3), pads=(1, 1, 1, 1), relu=draw(st.sampled_from([None, "clip"])),
        groups=count if depthwise else 1)
    x = b.max_pool(x, (kernel, kernel), strides=(stride, stride), pads=pads,
                   relu=draw(st.sampled_from([None, "relu", "clip"])))
    if draw(st.booleans()):
        x = b.conv(x, 5, (1, 1))
    config = draw(st.sampled_from([
        TINY, preset("small"), replace(TINY, name="shallow", acc_depth=64, feature_depth=256),
        replace(TINY, name="narrow", pool_depth=16)]))
    return b.model(), config


@settings(max_examples=120, deadline=None)
@given(poolings())
def test_any_pooling(drawn):
    model, config = drawn
    program = assert_runs(model, config)
    assert bool(pooled(program)) == bool(program.fused)
    if program.fused:
        assert find_fusions(model, config)
        assert not [item for item in program.instructions if item.opcode == Opcode.VECTOR]


@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2), (3, 3), (2, 1), (4, 3), (4, 4)])
def test_bands_go_on(kernel, stride):
    b = builder((3, 23, 11))
    x = b.conv("input", 10, (3, 3), pads=(1, 1, 1, 1), relu=None)
    b.max_pool(x, (kernel, kernel), strides=(stride, stride))
    program = assert_runs(b.model(), replace(TINY, acc_depth=64))
    assert program.fused == {x}
    goes_on = [item for item in pooled(program) if not item.values["pool_first"]]
    assert bool(goes_on) == (kernel > stride)


@pytest.mark.parametrize("bits", [9, 16])
@pytest.mark.parametrize("relu", [None, "relu"])
def test_wide_codes(bits, relu):
    b = builder(bits=bits, weight_bits=bits)
    x = b.conv("input", 9, (3, 3), relu=relu)
    b.max_pool(x, (3, 3), strides=(2, 2), pads=(1, 1, 0, 0))
    assert assert_runs(b.model(), WIDE).fused == {x}


def test_lines_that_no_window_covers_are_not_computed():
    b = builder((2, 11, 12))
    x = b.conv("input", 4, (1, 1))
    b.max_pool(x, (2, 2), strides=(4, 4))
    program = assert_runs(b.model(), TINY)
    assert program.fused == {x}
    assert {item.values["count_0"] for item in pooled(program)} == {10}
    assert sum(item.values["count_1"] for item in pooled(program)) <= 10


@pytest.mark.parametrize("channels", [(8, 12), (4, 4)])
def test_concat_is_pooled_by_parts(channels):
    b, last = joined(channels=channels)
    program = assert_runs(b.model(b.fc(last, 7)), TINY)
    assert program.fused == {"conv1_out", "conv2_out", "concat3_out"}
    assert [layer.fused for layer in program.layers] == ["", *["maxpool4"] * 3, "", ""]
    assert program.layers[1].operator.endswith(" + MaxPool 3×3/2 + ReLU" + str(
        program.layers[4].operator.split("ReLU")[1].split(" ")[0]))
    assert program.layers[3].operator == "Concat (fused)"
    assert program.prediction.layers[4].cycles == 0
    unfused = assert_runs(b.model(b.nodes[-1].output), TINY, fuse=False)
    assert not unfused.fused
    assert unfused.prediction.cycles > program.prediction.cycles


def test_concat_that_is_not_aligned_stays():
    b, last = joined(channels=(7, 8))
    program = assert_runs(b.model(), TINY)
    assert not program.fused


@pytest.mark.parametrize("change", ["reader", "output", "format", "average", "kernel", "dilation"])
def test_what_is_not_fused(change):
    b = builder((3, 12, 12))
    x = b.conv("input", 8, (3, 3))
    if change == "average":
        y = b.average_pool(x)
    elif change == "kernel":
        y = b.max_pool(x, (2, 3))
    elif change == "dilation":
        y = b.max_pool(x, dilations=(2, 2))
    else:
        y = b.max_pool(x)
    if change == "reader":
        y = b.add(y, b.max_pool(x))
    if change == "format":
        b.formats[y] = replace(b.formats[y], frac=b.formats[y].frac - 1)
    model = b.model(x if change == "output" else y)
    assert not find_fusions(model, TINY)
    if change not in ("format", "output"):
        assert_runs(model, TINY)


def test_a_config_without_line_buffer():
    b = builder()
    b.max_pool(b.conv("input", 8, (3, 3)))
    program = assert_runs(b.model(), replace(TINY, pool_depth=0))
    assert not program.fused


def test_pooling_in_a_chain():
    b = builder((4, 30, 30))
    x = b.conv("input", 16, (1, 1))
    x = b.max_pool(x, (3, 3), strides=(2, 2))
    x = b.conv(x, 24, (1, 1))
    x = b.max_pool(x, (3, 3), strides=(2, 2))
    config = replace(TINY, name="chain", feature_depth=512)
    program = assert_runs(
        b.model(b.conv(x, 4, (1, 1))), config, dram=DramTiming(bytes_per_cycle=1))
    assert len(program.fused) == 2
    assert len(list(itertools.groupby(item.layer for item in pooled(program)))) > 4
    bases = {(item.layer, item.values["pool_row"]) for item in pooled(program)}
    assert len({row for _, row in bases}) == len(bases)


def test_the_disassembly_names_it():
    b = builder()
    b.max_pool(b.conv("input", 4, (3, 3)), (3, 3), strides=(2, 2))
    text = compile_model(b.model(), TINY).disassemble()
    assert ", maximum of 3x3/2 from (0,0) first, lines[0]" in text


@pytest.mark.parametrize(("field", "value", "words"), [
    ("pool_kernel", 3, "pools windows that overlap too much"),
    ("pool_x", 2, "starts behind a window"),
    ("pool_row", 510, "pools a line that the line buffer does not hold"),
    ("pool_y", 0, "does not continue the lines before"),
    ("pool_right", 1, "does not continue the lines before"),
])
def test_the_verifier_catches_damage(field, value, words):
    b = builder((3, 23, 12))
    b.max_pool(b.conv("input", 4, (3, 3), pads=(1, 1, 1, 1)), (3, 3), strides=(2, 2))
    program = compile_model(b.model(), replace(TINY, acc_depth=64))
    damaged = copy.deepcopy(program.instructions)
    writers = [item for item in damaged if item in pooled(program)]
    writers[1].values[field] = value
    with pytest.raises(VerifyError, match=words):
        verify(damaged, program.config, {
            Region.WEIGHTS: len(program.weight_image), Region.INPUT: program.input_size,
            Region.OUTPUT: program.output_size, Region.SCRATCH: program.scratch_size})
