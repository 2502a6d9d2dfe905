"""Two products of a multiplier: weights of at most 4 bits that share them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arch.config import preset
from arch.isa import Opcode, Products
from compiler import compile_model
from compiler.bounds import bounds
from compiler.machine import group_cycles

from .check import assert_runs
from .configs import NANO, SINGLE, SQUARE
from .networks import NetworkBuilder, random_model


CONFIGS = [
    replace(config, name=f"{config.name}-dual", dual_products=True)
    for config in (NANO, SINGLE, SQUARE, preset("tiny"), preset("small"), preset("ecp5_85f"))]
TINY = CONFIGS[3]
LARGE = CONFIGS[5]


def one_conv(shape, channels, kernel=(3, 3), *, weight_bits=4, **options):
    """Return a network of one convolution."""
    b = NetworkBuilder(np.random.default_rng(1), shape)
    return b.model(b.conv("input", channels, kernel, weight_bits=weight_bits, **options))


def convs(program):
    return [item for item in program.instructions if item.opcode == Opcode.CONV]


def kinds(program):
    return {Products(item.values["products"]).name for item in convs(program)}


def cycles(program):
    return sum(group_cycles(item, program.config) for item in convs(program))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize("seed", range(6))
def test_random_networks(config, seed):
    model = random_model(
        np.random.default_rng([7, seed]), layers=3, max_size=9, narrower=(0, 4, 4, 5, 6))
    assert_runs(model, config, seed=seed)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    channels=st.tuples(st.integers(1, 11), st.integers(1, 19)),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 7)),
    strides=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    dilation=st.integers(1, 2), pads=st.tuples(*[st.integers(0, 3)] * 4),
    bits=st.sampled_from([2, 3, 4]), config=st.sampled_from(CONFIGS))
def test_shapes(channels, size, kernel, strides, dilation, pads, bits, config):
    """Also kernels wider than the map, 1 x 1 maps, channels that do not fill the lanes."""
    pads = list(pads)
    for axis in range(2):
        short = (kernel[axis] - 1) * dilation + 1 - size[axis] - pads[axis] - pads[axis + 2]
        pads[axis] += max(0, short)
    model = one_conv(
        (channels[0], *size), channels[1], kernel, strides=strides, pads=tuple(pads),
        dilations=(dilation, dilation), weight_bits=bits, per_channel=True)
    assert_runs(model, config)


def test_pairs_of_blocks_halve_the_passes():
    model = one_conv((32, 8, 8), 64, pads=(1, 1, 1, 1))
    program = assert_runs(model, LARGE)
    assert kinds(program) == {"BLOCKS"}
    assert cycles(program) == 64 * (4 * 9 + 1) * 2


def test_a_block_alone_pairs_its_taps():
    """Three columns take two passes, and with padding on the left no step more."""
    program = assert_runs(one_conv((16, 9, 10), 16, pads=(1, 1, 1, 1)), LARGE)
    assert kinds(program) == {"TAPS"}
    assert cycles(program) == 90 * 2 * 3 * 2
    program = assert_runs(one_conv((16, 11, 12), 16), LARGE)
    assert kinds(program) == {"TAPS"}
    assert cycles(program) == 9 * 11 * 2 * 3 * 2


def test_an_odd_block_pairs_its_taps():
    program = assert_runs(one_conv((16, 8, 8), 40, pads=(1, 1, 1, 1)), LARGE)
    assert kinds(program) == {"BLOCKS", "TAPS"}


@pytest.mark.parametrize(("options", "expected"), [
    ({"weight_bits": 5}, "ONE"), ({"weight_bits": 8}, "ONE"),
    ({"kernel": (3, 1)}, "ONE"), ({"strides": (1, 2)}, "ONE"), ({"dilations": (1, 2)}, "ONE"),
    ({"strides": (2, 1)}, "TAPS"), ({"weight_bits": 2}, "TAPS"), ({"weight_bits": 3}, "TAPS")])
def test_what_pairs_taps(options, expected):
    assert kinds(assert_runs(one_conv((16, 10, 10), 16, **options), LARGE)) == {expected}


def test_depthwise_stays_as_it_is():
    b = NetworkBuilder(np.random.default_rng(1), (16, 8, 8))
    x = b.conv("input", 16, (3, 3), pads=(1, 1, 1, 1), groups=16, weight_bits=4)
    model = b.model(b.conv(x, 32, (3, 3), weight_bits=4))
    program = assert_runs(model, LARGE)
    assert kinds(program) == {"ONE", "BLOCKS"}
    assert convs(program)[0].values["depthwise"]


def test_transposed_convolutions_stay_as_they_are():
    b = NetworkBuilder(np.random.default_rng(1), (16, 5, 6))
    b.weight_bits = 4
    program = assert_runs(b.model(b.conv_transpose("input", 32)), LARGE)
    assert kinds(program) == {"ONE"}


@pytest.mark.parametrize("bits", [4, 3, 2])
def test_weights_take_the_same_bytes(bits):
    """Of two blocks; of two taps one place in four is empty."""
    model = one_conv((32, 8, 8), 64, pads=(1, 1, 1, 1), weight_bits=bits)
    plain = compile_model(model, preset("ecp5_85f"))
    dual = compile_model(model, LARGE)
    assert len(dual.weight_image) == len(plain.weight_image)
    assert dual.prediction.cycles < 0.62 * plain.prediction.cycles
    assert dual.roofline_cycles == plain.roofline_cycles


def test_what_bounds_a_layer_counts_two_products():
    b = NetworkBuilder(np.random.default_rng(1), (32, 8, 8))
    x = b.conv("input", 64, pads=(1, 1, 1, 1), weight_bits=4)
    program = compile_model(b.model(b.conv(x, 64, (1, 1), weight_bits=8)), LARGE)
    assert program.products == [2, 1]
    first, second = bounds(program)
    assert first.parts["multipliers"] == 2 * 4 * 9 * 64
    assert first.parts["idle lanes"] == 2 * 64
    assert second.parts["multipliers"] == 8 * 4 * 64


def test_layers_of_all_widths_in_one_network():
    b = NetworkBuilder(np.random.default_rng(3), (3, 12, 12), signed=False)
    x = b.conv("input", 16, pads=(1, 1, 1, 1))
    for bits in (4, 3, 8, 2, 5):
        x = b.conv(x, 32, pads=(1, 1, 1, 1), weight_bits=bits, per_channel=True)
    model = b.model(b.fc(x, 10, weight_bits=4))
    for config in (TINY, LARGE):
        assert len(kinds(assert_runs(model, config))) >= 2
