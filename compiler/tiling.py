"""Tiles of a layer: how large, in which order with its weights, and in which rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from arch.config import AcceleratorConfig
from arch.isa import Products
from arch.timing import (
    CALC_LATENCY,
    CALC_REST,
    CALC_START,
    LOAD_LATENCY,
    LOAD_START,
    REQUEST_CYCLES,
    pass_gap,
)

from .depthwise import window_line
from .ir import DramTiming
from .layers import AddTask, ConvTask, PoolTask, Rect, StoredMap, TableTask, Task
from .sharing import tap_warm
from .transposed import PhaseTask, TransposedTask
from .unrolling import Unrolling
from .weights import Piece, Unit, all_cuts, group_units


__all__ = (
    "Costs",
    "Flow",
    "Spills",
    "Tiling",
    "balanced",
    "calc_cycles",
    "choose_tiling",
    "cut_output",
    "place",
    "tile_rows",
)


@dataclass(frozen=True)
class Costs:
    """Durations of transfers, in cycles; see :class:`DramTiming`.

    ``unrolling`` is that of an input whose taps LOAD makes into channels.
    """

    config: AcceleratorConfig
    dram: DramTiming
    unrolling: Unrolling | None = None

    @property
    def bytes_per_cycle(self) -> float:
        """Bytes per cycle, read and written together."""
        rate = self.dram.bytes_per_cycle or self.config.dram_width
        return min(rate, self.config.dram_width)

    def load(self, size: int) -> float:
        """Return the cycles of a LOAD of ``size`` bytes."""
        if not size:
            return 0
        return size / self.bytes_per_cycle + LOAD_START + self.dram.latency + LOAD_LATENCY

    def load_map(self, stored: StoredMap, positions: int) -> float:
        """Return the cycles of a LOAD of some positions of a map."""
        cycles = self.load(positions * stored.blocks * self.config.row_size)
        if self.unrolling is None or stored.name != self.unrolling.tensor:
            return cycles
        return max(cycles, self.load(1) + positions * self.unrolling.position_cycles)

    def save(self, size: int, lines: int) -> float:
        """Return the cycles of a SAVE of ``size`` bytes in ``lines`` lines."""
        if not size:
            return 0
        beats = size / self.bytes_per_cycle
        return max(beats, lines * REQUEST_CYCLES) + LOAD_START + self.dram.latency


@dataclass(frozen=True)
class Tiling:
    """How a layer is cut.

    Parameters
    ----------
    rects : tuple of Rect
        Rectangles of the output, in order.
    sections : tuple of list of Unit
        Weights by section; one empty section for a layer without weights.
    weights_outer : bool
        Whether the loop over sections is outside that over tiles.
    input_slots : tuple of (tuple of int) or None
        For each input, first rows of its tile buffers; ``None`` when it stays on chip.
    output_slots : tuple of int or None
        First rows of the tile buffers of the output; ``None`` when it stays on chip.
    cycles : float
        Estimated duration.
    """

    rects: tuple[Rect, ...]
    sections: tuple[list[Unit], ...]
    weights_outer: bool
    input_slots: tuple[tuple[int, ...] | None, ...]
    output_slots: tuple[int, ...] | None
    cycles: float = 0.0


@dataclass
class Flow:
    """Three stages in a row, each in order, with ``slots`` buffers between them."""

    slots: int
    loaded: list[float] = field(default_factory=lambda: [0.0])
    computed: list[float] = field(default_factory=lambda: [0.0])
    saved: list[float] = field(default_factory=lambda: [0.0])

    def _before(self, times: list[float], back: int) -> float:
        return times[-back] if back < len(times) else 0.0

    def step(self, load: float, calc: float, save: float) -> None:
        """Add one step."""
        self.loaded.append(max(self.loaded[-1], self._before(self.computed, self.slots)) + load)
        start = max(self.computed[-1], self.loaded[-1], self._before(self.saved, self.slots))
        self.computed.append(start + calc)
        self.saved.append(max(self.saved[-1], self.computed[-1]) + save)


def balanced(size: int, most: int) -> Iterator[int]:
    """Yield sizes of equal parts of ``size``, largest first, at most ``most``."""
    previous = 0
    for parts in range(1, size + 1):
        part = -(-size // parts)
        if part <= most and part != previous:
            previous = part
            yield part


def cut_output(height: int, width: int, lines: int, columns: int) -> tuple[Rect, ...]:
    """Return the rectangles of a map, line by line."""
    return tuple(
        Rect(y, min(y + lines, height), x, min(x + columns, width))
        for y in range(0, height, lines) for x in range(0, width, columns))


def tile_rows(task: Task, rects: Sequence[Rect], index: int | None, blocks: int) -> int:
    """Return the rows that the largest tile of an input, or of the output, takes.

    Parameters
    ----------
    task : Task
        Layer.
    rects : sequence of Rect
        Rectangles of the output.
    index : int, optional
        Number of the input; the output when left out.
    blocks : int
        Blocks of a position.
    """
    if index is None:
        return max(rect.size for rect in rects) * blocks
    return max(task.input_rect(rect, index).size for rect in rects) * blocks


def place(
    sizes_low: Sequence[int], sizes_high: Sequence[int], gaps: Sequence[tuple[int, int]]
) -> tuple[list[int], list[int]] | None:
    """Place buffers in the gaps of feature memory: some from below, some from above.

    Inputs and outputs at different ends lie in different banks where there is room.

    Returns
    -------
    (list of int, list of int), or None
        First rows; ``None`` if they do not fit.
    """
    free = list(gaps)
    low: list[int] = []
    high: list[int] = []
    for size in sizes_low:
        for n, (start, stop) in enumerate(free):
            if stop - start >= size:
                low.append(start)
                free[n] = (start + size, stop)
                break
        else:
            return None
    for size in sizes_high:
        for n, (start, stop) in reversed(list(enumerate(free))):
            if stop - start >= size:
                high.append(stop - size)
                free[n] = (start, stop - size)
                break
        else:
            return None
    return low, high


def _pass_cycles(task: ConvTask, rect: Rect, piece: Piece) -> int:
    """Return the cycles of one pass of a tile."""
    rect = task.computed_rect(rect)
    steps = rect.size
    if piece.depthwise:
        line, _, _, wrap = window_line(task, rect, piece.columns)
        steps = rect.lines * line + wrap
    if piece.products == Products.TAPS:
        steps = rect.lines * (rect.columns + tap_warm(task, rect, piece.columns))
    return steps + pass_gap(steps)


def _phase_cycles(phase: PhaseTask, rect: Rect, piece: Piece) -> int:
    """Return the cycles of a piece of a transposed convolution: an instruction for each line."""
    part = phase.part(rect)
    line = Rect(part.y0, part.y0 + 1, part.x0, part.x1)
    if part.lines < 1 or part.columns < 1:
        return 0
    return part.lines * max(CALC_LATENCY, piece.passes * _pass_cycles(phase, line, piece))


def calc_cycles(
    task: Task, rect: Rect, units: Sequence[Unit], config: AcceleratorConfig
) -> int:
    """Return the cycles of a tile in the array or vector unit, for some units of weights."""
    if isinstance(task, TransposedTask):
        return CALC_LATENCY + sum(
            _phase_cycles(task.phases[piece.phase], rect, piece)
            for unit in units for piece in unit.pieces)
    if isinstance(task, ConvTask):
        pieces = [piece for unit in units for piece in unit.pieces]
        more = sum(
            piece.last * (int(piece.products == Products.BLOCKS) or config.requantizer_steps - 1)
            for piece in pieces)
        return more * rect.size + sum(
            CALC_START + CALC_REST
            + piece.passes * _pass_cycles(task.phase(piece.phase), rect, piece)
            for piece in pieces)
    steps = len(task.inputs)
    match task:
        case PoolTask():
            steps = task.pool.window.kernel[0] * task.pool.window.kernel[1]
        case TableTask():
            steps = config.table_steps
        case AddTask(has_vector=True):
            steps = 1
    return rect.size * task.output.blocks * steps + CALC_LATENCY


@dataclass(frozen=True)
class Spills:
    """Which maps of a layer pass through tile buffers.

    Parameters
    ----------
    inputs : tuple of bool
        For each input, whether it comes from DRAM tile by tile.
    output : bool
        Whether the output goes to DRAM tile by tile.
    streams : bool
        Whether an input that then stays on chip comes from DRAM line by line.
    """

    inputs: tuple[bool, ...]
    output: bool
    streams: bool = False

    @property
    def any(self) -> bool:
        """Whether any map passes through tile buffers."""
        return self.output or any(self.inputs)


def _estimate(
    task: Task, rects: Sequence[Rect], sections: Sequence[list[Unit]], weights_outer: bool,
    spills: Spills, slots: int, costs: Costs,
) -> float:
    """Return the duration of a layer, loads and saves overlapped as far as buffers allow."""
    config = costs.config
    total = sum(unit.rows for section in sections for unit in section)
    kept = total <= config.weight_depth
    flow = Flow(slots)
    done = 0
    order = (
        [(rect, section) for section in sections for rect in rects] if weights_outer
        else [(rect, section) for rect in rects for section in sections])
    previous: tuple[Rect | None, list[Unit] | None] = (None, None)
    seen = 0
    held: dict[int, Rect] = {}
    for rect, section in order:
        load = 0.0
        rows = sum(unit.rows for unit in section)
        size = sum(unit.size(config) for unit in section)
        keeps = kept or (weights_outer and rows <= config.weight_depth)
        first_time = seen < len(sections) if not weights_outer else section is not previous[1]
        if rows and (first_time or not keeps):
            load += costs.load(size)
        if rect is not previous[0]:
            source = task.input_rect(rect)
            for n, stored in enumerate(task.inputs):
                part = task.input_rect(rect, n)
                if spills.inputs[n] and part != held.get(n):
                    load += costs.load_map(stored, part.size)
                held[n] = part
            if spills.streams and source.y1 > done:
                lines = source.y1 - done
                stored = task.inputs[0]
                load += costs.load_map(stored, lines * stored.width)
                done = source.y1
        save = 0.0
        if spills.output:
            blocks = len({b for unit in section for b in unit.blocks}) or task.output.blocks
            size = rect.size * blocks * config.row_size
            strided = blocks < task.output.place.blocks
            save = costs.save(size, rect.size if strided else rect.lines)
        flow.step(load, calc_cycles(task, rect, section, config), save)
        previous = rect, section
        seen += 1
    return flow.saved[-1]


def _orders(
    task: Task, config: AcceleratorConfig, spills: Spills
) -> list[tuple[tuple[list[Unit], ...], bool]]:
    """Return the orders worth trying: sections of weights, and whether they are outside."""
    if not isinstance(task, ConvTask):
        return [(([],), False)]
    orders = []
    for units in all_cuts(task, config):
        every = tuple(group_units(units, 0))
        orders.append((every, not spills.any))
        if spills.streams and not spills.any:
            orders.append((every, False))
        if spills.any:
            orders.append((tuple(group_units(units, config.weight_depth // 2)), True))
    return orders


def _candidates(
    task: Task, config: AcceleratorConfig, spills: Spills
) -> Iterator[tuple[Rect, ...]]:
    """Yield ways to cut the output, from large to small tiles."""
    _, height, width = task.output.shape
    most = config.acc_depth if isinstance(task, ConvTask) else height * width
    if isinstance(task, ConvTask) and task.pooling is not None:
        for rects in _pooled_lines(task, config, spills.streams):
            yield rects
            if not spills.any and not spills.streams:
                return
        return
    if width <= most:
        for lines in balanced(height, most // width):
            yield cut_output(height, width, lines, width)
            if not spills.any and not spills.streams:
                return
        if spills.streams:
            yield from _growing(height, width, most // width)
    for columns in balanced(width, min(most, width)):
        if columns < width:
            yield cut_output(height, width, 1, columns)
            if not spills.any:
                return


def _pooled_lines(
    task: ConvTask, config: AcceleratorConfig, streams: bool
) -> Iterator[tuple[Rect, ...]]:
    """Yield ways to cut the output of a convolution that pools: into whole lines."""
    _, height, width = task.output.shape
    most = 0
    for lines in balanced(height, height):
        rects = cut_output(height, width, lines, width)
        if all(task.computed_rect(rect).size <= config.acc_depth for rect in rects):
            most = most or lines
            yield rects
    if streams and most:
        yield from _growing(height, width, most)


def _growing(height: int, width: int, most: int) -> Iterator[tuple[Rect, ...]]:
    """Yield rectangles of whole lines, each larger by half than the one before, up to ``most``.

    The first one can start early, and little is spent on starting the others.
    """
    for first in (1, 2, 4):
        rects: list[Rect] = []
        lines = start = 0
        while start < height:
            lines = min((3 * lines + 1) // 2 or first, most, height - start)
            rects.append(Rect(start, start + lines, 0, width))
            start += lines
        yield tuple(rects)


def _slots_of(
    task: Task, rects: Sequence[Rect], spills: Spills, slots: int, out_blocks: int,
    gaps: Sequence[tuple[int, int]],
) -> tuple[tuple[tuple[int, ...] | None, ...], tuple[int, ...] | None] | None:
    """Place the tile buffers of a layer; ``None`` if they do not fit."""
    slots = min(slots, len(rects))
    spilled = [n for n, is_spilled in enumerate(spills.inputs) if is_spilled]
    counts = {
        n: slots if len({task.input_rect(rect, n) for rect in rects}) > 1 else 1 for n in spilled}
    low = [
        tile_rows(task, rects, n, task.inputs[n].blocks)
        for n in spilled for _ in range(counts[n])]
    high = [tile_rows(task, rects, None, out_blocks)] * slots if spills.output else []
    placed = place(low, high, gaps)
    if placed is None:
        return None
    bases = iter(placed[0])
    inputs = tuple(
        tuple(next(bases) for _ in range(counts[n])) if is_spilled else None
        for n, is_spilled in enumerate(spills.inputs))
    return inputs, tuple(placed[1]) if spills.output else None


def choose_tiling(
    task: Task, spills: Spills, gaps: Sequence[tuple[int, int]], costs: Costs
) -> Tiling | None:
    """Return the tiling with the smallest estimate, ``None`` if not even the smallest fits.

    Parameters
    ----------
    task : Task
        Layer.
    spills : Spills
        Which of its maps pass through tile buffers.
    gaps : sequence of (int, int)
        Rows of feature memory that are free while the layer runs.
    costs : Costs
        Durations.
    """
    best: Tiling | None = None
    orders = _orders(task, costs.config, spills)
    for rects in _candidates(task, costs.config, spills):
        if best is not None and rects[0].columns < task.output.width:
            break
        for sections, weights_outer in orders:
            compact = weights_outer and spills.output and len(sections) > 1
            out_blocks = (
                max(len({b for unit in section for b in unit.blocks}) for section in sections)
                if compact else task.output.blocks)
            for slots in (2, 1):
                buffers = _slots_of(task, rects, spills, slots, out_blocks, gaps)
                if buffers is None:
                    continue
                cycles = _estimate(
                    task, rects, sections, weights_outer, spills, min(slots, len(rects)), costs)
                if best is None or cycles < best.cycles:
                    best = Tiling(rects, sections, weights_outer, *buffers, cycles)
                break
    return best
