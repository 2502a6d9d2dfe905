"""Chains of layers that run line by line, so that the maps between them never exist as a whole."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from arch.config import AcceleratorConfig
from arch.isa import INSTRUCTION_SIZE
from arch.timing import CALC_LATENCY, CALC_START

from .layers import ConvTask, Rect, Task
from .tiling import Costs, Flow, Spills, Tiling, balanced, calc_cycles, cut_output, place
from .weights import Unit, all_cuts


__all__ = (
    "Chain",
    "Group",
    "Plan",
    "Step",
    "choose_chain",
)


_GROWTH = (8, 6, 4, 3, 2, 1)
"""How many times the smallest number of lines a window may hold; the more, the fewer moves."""


@dataclass(frozen=True)
class Step:
    """One tile of one layer of a chain.

    Parameters
    ----------
    number : int
        Number of the layer in the chain.
    rect : Rect
        Rectangle of its output.
    keep : int
        First line of its output that some layer of the chain still needs.
    """

    number: int
    rect: Rect
    keep: int


class Group:
    """Layers that run together: a single one, or a chain.

    Parameters
    ----------
    tasks : sequence of Task
        Layers, in order. All but the last write maps that only layers behind them, in the same
        group, read.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = tuple(tasks)
        self.producers = {task.output.name: n for n, task in enumerate(self.tasks[:-1])}

    @property
    def output(self) -> Task:
        """Last layer."""
        return self.tasks[-1]

    def schedule(self, lines: int, config: AcceleratorConfig) -> list[Step]:
        """Return the steps of a chain, every line as late as possible.

        Parameters
        ----------
        lines : int
            Lines of the last layer that are computed at once.
        config : AcceleratorConfig
            Accelerator.
        """
        done = [0] * len(self.tasks)
        steps: list[Step] = []

        def keep(number: int) -> int:
            name = self.tasks[number].output.name
            return min((
                task.input_rect(Rect(done[n], done[n] + 1, 0, task.output.width)).y0
                for n, task in enumerate(self.tasks)
                if done[n] < task.output.height and name in {i.name for i in task.inputs}
            ), default=done[number])

        def produce(number: int, stop: int) -> None:
            task = self.tasks[number]
            for rect in _cut(task, done[number], stop, config):
                for stored in task.inputs:
                    if stored.name in self.producers:
                        produce(self.producers[stored.name], task.input_rect(rect).y1)
                steps.append(Step(number, rect, min(keep(number), done[number])))
                if rect.x1 == task.output.width:
                    done[number] = rect.y1

        last = len(self.tasks) - 1
        height = self.output.output.height
        for stop in range(lines, height + lines, lines):
            produce(last, min(stop, height))
        for number, task in enumerate(self.tasks):
            produce(number, task.output.height)
        return steps

    def windows(self, steps: Sequence[Step]) -> dict[str, int]:
        """Return for every map inside the chain the fewest lines that must be held at once."""
        lines = dict.fromkeys(self.producers, 0)
        for step in steps:
            name = self.tasks[step.number].output.name
            if name in lines:
                lines[name] = max(lines[name], step.rect.y1 - step.keep)
        return lines

    def window_rows(self, windows: Mapping[str, int]) -> dict[str, int]:
        """Return the rows of windows."""
        maps = [task.output for task in self.tasks[:-1]]
        return {
            stored.name: windows[stored.name] * stored.width * stored.blocks for stored in maps}


