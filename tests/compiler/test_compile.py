"""Compiled programs compute what the quantized model says, whatever has to be cut."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arch.config import preset
from arch.formats import Rounding
from arch.isa import Memory, Opcode, Region
from compiler import CompileError, DramTiming, compile_model

from .check import assert_runs
from .configs import CONFIGS, NANO, SQUARE, WIDE_CONFIGS
from .networks import NetworkBuilder, random_model


def build(shape=(5, 9, 7), **options):
    return NetworkBuilder(np.random.default_rng(1), shape, **options)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 1 << 32), number=st.integers(0, len(CONFIGS) - 1),
       optimize=st.booleans())
def test_random_networks(seed, number, optimize):
    rng = np.random.default_rng(seed)
    model = random_model(rng, layers=int(rng.integers(1, 5)))
    config = CONFIGS[number]
    try:
        assert_runs(model, config, seed=seed, optimize=optimize)
    except CompileError as error:
        # Only these are too small for some of the networks.
        if config.name not in ("nano", "square") or "feature memory" not in str(error):
            raise


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 1 << 32), number=st.integers(0, len(WIDE_CONFIGS) - 1),
       narrow=st.booleans())
def test_random_networks_on_16_bits(seed, number, narrow):
    config = WIDE_CONFIGS[number]
    rng = np.random.default_rng(seed)
    bits = (8, 8) if narrow else (config.data_bits, config.weight_bits)
    model = random_model(
        rng, layers=int(rng.integers(1, 5)), bits=bits[0], weight_bits=bits[1])
    try:
        assert_runs(model, config, seed=seed)
    except CompileError as error:
        if config.name not in ("nano16", "mixed") or "feature memory" not in str(error):
            raise


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_strides_pads_and_dilations(config):
    b = build((3, 11, 10), signed=False)
    x = b.conv("input", 6, (3, 2), strides=(2, 1), pads=(1, 0, 0, 2), dilations=(1, 2))
    x = b.conv(x, 7, (2, 3), pads=(3, 4, 3, 4), dilations=(2, 2), relu=None, per_channel=True)
    assert_runs(b.model(x), config)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_every_weight_width(config):
    b = build((3, 6, 5))
    x = "input"
    for bits in (2, 3, 4, 5, 6, 7, 8):
        x = b.conv(x, 5, (2, 2), pads=(1, 0, 0, 1), weight_bits=bits, per_channel=True)
    program = assert_runs(b.model(b.conv(x, 5, (3, 3), groups=5, weight_bits=3)), config)
    widths = {
        (item.layer, item.values["weight_bits"]) for item in program.instructions
        if item.opcode == Opcode.LOAD and item.values["memory"] == Memory.WEIGHT}
    assert widths == {(0, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7), (6, 0), (7, 3)}
    assert "codes of 5 bits" in program.disassemble()
    assert "codes of 8 bits" not in program.disassemble()


def conv_passes(program, layer):
    """Return the passes of a layer for one tile, and its tiles."""
    passes = sum(
        item.values["count_2"] * item.values["count_3"] * item.values["count_4"]
        for item in program.instructions if item.opcode == Opcode.CONV and item.layer == layer)
    records = [record for record in program.writes if record.layer == layer]
    tiles = len(records) // len({record.block for record in records})
    assert passes % tiles == 0
    return passes // tiles


@pytest.mark.parametrize("groups", [2, 3, 6])
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_groups_read_only_their_words(config, groups):
    b = build((6, 7, 6))
    x = b.conv("input", 12, (1, 1))
    x = b.conv(x, 24, (3, 3), groups=12, pads=(1, 1, 1, 1))
    program = assert_runs(b.model(b.conv(x, 6, (3, 3), groups=groups)), config)
    words = 0
    for first in range(0, 24, config.out_lanes):  # two kernels for each channel
        last = min(24, first + config.out_lanes)
        words += -(-last // 2 // config.in_lanes) - first // 2 // config.in_lanes
    assert conv_passes(program, 1) == 9 * words


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize(("kernel", "strides", "dilations"), [
    ((3, 3), (1, 1), (1, 1)),
    ((3, 3), (2, 2), (1, 1)),
    ((1, 7), (1, 3), (1, 1)),
    ((2, 3), (1, 1), (2, 2)),
    ((2, 2), (1, 1), (1, 5)),
])
def test_depthwise(config, kernel, strides, dilations):
    b = build((21, 9, 13))
    x = b.conv("input", 21, kernel, groups=21, strides=strides, dilations=dilations,
               pads=(1, 2, 0, 1), per_channel=True)
    program = assert_runs(b.model(x), config)
    if config.window_taps:
        window = (config.window_taps - 1) // dilations[1] + 1
        blocks = -(-21 // config.out_lanes)
        assert conv_passes(program, 0) == blocks * kernel[0] * -(-kernel[1] // window)


def test_depthwise_with_long_strides_runs_dense():
    b = build((9, 20, 40))
    x = b.conv("input", 9, (2, 3), groups=9, strides=(1, 9))
    program = assert_runs(b.model(x), preset("small"))
    assert not any(item.values.get("depthwise") for item in program.instructions)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize(("kernel", "pads", "count_pad", "ceil_pads"), [
    ((2, 2), (0, 0, 0, 0), False, (0, 0)),
    ((3, 3), (1, 1, 1, 1), False, (0, 0)),
    ((3, 3), (1, 1, 1, 1), True, (0, 0)),
    ((3, 2), (1, 0, 2, 1), True, (1, 1)),
    ((7, 7), (0, 0, 0, 0), False, (0, 0)),
])
def test_average_pools(config, kernel, pads, count_pad, ceil_pads):
    b = build((5, 7, 7))
    x = b.average_pool(
        "input", kernel, strides=(2, 2), pads=pads, count_pad=count_pad, ceil_pads=ceil_pads,
        up=1)
    assert_runs(b.model(x), config)


def test_average_of_four_needs_no_division():
    b = build((5, 8, 8))
    program = assert_runs(b.model(b.average_pool("input", (2, 2))), preset("small"))
    (vector,) = [item for item in program.instructions if item.opcode == Opcode.VECTOR]
    assert (vector.values["divide"], vector.values["shift"], vector.values["gap"]) == (0, 2, 0)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_sums_of_different_formats(config):
    b = build((9, 6, 5), signed=False, frac=7)
    a = b.conv("input", 9, (3, 3), pads=(1, 1, 1, 1), relu=None)
    x = b.add(a, "input", relu=None)
    x = b.add(x, x, relu="clip")
    assert_runs(b.model(b.add("input", x)), config)


def test_output_that_is_read_again():
    b = build()
    a = b.conv("input", 6, (3, 3))
    b.conv(a, 4, (1, 1))
    for config in CONFIGS:
        assert_runs(b.model(a), config)


def test_lone_clamp():
    b = build()
    for config in CONFIGS:
        assert_runs(b.model(b.clamp("input")), config)


def test_map_that_does_not_fit_is_cut_into_row_tiles():
    b = build((4, 40, 20))
    x = b.conv("input", 4, (3, 3), pads=(1, 1, 1, 1))
    y = b.conv(x, 4, (3, 3), pads=(1, 1, 1, 1), relu=None)
    x = b.add(x, y)
    program = assert_runs(b.model(b.max_pool(x, (3, 3))), NANO)
    assert program.scratch_size >= 40 * 20 * 4
    reloads = [
        item for item in program.instructions
        if item.opcode == Opcode.LOAD and item.values["region"] == Region.SCRATCH]
    assert len(reloads) > 10


def test_line_that_does_not_fit_is_cut_into_column_tiles():
    b = build((3, 4, 150))
    x = b.conv("input", 4, (3, 3), pads=(1, 1, 1, 1))
    x = b.conv(x, 4, (3, 5), strides=(1, 2), relu=None)
    program = assert_runs(b.model(x), NANO)
    loads = [item.values for item in program.instructions if item.opcode == Opcode.LOAD]
    assert any(values["line_count"] > 1 for values in loads)


def test_line_longer_than_the_accumulators():
    b = build((3, 2, 100))
    program = assert_runs(b.model(b.conv("input", 5, (1, 3))), replace(NANO, feature_depth=1024))
    assert max(record.columns for record in program.writes) <= NANO.acc_depth


def test_weights_of_a_block_that_do_not_fit_are_split():
    b = build((40, 3, 3))
    program = assert_runs(b.model(b.fc("input", 9)), NANO)
    convs = [item.values for item in program.instructions if item.opcode == Opcode.CONV]
    assert sum(not values["init"] for values in convs) > 3
    assert max(values["count_4"] for values in convs) * 9 > 1


@pytest.mark.parametrize("kernel", [(1, 11), (11, 1), (3, 9)])
def test_kernel_larger_than_the_weight_memory(kernel):
    b = build((3, 12, 12))
    assert_runs(b.model(b.conv("input", 3, kernel)), NANO)


def test_weights_that_do_not_fit_are_loaded_once_when_maps_stay():
    b = build((16, 6, 6))
    program = assert_runs(b.model(b.conv("input", 40, (3, 3), relu=None)), SQUARE)
    loads = [
        item.values["address"] for item in program.instructions
        if item.opcode == Opcode.LOAD and item.values["region"] == Region.WEIGHTS]
    assert len(loads) == len(set(loads))
    assert program.prediction.traffic["weights"] == len(program.weight_image)


def test_large_classifier_compiles():
    rng = np.random.default_rng(0)
    b = NetworkBuilder(rng, (512, 7, 7))
    program = compile_model(b.model(b.fc("input", 40)), preset("ecp5_85f"))
    convs = [item.values for item in program.instructions if item.opcode == Opcode.CONV]
    assert len(convs) == 3 * 7  # three output blocks, 3136 passes each in parts of up to 512
    bound = len(program.weight_image) / 8
    assert bound < program.prediction.cycles < 1.03 * bound + 3000


def residual_network():
    """Return a network of the shape of ResNet-8."""
    b = build((3, 32, 32), signed=False)
    x = b.conv("input", 16, (3, 3), pads=(1, 1, 1, 1))
    for channels, stride in ((16, 1), (32, 2), (64, 2)):
        pads = (1, 1, 1, 1) if stride == 1 else (0, 0, 1, 1)
        y = b.conv(x, channels, (3, 3), strides=(stride, stride), pads=pads)
        y = b.conv(y, channels, (3, 3), pads=(1, 1, 1, 1), relu=None)
        if stride > 1:
            x = b.conv(x, channels, (1, 1), strides=(stride, stride), relu=None)
        x = b.add(y, x)
    return b.model(b.fc(b.average_pool(x, (8, 8)), 10))


def test_resnet_8_stays_near_the_array_bound():
    program = assert_runs(residual_network(), preset("ecp5_85f"))
    assert program.scratch_size == 0
    assert program.input_layout.unroll == "taps"
    assert 98_400 < program.prediction.cycles < 105_000
    assert program.roofline_cycles < program.prediction.cycles


def test_resnet_8_on_the_smallest_preset():
    program = assert_runs(residual_network(), preset("tiny"))
    assert program.scratch_size > 0


@pytest.mark.parametrize("rounding", list(Rounding))
def test_rounding_rules(rounding):
    b = build()
    x = b.average_pool(b.conv("input", 6, (3, 3), relu=None), (3, 3), up=1)
    model = b.model(b.add(x, x), rounding=rounding)
    assert_runs(model, replace(NANO, rounding=rounding))


def test_compiling_twice_gives_the_same_bytes():
    first, second = (compile_model(residual_network(), preset("small")) for _ in range(2))
    assert first.program_image == second.program_image
    assert first.weight_image == second.weight_image
    assert first.prediction == second.prediction


def test_slow_dram_changes_only_the_schedule():
    dram = DramTiming(latency=200, bytes_per_cycle=0.5)
    slow = assert_runs(residual_network(), preset("ecp5_85f"), dram=dram)
    fast = compile_model(residual_network(), preset("ecp5_85f"))
    assert slow.prediction.cycles > 1.5 * fast.prediction.cycles
    assert slow.input_layout.unroll == "columns"  # one row a position, as without
