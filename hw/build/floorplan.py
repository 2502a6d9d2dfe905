"""Where the multipliers of the array and the memories beside them are to lie.

A placer moves cells by the wires they have. Multipliers and block RAM lie in few rows, far apart,
where that ends with every output lane all over the chip, and the router runs out of wires.
"""

import itertools
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


__all__ = (
    "LFE5U_85F",
    "Rows",
    "Sites",
    "bels",
    "place_lanes",
    "plan_netlist",
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
    """

    cell: str
    columns: Sequence[tuple[int, str]]


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
        for first in (4, *_GROUPS) for step, number in ((0, 0), (1, 1), (4, 4), (5, 5)))),
    Sites("DP16KD", tuple(
        (first + 2 * number, f"EBR{number}") for first in _GROUPS for number in range(4))),
    ((10, 22), (34, 46), (58, 70)))
"""Rows of LFE5U-85F, by the names that nextpnr-ecp5 has for them."""

_MULTIPLIER = re.compile(r"(?:.*\.)?calc\.array\.U\$(\d+)")
_MEMORIES = [
    re.compile(rf"(?:.*\.)?calc\.{name}(?:\$\d+)?\.block_0_(\d+)")
    for name in ("weight", "acc", "param")]


def place_lanes(lanes: int, per_lane: int, rows: Rows) -> list[tuple[int, int]] | None:
    """Return the row and the slot of each output lane, or None where they do not fit.

    A slot is as wide as the multipliers of one lane. Lanes go along one row and back on the next,
    so that neighbors stay neighbors, about as many on each.
    """
    slots = len(rows.multipliers.columns) // per_lane
    count = len(rows.rows)
    ends = [round(lanes * number / count) for number in range(count + 1)]
    places = []
    for number, (start, end) in enumerate(itertools.pairwise(ends)):
        if end - start > slots:
            return None
        first = (slots - (end - start)) // 2
        line = [(number, first + place) for place in range(end - start)]
        places += line[::-1] if number % 2 else line
    return places


def bels(cells: Mapping[str, Any], lanes: int, rows: Rows) -> dict[str, str]:
    """Return places of cells by name: of all multipliers of the array, and of memories beside them.

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
    array = _numbered(cells, rows.multipliers.cell, _MULTIPLIER)
    per_lane = len(array) // lanes
    total = len(rows.rows) * len(rows.multipliers.columns)
    if 2 * len(array) <= total or len(array) % lanes:
        return {}
    places = place_lanes(lanes, per_lane, rows)
    if places is None:
        return {}
    slots = len(rows.multipliers.columns) // per_lane
    spare = (len(rows.multipliers.columns) - slots * per_lane) // 2
    found = {}
    for index, name in enumerate(array):
        lane, place = divmod(index, per_lane)
        row, slot = places[lane]
        column, site = rows.multipliers.columns[spare + slot * per_lane + place]
        found[name] = f"X{column}/Y{rows.rows[row][0]}/{site}"

    # Of each memory, the parts of a lane; what finds no place is left to the placer.
    taken = Counter[tuple[int, int]]()
    width = len(rows.memories.columns) / slots
    for kind in _MEMORIES:
        blocks = _numbered(cells, rows.memories.cell, kind)
        for index, name in enumerate(blocks):
            row, slot = place = places[index * lanes // len(blocks)]
            at = int(slot * width) + taken[place]
            if at < int((slot + 1) * width):
                taken[place] += 1
                column, site = rows.memories.columns[at]
                found[name] = f"X{column}/Y{rows.rows[row][1]}/{site}"
    return found


def _numbered(cells: Mapping[str, Any], kind: str, pattern: re.Pattern[str]) -> list[str]:
    """Return the names of cells of a kind that a pattern finds, by the number in them."""
    found = {
        name: int(match[1]) for name, cell in cells.items()
        if cell["type"] == kind and (match := pattern.fullmatch(name))}
    return sorted(found, key=found.__getitem__)


def plan_netlist(file: Path, lanes: int, rows: Rows) -> None:
    """Write the places of cells into a netlist, in a new file under the same name."""
    netlist = json.loads(file.read_text("utf-8"))
    for module in netlist["modules"].values():
        for name, bel in bels(module["cells"], lanes, rows).items():
            module["cells"][name]["attributes"]["BEL"] = bel
    file.unlink()
    file.write_text(json.dumps(netlist), "utf-8")
