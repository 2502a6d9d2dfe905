"""Where large arrays are to lie."""

import json

import pytest

from hw.build.floorplan import LFE5U_85F, bels, place_lanes, plan_netlist


def _cells(lanes, per_lane, blocks=0):
    array = {f"top.calc.array.U${n}": {"type": "MULT18X18D", "attributes": {}}
             for n in range(lanes * per_lane)}
    memory = {f"top.calc.weight.block_0_{n}": {"type": "DP16KD", "attributes": {}}
              for n in range(blocks)}
    others = {"top.calc.vector.U$0": {"type": "MULT18X18D", "attributes": {}},
              "top.feature.block_0_0": {"type": "DP16KD", "attributes": {}}}
    return {**array, **memory, **others}


@pytest.mark.parametrize(("lanes", "per_lane", "rows"), [
    (16, 8, [5, 6, 5]), (18, 8, [6, 6, 6]), (8, 16, [3, 2, 3]), (3, 52, [1, 1, 1])])
def test_lanes_are_spread_over_the_rows(lanes, per_lane, rows):
    places = place_lanes(lanes, per_lane, LFE5U_85F)
    assert [sum(row == n for row, _ in places) for n in range(3)] == rows
    assert len(set(places)) == lanes
    # One neighbor is next to the other, or on the next row.
    for (row, slot), (next_row, next_slot) in zip(places, places[1:]):
        assert (row == next_row) == (abs(slot - next_slot) == 1) or next_row == row + 1


def test_too_many_lanes():
    assert place_lanes(19, 8, LFE5U_85F) is None
    assert bels(_cells(2, 60), 2, LFE5U_85F) == {}
    assert bels(_cells(16, 8), 15, LFE5U_85F) == {}


def test_each_cell_has_its_own_place():
    found = bels(_cells(16, 8, blocks=64), 16, LFE5U_85F)
    assert len(set(found.values())) == len(found) == 128 + 64
    assert not [name for name in found if "vector" in name or "feature" in name]
    lane = {found[f"top.calc.array.U${n}"].split("/")[1] for n in range(8)}
    assert lane == {"Y10"}
    assert {found[f"top.calc.weight.block_0_{n}"].split("/")[1] for n in range(4)} == {"Y22"}


def test_memories_without_a_place_are_left_to_the_placer():
    found = bels(_cells(16, 8, blocks=300), 16, LFE5U_85F)
    assert 128 < len(found) < 128 + 144 + 1
    assert len(set(found.values())) == len(found)


def test_small_arrays_are_left_to_the_placer():
    assert bels(_cells(8, 4, blocks=8), 8, LFE5U_85F) == {}


def test_netlist(tmp_path):
    file, kept = tmp_path / "top.json", tmp_path / "kept.json"
    text = json.dumps({"modules": {"top": {"cells": _cells(16, 8)}}})
    kept.write_text(text)
    file.hardlink_to(kept)
    plan_netlist(file, 16, LFE5U_85F)
    cells = json.loads(file.read_text())["modules"]["top"]["cells"]
    assert sum("BEL" in cell["attributes"] for cell in cells.values()) == 128
    assert kept.read_text() == text
