"""Where large arrays are to lie."""

import pytest

from hw.build.floorplan import LFE5U_85F, bels, blocks, slots


def cells_of(lanes, per_lane, blocks=0):
    array = {f"top.calc.array.U${n}": {"type": "MULT18X18D", "attributes": {}}
             for n in range(lanes * per_lane)}
    memory = {f"top.calc.weight.block_0_{n}": {
        "type": "DP16KD", "attributes": {}, "connections": {}} for n in range(blocks)}
    vector = {f"top.calc.vector.U${n + 2}": {"type": "MULT18X18D", "attributes": {}}
              for n in range(lanes)}
    others = {"top.feature.block_0_0": {"type": "DP16KD", "attributes": {}}, **vector}
    return {**array, **memory, **others}


@pytest.mark.parametrize(("lanes", "per_lane", "rows"), [
    (16, 8, [5, 6, 5]), (18, 8, [6, 6, 6]), (8, 16, [3, 2, 3]), (3, 52, [1, 1, 1])])
def test_lanes_are_spread_over_the_rows(lanes, per_lane, rows):
    sites = LFE5U_85F.multipliers
    places = slots(lanes, per_lane, sites)
    assert [sum(slot.row == n for slot in places) for n in range(3)] == rows
    assert len(set(places)) == lanes
    for number in range(3):
        row = [slot.first(sites) for slot in places if slot.row == number]
        ends = [*row[1:], len(sites.columns)]
        assert all(end - start >= per_lane for start, end in zip(row, ends, strict=True))
    starts = [slot.first(sites) for slot in places]
    assert starts == sorted(starts)


def test_lanes_with_the_same_weight_data_are_neighbors():
    cells = cells_of(16, 8, blocks=32)
    for number in range(32):
        block = cells[f"top.calc.weight.block_0_{number}"]
        block["connections"] = {"DIA0": [number // 2 % 4]}
    found = bels(cells, 16, LFE5U_85F)
    for first in range(4):
        columns = [int(found[f"top.calc.array.U${8 * lane}"].split("/")[0][1:])
                   for lane in range(first, 16, 4)]
        assert max(columns) - min(columns) <= 36  # and not the chip's 115


def test_too_many_lanes():
    assert slots(19, 8, LFE5U_85F.multipliers) is None
    assert bels(cells_of(2, 60), 2, LFE5U_85F) == {}
    assert bels(cells_of(16, 8), 15, LFE5U_85F) == {}


def test_each_multiplier_has_its_own_place():
    found = bels(cells_of(16, 8, blocks=64), 16, LFE5U_85F)
    assert len(set(found.values())) == len(found) == 128 + 16
    lane = {found[f"top.calc.array.U${n}"].split("/")[1] for n in range(8)}
    assert lane == {"Y10"}


def test_more_multipliers_than_there_are():
    """4 x 32 lanes and 32 of VECTOR are 160 of 156: the check of the fit says so, later."""
    found = bels(cells_of(32, 4), 32, LFE5U_85F)
    assert len(found) == 128
    assert not [name for name in found if "vector" in name]


def test_small_arrays_are_left_to_the_placer():
    assert bels(cells_of(8, 4, blocks=8), 8, LFE5U_85F) == {}


def test_multipliers_that_share_enables():
    places = bels(cells_of(16, 8, blocks=64), 16, LFE5U_85F)
    found = blocks(places, LFE5U_85F.multipliers)
    assert len(found) == 128 + 16
    for block in set(found.values()):
        columns = [int(places[name].split("/")[0][1:]) for name in found if found[name] == block]
        assert len(columns) <= 4
        assert max(columns) - min(columns) <= 5
