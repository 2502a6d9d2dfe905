"""Memory and multiplier with declared latency: what a device family may replace."""

from amaranth import *
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out


__all__ = (
    "MULTIPLIER_LATENCY",
    "NO_COLLISIONS",
    "RowMemory",
    "multiply",
)


NO_COLLISIONS = {"no_rw_check": 1}
"""Attribute of a memory of which no row is read while it is written: synthesis may take block RAM
as it is, without logic that decides what such a read gives."""


MULTIPLIER_LATENCY = 3


def multiply(m, a, b, *, load_b, enable=1):
    """Add a multiplier with input, pipeline and output register to ``m``.

    The generic form; the registers are those of a DSP block, so that a family's cell can take
    their place.

    Parameters
    ----------
    m : Module
        Module that gets the multiplier.
    a : signed Value
        First factor, registered every cycle.
    b : signed Value
        Second factor, registered when ``load_b`` is set and held otherwise.
    load_b : Value, 1 bit
        Clock enable of the register of ``b``.
    enable : Value, 1 bit
        Clock enable of the other registers.

    Returns
    -------
    Signal, signed
        ``a * b``, :data:`MULTIPLIER_LATENCY` cycles later.
    """
    a_reg, b_reg = Signal(a.shape()), Signal(b.shape())
    shape = signed(len(a) + len(b))
    product, output = Signal(shape), Signal(shape)
    with m.If(load_b):
        m.d.sync += b_reg.eq(b)
    with m.If(enable):
        m.d.sync += [a_reg.eq(a), product.eq(a_reg * b_reg), output.eq(product)]
    return output


class RowMemory(wiring.Component):
    """Memory of wide rows, written by columns, with a registered output.

    A read answers :attr:`latency` cycles after its request and holds until the next answer.
    What a read of the row that is written in the same cycle gives is left to the memory; nobody
    asks. To promise anything would cost registers and multiplexers around block RAM.

    Parameters
    ----------
    columns : int
        Columns of a row, each with its own write enable.
    column_width : int
        Bits in one column.
    depth : int
        Rows.

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

    latency = 2

    def __init__(self, *, columns, column_width, depth):
        self.columns = columns
        self.column_width = column_width
        self.depth = depth
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
        m = Module()
        shape = data.ArrayLayout(self.column_width, self.columns)
        m.submodules.array = array = memory.Memory(
            shape=shape, depth=self.depth, init=[], attrs=NO_COLLISIONS)
        write = array.write_port(granularity=1)
        read = array.read_port()
        m.d.comb += [
            write.en.eq(self.w_en),
            write.addr.eq(self.w_row),
            write.data.eq(self.w_data),
            read.en.eq(self.r_en),
            read.addr.eq(self.r_row),
        ]
        answered = Signal()
        with m.If(~self.r_hold):
            m.d.sync += answered.eq(self.r_en)
            with m.If(answered):
                m.d.sync += self.r_data.eq(read.data)
        return m
