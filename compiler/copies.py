"""Resize and Pad: VECTORs whose groups are single rows, copied to where they belong.

A copy walks over five axes: lines of the input, how often each is taken, columns, how often each
is taken, and channel blocks. One VECTOR has three loops for them, and its results are equally far
apart; so it takes the axes with which that works, and there is one VECTOR for every index of the
others.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from arch.isa import Opcode, VectorOp

from .buffers import Buffer
from .emitter import Emitter
from .ir import Loop, Position, Space, Span, WriteRecord, calc_fields
from .layers import Rect, Task
from .tiling import Tiling


__all__ = (
    "CopyTask",
    "lower_copy",
)


_LOOPS = 3
_MAX_COUNT = 4095
_MAX_STEP = 2047


@dataclass(frozen=True)
class _Run:
    """Lines, or columns, of the output whose places in the input are equally far apart.

    Parameters
    ----------
    start : int
        First line of the output.
    count, length : int
        Different lines of the input, and how often in a row each is taken.
    first, step : int
        First line of the input, and the step to the next.
    """

    start: int
    count: int
    length: int
    first: int
    step: int


@dataclass(frozen=True)
class CopyTask(Task):
    """A Resize or Pad: line ``y`` of the output is ``offset + y // repeat * step`` of the input.

    Parameters
    ----------
    repeats, steps, offsets : (int, int)
        For lines and columns.
    fill : int, optional
        Code of the positions that lie outside the input; ``None`` where there are none.
    mode : str
        ``edge`` or ``reflect``: how a place outside the input becomes one inside.
    """

    repeats: tuple[int, int] = (1, 1)
    steps: tuple[int, int] = (1, 1)
    offsets: tuple[int, int] = (0, 0)
    fill: int | None = None
    mode: str = ""

    def _place(self, axis: int, number: int) -> int:
        """Return the line or column of the input that comes to one of the output."""
        last = self.inputs[0].shape[1 + axis] - 1
        place = self.offsets[axis] + number // self.repeats[axis] * self.steps[axis]
        if self.mode == "edge":
            return min(max(place, 0), last)
        if self.mode == "reflect":
            return last - abs(last - abs(place))
        return place

    def _needed(self, axis: int, start: int, stop: int) -> tuple[int, int]:
        """Return the lines or columns that those of the output need, as far as they exist.

        The first never goes down, and the last never up, from one tile to the next.
        """
        size, last = self.inputs[0].shape[1 + axis], self.output.shape[1 + axis] - 1
        places = [self._place(axis, start), self._place(axis, stop - 1)]
        if self.mode == "reflect":
            before = -self.offsets[axis]
            places[0] = 0 if start <= before else min(places[0], self._place(axis, last))
            places[1] = max(before, min(stop - 1 - before, size - 1))
        first, final = (min(max(place, 0), size - 1) for place in places)
        return first, final + 1

    def input_rect(self, rect: Rect, index: int = 0) -> Rect:
        """Return the positions of the input that a rectangle of the output needs; at least one."""
        return Rect(*self._needed(0, rect.y0, rect.y1), *self._needed(1, rect.x0, rect.x1))

    def runs(self, axis: int, start: int, stop: int) -> Iterator[_Run]:
        """Yield the runs of lines or columns of the output."""
        if not self.mode:
            for first, count, length in _segments(start, stop, self.repeats[axis]):
                yield _Run(first, count, length, self._place(axis, first), self.steps[axis])
            return
        before, size = -self.offsets[axis], self.inputs[0].shape[1 + axis]
        outside = 0 if self.mode == "edge" else -1
        for low, high, step in (
                (0, before, outside), (before, before + size, 1), (before + size, stop, outside)):
            first, last = max(low, start), min(high, stop)
            if first < last:
                yield _Run(first, last - first, 1, self._place(axis, first), step)


@dataclass(frozen=True)
class _Axis:
    """One of the axes of a copy: its length, and what one step is in the input and the output."""

    count: int
    rows: int
    word: int = 0
    y: int = 0
    x: int = 0

    def follows(self, inner: "_Axis") -> bool:
        """Return whether it goes on where ``inner`` ends, in the input."""
        return (self.word, self.y, self.x) == (
            inner.word * inner.count, inner.y * inner.count, inner.x * inner.count)


def _merged(axes: Sequence[_Axis]) -> list[_Axis] | None:
    """Return the loops for axes, innermost first; ``None`` if one VECTOR cannot walk over them."""
    loops: list[_Axis] = []
    rows = axes[0].rows
    for axis in axes:
        if axis.rows != rows:
            return None
        rows *= axis.count
        if loops and axis.follows(loops[-1]) and loops[-1].count * axis.count <= _MAX_COUNT:
            inner = loops.pop()
            axis = _Axis(inner.count * axis.count, inner.rows, inner.word, inner.y, inner.x)
        loops.append(axis)
    fits = len(loops) <= _LOOPS and all(loop.count <= _MAX_COUNT for loop in loops)
    return loops if fits and axes[0].rows <= _MAX_STEP else None


def _choice(axes: Sequence[_Axis]) -> tuple[tuple[int, ...], list[_Axis]]:
    """Return the axes for one VECTOR, as numbers, and its loops: those that leave the fewest."""
    best: tuple[int, tuple[int, ...], list[_Axis]] = prod(a.count for a in axes), (), []
    used = [number for number, axis in enumerate(axes) if axis.count > 1]
    for size in range(1, len(used) + 1):
        for chosen in itertools.combinations(used, size):
            loops = _merged([axes[number] for number in reversed(chosen)])
            left = prod(axis.count for number, axis in enumerate(axes) if number not in chosen)
            if loops is not None and left < best[0]:
                best = left, chosen, loops
    return best[1], best[2]


def _segments(start: int, stop: int, repeat: int) -> Iterator[tuple[int, int, int]]:
    """Yield the first place of equal runs, how many there are, and how long they are."""
    head = min(-start % repeat, stop - start)
    body, tail = divmod(stop - start - head, repeat)
    if head:
        yield start, 1, head
    if body:
        yield start + head, body, repeat
    if tail:
        yield start + head + body * repeat, 1, tail


@dataclass(frozen=True)
class _Area:
    """What is copied together: a run of lines and one of columns."""

    y: _Run
    x: _Run

    @classmethod
    def of(cls, rect: Rect) -> "_Area":
        """Return a rectangle that nothing is copied to."""
        return cls(_Run(rect.y0, rect.lines, 1, 0, 0), _Run(rect.x0, rect.columns, 1, 0, 0))

    def axes(
        self, target: Buffer, blocks: int, word: tuple[int, int, int], counts: bool
    ) -> list[_Axis]:
        """Return the axes, outermost first.

        Parameters
        ----------
        target : Buffer
            What is written.
        blocks : int
            Channel blocks.
        word : (int, int, int)
            Words of the input from line to line, column to column, block to block.
        counts : bool
            Whether lines and columns of the input are counted.
        """
        y, x = self.y, self.x
        return [
            _Axis(y.count, y.length * target.pitch, y.step * word[0], y.step * counts),
            _Axis(y.length, target.pitch),
            _Axis(x.count, x.length * target.step, x.step * word[1], 0, x.step * counts),
            _Axis(x.length, target.step),
            _Axis(blocks, 1, word[2])]

    def record(
        self, task: CopyTask, index: Sequence[int], chosen: Sequence[int], blocks: int
    ) -> WriteRecord:
        """Return what one VECTOR writes: ``chosen`` axes whole, the others at an index."""
        def along(run: _Run, outer: int) -> tuple[int, int, int]:
            count = run.count if outer in chosen else 1
            length = run.length if outer + 1 in chosen else 1
            first = run.start + index[outer] * run.length + index[outer + 1]
            return first, count * length, 1 if length == run.length else run.length

        (y, tall, y_step), (x, broad, x_step) = along(self.y, 0), along(self.x, 2)
        return WriteRecord(
            task.index, task.output.place.name, y, tall, x, broad,
            task.output.block0 + index[4], blocks if 4 in chosen else 1, y_step, x_step)


def _emit(
    emitter: Emitter, task: CopyTask, area: _Area, axes: Sequence[_Axis], target: Buffer,
    start: Position, fields: dict[str, int], reads: tuple[Span, ...],
) -> None:
    """Emit the VECTORs that fill an area."""
    chosen, loops = _choice(axes)
    blocks = axes[4].count
    rest = [range(1) if n in chosen else range(axis.count) for n, axis in enumerate(axes)]
    first = target.row(area.y.start, area.x.start, 0)
    step = loops[0].rows if loops else 0
    size = prod(loop.count for loop in loops)
    for index in itertools.product(*rest):
        row, word, y, x = (
            sum(number * getattr(axis, name) for number, axis in zip(index, axes, strict=True))
            for name in ("rows", "word", "y", "x"))
        place = Position(
            start.word + word, start.y + y, start.x + x, start.height, start.width)
        record = area.record(task, index, chosen, blocks)
        emitter.calc(
            Opcode.VECTOR, task, f"lines {record.y0}..{record.positions[0].stop - 1}", {
                **calc_fields(
                    place, [Loop(), Loop(), *(Loop(a.count, a.word, a.y, a.x) for a in loops)],
                    emitter.config.feature_words),
                "row": first + row, "row_step": step, **fields},
            reads,
            (Span(Space.FEATURE, first + row, first + row + (size - 1) * step + 1, step or 1),),
            record)


def _copy(
    emitter: Emitter, task: CopyTask, rect: Rect, source: Buffer, target: Buffer,
    fields: dict[str, int],
) -> None:
    """Emit the copies of a tile."""
    per_row, stored = emitter.config.words_per_row, task.inputs[0]
    reads = (source.span(task.input_rect(rect)),)
    bounded = task.fill is not None
    word = source.pitch * per_row, source.step * per_row, per_row
    for y in task.runs(0, rect.y0, rect.y1):
        for x in task.runs(1, rect.x0, rect.x1):
            area = _Area(y, x)
            first = source.row(y.first, x.first) * per_row
            start = Position(first)
            if bounded:
                start = Position(first, y.first, x.first, stored.height, stored.width)
            axes = area.axes(target, task.output.blocks, word, bounded)
            _emit(emitter, task, area, axes, target, start, fields, reads)


def _outside(task: CopyTask, rect: Rect) -> Iterator[Rect]:
    """Yield the parts of a tile that lie outside the input, of a copy without repeats."""
    top, left = (-offset for offset in task.offsets)
    stored = task.inputs[0]
    y0, y1 = (min(max(y, rect.y0), rect.y1) for y in (top, top + stored.height))
    x0, x1 = (min(max(x, rect.x0), rect.x1) for x in (left, left + stored.width))
    for part in (
            Rect(rect.y0, y0, rect.x0, rect.x1), Rect(y0, y1, rect.x0, x0),
            Rect(y0, y1, x1, rect.x1), Rect(y1, rect.y1, rect.x0, rect.x1)):
        if part.lines > 0 and part.columns > 0:
            yield part


def lower_copy(emitter: Emitter, task: CopyTask, tiling: Tiling, turn: int = 0) -> None:
    """Emit a Resize or Pad.

    What lies outside the input is 0 in a sum and the lower bound in a maximum; any other value is
    written over it.

    Parameters
    ----------
    emitter : Emitter
        Instructions so far.
    task : CopyTask
        Layer.
    tiling : Tiling
        Its tiles.
    turn : int
        Tiles of the layer before.
    """
    signed = int(task.inputs[0].format.signed)
    common = {"signed": signed, "signed_b": signed, "lo": task.lo, "hi": task.hi}
    zero = min(max(0, task.lo), task.hi)
    op = VectorOp.SUM if task.fill == zero else VectorOp.MAX
    overwrites = task.fill not in (None, zero, task.lo)
    every = range(task.output.blocks)
    for step, rect in enumerate(tiling.rects):
        source = emitter.input_buffer(task, 0, tiling, task.input_rect(rect))
        target = emitter.output_buffer(task, tiling, turn + step, rect, every)
        _copy(emitter, task, rect, source, target, {**common, "op": op})
        for part in _outside(task, rect) if overwrites else ():
            assert task.fill is not None
            area = _Area.of(part)
            axes = area.axes(target, task.output.blocks, (0, 0, 0), False)
            _emit(
                emitter, task, area, axes, target, Position(0, height=0, width=0),
                {**common, "op": op, "lo": task.fill, "hi": task.fill}, ())
        emitter.save(task, tiling, rect, target)