def _cut(task: Task, start: int, stop: int, config: AcceleratorConfig) -> Iterator[Rect]:
    """Yield tiles of some lines of the output of a layer."""
    width = task.output.width
    most = config.acc_depth if isinstance(task, ConvTask) else max(1, stop - start) * width
    if start >= stop:
        return
    columns = width if width <= most else next(balanced(width, most))
    lines = next(balanced(stop - start, most // width)) if width <= most else 1
    for rect in cut_output(stop - start, width, lines, columns):
        yield Rect(start + rect.y0, start + rect.y1, rect.x0, rect.x1)


@dataclass(frozen=True)
class Plan:
    """How the layers of a group are cut, placed and ordered.

    Parameters
    ----------
    group : Group
        Layers.
    tilings : tuple of Tiling
        One for each.
    steps : tuple of Step
        Order of the tiles of a chain; empty for a single layer.
    windows : dict from tensor name to (int, int)
        First row and lines of the window of every map inside the chain.
    cycles : float
        Estimated duration.
    """

    group: Group
    tilings: tuple[Tiling, ...]
    steps: tuple[Step, ...]
    windows: dict[str, tuple[int, int]]
    cycles: float


class Chain:
    """A group of several layers on an accelerator.

    Parameters
    ----------
    group : Group
        Layers.
    config : AcceleratorConfig
        Accelerator.
    """

    def __init__(self, group: Group, config: AcceleratorConfig) -> None:
        self.group = group
        self._config = config

    @cached_property
    def units(self) -> list[list[Unit]]:
        """Weights of each layer."""
        return [
            self._fastest(task) if isinstance(task, ConvTask) else []
            for task in self.group.tasks]

    def _fastest(self, task: ConvTask) -> list[Unit]:
        """Return the weights of a layer, sharing multipliers where that is faster."""
        return min(
            all_cuts(task, self._config),
            key=lambda units: calc_cycles(task, task.output.rect, units))

    @property
    def holds_weights(self) -> bool:
        """Whether all weights and parameters stay on chip together."""
        rows = sum(unit.rows for units in self.units for unit in units)
        params = sum(
            task.output.blocks for task in self.group.tasks if isinstance(task, ConvTask))
        return rows <= self._config.weight_depth and params <= self._config.param_depth

    @cached_property
    def _smallest(self) -> tuple[int, dict[tuple[int, int], int], int]:
        steps = self.group.schedule(1, self._config)
        windows = self.group.window_rows(self.group.windows(steps))
        inputs, output = self.tile_rows(steps)
        return sum(windows.values()), inputs, output

    def tile_rows(self, steps: Sequence[Step]) -> tuple[dict[tuple[int, int], int], int]:
        """Return the rows of the largest tile of every input from outside, and of the output."""
        inputs: dict[tuple[int, int], int] = {}
        output = 0
        for step in steps:
            task = self.group.tasks[step.number]
            for index, stored in enumerate(task.inputs):
                if stored.name not in self.group.producers:
                    rows = task.input_rect(step.rect).size * stored.blocks
                    key = (step.number, index)
                    inputs[key] = max(inputs.get(key, 0), rows)
            if task is self.group.output:
                output = max(output, step.rect.size * task.output.blocks)
        return inputs, output

    def smallest_rows(self, spilled: set[str], slots: int) -> int:
        """Return the rows that the chain wants for windows and tile buffers."""
        windows, inputs, output = self._smallest
        rows = windows + sum(
            slots * size for (number, index), size in inputs.items()
            if self.group.tasks[number].inputs[index].place.name in spilled)
        return rows + (slots * output if self.group.output.output.place.name in spilled else 0)


def _moved_rows(group: Group, steps: Sequence[Step], windows: Mapping[str, int]) -> list[int]:
    """Return for each step the rows that are moved to make room for it."""
    starts = dict.fromkeys(windows, 0)
    moved = []
    for step in steps:
        stored = group.tasks[step.number].output
        rows = 0
        if stored.name in windows and step.rect.y1 > starts[stored.name] + windows[stored.name]:
            starts[stored.name] = step.keep
            rows = (step.rect.y0 - step.keep) * stored.width * stored.blocks
        moved.append(rows)
    return moved


def _estimate(
    chain: Chain, steps: Sequence[Step], spills: Sequence[Spills], windows: Mapping[str, int],
    slots: int, costs: Costs,
) -> float:
    """Return the duration of a chain, loads and saves overlapped by tiles of the last layer."""
    tasks, config = chain.group.tasks, costs.config
    flow = Flow(slots)
    loads = [
        costs.load(sum(config.packed_size(unit.rows, unit.bits) for unit in units))
        for units in chain.units]
    streamed = 0
    load = calc = 0.0
    for step, moved in zip(
            steps, _moved_rows(chain.group, steps, windows), strict=True):
        task, units, spill = tasks[step.number], chain.units[step.number], spills[step.number]
        load += loads[step.number]
        loads[step.number] = 0
        source = task.input_rect(step.rect)
        for stored, spilled in zip(task.inputs, spill.inputs, strict=True):
            if spilled:
                load += costs.load(source.size * stored.blocks * config.row_size)
        if spill.streams and source.y1 > streamed:
            stored = task.inputs[0]
            load += costs.load(
                (source.y1 - streamed) * stored.width * stored.blocks * config.row_size)
            streamed = source.y1
        pieces = sum(len(unit.pieces) for unit in units) or 1
        load += pieces * INSTRUCTION_SIZE / costs.bytes_per_cycle
        calc += calc_cycles(task, step.rect, units) + pieces * CALC_START
        calc += moved + 2 * CALC_LATENCY if moved else 0
        if task is chain.group.output:
            save = 0.0
            if spill.output:
                size = step.rect.size * task.output.blocks * config.row_size
                save = costs.save(size, step.rect.lines)
            flow.step(load, calc, save)
            load = calc = 0.0
    flow.step(load, calc, 0)
    return flow.saved[-1]


@dataclass(frozen=True)
class _Places:
    """Where the buffers of a chain lie."""

    windows: dict[str, tuple[int, int]]
    inputs: dict[tuple[int, int], tuple[int, ...]]
    output: tuple[int, ...] | None


def _places(
    chain: Chain, steps: Sequence[Step], spills: Sequence[Spills], slots: int, growth: int,
    gaps: Sequence[tuple[int, int]],
) -> _Places | None:
    """Place windows and tile buffers of a chain; ``None`` if they do not fit."""
    group = chain.group
    heights = {task.output.name: task.output.height for task in group.tasks}
    windows = {
        name: min(growth * lines, heights[name])
        for name, lines in group.windows(steps).items()}
    inputs, output = chain.tile_rows(steps)
    spilled = [key for key in inputs if spills[key[0]].inputs[key[1]]]
    low = list(group.window_rows(windows).values())
    low += [inputs[key] for key in spilled for _ in range(slots)]
    high = [output] * slots if spills[-1].output else []
    placed = place(low, high, gaps)
    if placed is None:
        return None
    bases = iter(placed[0])
    return _Places(
        {name: (next(bases), lines) for name, lines in windows.items()},
        {key: tuple(next(bases) for _ in range(slots)) for key in spilled},
        tuple(placed[1]) if high else None)


def choose_chain(
    chain: Chain, spills: Sequence[Spills], gaps: Sequence[tuple[int, int]], costs: Costs
) -> Plan | None:
    """Return the plan of a chain with the smallest estimate, ``None`` if none fits.

    Parameters
    ----------
    chain : Chain
        Layers.
    spills : sequence of Spills
        For each layer, which of its maps pass through tile buffers.
    gaps : sequence of (int, int)
        Rows of feature memory that are free while the chain runs.
    costs : Costs
        Config and durations.
    """
    group = chain.group
    last = group.output.output
    most = max(1, costs.config.acc_depth // last.width)
    best: tuple[float, _Places, list[Step]] | None = None
    for lines in balanced(last.height, most):
        steps = group.schedule(lines, costs.config)
        for slots in (2, 1):
            fitting = (
                _places(chain, steps, spills, slots, growth, gaps) for growth in _GROWTH)
            places = next((found for found in fitting if found is not None), None)
            if places is None:
                continue
            windows = {name: lines for name, (_, lines) in places.windows.items()}
            cycles = _estimate(chain, steps, spills, windows, slots, costs)
            if best is None or cycles < best[0]:
                best = cycles, places, steps
    if best is None:
        return None
    cycles, places, steps = best
    tilings = []
    for number, (task, units) in enumerate(zip(group.tasks, chain.units, strict=True)):
        rects = tuple(step.rect for step in steps if step.number == number)
        tilings.append(Tiling(
            rects, (units,), False,
            tuple(places.inputs.get((number, index)) for index in range(len(task.inputs))),
            places.output if task is group.output else None))
    return Plan(group, tuple(tilings), tuple(steps), places.windows, cycles)
