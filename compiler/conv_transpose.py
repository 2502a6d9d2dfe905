"""Transposed convolution: CONVs for each phase, whose results lie between those of the others.

The results of a CONV are equally far apart, so that it writes one line of a phase; several where
the lines of a phase follow each other, as they do without strides from line to line.
"""

import itertools
from collections.abc import Iterator, Sequence

from .buffers import Buffer
from .conv import emit_conv, tile_steps
from .emitter import Emitter
from .layers import Rect
from .tiling import Tiling
from .transposed import PhaseTask, TransposedTask
from .weights import Piece, Unit


__all__ = ("lower_conv_transpose",)


def _runs(section: Sequence[Unit]) -> Iterator[list[tuple[Unit, Piece]]]:
    """Yield the pieces that add up, with their units: those of one block and phase."""
    pieces = ((unit, piece) for unit in section for piece in unit.pieces)
    for _, run in itertools.groupby(pieces, key=lambda item: (item[1].block, item[1].phase)):
        yield list(run)


def _parts(phase: PhaseTask, rect: Rect, target: Buffer) -> Iterator[Rect]:
    """Yield what one CONV can write of a phase: lines that follow each other, or each alone."""
    part = phase.part(rect)
    if part.lines < 1 or part.columns < 1:
        return
    (sy, sx) = phase.every
    step = part.lines if sy * target.pitch == part.columns * sx * target.step else 1
    for y in range(part.y0, part.y1, step):
        yield Rect(y, y + step, part.x0, part.x1)


def lower_conv_transpose(
    emitter: Emitter, task: TransposedTask, tiling: Tiling, turn: int = 0
) -> None:
    """Emit a transposed convolution.

    Parameters
    ----------
    emitter : Emitter
        Instructions so far.
    task : TransposedTask
        Layer.
    tiling : Tiling
        Its tiles.
    turn : int
        Tiles of the layer before.
    """
    every = list(range(task.output.blocks))
    compact = (
        tiling.weights_outer and tiling.output_slots is not None and len(tiling.sections) > 1)
    for step, rect, section, last in tile_steps(tiling):
        blocks = every
        if compact:
            blocks = list(range(section[0].blocks.start, section[-1].blocks.stop))
        target = emitter.output_buffer(task, tiling, turn + step, rect, blocks)
        source = emitter.input_buffer(task, 0, tiling, task.input_rect(rect))
        for run in _runs(section):
            phase = task.phases[run[0][1].phase]
            for part in _parts(phase, rect, target):
                view = phase.view(target, part)
                for unit, piece in run:
                    row = emitter.weights(task, unit) + piece.offset
                    emit_conv(emitter, phase, part, piece, row, source, view)
        if last:
            emitter.save(task, tiling, rect, target)
