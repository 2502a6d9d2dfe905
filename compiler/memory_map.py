"""Which maps stay on chip, where, and where the others lie in DRAM."""

import enum
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from arch.config import PRESETS, AcceleratorConfig
from arch.isa import Region

from .chains import Chain, Group, Plan, choose_chain
from .depthwise import writes_in_place
from .errors import CompileError
from .host import Stops
from .layers import Rect, StoredMap, Task
from .tiling import Costs, Spills, Tiling, choose_tiling


__all__ = (
    "KnownPlans",
    "Lifetime",
    "MemoryMap",
    "allocate",
    "plan_memory",
)


KnownPlans: TypeAlias = dict[Hashable, Plan | None]
"""What is already known about groups, by layers, spilled maps and free rows."""


@dataclass(frozen=True)
class Lifetime:
    """A map and the groups of layers from the first to the last that touch it.

    Parameters
    ----------
    stored : StoredMap
        Map.
    first, last : int
        Groups.
    readers : int
        Layers that read it.
    """

    stored: StoredMap
    first: int
    last: int
    readers: int

    def live(self, group: int) -> bool:
        """Return whether the map must exist while ``group`` runs."""
        return self.first <= group <= self.last


@dataclass(frozen=True)
class MemoryMap:
    """Decisions about memory.

    Parameters
    ----------
    resident : dict from tensor name to int
        First row of every map that stays on chip.
    dram : dict from tensor name to (Region, int)
        Place, in bytes, of every map in DRAM: input, output and spilled maps.
    plans : list of Plan
        One for each group of layers.
    scratch_size : int
        Bytes of region 3.
    """

    resident: dict[str, int]
    dram: dict[str, tuple[Region, int]]
    plans: list[Plan]
    scratch_size: int

    @property
    def tilings(self) -> list[Tiling]:
        """One for each layer."""
        return [tiling for plan in self.plans for tiling in plan.tilings]


def lifetimes(groups: Sequence[Group]) -> dict[str, Lifetime]:
    """Return the lifetime on chip of every map that is not inside a group."""
    found: dict[str, Lifetime] = {}
    for index, group in enumerate(groups):
        for task in group.tasks:
            for stored in dict.fromkeys(stored.place for stored in task.inputs):
                if stored.name in group.producers:
                    continue
                old = found.get(stored.name)
                first = index if old is None else old.first
                readers = 0 if old is None else old.readers
                found[stored.name] = Lifetime(stored, first, index, readers + 1)
        place = group.output.output.place
        found[place.name] = replace(
            found.get(place.name, Lifetime(place, index, index, 0)), last=index)
    return found


def _first_free(
    size: int, taken: Sequence[tuple[int, int]], depth: int, start: int = 0
) -> int | None:
    """Return the first place at or after ``start`` that touches nothing taken."""
    for first, stop in sorted(taken):
        if stop <= start:
            continue
        if first >= start + size:
            break
        start = stop
    return start if start + size <= depth else None


