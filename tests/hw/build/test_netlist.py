"""What a netlist says to the placer."""

import json
from collections import Counter

import pytest

from hw.build.devices import DEVICES
from hw.build.errors import BuildError
from hw.build.netlist import prepare_netlist

from .test_floorplan import cells_of


def _register(clock):
    return {"type": "TRELLIS_FF", "parameters": {"GSR": "ENABLED"}, "attributes": {},
            "port_directions": {"CLK": "input"}, "connections": {"CLK": [clock]}}


def _prepare(folder, device, lanes=0):
    gate = {"type": "DCCA", "parameters": {}, "attributes": {},
            "port_directions": {"CLKI": "input", "CLKO": "output"},
            "connections": {"CLKI": [2], "CLKO": [3]}}
    array = {name: {**cell, "port_directions": {"A0": "input"}, "connections": {"A0": [4]}}
             for name, cell in cells_of(16, 8).items()}
    cells = {**array, "gate": gate, "starts": _register(2), "works": _register(3)}
    file, kept = folder / "top.json", folder / "kept.json"
    text = json.dumps({"modules": {"top": {"cells": cells, "netnames": {}}}})
    kept.write_text(text)
    file.hardlink_to(kept)
    prepare_netlist(file, DEVICES[device], lanes)
    assert kept.read_text() == text
    return json.loads(file.read_text())["modules"]["top"]["cells"]


def test_registers_of_a_stopped_clock_are_set_globally(tmp_path):
    cells = _prepare(tmp_path, "LFE5U-25F")
    assert cells["works"]["parameters"]["GSR"] == "ENABLED"
    assert cells["starts"]["parameters"]["GSR"] == "DISABLED"


def test_lanes_have_places(tmp_path):
    cells = _prepare(tmp_path, "LFE5U-85F", 16)
    placed = [cell["type"] for cell in cells.values() if "BEL" in cell["attributes"]]
    assert Counter(placed) == {"MULT18X18D": 144, "DP16KD": 1}


def test_no_netlist(tmp_path):
    (tmp_path / "top.json").write_text("nothing")
    with pytest.raises(BuildError, match="^Yosys wrote no netlist that can be read: Expecting"):
        prepare_netlist(tmp_path / "top.json", DEVICES["LFE5U-25F"], 0)


def test_other_families_are_left_alone(tmp_path):
    cells = _prepare(tmp_path, "iCE40UP5K", 16)
    assert not any("BEL" in cell["attributes"] for cell in cells.values())
    assert cells["starts"]["parameters"]["GSR"] == "ENABLED"
