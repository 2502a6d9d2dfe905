"""Where the multipliers of the array and the memories beside them are to lie.

A placer moves cells by the wires they have. Multipliers and block RAM lie in few rows, far apart,
where that ends with every output lane all over the chip, and the router runs out of wires.
"""

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


__all__ = (
    "LFE5U_85F",
    "Rows",
    "Sites",
    "Slot",
    "bels",
    "blocks",
    "slots",
)


@dataclass(frozen=True)
class Sites:
    """Places of one kind of cell in a row of a chip, from left to right.

    Parameters
    ----------
    cell : str
        Type of the cell.
    columns : sequence of (int, str)
        Column, and name in its tile.
    shared : int
        So many places side by side share few clocks, enables and resets.
    """

    cell: str
    columns: Sequence[tuple[int, str]]
    shared: int = 1


@dataclass(frozen=True)
class Rows:
    """Rows of multipliers, each with the row of block RAM that is next to it.

    Parameters
    ----------
    multipliers, memories : Sites
        What one row has.
    rows : sequence of (int, int)
        Rows of multipliers and of memories.
    """

    multipliers: Sites
    memories: Sites
    rows: Sequence[tuple[int, int]]


# Left and right of the column with the clocks.
_GROUPS = (*range(13, 59, 9), *range(69, 115, 9))

LFE5U_85F = Rows(
    Sites("MULT18X18D", tuple(
        (first + step, f"MULT18_{number}")
        for first in (4, *_GROUPS) for step, number in ((0, 0), (1, 1), (4, 4), (5, 5))),
        shared=4),
    Sites("DP16KD", tuple(
        (first + 2 * number, f"EBR{number}") for first in _GROUPS for number in range(4))),
    ((10, 22), (34, 46), (58, 70)))
"""Rows of LFE5U-85F, by the names that nextpnr-ecp5 has for them."""

_ARRAY = re.compile(r"(?:.*\.)?calc\.array\.U\$(\d+)")
_VECTOR = re.compile(r"(?:.*\.)?calc\.vector\.U\$(\d+)")
_MEMORIES = [
    re.compile(rf"(?:.*\.)?calc\.{name}(?:\$\d+)?\.block_0_(\d+)")
    for name in ("weight", "acc", "param")]


class Slot(NamedTuple):
    """Where an output lane lies: on which row, as which of how many, from left to right."""

    row: int
    place: int
    count: int

    def first(self, sites: Sites) -> int:
        """Return the first of the places on the row that are the lane's."""
        return self.place * len(sites.columns) // self.count

    def end(self, sites: Sites) -> int:
        """Return the first place of the next lane."""
        return (self.place + 1) * len(sites.columns) // self.count


def slots(lanes: int, per_lane: int, rows: Rows) -> list[Slot] | None:
    """Return slots for output lanes, from left to right, or None where they do not fit.

    There are about as many on each row, and those that follow each other are close.

    Parameters
    ----------
    lanes, per_lane : int
        Output lanes, and multipliers of each.
    rows : Rows
        Rows of the chip.
    """
    count = len(rows.rows)
    ends = [round(lanes * number / count) for number in range(count + 1)]
    found = []
    for number, (start, end) in enumerate(itertools.pairwise(ends)):
        if (end - start) * per_lane > len(rows.multipliers.columns):
            return None
        found += [Slot(number, place, end - start) for place in range(end - start)]
    return sorted(found, key=lambda slot: (slot.first(rows.multipliers), slot.row))


def bels(cells: Mapping[str, Any], lanes: int, rows: Rows) -> dict[str, str]:
    """Return places of cells by name: of the multipliers of lanes, and of memories beside them.

    Nothing where the array has no more than half the multipliers of the chip, which lie well by
    themselves, where lanes are not alike, or where one would not be on one row.

    Parameters
    ----------
    cells : mapping
        Cells of a netlist, as Yosys writes it.
    lanes : int
        Output lanes of the array, as many parts of each memory.
    rows : Rows
        Rows of the chip.
    """
    sites = rows.multipliers
    array = _numbered(cells, sites.cell, _ARRAY)
    per_lane = len(array) // lanes
    if 2 * len(array) <= len(rows.rows) * len(sites.columns) or len(array) % lanes:
        return {}
    line = slots(lanes, per_lane, rows)
    if line is None:
        return {}
    order = sorted(range(lanes), key=_sources(cells, lanes, rows).__getitem__)
    places = dict(zip(order, line, strict=True))
    found = {}
    free = {(row, place) for row in range(len(rows.rows)) for place in range(len(sites.columns))}

    def put(name: str, row: int, place: int) -> None:
        free.remove((row, place))
        column, site = sites.columns[place]
        found[name] = f"X{column}/Y{rows.rows[row][0]}/{site}"

    for index, name in enumerate(array):
        lane, place = divmod(index, per_lane)
        put(name, places[lane].row, places[lane].first(sites) + place)
    vector = _numbered(cells, sites.cell, _VECTOR)
    if len(vector) != lanes or len(vector) > len(free):
        vector = []
    for lane, name in enumerate(vector):
        slot = places[lane]
        middle = slot.first(sites) + per_lane // 2
        put(name, *min(free, key=lambda site: (
            abs(site[1] - middle) + per_lane * abs(site[0] - slot.row), site)))

    # Of each memory, the parts of a lane; what finds no place is left to the placer.
    taken = Counter[Slot]()
    for kind in _MEMORIES:
        parts = _numbered(cells, rows.memories.cell, kind)
        for index, name in enumerate(parts):
            slot = places[index * lanes // len(parts)]
            place = slot.first(rows.memories) + taken[slot]
            if place < slot.end(rows.memories):
                taken[slot] += 1
                column, site = rows.memories.columns[place]
                found[name] = f"X{column}/Y{rows.rows[slot.row][1]}/{site}"
    return found


def _sources(cells: Mapping[str, Any], lanes: int, rows: Rows) -> list[int]:
    """Return a number for each lane, the same for those whose weights come over the same wires."""
    weights = _numbered(cells, rows.memories.cell, _MEMORIES[0])
    if len(weights) < lanes:
        return [0] * lanes
    wires = [
        tuple(cells[weights[lane * len(weights) // lanes]]["connections"].get("DIA0", ()))
        for lane in range(lanes)]
    return [wires.index(each) for each in wires]


def blocks(places: Mapping[str, str], rows: Rows) -> dict[str, int]:
    """Return for each cell with a place among the multipliers which of them share its enables.

    Parameters
    ----------
    places : mapping from str to str
        What :func:`bels` returns.
    rows : Rows
        Rows of the chip.
    """
    sites = rows.multipliers
    numbers = {
        f"X{column}/Y{row}/{site}": (line * len(sites.columns) + place) // sites.shared
        for line, (row, _) in enumerate(rows.rows)
        for place, (column, site) in enumerate(sites.columns)}
    return {name: numbers[bel] for name, bel in places.items() if bel in numbers}


def _numbered(cells: Mapping[str, Any], kind: str, pattern: re.Pattern[str]) -> list[str]:
    """Return the names of cells of a kind that a pattern finds, by the number in them."""
    found = {
        name: int(match[1]) for name, cell in cells.items()
        if cell["type"] == kind and (match := pattern.fullmatch(name))}
    return sorted(found, key=found.__getitem__)
