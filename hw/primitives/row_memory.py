"""The memory of wide rows."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .families import family_of
from .generic import ROW_MEMORY_LATENCY


__all__ = ("RowMemory",)


class RowMemory(wiring.Component):
    """Memory of wide rows, written by columns, with a registered output.

    A read answers :attr:`latency` cycles after its request and holds until the next answer.
    What a read of the row that is written in the same cycle, or in the next one, gives is left to
    the memory; nobody asks, but of a ``prompt`` memory. To promise anything would cost registers
    and multiplexers around block RAM. So is what it
    shows before the first answer.

    Parameters
    ----------
    columns : int
        Columns of a row, each with its own write enable.
    column_width : int
        Bits in one column.
    depth : int
        Rows.
    init : sequence of int
        Contents of the first rows; the others are zero.
    compact : bool
        Whether a multiplexer behind the memory is worth block RAM that it saves.
    prompt : bool
        Whether a request reads at once: its row may be written from the next cycle on.

    Members
    -------
    w_en : In(columns)
        Columns to write.
    w_row, r_row : In(range(depth))
        Row numbers.
    w_data : In(columns * column_width)
        Row to write.
    r_en : In(1)
        Request.
    r_hold : In(1)
        Keep answers as they are, those on their way too; no request may be made.
    r_data : Out(columns * column_width)
        Row read.
    """

    latency = ROW_MEMORY_LATENCY

    def __init__(self, *, columns, column_width, depth, init=(), compact=False, prompt=False):
        self.columns = columns
        self.column_width = column_width
        self.depth = depth
        self.init = tuple(init)
        self.compact = compact
        self.prompt = prompt
        width = columns * column_width
        super().__init__({
            "w_en": In(columns),
            "w_row": In(range(depth)),
            "w_data": In(width),
            "r_en": In(1),
            "r_hold": In(1),
            "r_row": In(range(depth)),
            "r_data": Out(width),
        })

    def elaborate(self, platform):
        return family_of(platform).row_memory(self)
