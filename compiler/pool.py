"""Pooling and lone clamps: one VECTOR for each tile, or for each block of it."""

from dataclasses import replace

import numpy as np

from arch.config import AcceleratorConfig
from arch.isa import Opcode, VectorOp
from arch.timing import divide_group

from .buffers import Buffer
from .emitter import Emitter
from .errors import CompileError
from .ir import Loop, Position, WriteRecord, calc_fields
from .layers import PoolTask, Rect
from .tiling import Tiling


__all__ = (
    "lower_pool",
    "split_pool",
)


def _counted(
    outputs: int, stride: int, pad: int, kernel: int, dilation: int, size: int, limit: int,
    count_pad: bool,
) -> set[int]:
    """Return how many positions are counted along one axis, over all outputs."""
    position = (
        np.arange(outputs)[:, None] * stride - pad + np.arange(kernel)[None, :] * dilation)
    counted = position < limit
    if not count_pad:
        counted &= (position >= 0) & (position < size)
    return {int(count) for count in counted.sum(axis=1)}


def _average_fields(task: PoolTask, shift: int, config: AcceleratorConfig) -> dict[str, int]:
    """Return the fields of an average: a division, or a shift where that is the same."""
    pool, source = task.pool, task.inputs[0]
    window = pool.window
    top, left, bottom, right = window.pads
    limits = (
        source.height + bottom - pool.ceil_pads[0], source.width + right - pool.ceil_pads[1])
    lines = _counted(
        task.output.height, window.strides[0], top, window.kernel[0], window.dilations[0],
        source.height, limits[0], pool.count_pad)
    columns = _counted(
        task.output.width, window.strides[1], left, window.kernel[1], window.dilations[1],
        source.width, limits[1], pool.count_pad)
    counts = {y * x for y in lines for x in columns}
    if 0 in counts:
        raise CompileError(
            f"Layer '{task.name}': a window of an average pooling must count at least one "
            "position")
    if len(counts) == 1:
        (count,) = counts
        power = count.bit_length() - 1
        if count == 1 << power and shift + power <= 31:
            return {"shift": shift + power}
    return {
        "shift": shift, "divide": 1, "count_pad": int(pool.count_pad),
        "count_height": limits[0], "count_width": limits[1],
        "gap": max(
            0, divide_group(config.data_bits) - window.kernel[0] * window.kernel[1]),
    }


def _pool_fields(
    task: PoolTask, shifts: tuple[tuple[int, ...], int], config: AcceleratorConfig
) -> dict[str, int]:
    """Return the fields that all tiles share."""
    (left,), right = shifts
    signed = int(task.inputs[0].format.signed)
    common = {
        "signed": signed, "signed_b": signed, "shift_a": left, "shift_b": left,
        "lo": task.lo, "hi": task.hi,
    }
    if task.pool.kind == "max":
        return {**common, "op": VectorOp.MAX, "shift": right}
    return {**common, "op": VectorOp.SUM, **_average_fields(task, right, config)}


def _emit(
    emitter: Emitter, task: PoolTask, rect: Rect, common: dict[str, int], source: Buffer,
    target: Buffer, blocks: range,
) -> None:
    window, stored = task.pool.window, task.inputs[0]
    (r, s), (sy, sx), (dy, dx) = window.kernel, window.strides, window.dilations
    per_row = emitter.config.words_per_row
    column, line = source.step * per_row, source.pitch * per_row
    y, x = rect.y0 * sy - window.pads[0], rect.x0 * sx - window.pads[1]
    start = Position(
        source.row(y, x, blocks.start) * per_row, y, x, stored.height, stored.width)
    loops = [
        Loop(s, dx * column, x=dx),
        Loop(r, dy * line, y=dy),
        Loop(len(blocks), per_row),
        Loop(rect.columns, sx * column, x=sx),
        Loop(rect.lines, sy * line, y=sy),
    ]
    written = target.written(rect, blocks)
    fields = {
        **calc_fields(start, loops, emitter.config.feature_words),
        "row": written.start, "row_step": written.step, **common,
    }
    emitter.calc(
        Opcode.VECTOR, task, f"lines {rect.y0}..{rect.y1 - 1}", fields,
        (source.span(task.input_rect(rect)),), (written,),
        WriteRecord(
            task.index, task.output.place.name, rect.y0, rect.lines, rect.x0, rect.columns,
            task.output.block0 + blocks.start, len(blocks)))


def split_pool(task: PoolTask, depth: int) -> list[PoolTask]:
    """Cut a pooling by channel blocks if not even one of its windows fits the memory.

    Parameters
    ----------
    task : PoolTask
        Layer.
    depth : int
        Rows of feature memory.
    """
    need, blocks = task.smallest_rows, task.output.blocks
    if need <= depth:
        return [task]
    most = max(1, depth // 2 * blocks // need)
    return [
        replace(
            task, inputs=(task.inputs[0].part(first, min(first + most, blocks)),),
            output=task.output.part(first, min(first + most, blocks)))
        for first in range(0, blocks, most)]


def lower_pool(
    emitter: Emitter, task: PoolTask, tiling: Tiling, shifts: tuple[tuple[int, ...], int],
    turn: int = 0,
) -> None:
    """Emit a pooling.

    Parameters
    ----------
    emitter : Emitter
        Instructions so far.
    task : PoolTask
        Layer.
    tiling : Tiling
        Its tiles.
    shifts : ((int,), int)
        Left shift of the input and right shift of the result, in bits.
    turn : int
        Tiles of the layer before.
    """
    common = _pool_fields(task, shifts, emitter.config)
    every = range(task.output.blocks)
    for step, rect in enumerate(tiling.rects):
        source = emitter.input_buffer(task, 0, tiling, task.input_rect(rect))
        target = emitter.output_buffer(task, tiling, turn + step, rect, every)
        for blocks in target.runs:
            _emit(emitter, task, rect, common, source, target, blocks)
        emitter.save(task, tiling, rect, target)