def allocate(
    items: Iterable[tuple[str, int, int, int]], depth: int, *, bank: int = 0,
    apart: tuple[str, ...] = (),
) -> dict[str, int] | None:
    """Place items that live at the same time side by side, the largest first.

    Parameters
    ----------
    items : iterable of (name, size, first, last)
        Sizes and the steps at which they must exist.
    depth : int
        Size of the memory.
    bank : int
        Units of a bank.
    apart : tuple of str
        Items that share no bank if there is room.

    Returns
    -------
    dict from name to int, or None
        First units; ``None`` if an item finds no place.

    Examples
    --------
    >>> allocate([("a", 6, 0, 1), ("b", 4, 1, 2), ("c", 5, 2, 3)], 12)
    {'a': 0, 'c': 0, 'b': 6}
    >>> allocate([("a", 6, 0, 1), ("b", 4, 1, 2)], 16, bank=8, apart=("a", "b"))
    {'a': 0, 'b': 8}
    """
    placed: dict[str, tuple[int, int, int, int]] = {}
    for name, size, first, last in sorted(items, key=lambda item: (-item[1], item[2])):
        taken = [
            (start, stop) for start, stop, other_first, other_last in placed.values()
            if other_first <= last and first <= other_last]
        start = None
        others = [placed[other][:2] for other in apart if other in placed and name in apart]
        if others:
            banks = [(lo // bank * bank, -(-hi // bank) * bank) for lo, hi in others]
            start = _first_free(size, taken + banks, depth)
        if start is None:
            start = _first_free(size, taken, depth)
        if start is None:
            return None
        placed[name] = (start, start + size, first, last)
    return {name: span[0] for name, span in placed.items()}


def _gaps(taken: Iterable[tuple[int, int]], depth: int) -> list[tuple[int, int]]:
    """Return the free stretches between taken ones."""
    gaps, start = [], 0
    for first, stop in sorted(taken):
        if first > start:
            gaps.append((start, first))
        start = max(start, stop)
    if start < depth:
        gaps.append((start, depth))
    return gaps


class _Comfort(enum.IntEnum):
    """Tile buffers that a spilled map should at least have."""

    TWO_LINES = 0
    ONE_LINE = 1
    POSITION = 2


def _middle(task: Task, whole_line: bool) -> Rect:
    """Return a line, or a position, of the output whose windows have no padding."""
    y, x = task.output.height // 2, task.output.width // 2
    return Rect(y, y + 1, 0, task.output.width) if whole_line else Rect(y, y + 1, x, x + 1)


def _buffer_rows(task: Task, stored: StoredMap, is_output: bool, comfort: _Comfort) -> int:
    """Return the rows of the tile buffers of a spilled map."""
    rect = _middle(task, comfort != _Comfort.POSITION)
    if not is_output:
        rect = task.input_rect(rect, task.inputs.index(stored))
    slots = 2 if comfort == _Comfort.TWO_LINES else 1
    return min(slots * rect.size * stored.blocks, stored.rows)


class _Planner:
    """Spills maps, one after the other, until everything fits."""

    def __init__(
        self, groups: Sequence[Group], stops: Stops, costs: Costs, known: KnownPlans,
    ) -> None:
        self._known = known
        self._groups = groups
        self._chains = {
            index: Chain(group, costs.config) for index, group in enumerate(groups)
            if len(group.tasks) > 1}
        self._stops = stops
        self._input = stops.graph_input
        self._arrivals, self._departures = stops.arrivals, stops.departures
        self._costs = costs
        self._depth = costs.config.feature_depth
        self._life = lifetimes(groups)
        self._constants = {
            name for name, life in self._life.items() if life.stored.constant}
        self._spilled = set(self._constants)
        self._replaced = {
            group.output.output.name: group.output.inputs[0].name
            for index, group in enumerate(groups) if self._is_replaced(index, group)}

    def _is_replaced(self, index: int, group: Group) -> bool:
        """Return whether a layer can write its output over its input, which nobody else needs."""
        task = group.output
        if len(group.tasks) > 1 or not writes_in_place(task, self._costs.config):
            return False
        source = task.inputs[0].name
        return source not in self._arrivals and self._life[source].last == index

    def _root(self, name: str) -> str:
        """Return the resident whose rows a resident takes over, its own name if there is none."""
        before = self._replaced.get(name)
        return name if before is None or before in self._spilled else self._root(before)

    def _residents(self, index: int | None = None) -> dict[str, Lifetime]:
        """Return what stays on chip, while a group runs or ever; maps with the same rows once."""
        found: dict[str, Lifetime] = {}
        for name, life in self._life.items():
            if name not in self._spilled and (index is None or life.live(index)):
                root = self._root(name)
                old = found.get(root, life)
                found[root] = replace(
                    old, first=min(old.first, life.first), last=max(old.last, life.last))
        return found

    def _need(self, index: int, comfort: _Comfort = _Comfort.TWO_LINES) -> int:
        """Return the rows that a group wants."""
        rows = sum(life.stored.rows for life in self._residents(index).values())
        if index in self._chains:
            slots = 2 if comfort == _Comfort.TWO_LINES else 1
            return rows + self._chains[index].smallest_rows(self._spilled, slots)
        task = self._groups[index].output
        for stored in dict.fromkeys(task.inputs):
            if stored.place.name in self._spilled:
                rows += _buffer_rows(task, stored, False, comfort)
        if task.output.place.name in self._spilled:
            rows += _buffer_rows(task, task.output, True, comfort)
        return rows

    def _price(self, name: str) -> int:
        """Return the rows that a spilled map moves more than one that stays."""
        life = self._life[name]
        writes = 0 if name in self._arrivals | self._departures else 1
        reads = life.readers - (1 if name in self._arrivals else 0)
        return life.stored.rows * (writes + reads)

    def _gain(self, index: int, name: str, comfort: _Comfort) -> int:
        before = self._need(index, comfort)
        self._spilled.add(name)
        gain = before - self._need(index, comfort)
        self._spilled.remove(name)
        return gain

    def _spill_for(self, index: int, comfort: _Comfort) -> bool:
        """Spill the map that helps a group at the smallest price; return whether one does."""
        excess = self._need(index, comfort) - self._depth
        candidates = [
            (name, self._gain(index, name, comfort)) for name, life in self._life.items()
            if name not in self._spilled and life.live(index)]
        useful = [(name, gain) for name, gain in candidates if gain > 0]
        if not useful:
            return False
        enough = [name for name, gain in useful if gain >= excess]
        chosen = (
            min(enough, key=self._price) if enough
            else max(useful, key=lambda item: item[1])[0])
        self._spilled.add(chosen)
        return True

    def _allocate(self) -> dict[str, int] | None:
        """Place the residents; what LOAD writes at first and what CALC writes meanwhile apart."""
        items = [
            (name, life.stored.rows, life.first, life.last)
            for name, life in self._residents().items()]
        apart: tuple[str, ...] = ()
        if self._input in self._life:
            first = self._life[self._input].first
            apart = (self._input, self._groups[first].output.output.place.name)
        bank = self._depth // self._costs.config.feature_banks
        placed = allocate(items, self._depth, bank=bank, apart=apart)
        placed = allocate(items, self._depth) if placed is None else placed
        return None if placed is None else {
            name: placed[self._root(name)] for name in self._life if name not in self._spilled}

    def _spills(self, index: int, task: Task) -> Spills:
        """Return which maps of a layer of a group pass through tile buffers."""
        inputs = tuple(stored.place.name in self._spilled for stored in task.inputs)
        streams = (
            not any(inputs) and any(
                stored.name in self._arrivals and self._life[stored.name].first == index
                for stored in task.inputs))
        return Spills(inputs, task.output.place.name in self._spilled, streams)

    def _plan(self, index: int, resident: Mapping[str, int]) -> Plan | None:
        """Return how to run a group; ``None`` if it does not fit."""
        taken = [
            (start, start + self._life[name].stored.rows) for name, start in resident.items()
            if self._life[name].live(index)]
        gaps = _gaps(taken, self._depth)
        group = self._groups[index]
        spills = tuple(self._spills(index, task) for task in group.tasks)
        key = tuple(task.key for task in group.tasks), spills, tuple(gaps)
        if key not in self._known:
            plan: Plan | None = None
            if index in self._chains:
                plan = choose_chain(self._chains[index], spills, gaps, self._costs)
            else:
                tiling = choose_tiling(group.output, spills[0], gaps, self._costs)
                if tiling is not None:
                    plan = Plan(group, (tiling,), (), {}, tiling.cycles)
            self._known[key] = plan
        return self._known[key]

    def _refuse(self, task: Task) -> CompileError:
        config = self._costs.config
        need = task.smallest_rows
        return CompileError(
            f"Layer '{task.name}': one output position needs {need} rows of {config.row_size} "
            f"bytes of feature memory (its windows and its result), config '{config.name}' has "
            f"{config.feature_depth}; " + _advice(
                config, "feature_depth", 1 << (need - 1).bit_length(),
                lambda other: other.feature_depth * other.row_size >= need * config.row_size))

    def _relax(self) -> None:
        """Spill until every layer is comfortable, or nothing more helps."""
        for index in range(len(self._groups)):
            for comfort in _Comfort:
                while self._need(index, comfort) > self._depth:
                    if not self._spill_for(index, comfort):
                        break

    def _fragmented(self) -> None:
        """Spill for the fullest layer, because there is room but not in one piece."""
        for index in sorted(range(len(self._groups)), key=lambda index: -self._need(index)):
            if any(self._spill_for(index, comfort) for comfort in _Comfort):
                return
        tasks = [task for group in self._groups for task in group.tasks]
        raise self._refuse(max(tasks, key=lambda task: task.smallest_rows))

    def plan(self) -> tuple[dict[str, int], list[Plan]]:
        """Return residents and plans."""
        self._relax()
        while True:
            resident = self._allocate()
            if resident is None:
                self._fragmented()
                continue
            plans: list[Plan] = []
            for index in range(len(self._groups)):
                plan = self._plan(index, resident)
                if plan is None:
                    self._spill_any(index)
                    break
                plans.append(plan)
            else:
                return resident, plans

    def _spill_any(self, index: int) -> None:
        """Spill the largest map that is left at a group."""
        left = [
            life.stored for name, life in self._life.items()
            if name not in self._spilled and life.live(index)]
        if not left:
            raise self._refuse(self._groups[index].output)
        self._spilled.add(max(left, key=lambda stored: stored.rows).name)

    def _in_dram(self) -> dict[str, tuple[StoredMap, int, int]]:
        """Return the maps in DRAM, with the first and the last time at which they must be there.

        Group ``n`` runs at time ``2 * n``, a step of the host behind it at ``2 * n + 1``.
        """
        found = {
            name: (life.stored, 2 * life.first, 2 * life.last)
            for name, life in self._life.items()
            if name in self._spilled or name in self._stops.maps}
        for task in self._stops.tasks:
            before = sum(group.output.index < task.index for group in self._groups)
            for stored in (task.inputs[0], task.output):
                time = 2 * before - 1
                _, first, last = found.get(stored.name, (stored, time, time))
                found[stored.name] = (stored, min(first, time), max(last, time))
        return found

    def scratch(self) -> tuple[dict[str, int], int]:
        """Return the place in region 3 of every spilled map, and the size of the region."""
        row_size = self._costs.config.row_size
        fixed = {self._input, self._stops.output}
        items = [
            (name, stored.rows * row_size, first, last)
            for name, (stored, first, last) in sorted(self._in_dram().items())
            if name not in fixed | self._constants]
        total = sum(size for _, size, _, _ in items)
        places = allocate(items, total) or {}
        size = max((places[name] + size for name, size, _, _ in items), default=0)
        return places, size


def _advice(
    config: AcceleratorConfig, field: str, value: int,
    enough: Callable[[AcceleratorConfig], bool],
) -> str:
    """Return what would do: a value of a parameter, and presets."""
    names = [
        name for name, other in PRESETS.items()
        if name != config.name and other.data_bits == config.data_bits
        and other.vector_unit >= config.vector_unit and enough(other)]
    presets = f", or preset {' or '.join(names)}" if names else ""
    return f"use a {field} of at least {value}{presets}"


def plan_memory(
    groups: Sequence[Group], graph_input: str, output: str, costs: Costs,
    known: KnownPlans | None = None, *, stops: Stops | None = None,
) -> MemoryMap:
    """Decide which maps stay on chip, and cut every layer into tiles.

    Parameters
    ----------
    groups : sequence of Group
        Layers, by those that run together.
    graph_input, output : str
        Tensors that come from and go to DRAM.
    costs : Costs
        Config and durations.
    known : KnownPlans, optional
        Remembers plans from one call to the next, for the same tasks and costs.
    stops : Stops, optional
        Steps of the host, which are in no group.

    Raises
    ------
    CompileError
        If a layer does not fit, however small its tiles.
    """
    stops = stops or Stops((), graph_input, output)
    planner = _Planner(groups, stops, costs, {} if known is None else known)
    resident, plans = planner.plan()
    scratch, scratch_size = planner.scratch()
    dram = {name: (Region.SCRATCH, address) for name, address in scratch.items()}
    dram[graph_input] = (Region.INPUT, 0)
    dram[output] = (Region.OUTPUT, 0)
    return MemoryMap(resident, dram, plans, scratch_size)
