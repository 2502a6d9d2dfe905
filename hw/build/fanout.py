"""Copies of registers and LUTs whose output goes to many places.

A register of an accelerator may enable hundreds of others, all over the chip. Its wire is then
longer than a clock's period, and whatever it leads to cannot lie near it. As many copies of it, one
for the places that will lie near each other, are close to them.
"""

import copy
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from .springs import estimated_places, known_places, pins


__all__ = (
    "COPIED",
    "split_fanout",
)


COPIED = {"TRELLIS_FF": "Q", "LUT4": "Z"}
"""Types of cells that may have copies, with the port of their output."""

# The wire from a LUT to these is none of the chip's: they are one place.
_FIXED_PORTS = {("PFUMX", "ALUT"), ("PFUMX", "BLUT"), ("L6MUX21", "D0"), ("L6MUX21", "D1")}
_CLOCK_PORTS = {"CLK", "CLK0", "CLK1", "CLK2", "CLK3", "CLKA", "CLKB", "WCK"}

_MOST_WIRES = 2

Input = tuple[str, str, int]
"""An input of a net: cell, port and bit of the port."""


def split_fanout(
    module: dict[str, Any], limit: int, together: Mapping[str, Hashable] = MappingProxyType({}), *,
    relayed: int | None = None,
) -> int:
    """Give copies to all cells that may have them and drive more inputs than their limit.

    Parameters
    ----------
    module : dict
        Module of a netlist, as Yosys writes it. It is changed. Places of some cells must be
        known, by their attribute ``BEL``.
    limit : int
        Most inputs that one copy drives, but for those that only one may drive.
    together : mapping from str to hashable
        Cells of the same value have the same copy.
    relayed : int, optional
        The same for a register that takes the value of another one in every cycle, so that its
        copies need one wire each; ``limit`` if not given.

    Returns
    -------
    int
        Copies made; where there are more than cells before, some cells still drive too many.
    """
    cells = module["cells"]
    names = list(cells)
    places = dict(zip(names, estimated_places(cells, known_places(cells)), strict=True))
    unused = 1 + max(
        bit for cell in cells.values() for bits in cell["connections"].values() for bit in bits
        if isinstance(bit, int))
    made = 0
    # What leads to a cell with copies leads to all copies, so that it may need some itself; in a
    # loop that need not end.
    while made < len(names):
        drivers, users = _nets(cells)
        limits = {
            bit: relayed if relayed and _is_relay(cells, source, drivers) else limit
            for bit, source in drivers.items() if _may_have_copies(cells, source)}
        large = [
            bit for bit, inputs in users.items()
            if bit in limits and len(inputs) > limits[bit]
            and not any(port in _CLOCK_PORTS for _, port, _ in inputs)]
        before = made
        for bit in large:
            movable = [each for each in users[bit]
                       if (cells[each[0]]["type"], each[1]) not in _FIXED_PORTS]
            units = _units(movable, together)
            where = np.array([np.mean([places[name] for name, _, _ in unit], axis=0)
                              for unit in units]).reshape(-1, 2)
            stays = 1 if len(movable) == len(users[bit]) else 0
            groups = _groups(units, where, limits[bit])[stays:] if units else []
            source = drivers[bit]
            for number, group in enumerate(groups, 1):
                name = _free_name(cells, source, number)
                cell = cells[name] = copy.deepcopy(cells[source])
                port = COPIED[cell["type"]]
                cell["connections"][port] = [unused]
                # To Yosys nets and cells may not share a name.
                module["netnames"][f"{name}_{port}"] = {
                    "hide_name": 1, "bits": [unused], "attributes": {}}
                places[name] = np.mean([places[each] for each, _, _ in group], axis=0)
                for user, used_port, index in group:
                    cells[user]["connections"][used_port][index] = unused
                unused += 1
                made += 1
        if made == before:
            break
    return made


def _may_have_copies(cells: Mapping[str, Any], name: str) -> bool:
    """Return whether copies of a cell always have its value, and take less wire than they save.

    Registers with an asynchronous reset might not: its end may come at any time. A copy has all
    inputs of the cell, so that one of a LUT with many takes more.
    """
    cell = cells[name]
    wires = {
        bit for port, bits in cell["connections"].items() for bit in bits
        if isinstance(bit, int) and cell["port_directions"][port] == "input"}
    if cell["type"] == "LUT4":
        return len(wires) <= _MOST_WIRES
    return cell["type"] in COPIED and cell["parameters"].get("SRMODE") != "ASYNC"


def _is_relay(cells: Mapping[str, Any], name: str, drivers: Mapping[int, str]) -> bool:
    """Return whether a cell is a register of what comes from another one, in every cycle."""
    cell = cells[name]
    if cell["type"] != "TRELLIS_FF":
        return False
    before = [drivers.get(bit) for bit in cell["connections"].get("DI", ())]
    held = any(isinstance(bit, int) for bit in cell["connections"].get("CE", ()))
    return not held and [cells[source]["type"] for source in before if source] == ["TRELLIS_FF"]


def _free_name(cells: Mapping[str, Any], name: str, number: int) -> str:
    while f"{name}~{number}" in cells:
        number += 1
    return f"{name}~{number}"


def _nets(cells: Mapping[str, Any]) -> tuple[
        dict[int, str], dict[int, list[Input]]]:
    """Return the driver of each net, and the inputs on it."""
    drivers, users = {}, defaultdict(list)
    for pin in pins(cells):
        if pin.is_output:
            drivers[pin.net] = pin.cell
        else:
            users[pin.net].append((pin.cell, pin.port, pin.index))
    return drivers, users


def _units(inputs: Sequence[Input], together: Mapping[str, Hashable]) -> list[list[Input]]:
    """Return inputs by what must have the same copy."""
    units: dict[Hashable, list[Input]] = defaultdict(list)
    for each in inputs:
        units[together.get(each[0], each)].append(each)
    return list(units.values())


def _groups(units: Sequence[list[Input]], places: np.ndarray, limit: int) -> list[list[Input]]:
    """Return inputs in groups of at most ``limit``, as few as halves of the map can give."""
    sizes = np.array([len(unit) for unit in units])
    total = int(sizes.sum())
    if total <= limit or len(units) == 1:
        return [[each for unit in units for each in unit]]
    order = np.argsort(places[:, np.argmax(np.ptp(places, axis=0))], kind="stable")
    count = -(-total // limit)
    share = total * (count // 2) // count
    middle = int(np.clip(np.searchsorted(np.cumsum(sizes[order]), share) + 1, 1, len(units) - 1))
    return [
        group for part in (order[:middle], order[middle:])
        for group in _groups([units[index] for index in part], places[part], limit)]
