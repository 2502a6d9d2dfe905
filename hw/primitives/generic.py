"""Multiplier and memory that no family's cell is named in: synthesis finds the cells."""

from amaranth import *
from amaranth.lib import data, memory


__all__ = (
    "MULTIPLIER_LATENCY",
    "NO_COLLISIONS",
    "ROW_MEMORY_LATENCY",
    "Generic",
    "split_rows",
)


NO_COLLISIONS = {"no_rw_check": 1}
"""Attribute of a memory of which no row is read while it is written: synthesis may take block RAM
as it is, without logic that decides what such a read gives."""


MULTIPLIER_LATENCY = 3

ROW_MEMORY_LATENCY = 2


def split_rows(ports):
    """Return the initial rows of a :class:`hw.primitives.RowMemory` by columns."""
    width = ports.column_width
    return [
        [(row >> (column * width)) % (1 << width) for column in range(ports.columns)]
        for row in ports.init]


class Generic:
    """A device family that gives its primitives in the form that runs everywhere.

    Families with cells of their own derive from it. All have the same latencies.
    """

    name = "generic"

    bulk_memory = None
    """Function that returns the module of a :class:`hw.primitives.BulkMemory`, where the family has
    a memory for that; else it is a row memory."""

    def multiply(self, m, a, b, *, load_b, enable, platform):
        """Add a multiplier to ``m``; see :func:`hw.primitives.multiply`."""
        a_reg, b_reg = Signal(a.shape()), Signal(b.shape())
        shape = signed(len(a) + len(b))
        product, output = Signal(shape), Signal(shape)
        with m.If(load_b):
            m.d.sync += b_reg.eq(b)
        with m.If(enable):
            m.d.sync += [a_reg.eq(a), product.eq(a_reg * b_reg), output.eq(product)]
        return output

    def row_memory(self, ports):
        """Return the module of a :class:`hw.primitives.RowMemory`."""
        m = Module()
        shape = data.ArrayLayout(ports.column_width, ports.columns)
        m.submodules.array = array = memory.Memory(
            shape=shape, depth=ports.depth, init=split_rows(ports), attrs=NO_COLLISIONS)
        write = array.write_port(granularity=1)
        read = array.read_port()
        m.d.comb += [
            write.en.eq(ports.w_en),
            write.addr.eq(ports.w_row),
            write.data.eq(ports.w_data),
            read.en.eq(ports.r_en),
            read.addr.eq(ports.r_row),
        ]
        answered = Signal()
        with m.If(~ports.r_hold):
            m.d.sync += answered.eq(ports.r_en)
            with m.If(answered):
                m.d.sync += ports.r_data.eq(read.data)
        return m
