"""Weight tiles: how they are cut into loads, their image in DRAM, and the rings on chip."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arch.config import CHUNK_BEATS, AcceleratorConfig
from arch.isa import Products
from quantizer.layout import pack_codes, pack_params, pack_planes

from .depthwise import runs_in_window
from .layers import ConvTask, JoinTask
from .sharing import SEPARATE, Sharing, pair_taps, sharings, tap_pairs, turns
from .transposed import TransposedTask


__all__ = (
    "Piece",
    "Ring",
    "Unit",
    "WeightImage",
    "all_cuts",
    "cut_weights",
    "group_units",
)


_LOAD_SIZE = 16384
"""Bytes that one LOAD of weights should bring at least.

A few of them wait for their turn at a time, which should be much of what a layer needs.
"""

_FIRST_LOAD_SIZE = 512
"""What the first LOAD of the first layer should bring; each of its others twice as much."""

_CUT_SIZE = 256
"""Bytes that must be saved for a LOAD of its own: it is an instruction, and takes some cycles."""

_MAX_COUNT = 4095


@dataclass(frozen=True)
class Piece:
    """Passes of one output block that one CONV makes.

    Parameters
    ----------
    block : int
        Output block.
    words, lines, columns : (int, int)
        Ranges of input words, kernel lines and kernel columns; the last runs fastest.
    first, last : bool
        Whether the piece has the first and the last pass of its block.
    offset : int
        First weight row, counted from the start of its unit.
    depthwise : bool
        Whether the columns are taken from the window of the last codes, all in one pass.
    source : int
        Number of the input that is read.
    phase : int
        Number of the phase of a transposed convolution; 1 for the addend of a plain one.
    more : bool
        Whether pieces of other phases of the block follow.
    products : Products
        What the products of a multiplier belong to; of two blocks, the second follows ``block``.
    """

    block: int
    words: tuple[int, int]
    lines: tuple[int, int]
    columns: tuple[int, int]
    first: bool
    last: bool
    offset: int
    depthwise: bool = False
    source: int = 0
    phase: int = 0
    more: bool = False
    products: Products = Products.ONE

    @property
    def completes(self) -> bool:
        """Whether nothing of its block follows."""
        return self.last and not self.more

    @property
    def blocks(self) -> range:
        """Output blocks that it works for."""
        return range(self.block, self.block + 1 + (self.products == Products.BLOCKS))

    @property
    def passes(self) -> int:
        """Passes, one weight row each."""
        lines = self.lines[1] - self.lines[0]
        if self.depthwise:
            return lines
        taps = self.columns[1] - self.columns[0]
        if self.products == Products.TAPS:
            taps = len(tap_pairs(self.columns))
        return (self.words[1] - self.words[0]) * lines * taps


@dataclass(frozen=True)
class Unit:
    """Pieces whose weights one LOAD brings.

    Parameters
    ----------
    layer, number : int
        Layer and number in the layer.
    pieces : tuple of Piece
        Pieces, in order.
    rows : int
        Weight rows.
    bits : int
        Bits in DRAM of a code of weight memory, be it one weight or a pair.
    columns : int
        Columns of a row that DRAM holds; 0 for all.
    """

    layer: int
    number: int
    pieces: tuple[Piece, ...]
    rows: int
    bits: int
    columns: int = 0

    @property
    def blocks(self) -> range:
        """Output blocks of the pieces."""
        return range(self.pieces[0].block, self.pieces[-1].blocks.stop)

    @property
    def pairs(self) -> bool:
        """Whether a code of weight memory is a pair of weights; then all are."""
        return _paired(self.pieces)

    def size(self, config: AcceleratorConfig) -> int:
        """Return the bytes in DRAM."""
        return config.packed_size(self.rows, self.bits, self.columns)


def block_words(task: ConvTask, block: int, config: AcceleratorConfig) -> tuple[int, int]:
    """Return the input words that an output block needs: those of its groups."""
    kernels, per_group = task.codes.shape[:2]
    kernels_per_group = kernels // task.groups
    first = block * config.out_lanes
    last = min(first + config.out_lanes, kernels) - 1
    start = first // kernels_per_group * per_group
    stop = (last // kernels_per_group + 1) * per_group
    return start // config.in_lanes, -(-stop // config.in_lanes)


def _ranges(start: int, stop: int, most: int) -> Iterator[tuple[int, int]]:
    """Cut a range into equal parts of at most ``most``."""
    parts = -(-(stop - start) // most)
    size = -(-(stop - start) // parts)
    for first in range(start, stop, size):
        yield first, min(first + size, stop)


def _cut_block(
    words: tuple[int, int], kernel: tuple[int, int], limit: int
) -> Iterator[tuple[tuple[int, int], tuple[int, int], tuple[int, int]]]:
    """Cut the passes of one block into parts of at most ``limit`` rows, in pass order."""
    r, s = kernel
    if r * s <= limit:
        for part in _ranges(*words, min(limit // (r * s), _MAX_COUNT)):
            yield part, (0, r), (0, s)
        return
    for word in range(*words):
        if s <= limit:
            for lines in _ranges(0, r, limit // s):
                yield (word, word + 1), lines, (0, s)
        else:
            for line in range(r):
                for columns in _ranges(0, s, limit):
                    yield (word, word + 1), (line, line + 1), columns


def _cut_depthwise(
    task: ConvTask, block: int, config: AcceleratorConfig, limit: int
) -> Iterator[tuple[tuple[int, int], tuple[int, int], tuple[int, int]]]:
    """Cut the taps of one block into columns that fit the window; a pass is one kernel line."""
    r, s = task.window.kernel
    words = (block * config.words_per_row, (block + 1) * config.words_per_row)
    most = (config.window_taps - 1) // task.window.dilations[1] + 1
    for columns in _ranges(0, s, most):
        for lines in _ranges(0, r, limit):
            yield words, lines, columns


def _cut_join(
    task: JoinTask, block: int, config: AcceleratorConfig, limit: int
) -> list[Piece]:
    """Return the pieces of one block of a Concat: the words of its channels, input by input."""
    first = block * config.out_lanes
    last = min(first + config.out_lanes, task.output.channels)
    found = []
    for number, channel, _, count in task.parts(first, last):
        words = channel // config.in_lanes, -(-(channel + count) // config.in_lanes)
        found += [
            Piece(block, part, (0, 1), (0, 1), False, False, 0, source=number)
            for part in _ranges(*words, limit)]
    found[0] = replace(found[0], first=True)
    found[-1] = replace(found[-1], last=True)
    return found


def _cut_pieces(
    task: ConvTask, block: int, config: AcceleratorConfig, limit: int,
    products: Products = Products.ONE,
) -> list[Piece]:
    """Return the pieces of one block, or of two, each of at most ``limit`` rows."""
    if isinstance(task, JoinTask):
        return _cut_join(task, block, config, limit)
    if isinstance(task, TransposedTask):
        last = len(task.phases) - 1
        return [
            replace(piece, phase=number, more=number < last)
            for number, phase in enumerate(task.phases)
            for piece in _cut_pieces(phase, block, config, limit)]
    depthwise = runs_in_window(task, config)
    if depthwise:
        parts = list(_cut_depthwise(task, block, config, limit))
    else:
        words = block_words(task, block, config)
        r, s = task.window.kernel
        if products == Products.BLOCKS:
            other = block_words(task, block + 1, config)
            words = min(words[0], other[0]), max(words[1], other[1])
        if products == Products.TAPS:
            parts = [
                (words, lines, (2 * start, min(2 * stop, s))) for words, lines, (start, stop)
                in _cut_block(words, (r, len(tap_pairs((0, s)))), limit)]
        else:
            parts = list(_cut_block(words, (r, s), limit))
    return [
        Piece(block, *part, number == 0, number == len(parts) - 1, 0, depthwise,
              products=products)
        for number, part in enumerate(parts)
    ]


def cut_weights(
    task: ConvTask, config: AcceleratorConfig, sharing: Sharing = SEPARATE
) -> list[Unit]:
    """Cut the weights of a convolution into units of at most half the weight memory.

    A unit holds whole output blocks, or a part of one block that is too large. A last block that
    leaves output lanes idle is a unit of its own, stored without those lanes, where that saves
    enough.

    Parameters
    ----------
    task : ConvTask
        Convolution.
    config : AcceleratorConfig
        Accelerator.
    sharing : Sharing
        What shares multipliers.
    """
    limit = config.weight_depth // 2
    first_size = _LOAD_SIZE if task.index else _FIRST_LOAD_SIZE
    units: list[Unit] = []
    pending: list[Piece] = []
    rows = 0
    columns = 0

    def close() -> None:
        nonlocal rows
        if pending:
            units.append(Unit(task.index, len(units), tuple(pending), rows, bits, columns))
            pending.clear()
            rows = 0

    bits = enough = most = 0
    for pieces, width in _runs(task, config, sharing, limit):
        if width != bits or (pending and _paired(pending) != _paired(pieces)):
            close()
            enough, most = (
                max(1, size * 8 // (config.multipliers * width))
                for size in (first_size, _LOAD_SIZE))
            bits = width
        together = sum(piece.passes for piece in pieces) <= limit
        used = _used_columns(task, pieces, width, config)
        if used != columns:
            close()
            columns = used
        for piece in pieces:
            if not together or rows + piece.passes > limit:
                close()
            pending.append(replace(piece, offset=rows))
            rows += piece.passes
            if not together:
                close()
        if rows >= enough:
            close()
            enough = min(2 * enough, most)
    close()
    return units


def _runs(
    task: ConvTask, config: AcceleratorConfig, sharing: Sharing, limit: int
) -> Iterator[tuple[list[Piece], int]]:
    """Yield the pieces of a block whose weights have the same bits in DRAM, and these bits."""
    for block, products in turns(task.output.blocks, sharing):
        pieces = _cut_pieces(task, block, config, limit, products)
        width = task.bits if products == Products.ONE else 2 * task.bits
        if task.factors is None:
            yield pieces, width
            continue
        pieces[0] = replace(pieces[0], first=False)
        addends = [
            replace(piece, source=1, phase=1, last=False,
                    products=Products.SECOND if one > block else Products.ONE)
            for one in pieces[0].blocks
            for piece in _cut_pieces(task.phase(1), one, config, limit)]
        if width == config.weight_bits and not products.pairs:
            yield [*addends, *pieces], width
        else:
            yield addends, config.weight_bits
            yield pieces, width


def _paired(pieces: Sequence[Piece]) -> bool:
    """Return whether a code of weight memory is a pair of weights."""
    return pieces[0].products.pairs


def all_cuts(task: ConvTask, config: AcceleratorConfig) -> list[list[Unit]]:
    """Return the units for every way in which the weights can share multipliers, none first."""
    ways = [SEPARATE] if runs_in_window(task, config) else sharings(task, config)
    return [cut_weights(task, config, way) for way in ways]


def _used_columns(
    task: ConvTask, pieces: Sequence[Piece], bits: int, config: AcceleratorConfig
) -> int:
    """Return the columns of a row that DRAM holds of some pieces of a block; 0 for all.

    Those of the lanes that the last block uses, where that saves enough.
    """
    block = pieces[0].block
    if block < task.output.blocks - 1 or _paired(pieces):
        return 0
    lanes = min(config.out_lanes, task.output.channels - block * config.out_lanes)
    columns = config.stored_columns(lanes, bits)
    rows = sum(piece.passes for piece in pieces)
    saved = config.packed_size(rows, bits) - config.packed_size(rows, bits, columns)
    return columns if saved >= _CUT_SIZE else 0


def group_units(units: list[Unit], limit: int) -> list[list[Unit]]:
    """Group units into sections: whole output blocks, at most ``limit`` rows where possible.

    Parameters
    ----------
    units : list of Unit
        Units of a layer.
    limit : int
        Rows of a section.
    """
    sections: list[list[Unit]] = []
    for unit in units:
        current = sections[-1] if sections else []
        open_block = bool(current) and not current[-1].pieces[-1].completes
        whole = bool(current) and (
            current[0].pieces[-1].completes and unit.pieces[-1].completes)
        if open_block or (whole and sum(u.rows for u in current) + unit.rows <= limit):
            current.append(unit)
        else:
            sections.append([unit])
    return sections


class WeightImage:
    """The bytes of region 0: for each layer parameter rows, then weight tiles in pass order.

    For a PRelu rows of slopes, for a function of one number its table.

    Codes have the bits of their layer; each unit starts at a beat, and may leave out the last
    columns of every row.

    Parameters
    ----------
    config : AcceleratorConfig
        Accelerator.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        self._parts: list[tuple[ConvTask, Unit | None] | bytes] = []
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._size

    def _append(self, part: tuple[ConvTask, Unit | None] | bytes, size: int) -> int:
        address = self._size
        self._parts.append(part)
        self._size += size
        return address

    def add_rows(self, codes: NDArray[np.int64]) -> int:
        """Append codes as rows of feature memory, padded with zeros; return their address."""
        lanes = self._config.out_lanes
        padded = np.pad(codes, (0, -len(codes) % lanes))
        data = padded.astype(f"<i{self._config.code_size}").tobytes()
        return self._append(data, len(data))

    def add_table(self, entries: NDArray[np.int64]) -> int:
        """Append a table; return its address."""
        data = entries.astype(f"<i{self._config.table_entry_size}").tobytes()
        assert len(data) == self._config.table_size
        return self._append(data, len(data))

    def add_params(self, task: ConvTask) -> int:
        """Append the parameter rows of a layer; return their address."""
        return self._append((task, None), task.output.blocks * self._config.param_row_size)

    def add_unit(self, task: ConvTask, unit: Unit) -> int:
        """Append the weight tiles of a unit; return their address."""
        return self._append((task, unit), unit.size(self._config))

    def _params(self, task: ConvTask) -> bytes:
        padding = (0, task.output.blocks * self._config.out_lanes - len(task.bias))
        return pack_params(*(
            np.pad(values, padding) for values in (task.bias, task.shift, task.upper)))

    def _window_tiles(self, task: ConvTask, piece: Piece) -> NDArray[Any]:
        """Return the tiles of a depthwise piece, (r, out_lanes, in_lanes), newest code first."""
        config = self._config
        first = piece.block * config.out_lanes
        codes = task.codes[first:first + config.out_lanes, 0, slice(*piece.lines)]
        codes = codes[:, :, slice(*piece.columns)][:, :, ::-1]
        step = task.window.dilations[1]
        shape = (codes.shape[1], config.out_lanes, config.in_lanes)
        tiles = np.zeros(shape, f"<i{config.weight_size}")
        tiles[:, :len(codes), :(codes.shape[2] - 1) * step + 1:step] = codes.transpose(1, 0, 2)
        return tiles

    def _factor_tiles(self, task: ConvTask, piece: Piece) -> NDArray[Any]:
        """Return the tiles of factors of 16 bits, (r, out_lanes, in_lanes): two weights each."""
        config = self._config
        first = piece.block * config.out_lanes
        codes = task.codes[first:first + config.out_lanes, 0, slice(*piece.lines), 0].T
        tiles = np.zeros((len(codes), config.out_lanes, config.in_lanes), "<i1")
        tiles[:, :codes.shape[1], :2] = codes.astype("<i2")[..., None].view("<i1")
        return tiles

    def _join_tiles(self, task: JoinTask, piece: Piece) -> NDArray[Any]:
        """Return the tiles of a piece of a Concat, (words, out_lanes, in_lanes)."""
        config = self._config
        first = piece.block * config.out_lanes
        shape = (piece.passes, config.out_lanes, config.in_lanes)
        tiles = np.zeros(shape, f"<i{config.weight_size}")
        start = piece.words[0] * config.in_lanes
        for number, channel, output, count in task.parts(first, first + config.out_lanes):
            if number != piece.source:
                continue
            index = np.arange(count)
            lanes = channel + index - start
            keep = (lanes >= 0) & (lanes < piece.passes * config.in_lanes)
            index, lanes = index[keep], lanes[keep]
            tiles[lanes // config.in_lanes, output - first + index, lanes % config.in_lanes] = (
                task.codes[output + index, 0, 0, 0])
        return tiles

    def _tiles(self, task: ConvTask, piece: Piece) -> NDArray[Any]:
        """Return the tiles of a piece, (words, r, s, out_lanes, in_lanes)."""
        config, task = self._config, task.phase(piece.phase)
        if isinstance(task, JoinTask):
            return self._join_tiles(task, piece)
        if piece.depthwise:
            tiles = self._factor_tiles if task.bits > config.weight_bits else self._window_tiles
            return tiles(task, piece)
        kernels, per_group = task.codes.shape[:2]
        kernels_per_group = kernels // task.groups
        lines, columns = slice(*piece.lines), slice(*piece.columns)
        start = piece.words[0] * config.in_lanes
        channels = (piece.words[1] - piece.words[0]) * config.in_lanes
        first = piece.block * config.out_lanes
        shape = (lines.stop - lines.start, columns.stop - columns.start)
        dense = np.zeros((config.out_lanes, channels, *shape), f"<i{config.weight_size}")
        last = min(first + config.out_lanes, kernels)
        for group in range(first // kernels_per_group, (last - 1) // kernels_per_group + 1):
            k0 = max(first, group * kernels_per_group)
            k1 = min(last, (group + 1) * kernels_per_group)
            c0 = max(start, group * per_group)
            c1 = min(start + channels, (group + 1) * per_group)
            if c0 < c1:
                dense[k0 - first:k1 - first, c0 - start:c1 - start] = task.codes[
                    k0:k1, c0 - group * per_group:c1 - group * per_group, lines, columns]
        split = dense.reshape(config.out_lanes, -1, config.in_lanes, *shape)
        return split.transpose(1, 3, 4, 0, 2)

    def _pair_tiles(self, task: ConvTask, piece: Piece) -> NDArray[Any]:
        """Return the tiles of a piece of pairs, (words, r, ..., out_lanes, in_lanes, 2)."""
        tiles = [
            self._tiles(task, replace(piece, block=block, products=Products.ONE))
            for block in piece.blocks]
        if piece.products == Products.BLOCKS:
            return np.stack(tiles, axis=-1)
        return pair_taps(tiles[0], piece.columns)

    def _unit(self, task: ConvTask, unit: Unit) -> bytes:
        """Return the tiles of a unit, packed and padded."""
        config = self._config
        tiles = self._pair_tiles if unit.pairs else self._tiles
        codes = np.concatenate([tiles(task, piece).ravel() for piece in unit.pieces])
        if unit.columns:
            kept = unit.columns * config.dram_width // config.weight_size
            codes = codes.reshape(unit.rows, -1)[:, :kept].ravel()
        bits = unit.bits // 2 if unit.pairs else unit.bits
        if unit.bits < config.weight_bits:
            packed = pack_planes(codes, bits, CHUNK_BEATS * config.dram_width, pairs=unit.pairs)
        elif bits < config.weight_bits:
            packed = pack_codes(codes, bits)
        else:
            packed = codes.tobytes()
        return packed.ljust(unit.size(config), b"\0")

    def to_bytes(self) -> bytes:
        """Return the image."""
        return b"".join(map(self._bytes, self._parts))

    def _bytes(self, part: tuple[ConvTask, Unit | None] | bytes) -> bytes:
        if isinstance(part, bytes):
            return part
        task, unit = part
        return self._params(task) if unit is None else self._unit(task, unit)


class Ring:
    """An on-chip memory that is filled round and round.

    Parameters
    ----------
    depth : int
        Rows.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._next = 0
        self._held: dict[Hashable, tuple[int, int]] = {}

    def reserve(self, rows: int) -> None:
        """Make the next ``rows`` rows lie in one stretch, so that all of them can be kept."""
        if self._next + rows > self._depth:
            self._next = 0

    def reserve_parts(self, sizes: Sequence[int]) -> None:
        """Make stretches of some sizes fit side by side, in this order, so that all can be kept.

        They may go on at the start of the memory, so that the first of them overwrite what was
        needed longest ago.
        """
        ends = list(accumulate(sizes))
        assert ends[-1] <= self._depth
        for first in (self._next, *(self._depth - end for end in reversed(ends[:-1]))):
            fitting = sum(first + end <= self._depth for end in ends)
            before = ends[fitting - 1] if fitting else 0
            if first >= self._next and ends[-1] - before <= first:
                self._next = first
                return
        self._next = 0

    def find(self, key: Hashable) -> int | None:
        """Return the first row of what is held as ``key``."""
        held = self._held.get(key)
        return None if held is None else held[0]

    def allocate(self, key: Hashable, rows: int) -> int:
        """Return the first row of a new stretch; what was there is forgotten."""
        assert rows <= self._depth
        self.reserve(rows)
        start, stop = self._next, self._next + rows
        self._held = {
            other: span for other, span in self._held.items()
            if span[1] <= start or stop <= span[0]
        }
        self._held[key] = (start, stop)
        self._next = stop
        return start
