"""Where the multipliers of the array are to lie.

A placer moves cells by the wires they have. Multipliers lie in few rows, far apart, where that ends
with every output lane all over the chip, and the router runs out of wires.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


__all__ = (
    "LFE5U_85F",
    "Grid",
    "Sites",
    "Slot",
    "bels",
    "blocks",
    "slots",
)


@dataclass(frozen=True)
class Sites:
    """Places of one kind of cell on a chip, in rows that are alike.

    Parameters
    ----------
    cell : str
        Type of the cell.
    columns : sequence of (int, str)
        From left to right, the column of each place, and its name in its tile.
    rows : sequence of int
        Rows.
    shared : int
        So many places side by side share few clocks, enables and resets.
    """

    cell: str
    columns: Sequence[tuple[int, str]]
    rows: Sequence[int]
    shared: int = 1

    def spots(self) -> list[tuple[int, int, str]]:
        """Return column, row and name of all places, row by row."""
        return [(column, row, name) for row in self.rows for column, name in self.columns]


@dataclass(frozen=True)
class Grid:
    """Places on a chip of what is in few rows.

    Parameters
    ----------
    multipliers, memories : Sites
        Of each kind.
    """

    multipliers: Sites
    memories: Sites


# Left and right of the column with the clocks.
_GROUPS = (4, *range(13, 59, 9), *range(69, 115, 9))

LFE5U_85F = Grid(
    Sites("MULT18X18D", tuple(
        (first + step, f"MULT18_{number}")
        for first in _GROUPS for step, number in ((0, 0), (1, 1), (4, 4), (5, 5))),
        (10, 34, 58), shared=4),
    Sites("DP16KD", tuple(
        (first + 2 * number, f"EBR{number}") for first in _GROUPS for number in range(4)),
        (22, 46, 70, 82)))
"""Places of LFE5U-85F, by the names that nextpnr-ecp5 has for them."""

_ARRAY = re.compile(r"(?:.*\.)?calc\.array\.U\$(\d+)")
_VECTOR = re.compile(r"(?:.*\.)?calc\.vector\.U\$(\d+)")
_WEIGHT = re.compile(r"(?:.*\.)?calc\.weight(?:\$\d+)?\.block_0_(\d+)")


class Slot(NamedTuple):
    """Where an output lane lies: on which row, as which of how many, from left to right."""

    row: int
    place: int
    count: int

    def first(self, sites: Sites) -> int:
        """Return the first of the places on the row that are the lane's."""
        return self.place * len(sites.columns) // self.count


def slots(lanes: int, per_lane: int, sites: Sites) -> list[Slot] | None:
    """Return slots for output lanes, from left to right, or None where they do not fit.

    There are about as many on each row, and those that follow each other are close.

    Parameters
    ----------
    lanes, per_lane : int
        Output lanes, and multipliers of each.
    sites : Sites
        Places of multipliers.
    """
    count = len(sites.rows)
    ends = [round(lanes * number / count) for number in range(count + 1)]
    found = []
    for number, (start, end) in enumerate(itertools.pairwise(ends)):
        if (end - start) * per_lane > len(sites.columns):
            return None
        found += [Slot(number, place, end - start) for place in range(end - start)]
    return sorted(found, key=lambda slot: (slot.first(sites), slot.row))


def bels(cells: Mapping[str, Any], lanes: int, grid: Grid) -> dict[str, str]:
    """Return places of the multipliers of lanes by name.

    Lanes whose weights come over the same wires are neighbors. Nothing where the array has
    no more than half the multipliers of the chip, which lie well by themselves, where lanes are not
    alike, or where one would not be on one row.

    Parameters
    ----------
    cells : mapping
        Cells of a netlist, as Yosys writes it.
    lanes : int
        Output lanes of the array.
    grid : Grid
        Places on the chip.
    """
    sites = grid.multipliers
    array = _numbered(cells, sites.cell, _ARRAY)
    per_lane = len(array) // lanes
    if 2 * len(array) <= len(sites.rows) * len(sites.columns) or len(array) % lanes:
        return {}
    line = slots(lanes, per_lane, sites)
    if line is None:
        return {}
    sources = _sources(cells, lanes, grid.memories.cell)
    places = dict(zip(sorted(range(lanes), key=sources.__getitem__), line, strict=True))
    found = {}
    free = {(row, place) for row in range(len(sites.rows)) for place in range(len(sites.columns))}

    def put(name: str, row: int, place: int) -> None:
        free.remove((row, place))
        column, site = sites.columns[place]
        found[name] = f"X{column}/Y{sites.rows[row]}/{site}"

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
    return found


def _sources(cells: Mapping[str, Any], lanes: int, kind: str) -> list[int]:
    """Return a number for each lane, the same for those whose weights come over the same wires."""
    weights = _numbered(cells, kind, _WEIGHT)
    if len(weights) < lanes:
        return [0] * lanes
    wires = [
        tuple(cells[weights[lane * len(weights) // lanes]]["connections"].get("DIA0", ()))
        for lane in range(lanes)]
    return [wires.index(each) for each in wires]


def blocks(places: Mapping[str, str], sites: Sites) -> dict[str, int]:
    """Return for each cell with a place among the multipliers which of them share its enables.

    Parameters
    ----------
    places : mapping from str to str
        What :func:`bels` returns.
    sites : Sites
        Places of multipliers.
    """
    numbers = {
        f"X{column}/Y{row}/{site}": number // sites.shared
        for number, (column, row, site) in enumerate(sites.spots())}
    return {name: numbers[bel] for name, bel in places.items() if bel in numbers}


def _numbered(cells: Mapping[str, Any], kind: str, pattern: re.Pattern[str]) -> list[str]:
    """Return the names of cells of a kind that a pattern finds, by the number in them."""
    found = {
        name: int(match[1]) for name, cell in cells.items()
        if cell["type"] == kind and (match := pattern.fullmatch(name))}
    return sorted(found, key=found.__getitem__)
