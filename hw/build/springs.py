"""About where cells will lie, from those whose place is known."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np


__all__ = (
    "Pin",
    "estimated_places",
    "known_places",
    "pins",
)


# Nets of more cells say little of where these lie.
_LARGE_NET = 24
_ROUNDS = 400

_BEL = re.compile(r"X(\d+)/Y(\d+)/")


class Pin(NamedTuple):
    """One bit of a port of a cell, on a net."""

    cell: str
    port: str
    index: int
    net: int
    is_output: bool


def pins(cells: Mapping[str, Any]) -> Iterator[Pin]:
    """Yield all pins of cells of a netlist, as Yosys writes it, that are on nets."""
    for name, cell in cells.items():
        directions = cell["port_directions"]
        for port, bits in cell["connections"].items():
            for index, bit in enumerate(bits):
                if isinstance(bit, int):
                    yield Pin(name, port, index, bit, directions[port] == "output")


def known_places(cells: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Return column and row of each cell with an attribute ``BEL``."""
    found = {}
    for name, cell in cells.items():
        if match := _BEL.match(cell["attributes"].get("BEL", "")):
            found[name] = int(match[1]), int(match[2])
    return found


def estimated_places(
    cells: Mapping[str, Any], known: Mapping[str, tuple[int, int]],
) -> np.ndarray:
    """Return about where each cell will lie, (len(cells), 2), in tiles.

    Each in the middle of the nets that it is on, each net in the middle of its cells, as if wires
    were springs between what has a place.

    Parameters
    ----------
    cells : mapping
        Cells of a netlist, as Yosys writes it.
    known : mapping from str to (int, int)
        Places of some of them, at least one.
    """
    numbers = {name: number for number, name in enumerate(cells)}
    ends = np.unique(np.array([(numbers[pin.cell], pin.net) for pin in pins(cells)]), axis=0)
    sizes = Counter(ends[:, 1].tolist())
    ends = ends[[1 < sizes[net] <= _LARGE_NET for net in ends[:, 1].tolist()]]
    cell, (_, net) = ends[:, 0], np.unique(ends[:, 1], return_inverse=True)
    size = np.bincount(net)
    pull = 1 / (size - 1)[net]
    total = np.bincount(cell, pull, len(cells))
    is_known = np.array([name in known for name in cells])
    places = np.full((len(cells), 2), np.nan)
    places[is_known] = [known[name] for name in cells if name in known]
    places[~is_known] = np.nanmean(places, axis=0)
    stays = is_known | (total == 0)
    for _ in range(_ROUNDS):
        for axis in range(2):
            middle = np.bincount(net, places[cell, axis]) / size
            moved = np.bincount(cell, pull * middle[net], len(cells))
            places[:, axis] = np.where(
                stays, places[:, axis], moved / np.maximum(total, 1e-9))
    return places
