"""Large memory with one port."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .families import family_of
from .row_memory import RowMemory


__all__ = ("BulkMemory",)


class BulkMemory(wiring.Component):
    """Memory of words that are read or written, not both, in a cycle, with a registered output.

    A read answers :attr:`latency` cycles after its request and holds until the next answer. Before
    the first answer the output is anything. On iCE40 it takes SPRAM, which has no initial
    contents; elsewhere block RAM.

    Parameters
    ----------
    width : int
        Bits in a word; a multiple of 8.
    depth : int
        Words.
    init : sequence of int
        Contents of the first words; the others are zero.

    Members
    -------
    en : In(1)
        Request.
    w_en : In(width // 8)
        Bytes that it writes; none makes it a read.
    row : In(range(depth))
        Number of the word.
    w_data : In(width)
        Word to write.
    hold : In(1)
        Keep answers as they are, those on their way too; only writes may be requested.
    r_data : Out(width)
        Word read.
    """

    latency = RowMemory.latency

    def __init__(self, *, width, depth, init=()):
        if width % 8:
            raise ValueError(f"Width of a memory must be a multiple of 8 bits, not {width}")
        self.width = width
        self.depth = depth
        self.init = tuple(init)
        super().__init__({
            "en": In(1),
            "w_en": In(width // 8),
            "row": In(range(depth)),
            "w_data": In(width),
            "hold": In(1),
            "r_data": Out(width),
        })

    def elaborate(self, platform):
        family = family_of(platform)
        if family.bulk_memory is not None:
            return family.bulk_memory(self)
        m = Module()
        m.submodules.rows = rows = RowMemory(
            columns=self.width // 8, column_width=8, depth=self.depth, init=self.init,
            compact=True)
        m.d.comb += [
            rows.w_en.eq(self.w_en & self.en.replicate(self.width // 8)),
            rows.w_row.eq(self.row),
            rows.w_data.eq(self.w_data),
            rows.r_en.eq(self.en & ~self.w_en.any()),
            rows.r_row.eq(self.row),
            rows.r_hold.eq(self.hold),
            self.r_data.eq(rows.r_data),
        ]
        return m
