import dataclasses
import json
import re

import pytest

from arch.config import PRESETS, AcceleratorConfig, preset


@pytest.mark.parametrize(("fields", "message"), [
    ({"in_lanes": 3}, "in_lanes must be a power of two, not 3"),
    ({"out_lanes": 512}, "out_lanes must be in 4..256, not 512"),
    ({"depthwise_taps": 17}, "depthwise_taps must be in 0..16, not 17"),
    ({"pool_depth": 100}, "pool_depth must be 0 or a power of two in 16..512, not 100"),
    ({"pool_depth": 1024}, "pool_depth must be 0 or a power of two in 16..512, not 1024"),
    ({"unroll_size": 1000},
     "unroll_size must be 0 or a power of two of at least 32, not 1000"),
    ({"unroll_size": 16}, "unroll_size must be 0 or a power of two of at least 32, not 16"),
    ({"in_lanes": 32}, "out_lanes must be at least in_lanes (32), not 16"),
    ({"dram_width": 32}, "dram_width must divide a row of 16 bytes, not 32"),
    ({"in_lanes": 1, "out_lanes": 256, "feature_depth": 1 << 15},
     "feature memory must have at most 524288 words, not 8388608"),
    ({"out_lanes": 64, "dram_width": 64, "burst_length": 128},
     "dram_width * burst_length must be at most 4096 bytes, not 8192"),
    ({"layer_depth": 3}, "layer_depth must be 0 or a power of two in 2..4096, not 3"),
    ({"loop_bits": 13}, "loop_bits must be in 4..12, not 13"),
    ({"in_order": True, "burst_length": 4},
     "in_order needs a dram_width * burst_length of at least 64 bytes, not 32"),
    ({"wire_registers": True, "in_order": True},
     "wire_registers must be false with in_order, not true"),
    ({"address_bits": 17}, "address_bits must be 32 without in_order, not 17"),
    ({"vector_unit": False}, "table_lanes must be 0 without vector_unit, not 4"),
    ({"requantizer_lanes": 3},
     "requantizer_lanes must be 0 or a power of two of at most out_lanes (16), not 3"),
    ({"requantizer_lanes": 4},
     ("requantizer_lanes must be 0 or 16, not 4, unless there is in_order, no vector_unit, no "
      "dual_products, 8-bit data, and a dram_width of at most 8")),
    ({"rounding": "up"},
     "rounding must be one of half_even, half_up, half_away, floor, not 'up'"),
])
def test_broken_rule(fields, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        AcceleratorConfig("test", **fields)


@pytest.mark.parametrize(("fields", "message"), [
    ({"name": 5}, "name must be a string, not 5"),
    ({"in_lanes": True}, "in_lanes must be an integer, not True"),
    ({"data_bits": 8.0}, "data_bits must be an integer, not 8.0"),
    ({"depthwise_taps": "4"}, "depthwise_taps must be an integer, not '4'"),
    ({"dual_products": 1}, "dual_products must be true or false, not 1"),
])
def test_wrong_type(fields, message):
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        AcceleratorConfig(**{"name": "test", **fields})


def test_unknown_preset_lists_those_that_exist():
    message = f"^Config must be one of {', '.join(PRESETS)}, not 'ecp5'$"
    with pytest.raises(ValueError, match=message):
        preset("ecp5")


@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
def test_json_round_trip(config):
    assert AcceleratorConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_hash_knows_everything_but_the_name():
    config = preset("ecp5_85f")
    assert dataclasses.replace(config, name="other").hash == config.hash
    assert dataclasses.replace(config, acc_depth=512).hash != config.hash


@pytest.mark.parametrize(("fields", "message"), [
    ({"data_bits": 12}, "data_bits must be 8 or 16, not 12"),
    ({"dual_products": True, "data_bits": 16, "acc_bits": 48},
     "dual_products needs 8-bit data and 8-bit weights, not 16-bit data and 8-bit weights"),
    ({"weight_bits": 16}, "weight_bits must be 8 with 8-bit data, not 16"),
    ({"weight_bits": 4, "data_bits": 16},
     "weight_bits must be 8 or 16 with 16-bit data, not 4"),
    ({"acc_bits": 48}, "acc_bits must be 24 or 32 with 8-bit data, not 48"),
    ({"data_bits": 16}, "acc_bits must be 48 with 16-bit data, not 32"),
    ({"data_bits": 16, "acc_bits": 48, "in_lanes": 1, "out_lanes": 4, "dram_width": 8},
     "dram_width must divide a weight tile of 4 bytes, not 8"),
])
def test_widths_that_do_not_go_together(fields, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        AcceleratorConfig("odd", **fields)


@pytest.mark.parametrize(("weight_bits", "size"), [(8, 128), (16, 256)])
def test_sizes_with_16_bit_data(weight_bits, size):
    config = AcceleratorConfig("wide", data_bits=16, weight_bits=weight_bits, acc_bits=48)
    assert (config.row_size, config.weight_row_size, config.param_row_size) == (32, size, 128)
    assert config.hash != preset("ecp5_85f").hash


def test_hash_changes_only_with_what_is_chosen():
    # Of version 4 of the instruction set: a field that is added must not change it by its default.
    assert preset("tiny").hash == 0xa7a1ce0155ff97af
    assert dataclasses.replace(preset("tiny"), in_order=True).hash != preset("tiny").hash
    assert dataclasses.replace(preset("tiny"), loop_bits=11).hash != preset("tiny").hash
