"""Operators of one map: with a channel vector, or with a table of a function of one code."""

from arch.isa import Opcode, VectorOp

from .buffers import Buffer
from .emitter import Emitter
from .ir import Loop, Position, Space, Span, WriteRecord, calc_fields
from .layers import AddTask, MulTask, Rect, SlopeTask, TableTask, Task
from .tiling import Tiling


__all__ = (
    "lower_table",
    "lower_with_vector",
)


def _emit(
    emitter: Emitter, task: Task, rect: Rect, common: dict[str, int], steps: int,
    source: Buffer, reads: tuple[Span, ...], target: Buffer, blocks: range,
) -> None:
    """Emit the VECTOR of some blocks of a tile, whose groups read one row in each step."""
    per_row = emitter.config.words_per_row
    start = Position(source.row(rect.y0, rect.x0, blocks.start) * per_row)
    loops = [
        Loop(steps),
        Loop(),
        Loop(len(blocks), per_row),
        Loop(rect.columns, source.step * per_row),
        Loop(rect.lines, source.pitch * per_row),
    ]
    written = target.written(rect, blocks)
    fields = {
        **calc_fields(start, loops, emitter.config.feature_words),
        "row": written.start, "row_step": written.step, **common,
    }
    emitter.calc(
        Opcode.VECTOR, task, f"lines {rect.y0}..{rect.y1 - 1}", fields,
        (source.span(rect), *reads), (written,),
        WriteRecord(
            task.index, task.output.place.name, rect.y0, rect.lines, rect.x0, rect.columns,
            task.output.block0 + blocks.start, len(blocks)))


def lower_with_vector(
    emitter: Emitter, task: AddTask, tiling: Tiling, shifts: tuple[tuple[int, ...], int],
    turn: int = 0,
) -> None:
    """Emit a sum or product of a map and a channel vector, or a PRelu: block by block.

    Parameters
    ----------
    emitter : Emitter
        Instructions so far.
    task : AddTask
        Layer; its second input is the vector.
    tiling : Tiling
        Its tiles.
    shifts : ((int, int), int)
        Left shifts of map and vector and right shift of the result, in bits.
    turn : int
        Tiles of the layer before.
    """
    (left_a, left_b), right = shifts
    op = VectorOp.SUM
    if isinstance(task, MulTask):
        op = VectorOp.PRODUCT
    elif isinstance(task, SlopeTask):
        op = VectorOp.PRELU
    signed, signed_b = (int(stored.format.signed) for stored in task.inputs)
    common = {
        "op": op, "hold": 1, "signed": signed, "signed_b": signed_b, "shift_a": left_a,
        "shift_b": left_b, "shift": right, "lo": task.lo, "hi": task.hi,
    }
    every = range(task.output.blocks)
    for step, rect in enumerate(tiling.rects):
        source = emitter.input_buffer(task, 0, tiling, rect)
        vector = emitter.input_buffer(task, 1, tiling, task.input_rect(rect, 1))
        target = emitter.output_buffer(task, tiling, turn + step, rect, every)
        for block in every:
            row = vector.row(0, 0, block)
            held = {"word_b": row * emitter.config.words_per_row}
            _emit(
                emitter, task, rect, {**common, **held}, 1, source,
                (Span(Space.FEATURE, row, row + 1),), target, range(block, block + 1))
        emitter.save(task, tiling, rect, target)


def lower_table(
    emitter: Emitter, task: TableTask, tiling: Tiling, shifts: tuple[tuple[int, ...], int],
    turn: int = 0,
) -> None:
    """Emit a function of one code.

    Parameters
    ----------
    emitter : Emitter
        Instructions so far.
    task : TableTask
        Layer.
    tiling : Tiling
        Its tiles.
    shifts : ((int,), int)
        Left shift of an entry and right shift of the result, in bits.
    turn : int
        Tiles of the layer before.
    """
    (left,), right = shifts
    every = range(task.output.blocks)
    for step, rect in enumerate(tiling.rects):
        source = emitter.input_buffer(task, 0, tiling, rect)
        target = emitter.output_buffer(task, tiling, turn + step, rect, every)
        table = emitter.table(task)
        common = {
            "op": VectorOp.TABLE, "table": table, "shift_a": left, "shift_b": task.index_shift,
            "shift": right, "lo": task.lo, "hi": task.hi,
        }
        for blocks in target.runs:
            _emit(
                emitter, task, rect, common, emitter.config.table_steps, source,
                (Span(Space.TABLE, table, table + 1),), target, blocks)
        emitter.save(task, tiling, rect, target)
