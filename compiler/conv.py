"""Convolution: one CONV for each tile and each piece of weights."""

from collections.abc import Iterator
from dataclasses import replace

from arch.isa import Opcode, Products
from arch.timing import pass_gap

from .buffers import Buffer
from .chains import laps
from .depthwise import window_line
from .emitter import Emitter
from .ir import Loop, Position, Space, Span, WriteRecord, calc_fields
from .layers import ConvTask, Rect
from .sharing import tap_pairs, tap_warm
from .tiling import Tiling
from .weights import Piece, Unit


__all__ = (
    "emit_conv",
    "lower_conv",
    "tile_steps",
)


def _window_loops(
    task: ConvTask, rect: Rect, piece: Piece, source: Buffer, words_per_row: int
) -> tuple[Position, list[Loop], dict[str, int]]:
    """Return start and loops of a depthwise piece, lines inside kernel lines, and its fields."""
    window, stored = task.window, task.inputs[0]
    (sy, sx), dy = window.strides, window.dilations[0]
    y = rect.y0 * sy - window.pads[0] + piece.lines[0] * dy
    line_steps, x, warm, wrap = window_line(task, rect, piece.columns)
    column, line = source.step * words_per_row, source.pitch * words_per_row
    start = Position(
        source.row(y, x) * words_per_row + piece.words[0], y, x, stored.height, stored.width)
    return start, [
        Loop(line_steps, column, x=1),
        Loop(rect.lines, sy * line, y=sy),
        Loop(piece.lines[1] - piece.lines[0], dy * line, y=dy),
    ], {"depthwise": 1, "warm": warm, "skip": sx - 1, "wrap": wrap}


def _loops(
    task: ConvTask, rect: Rect, piece: Piece, source: Buffer, words_per_row: int
) -> tuple[Position, list[Loop]]:
    """Return start and loops: columns and lines of the tile inside, then taps, then words."""
    window, stored = task.window, task.inputs[piece.source]
    (sy, sx), (dy, dx) = window.strides, window.dilations
    top, left = window.pads[:2]
    y = rect.y0 * sy - top + piece.lines[0] * dy
    x = rect.x0 * sx - left + piece.columns[0] * dx
    column, line = source.step * words_per_row, source.pitch * words_per_row
    start = Position(
        source.row(y, x) * words_per_row + piece.words[0], y, x, stored.height, stored.width)
    return start, [
        Loop(rect.columns, sx * column, x=sx),
        Loop(rect.lines, sy * line, y=sy),
        Loop(piece.columns[1] - piece.columns[0], dx * column, x=dx),
        Loop(piece.lines[1] - piece.lines[0], dy * line, y=dy),
        Loop(piece.words[1] - piece.words[0], 1),
    ]


def _tap_loops(
    task: ConvTask, rect: Rect, piece: Piece, source: Buffer, words_per_row: int
) -> tuple[Position, list[Loop], dict[str, int]]:
    """Return start and loops of a piece of two taps a pass, and its fields."""
    pairs = tap_pairs(piece.columns)
    warm = tap_warm(task, rect, piece.columns)
    start, loops = _loops(
        task, rect, replace(piece, columns=(pairs[0][0], pairs[0][0] + 1)), source, words_per_row)
    column = source.step * words_per_row
    apart = pairs[1][0] - pairs[0][0] if len(pairs) > 1 else 0
    loops[0] = Loop(rect.columns + warm, column, x=1)
    loops[2] = Loop(len(pairs), apart * column, x=apart)
    return replace(start, word=start.word - warm * column, x=start.x - warm), loops, {
        "warm": warm}


def _lines(task: ConvTask, rect: Rect, piece: Piece) -> tuple[int, int]:
    """Return the first and the last line under a piece, padding included."""
    stride, dilation, top = task.window.strides[0], task.window.dilations[0], task.window.pads[0]
    rect = task.computed_rect(rect)
    return (
        rect.y0 * stride - top + piece.lines[0] * dilation,
        (rect.y1 - 1) * stride - top + (piece.lines[1] - 1) * dilation)


def _read_rect(task: ConvTask, rect: Rect, piece: Piece) -> Rect:
    """Return the positions of the input that a piece needs; at least one line."""
    last = task.inputs[piece.source].height - 1
    first, stop = (min(max(y, 0), last) for y in _lines(task, rect, piece))
    return replace(task.input_rect(rect), y0=first, y1=stop + 1)


def _parts(emitter: Emitter, task: ConvTask, rect: Rect, piece: Piece) -> Iterator[Piece]:
    """Cut a piece by kernel lines where the input's ring begins again between them."""
    ring = emitter.ring_lines(task.inputs[piece.source])
    if ring is None or len(laps(ring, _read_rect(task, rect, piece))) == 1:
        yield piece
        return
    of_lap: dict[int, list[int]] = {}
    for line in range(*piece.lines):
        read = _read_rect(task, rect, replace(piece, lines=(line, line + 1)))
        of_lap.setdefault(laps(ring, read).start, []).append(line)
    every = [piece.words] if piece.depthwise else [(n, n + 1) for n in range(*piece.words)]
    pitch = piece.passes // len(every)
    columns = pitch // (piece.lines[1] - piece.lines[0])
    parts = [
        replace(
            piece, words=words, lines=(lines[0], lines[-1] + 1), first=False, last=False,
            offset=piece.offset + n * pitch + (lines[0] - piece.lines[0]) * columns)
        for n, words in enumerate(every) for lines in of_lap.values()]
    parts[0] = replace(parts[0], first=piece.first)
    parts[-1] = replace(parts[-1], last=piece.last)
    yield from parts


