"""Sum and product of two maps: VECTOR instructions whose groups are the two operands."""

from collections.abc import Iterator

from arch.isa import Opcode, VectorOp

from .buffers import Buffer
from .emitter import Emitter
from .ir import Loop, Position, WriteRecord, calc_fields
from .layers import AddTask, MulTask, Rect
from .tiling import Tiling


__all__ = ("lower_add",)


def _parts(rect: Rect, buffers: tuple[Buffer, ...]) -> Iterator[Rect]:
    """Yield parts of a tile in which all buffers have their lines equally far apart."""
    if len({buffer.rect.columns for buffer in buffers}) == 1 or rect.lines == 1:
        yield rect
        return
    for y in range(rect.y0, rect.y1):
        yield Rect(y, y + 1, rect.x0, rect.x1)


def _emit(
    emitter: Emitter, task: AddTask, rect: Rect, common: dict[str, int],
    operands: tuple[Buffer, Buffer], target: Buffer, blocks: range,
) -> None:
    per_row = emitter.config.words_per_row
    a, b = (buffer.row(rect.y0, rect.x0, blocks.start) for buffer in operands)
    loops = [
        Loop(2, (b - a) * per_row),
        Loop(),
        Loop(len(blocks), per_row),
        Loop(rect.columns, operands[0].step * per_row),
        Loop(rect.lines, operands[0].pitch * per_row),
    ]
    written = target.written(rect, blocks)
    fields = {
        **calc_fields(Position(a * per_row), loops, emitter.config.feature_words),
        "row": written.start, "row_step": written.step, **common,
    }
    emitter.calc(
        Opcode.VECTOR, task, f"lines {rect.y0}..{rect.y1 - 1}", fields,
        tuple(buffer.span(rect) for buffer in operands), (written,),
        WriteRecord(
            task.index, task.output.place.name, rect.y0, rect.lines, rect.x0, rect.columns,
            task.output.block0 + blocks.start, len(blocks)))


def lower_add(
    emitter: Emitter, task: AddTask, tiling: Tiling, shifts: tuple[tuple[int, ...], int],
    turn: int = 0,
) -> None:
    """Emit a sum or product of two maps.

    Parameters
    ----------
    emitter : Emitter
        Instructions so far.
    task : AddTask
        Layer.
    tiling : Tiling
        Its tiles.
    shifts : ((int, int), int)
        Left shifts of the operands and right shift of the result, in bits.
    turn : int
        Tiles of the layer before.
    """
    (left_a, left_b), right = shifts
    common = {
        "op": VectorOp.PRODUCT if isinstance(task, MulTask) else VectorOp.SUM,
        "signed": int(task.inputs[0].format.signed), "signed_b": int(task.inputs[1].format.signed),
        "shift_a": left_a, "shift_b": left_b, "shift": right, "lo": task.lo, "hi": task.hi,
    }
    every = range(task.output.blocks)
    for step, rect in enumerate(tiling.rects):
        a = emitter.input_buffer(task, 0, tiling, rect)
        b = emitter.input_buffer(task, 1, tiling, rect)
        target = emitter.output_buffer(task, tiling, turn + step, rect, every)
        for part in _parts(rect, (a, b, target)):
            for blocks in target.runs:
                _emit(emitter, task, part, common, (a, b), target, blocks)
        emitter.save(task, tiling, rect, target)
