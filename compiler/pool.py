"""Pooling and lone clamps: one VECTOR for each tile."""

import numpy as np

from arch.config import AcceleratorConfig
from arch.isa import Opcode, VectorOp
from arch.timing import divide_group

from .buffers import Buffer
from .emitter import Emitter
from .errors import CompileError
from .ir import Loop, Position, Space, Span, WriteRecord, calc_fields
from .layers import PoolTask, Rect
from .tiling import Tiling


__all__ = ("lower_pool",)


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
    target: Buffer,
) -> None:
    window, stored = task.pool.window, task.inputs[0]
    (r, s), (sy, sx), (dy, dx) = window.kernel, window.strides, window.dilations
    per_row = emitter.config.words_per_row
    column, line = source.blocks * per_row, source.pitch * per_row
    y, x = rect.y0 * sy - window.pads[0], rect.x0 * sx - window.pads[1]
    start = Position(source.row(y, x) * per_row, y, x, stored.height, stored.width)
    loops = [
        Loop(s, dx * column, x=dx),
        Loop(r, dy * line, y=dy),
        Loop(source.blocks, per_row),
        Loop(rect.columns, sx * column, x=sx),
        Loop(rect.lines, sy * line, y=sy),
    ]
    row = target.row(rect.y0, rect.x0)
    fields = {
        **calc_fields(start, loops, emitter.config.feature_words),
        "row": row, "row_step": 1, **common,
    }
    emitter.calc(
        Opcode.VECTOR, task, f"lines {rect.y0}..{rect.y1 - 1}", fields,
        (source.span(task.input_rect(rect)),),
        (Span(Space.FEATURE, row, row + rect.size * target.blocks),),
        WriteRecord(
            task.index, task.output.name, rect.y0, rect.lines, rect.x0, rect.columns, 0,
            task.output.blocks))


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
        _emit(emitter, task, rect, common, source, target)
        emitter.save(task, tiling, rect, target)
