"""Where block RAM is to lie, beside multipliers whose places are known.

A placer that moves block RAM as if it could lie anywhere has to put it into the few rows that have
places for it at the end, far from what it is connected to. Here that is simulated annealing
(Kirkpatrick et al., "Optimization by Simulated Annealing", Science 1983) over these places, with
half the perimeter of each net as its length.
"""

import math
import random
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from .floorplan import Sites
from .springs import estimated_places, known_places, pins


__all__ = ("memory_bels",)


# Tiles of wire that a move may cost, at the begin of each round.
_TEMPERATURES = (150.0, 150.0, 100.0, 60.0)
_MOVES = 400  # a memory and round
# Nets of more pins go everywhere.
_MOST_PINS = 300

_NOWHERE = (math.inf, -math.inf, math.inf, -math.inf)


def memory_bels(cells: Mapping[str, Any], sites: Sites) -> dict[str, str]:
    """Return places of all memories of a netlist by name.

    What else they are connected to is where springs would pull it, to the places known and to the
    memories; each round has that anew. Nothing where there are too many memories.

    Parameters
    ----------
    cells : mapping
        Cells of a netlist, as Yosys writes it. Places of some must be known, by their attribute
        ``BEL``; none of a memory.
    sites : Sites
        Places for memories.
    """
    memories = [name for name, cell in cells.items() if cell["type"] == sites.cell]
    spots = sites.spots()
    if not memories or len(memories) > len(spots):
        return {}
    known = known_places(cells)
    numbers = {name: number for number, name in enumerate(memories)}
    ends: dict[int, set[str]] = defaultdict(set)
    for pin in pins(cells):
        ends[pin.net].add(pin.cell)
    ends = {net: users for net, users in ends.items()
            if 1 < len(users) <= _MOST_PINS and not users.isdisjoint(numbers)}
    chance = random.Random(1)
    spot_of = None
    for temperature in _TEMPERATURES:
        places = dict(zip(cells, estimated_places(cells, known).tolist(), strict=True))
        nets = [(
            [numbers[name] for name in users if name in numbers],
            _box([places[name] for name in users if name not in numbers]),
        ) for users in ends.values()]
        if spot_of is None:
            spot_of = _nearest([places[name] for name in memories], spots)
        _Wires(nets, spots, spot_of).anneal(temperature, _MOVES * len(memories), chance)
        chosen = dict(zip(memories, (spots[spot] for spot in spot_of), strict=True))
        known |= {name: spot[:2] for name, spot in chosen.items()}
    return {name: "X{}/Y{}/{}".format(*spot) for name, spot in chosen.items()}


def _box(places):
    """Return the bounds of places: of columns, then of rows."""
    if not places:
        return _NOWHERE
    columns, rows = zip(*places, strict=True)
    return min(columns), max(columns), min(rows), max(rows)


def _nearest(places, spots) -> list[int]:
    """Return a spot for each place, the nearest that is left."""
    where = np.array([spot[:2] for spot in spots], float)
    found = []
    for place in places:
        spot = int(np.abs(where - place).sum(axis=1).argmin())
        where[spot] = np.inf
        found.append(spot)
    return found


class _Wires:
    """Nets of memories, each on a spot of its own, and their lengths.

    ``spot_of`` is changed.
    """

    def __init__(self, nets, spots, spot_of):
        self.spot_of = spot_of
        self._nets = nets
        self._spots = [spot[:2] for spot in spots]
        self._on = {spot: memory for memory, spot in enumerate(spot_of)}
        self._nets_of = [set() for _ in spot_of]
        for number, (memories, _) in enumerate(nets):
            for memory in memories:
                self._nets_of[memory].add(number)
        self._lengths = [self._length(number) for number in range(len(nets))]

    def _length(self, number: int) -> float:
        memories, (left, right, top, bottom) = self._nets[number]
        for memory in memories:
            column, row = self._spots[self.spot_of[memory]]
            # Not min and max: these comparisons are most of the time.
            if column < left:
                left = column
            if column > right:
                right = column
            if row < top:
                top = row
            if row > bottom:
                bottom = row
        return right - left + bottom - top

    def anneal(self, temperature: float, moves: int, chance: random.Random) -> None:
        """Exchange what is on two spots, more and more only where that is shorter."""
        for move in range(moves):
            memory = chance.randrange(len(self.spot_of))
            spot, before = chance.randrange(len(self._spots)), self.spot_of[memory]
            if spot == before:
                continue
            changed = self._nets_of[memory]
            if spot in self._on:
                changed = changed | self._nets_of[self._on[spot]]
            self._exchange(before, spot)
            lengths = {number: self._length(number) for number in changed}
            more = sum(length - self._lengths[number] for number, length in lengths.items())
            left = temperature * (1 - move / moves) ** 2
            if more <= 0 or chance.random() < math.exp(-more / max(left, 1e-3)):
                for number, length in lengths.items():
                    self._lengths[number] = length
            else:
                self._exchange(before, spot)

    def _exchange(self, *spots: int) -> None:
        memories = [self._on.pop(spot, None) for spot in spots]
        for spot, memory in zip(spots, reversed(memories), strict=True):
            if memory is not None:
                self._on[spot] = memory
                self.spot_of[memory] = spot
