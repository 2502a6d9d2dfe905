"""Where block RAM is to lie."""

import pytest

from hw.build.floorplan import LFE5U_85F
from hw.build.memory_places import memory_bels


def _cell(kind, bits, bel=None):
    return {"type": kind, "attributes": {"BEL": bel} if bel else {},
            "port_directions": {"A": "input"}, "connections": {"A": bits}}


def _cells(memories, seen=0):
    """Memories in pairs: both have a net with the same multiplier, and one with each other."""
    spots = LFE5U_85F.multipliers.spots()[seen::20]
    multipliers = {
        f"m{number}": _cell("MULT18X18D", list(range(100 * number, 100 * number + 100)),
                            "X{}/Y{}/{}".format(*spot))
        for number, spot in enumerate(spots)}
    blocks = {
        f"b{number}": _cell("DP16KD", [
            100 * (number % len(spots)) + number // len(spots),
            10_000 + 100 * (number % len(spots)) + number // len(spots) // 2])
        for number in range(memories)}
    return {**blocks, **multipliers}


def _tiles(cells, found):
    """Half the perimeters of all nets, in tiles."""
    nets = {}
    for name, cell in cells.items():
        column, row, _ = (found.get(name) or cell["attributes"]["BEL"]).split("/")
        for bit in cell["connections"]["A"]:
            nets.setdefault(bit, []).append((int(column[1:]), int(row[1:])))
    return sum(
        max(place[axis] for place in places) - min(place[axis] for place in places)
        for places in nets.values() for axis in range(2))


@pytest.mark.parametrize("memories", [1, 40, 208])
def test_each_memory_has_its_own_place(memories):
    cells = _cells(memories)
    found = memory_bels(cells, LFE5U_85F.memories)
    spots = {"X{}/Y{}/{}".format(*spot) for spot in LFE5U_85F.memories.spots()}
    assert len(spots) == 208
    assert found.keys() == {f"b{number}" for number in range(memories)}
    assert len(set(found.values())) == memories
    assert set(found.values()) <= spots
    assert found == memory_bels(cells, LFE5U_85F.memories)


def test_wires_are_short():
    cells = _cells(100)
    found = memory_bels(cells, LFE5U_85F.memories)
    some = LFE5U_85F.memories.spots()[:100]
    in_order = {f"b{number}": "X{}/Y{}/{}".format(*spot) for number, spot in enumerate(some)}
    assert _tiles(cells, found) < 0.5 * _tiles(cells, in_order)


def test_a_memory_is_beside_what_it_is_connected_to():
    cells = _cells(1, seen=25)
    place, = memory_bels(cells, LFE5U_85F.memories).values()
    column, row, _ = cells["m0"]["attributes"]["BEL"].split("/")
    found_column, found_row, _ = place.split("/")
    assert abs(int(column[1:]) - int(found_column[1:])) <= 4
    assert abs(int(row[1:]) - int(found_row[1:])) == 12


def test_too_many_memories():
    assert memory_bels(_cells(209), LFE5U_85F.memories) == {}
    assert memory_bels(_cells(0), LFE5U_85F.memories) == {}
