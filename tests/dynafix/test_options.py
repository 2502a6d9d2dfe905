"""Options and configs: what is accepted, and the full text of every refusal."""

import json

import pytest

from arch.boards import BOARD_PRESETS
from arch.config import PRESETS, preset
from dynafix.errors import UsageError
from dynafix.options import Dram, Options, load_config


def _refused(action, *arguments, **options):
    with pytest.raises(UsageError) as caught:
        action(*arguments, **options)
    return str(caught.value)


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name):
    assert load_config(name) is preset(name)


def test_config_file(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"in_lanes": 4, "out_lanes": 8}))
    config = load_config(path)
    assert (config.name, config.in_lanes, config.out_lanes) == ("mine", 4, 8)


def test_config_itself():
    assert load_config(preset("tiny")) is preset("tiny")


def test_presets_of_boards():
    assert load_config("colorlight-i5") is BOARD_PRESETS["colorlight-i5"]


def test_unknown_preset():
    assert _refused(load_config, "ecp5_85") == (
        "--config must be one of tiny, small, up5k, ecp5_85f, large, large16, ulx3s, "
        "colorlight-i5, ecpix5, icebreaker, tang-nano-20k, or a JSON file, not 'ecp5_85'; "
        "did you mean ecp5_85f?")


def test_unknown_parameter(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text('{"lanes": 4}')
    assert _refused(load_config, path) == (
        f"--config {path}: 'lanes' is not a parameter; known are ['acc_bits', 'acc_depth', "
        f"'address_bits', 'burst_length', 'data_bits', 'depthwise_taps', 'dram_width', "
        f"'dual_products', 'feature_banks', 'feature_depth', 'in_lanes', 'in_order', "
        f"'layer_depth', 'loop_bits', 'name', 'out_lanes', 'packed_weights', 'param_depth', "
        f"'pool_depth', 'requantizer_lanes', 'rounding', 'table_lanes', 'unroll_size', "
        f"'vector_unit', 'weight_bits', 'weight_depth', 'wire_registers']")


def test_config_breaks_a_rule(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text('{"in_lanes": 3}')
    assert _refused(load_config, path) == (
        f"--config {path}: in_lanes must be a power of two, not 3")


def test_config_not_json(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text("[")
    assert _refused(load_config, path) == (
        f"--config {path}: not readable as JSON (Expecting value: line 1 column 2 (char 1))")


def test_config_no_object(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text("[1]")
    assert _refused(load_config, path) == f"--config {path}: must hold a JSON object, not [1]"


@pytest.mark.parametrize(("values", "message"), [
    ({"data_bits": 17}, "--data-bits must be in 2..16 bits, not 17"),
    ({"weight_bits": 1}, "--weight-bits must be in 2..16 bits, not 1"),
    ({"first_last_bits": 0}, "--first-last-bits must be in 2..16 bits, not 0"),
    ({"precision": "mixed"}, "--precision must be dynamic or static, not 'mixed'"),
    ({"ranges": "least"},
     ("--ranges must be max, percentile, percentile:P, l1, l2, entropy or mode, not 'least'")),
    ({"refine": True, "precision": "static"},
     ("--refine cannot be used with --precision static, which has one fractional length for all "
      "data")),
    ({"weight_rounding": "up"},
     "--weight-rounding must be nearest, feedback or learned, not 'up'"),
    ({"ranges": "percentile:0"},
     "--ranges percentile must be above 0 and at most 100, not '0'"),
    ({"calibration": 0}, "--calibration must be at least 1 image, not 0"),
])
def test_bad_options(values, message):
    assert _refused(Options, **values) == message


def test_names_of_options():
    assert str(Options()) == "8/8 dynamic"
    assert str(Options(6, 4, 8, "static")) == "6/4 static (8 first, last)"
    assert json.loads(json.dumps(Options(formats="a.json").to_json()))["formats"] == "a.json"


def test_dram():
    assert Dram().bandwidth(preset("large")) == 32
    assert Dram(bytes_per_cycle=1.5).bandwidth(preset("large")) == 1.5
    assert _refused(Dram, 0) == "--dram-latency must be in 1..1000000 cycles, not 0"
    assert _refused(Dram, 1, 0) == "--dram-bytes-per-cycle must be in 0.01..1024, not 0"
    assert _refused(Dram, 1, 0.005) == (
        "--dram-bytes-per-cycle must be in 0.01..1024, not 0.005")