def emit_conv(
    emitter: Emitter, task: ConvTask, rect: Rect, piece: Piece, weight_row: int,
    source: Buffer, target: Buffer,
) -> None:
    """Emit one CONV: a piece of the weights over a tile.

    Parameters
    ----------
    emitter : Emitter
        Instructions so far.
    task : ConvTask
        Layer.
    rect : Rect
        Tile, in positions of the task.
    piece : Piece
        Weights.
    weight_row : int
        Where they lie.
    source, target : Buffer
        What is read and written.
    """
    config = emitter.config
    extra: dict[str, int] = {}
    positions = task.computed_rect(rect)
    if piece.depthwise:
        start, loops, extra = _window_loops(task, positions, piece, source, config.words_per_row)
    elif piece.products == Products.TAPS:
        start, loops, extra = _tap_loops(task, positions, piece, source, config.words_per_row)
    else:
        start, loops = _loops(task, positions, piece, source, config.words_per_row)
    if piece.last:
        extra |= emitter.pool_fields(task, piece.block, rect)
    many = rect.size > 1
    row = target.row(rect.y0, rect.x0, piece.block)
    param_row = emitter.params(task, piece.block - (piece.products == Products.SECOND))
    fields = {
        **calc_fields(start, loops, config.feature_words),
        "row": row, "row_step": target.step if many else 0,
        "gap": pass_gap(loops[0].count * loops[1].count + extra.get("wrap", 0)),
        "signed": int(task.inputs[piece.source].format.signed),
        "lo": task.lo, "weight_row": weight_row, "param_row": param_row,
        "init": int(piece.first), "finish": int(piece.last),
        "products": int(piece.products), "wide": int(task.bits > config.weight_bits), **extra,
    }
    first, last = _lines(task, rect, piece)
    reads: tuple[Span, ...] = (
        Span(Space.WEIGHT, weight_row, weight_row + piece.passes),
        Span(Space.PARAM, param_row, param_row + piece.products.targets[-1] + 1),
    )
    if last >= 0 and first < task.inputs[piece.source].height:
        read = _read_rect(task, rect, piece)
        span = source.block_span(read, piece.block) if piece.depthwise else source.span(read)
        reads = (span, *reads)
    writes: tuple[Span, ...] = ()
    record = None
    if piece.last:
        stop = row + (rect.size - 1) * target.step + 1
        writes = tuple(
            Span(Space.FEATURE, row + number, stop + number, target.step)
            for number in range(len(piece.blocks)))
        record = task.placed(WriteRecord(
            task.index, task.output.place.name, rect.y0, rect.lines, rect.x0, rect.columns,
            task.output.block0 + piece.block, len(piece.blocks)))
    emitter.calc(
        Opcode.CONV, task,
        f"{_blocks_text(piece.blocks)}, lines {rect.y0}..{rect.y1 - 1}", fields,
        reads, writes, record)


def _blocks_text(blocks: range) -> str:
    if len(blocks) > 1:
        return f"blocks {blocks[0]} and {blocks[-1]}"
    return f"block {blocks[0]}"


def tile_steps(
    tiling: Tiling,
) -> Iterator[tuple[int, Rect, list[Unit], bool]]:
    """Yield turn, tile, section, and whether the section is the last of its tile's turn."""
    sections = tiling.sections
    if tiling.weights_outer:
        for number, section in enumerate(sections):
            for n, rect in enumerate(tiling.rects):
                last = tiling.output_slots is not None or number == len(sections) - 1
                yield number * len(tiling.rects) + n, rect, section, last
    else:
        for n, rect in enumerate(tiling.rects):
            for number, section in enumerate(sections):
                yield n, rect, section, number == len(sections) - 1


def lower_conv(emitter: Emitter, task: ConvTask, tiling: Tiling, turn: int = 0) -> None:
    """Emit a convolution.

    Parameters
    ----------
    emitter : Emitter
        Instructions so far.
    task : ConvTask
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
        for unit in section:
            weight_row = emitter.weights(task, unit)
            for whole in unit.pieces:
                view = task.phase(whole.phase)
                index = whole.source
                own = replace(whole, source=0) if whole.phase else whole
                for piece in _parts(emitter, view, rect, own):
                    ring = emitter.ring_lines(task.inputs[index])
                    source = emitter.input_buffer(
                        task, index, tiling,
                        view.input_rect(rect) if ring is None else _read_rect(view, rect, piece))
                    emit_conv(
                        emitter, view, rect, piece, weight_row + piece.offset, source, target)
        if last:
            emitter.save(task, tiling, rect, target)
