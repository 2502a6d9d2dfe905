"""How the columns of a row memory lie in block RAM."""

from dataclasses import dataclass

from amaranth import *


__all__ = (
    "MODES_18K",
    "Lane",
    "Mode",
    "Plan",
    "block_address",
    "block_memory",
    "initial_bytes",
    "plan",
)


@dataclass(frozen=True)
class Mode:
    """One shape of a block RAM.

    Parameters
    ----------
    width : int
        Bits in a word.
    lane_width : int
        Bits that have a write enable of their own; divides ``width``.
    depth : int
        Words.
    """

    width: int
    lane_width: int
    depth: int


MODES_18K = (
    Mode(36, 9, 512), Mode(18, 9, 1024), Mode(9, 9, 2048), Mode(4, 4, 4096), Mode(2, 2, 8192),
    Mode(1, 1, 16384))
"""Shapes of a block of 18 kbit, in which ECP5, GW1N, GW2A and Xilinx 7 are alike."""


@dataclass(frozen=True)
class Lane:
    """Bits of one column that share a write enable.

    Parameters
    ----------
    column : int
        Column of the row.
    start, stop : int
        Bits of the row.
    """

    column: int
    start: int
    stop: int


@dataclass(frozen=True)
class Plan:
    """Blocks side by side, and how often that, one above the other.

    Parameters
    ----------
    mode : Mode
        Shape of all blocks.
    blocks : tuple of tuple of Lane
        What each block holds, its lowest lane first.
    segments : int
        Blocks above each other for more rows than one has.
    """

    mode: Mode
    blocks: tuple[tuple[Lane, ...], ...]
    segments: int

    @property
    def count(self):
        """Blocks in all."""
        return len(self.blocks) * self.segments


def plan(modes, *, columns, column_width, depth, compact=False):
    """Return the plan with the fewest blocks.

    Rows are split between blocks of a shape that is deep enough, so that no multiplexer stands
    behind them; only where none is, or in a compact plan, blocks are put above each other.

    Parameters
    ----------
    modes : sequence of Mode
        Shapes of a block.
    columns, column_width, depth, compact
        As of :class:`hw.primitives.RowMemory`.

    Examples
    --------
    >>> plan(MODES_18K, columns=2, column_width=64, depth=2048).count
    16
    >>> plan(MODES_18K, columns=4, column_width=8, depth=10240).count
    32
    >>> plan(MODES_18K, columns=4, column_width=8, depth=10240, compact=True).count
    20
    """
    least = 0 if compact else min(depth, max(mode.depth for mode in modes))
    plans = [
        Plan(mode, _blocks(mode, columns, column_width), -(-depth // mode.depth))
        for mode in modes if mode.depth >= least]
    return min(plans, key=lambda plan: (plan.count, plan.segments))


def _blocks(mode, columns, column_width):
    """Return lanes of all columns, as many in each block as it has."""
    lanes = []
    for column in range(columns):
        end = (column + 1) * column_width
        lanes += [
            Lane(column, start, min(start + mode.lane_width, end))
            for start in range(column * column_width, end, mode.lane_width)]
    each = mode.width // mode.lane_width
    return tuple(tuple(lanes[at:at + each]) for at in range(0, len(lanes), each))


def block_memory(ports, modes, add_block):
    """Return the module of a row memory made of block RAM with output registers.

    What was read stays where it is until the next request, so the output register may load it
    again in any cycle that does not hold.

    Parameters
    ----------
    ports : RowMemory
        Its ports and parameters.
    modes : sequence of Mode
        Shapes of a block.
    add_block : function
        Called with the module, a name, the mode and the keyword arguments ``w_en`` (a bit for each
        lane), ``w_row``, ``w_data``, ``r_en``, ``r_row``, ``o_en``, the enable of the output
        register, and ``init``, the first words; returns the word read.
    """
    m = Module()
    split = plan(
        modes, columns=ports.columns, column_width=ports.column_width, depth=ports.depth,
        compact=ports.compact)
    low = (split.mode.depth - 1).bit_length()
    advance = ~ports.r_hold
    w_segment, r_segment = ports.w_row[low:], ports.r_row[low:]
    words = []
    for segment in range(split.segments):
        reads = ports.r_en & (r_segment == segment) if split.segments > 1 else ports.r_en
        row = []
        for number, lanes in enumerate(split.blocks):
            written = w_segment == segment if split.segments > 1 else 1
            enables = [ports.w_en[lane.column] & written for lane in lanes]
            # Lanes but the last are full, unless their column ends there.
            data = [_padded(ports.w_data[lane.start:lane.stop], split.mode.lane_width)
                    for lane in lanes]
            rows = ports.init[segment << low:(segment + 1) << low]
            word = add_block(
                m, f"block_{segment}_{number}", split.mode, w_en=Cat(*enables),
                w_row=ports.w_row[:low], w_data=Cat(*data), r_en=reads, r_row=ports.r_row[:low],
                o_en=advance, init=_words(rows, lanes, split.mode))
            for place, lane in enumerate(lanes):
                start = place * split.mode.lane_width
                row.append(word[start:start + lane.stop - lane.start])
        words.append(Cat(*row))
    if split.segments == 1:
        m.d.comb += ports.r_data.eq(words[0])
        return m
    # Which segment answers moves with its answer.
    asked, answering = Signal.like(r_segment), Signal.like(r_segment)
    with m.If(ports.r_en):
        m.d.sync += asked.eq(r_segment)
    with m.If(advance):
        m.d.sync += answering.eq(asked)
    with m.Switch(answering):
        for segment, word in enumerate(words):
            with m.Case(segment):
                m.d.comb += ports.r_data.eq(word)
    return m


def block_address(mode, row):
    """Return the address of a word in a block of 18 kbit, in bits as far as they count.

    Examples
    --------
    >>> len(block_address(MODES_18K[0], Signal(9)))
    14
    """
    low = 14 - (mode.depth - 1).bit_length()
    return Cat(C(0, low), row)


def _padded(value, width):
    return Cat(value, C(0, width - len(value)))


def _words(rows, lanes, mode):
    """Return what a block of these lanes holds of rows, as words of a block."""
    return [
        sum((row >> lane.start) % (1 << (lane.stop - lane.start)) << (place * mode.lane_width)
            for place, lane in enumerate(lanes))
        for row in rows]


def initial_bytes(mode, words):
    """Return the bytes of 9 bits that words of a block of 18 kbit begin with.

    Words of at most 4 bits take 8 bits of each byte.

    Examples
    --------
    >>> initial_bytes(MODES_18K[1], [0x3ff])
    [511, 1]
    >>> initial_bytes(MODES_18K[3], [1, 2, 3])
    [33, 3]
    """
    if mode.width >= 9:
        return [word >> low & 511 for word in words for low in range(0, mode.width, 9)]
    each = 8 // mode.width
    return [
        sum(word << (place * mode.width) for place, word in enumerate(words[first:first + each]))
        for first in range(0, len(words), each)]
