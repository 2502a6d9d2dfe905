"""Chains of layers that run line by line, so that the maps between them never exist as a whole."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from arch.config import AcceleratorConfig
from arch.isa import INSTRUCTION_SIZE
from arch.timing import CALC_LATENCY

from .layers import AddTask, ConvTask, PoolTask, Rect, StoredMap, Task
from .tiling import Costs, Flow, Spills, Tiling, balanced, calc_cycles, cut_output, place
from .transposed import TransposedTask
from .weights import Unit, all_cuts


__all__ = (
    "Chain",
    "Group",
    "Plan",
    "Step",
    "choose_chain",
    "laps",
)


_GROWTH = tuple(2 ** (step / 4) for step in range(12, -17, -1))
"""How large windows may grow, in steps of the lines that make the fewest moves for their rows."""


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


def laps(window: int, rect: Rect) -> range:
    """Return how many times a ring of ``window`` lines has begun again, for some lines."""
    return range(rect.y0 // window, (rect.y1 - 1) // window + 1)


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

    @cached_property
    def rings(self) -> set[str]:
        """Maps inside whose windows are filled round and round; of others, lines are moved.

        A convolution can take the lines of one position from both ends, others cannot, nor one
        that pools, whose results need several positions.
        """
        def reads_lines(task: Task) -> bool:
            return isinstance(task, AddTask) or (
                task.pool.window.kernel[0] == 1 if isinstance(task, PoolTask)
                else isinstance(task, ConvTask) and not isinstance(task, TransposedTask)
                and task.pooling is None)

        moved = {
            stored.name for task in self.tasks for stored in task.inputs
            if not reads_lines(task)}
        return self.producers.keys() - moved

    def cut(self, number: int, rect: Rect, windows: Mapping[str, int]) -> Iterator[Rect]:
        """Cut a tile of a layer where a ring begins again.

        Parameters
        ----------
        number : int
            Layer.
        rect : Rect
            Rectangle of its output.
        windows : mapping from tensor name to int
            Lines of the windows.

        Yields
        ------
        Rect
            Part that reads and writes lines side by side, or a single line.
        """
        task = self.tasks[number]

        def split(stored: StoredMap, lines: Rect) -> bool:
            if stored.name not in self.rings:
                return False
            return len(laps(windows[stored.name], lines)) > 1

        start = rect.y0
        while start < rect.y1:
            stop = rect.y1
            while stop > start + 1:
                part = Rect(start, stop, rect.x0, rect.x1)
                if not split(task.output, part) and not any(
                        split(stored, task.input_rect(part, index))
                        for index, stored in enumerate(task.inputs)):
                    break
                stop -= 1
            yield Rect(start, stop, rect.x0, rect.x1)
            start = stop

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
                task.input_rect(Rect(done[n], done[n] + 1, 0, task.output.width), index).y0
                for n, task in enumerate(self.tasks) if done[n] < task.output.height
                for index, stored in enumerate(task.inputs) if stored.name == name
            ), default=done[number])

        def produce(number: int, stop: int) -> None:
            task = self.tasks[number]
            for rect in _cut(task, done[number], stop, config):
                for index, stored in enumerate(task.inputs):
                    if stored.name in self.producers:
                        produce(
                            self.producers[stored.name], task.input_rect(rect, index).y1)
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
    if isinstance(task, ConvTask) and task.pooling is not None:
        for lines in balanced(stop - start, stop - start):
            rects = [
                Rect(y, min(y + lines, stop), 0, width) for y in range(start, stop, lines)]
            if all(task.computed_rect(rect).size <= most for rect in rects):
                yield from rects
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
            key=lambda units: calc_cycles(task, task.output.rect, units, self._config))

    @property
    def holds_weights(self) -> bool:
        """Whether all weights, parameters and lines to be pooled stay on chip together."""
        rows = sum(unit.rows for units in self.units for unit in units)
        params = sum(
            task.output.blocks for task in self.group.tasks if isinstance(task, ConvTask))
        lines = sum(
            task.pooling.rows for task in self.group.tasks
            if isinstance(task, ConvTask) and task.pooling is not None)
        return (
            rows <= self._config.weight_depth and params <= self._config.param_depth
            and lines <= self._config.pool_depth)

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
                    rows = task.input_rect(step.rect, index).size * stored.blocks
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
        known = stored.name in windows and stored.name not in group.rings
        if known and step.rect.y1 > starts[stored.name] + windows[stored.name]:
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
    weights = [
        [costs.load(unit.size(config)) for unit in units]
        for units in chain.units]
    streamed = 0
    held: dict[tuple[int, int], Rect] = {}
    load = calc = 0.0
    meanwhile = 0.0  # weights that come while the first of them are in use
    for step, moved in zip(
            steps, _moved_rows(chain.group, steps, windows), strict=True):
        task, units, spill = tasks[step.number], chain.units[step.number], spills[step.number]
        load += sum(weights[step.number][:1])
        meanwhile += sum(weights[step.number][1:])
        weights[step.number] = []
        source = task.input_rect(step.rect)
        for index, stored in enumerate(task.inputs):
            part = task.input_rect(step.rect, index)
            if spill.inputs[index] and part != held.get((step.number, index)):
                load += costs.load_map(stored, part.size)
            held[step.number, index] = part
        if spill.streams and source.y1 > streamed:
            stored = task.inputs[0]
            load += costs.load_map(stored, (source.y1 - streamed) * stored.width)
            streamed = source.y1
        pieces = sum(len(unit.pieces) for unit in units) or 1
        load += pieces * INSTRUCTION_SIZE / costs.bytes_per_cycle
        calc += calc_cycles(task, step.rect, units, config) + CALC_LATENCY
        calc += moved + 2 * CALC_LATENCY if moved else 0
        if task is chain.group.output:
            save = 0.0
            if spill.output:
                size = step.rect.size * task.output.blocks * config.row_size
                save = costs.save(size, step.rect.lines)
            flow.step(load, max(calc, meanwhile), save)
            load = calc = meanwhile = 0.0
    flow.step(load, calc, 0)
    return flow.saved[-1]


@dataclass(frozen=True)
class _Places:
    """Where the buffers of a chain lie."""

    windows: dict[str, tuple[int, int]]
    inputs: dict[tuple[int, int], tuple[int, ...]]
    output: tuple[int, ...] | None


def _grown(group: Group, steps: Sequence[Step], growth: float) -> dict[str, int]:
    """Return the lines of the windows, more than needed where lines must be moved.

    Of a map of *h* lines, *k* of which are kept in each move, a window of *k + n* lines moves
    about *k h / n* lines. For the rows that all windows have together, the sum over the maps is
    smallest with *n* in proportion to the root of *k h*.
    """
    windows = group.windows(steps)
    for number, task in enumerate(group.tasks[:-1]):
        own = [step for step in steps if step.number == number]
        kept = max(step.rect.y0 - step.keep for step in own)
        tile = max(step.rect.lines for step in own)
        height = task.output.height
        more = int(growth * math.sqrt(kept * height)) // tile * tile
        name = task.output.name
        windows[name] = min(max(windows[name], kept + more), height)
    return windows


def _places(
    chain: Chain, steps: Sequence[Step], spills: Sequence[Spills], slots: int, growth: float,
    gaps: Sequence[tuple[int, int]],
) -> _Places | None:
    """Place windows and tile buffers of a chain; ``None`` if they do not fit."""
    group = chain.group
    windows = _grown(group, steps, growth)
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
