"""Elementwise operators and pooling: one multiplier and one accumulator for each lane."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from arch.isa import VectorOp
from arch.timing import quotient_bits

from .divider import Divider
from .primitives import MULTIPLIER_LATENCY, multiply
from .table_memory import TableMemory, table_write_layout


__all__ = (
    "OPERATORS",
    "VectorUnit",
    "vector_latency",
)


OPERATORS = data.StructLayout({op.name.lower(): 1 for op in VectorOp})
"""A bit for each operator, so that nobody has to decode it on the way to all lanes."""


class VectorUnit(wiring.Component):
    """Combine the rows of a group, lane by lane, and divide the sum if asked.

    An element is the code of a lane times a factor: a power of two, or for PRODUCT, and for PRELU
    where the code is negative, the code of the second operand. Steps out of bounds are skipped.
    For TABLE an element is an entry of a table. Latency from the last row of a group to its result
    is :attr:`latency` cycles, with division :attr:`divide_latency` cycles, with a table
    :attr:`table_latency` cycles.

    Parameters
    ----------
    config : AcceleratorConfig
        Sizes.

    Members
    -------
    op : In(OPERATORS)
        What to do: one bit is set. Must be stable from the first row to the last result, unless
        neither the instruction before nor the one after is TABLE or divides; then only with the
        rows.
    valid : In(1)
        ``row`` belongs to a step.
    row : In(ArrayLayout(config.data_bits, config.out_lanes))
        Codes.
    keep : In(1)
        The row is a second operand, and no step: for PRODUCT and PRELU of the rows that follow,
        for SUM of all groups that follow while ``hold`` is set.
    hold : In(1)
        The instruction has a second operand for all its groups.
    first, last : In(1)
        The step begins, ends a group.
    inside : In(1)
        The step is in bounds.
    counted : In(1)
        The step counts in the divisor.
    signed : In(1)
        Codes of this row are two's complement.
    factor : In(16)
        Power of two for this row.
    table : In(2)
        Table.
    wide_index : In(1)
        The index of a table is the upper byte of a code, not the lower one.
    divide : In(1)
        Divide by the number of counted steps; as stable as ``op``.
    table_writes : In(stream.Signature(table_write_layout(config)))
        Beats of tables; only with ``config.table_lanes``.
    o_valid : Out(1)
        ``o`` holds results.
    o : Out(ArrayLayout(signed(config.acc_bits), config.out_lanes))
        Results; after a division with two fraction bits.
    """

    count_width = 16

    def __init__(self, config):
        self._config = config
        self._operand_latency = config.wire_registers + MULTIPLIER_LATENCY
        self._divider = Divider(
            lanes=config.out_lanes, width=config.acc_bits, count_width=self.count_width,
            quotient_width=quotient_bits(config.data_bits))
        ports = {
            "op": In(OPERATORS),
            "valid": In(1),
            "row": In(data.ArrayLayout(config.data_bits, config.out_lanes)),
            "keep": In(1),
            "hold": In(1),
            "first": In(1),
            "last": In(1),
            "inside": In(1),
            "counted": In(1),
            "signed": In(1),
            "factor": In(16),
            "table": In(2),
            "wide_index": In(1),
            "divide": In(1),
            "o_valid": Out(1),
            "o": Out(data.ArrayLayout(signed(config.acc_bits), config.out_lanes)),
        }
        if config.table_lanes:
            ports["table_writes"] = In(stream.Signature(table_write_layout(config)))
        super().__init__(ports)

    @property
    def latency(self):
        """Cycles from the last row of a group to its result."""
        return vector_latency(self._config.wire_registers)

    @property
    def table_latency(self):
        """Cycles from the last row of a group to the result of a table."""
        return self.latency + 1 + TableMemory.latency

    @property
    def divide_latency(self):
        """Cycles from the last row of a group to its quotient."""
        return self.latency + self._divider.latency - 1

    def elaborate(self, platform):
        m = Module()
        # row ─┬─ second operand ─┐
        #      ├──────────────── multiply ── combine (acc) ─┬─ o
        #      └─ table ──────────┘                         └─ divider ── o
        config = self._config
        width = config.acc_bits
        count = Signal(self.count_width)
        o_soon, forget = Signal(), Signal()
        step, entries = self._steps(m)
        elements = self._elements(m, entries, platform)

        m.submodules.divider = divider = self._divider
        m.d.comb += [
            divider.start.eq(step.valid & step.last & self.divide),
            divider.count.eq(count),
        ]
        m.d.sync += [
            forget.eq(self.valid & ~self.hold),
            # Known a cycle before, for the way to all lanes.
            o_soon.eq(Mux(self.divide, divider.o_soon, step.valid & step.last)),
            self.o_valid.eq(o_soon),
        ]
        with m.If(step.valid):
            m.d.sync += count.eq(Mux(step.first, 0, count) + step.counted)

        # One adder for both: a sum is of what was there and the element, a maximum of zero and the
        # element, where that is the larger one. Out of bounds the element is zero; a maximum then
        # starts from the lowest number.
        for lane, element in enumerate(elements):
            acc, held = Signal(signed(width)), Signal(element.shape())
            with m.If(step.keep & step.sum):
                m.d.sync += held.eq(element)
            with m.Elif(forget):
                m.d.sync += held.eq(0)
            here = 1
            if config.table_lanes:
                here = ~step.partial | step.part[lane // config.table_lanes]
            extended = Signal(signed(width))
            m.d.comb += extended.eq(element)
            before = Mux(step.sum, Mux(step.first, held, acc), 0)
            added = Cat(extended[:-1], extended[-1] | ~(step.sum | step.inside)).as_signed()
            larger = step.inside & _less(acc, extended)
            with m.If(step.valid & here & (step.sum | step.first | larger)):
                m.d.sync += acc.eq(before + added)
            m.d.comb += divider.i[lane].eq(acc)
            m.d.sync += self.o[lane].eq(Mux(self.divide, divider.o[lane], acc))
        return m

    def _steps(self, m):
        """Return the flags of a step as its element leaves the multiplier, and table entries."""
        config = self._config
        layout = data.StructLayout({
            "valid": 1, "keep": 1, "first": 1, "last": 1, "inside": 1, "counted": 1, "sum": 1,
            "partial": 1,
            "part": config.out_lanes // config.table_lanes if config.table_lanes else 0,
        })
        now = Signal(layout)
        m.d.comb += [
            now.valid.eq(self.valid & ~self.keep),
            now.keep.eq(self.valid & self.keep),
            now.first.eq(self.first | self.op.product),
            now.last.eq(self.last),
            now.inside.eq(self.inside),
            now.counted.eq(self.counted),
            now.sum.eq(self.op.sum),
        ]
        entries = None
        if config.table_lanes:
            entered = Signal(layout)
            looked_up, entries = self._look_up(m, layout)
            m.d.comb += entered.eq(now)
            with m.If(self.op.table):
                m.d.comb += entered.eq(looked_up)
        else:
            entered = now
        for _ in range(self._operand_latency):
            after = Signal(layout)
            m.d.sync += after.eq(entered)
            entered = after
        return entered, entries

    def _look_up(self, m, layout):
        """Return flags and (entry, low byte, whether it is a slope) for each lane of the table.

        Some codes of the row at a time; with 16-bit data base and slope of each one after the
        other, so that the accumulator has the sum of base and slope times low byte.
        """
        config = self._config
        lanes, wide = config.table_lanes, config.data_bits > 8
        parts = config.out_lanes // lanes
        m.submodules.tables = tables = TableMemory(config)
        m.d.comb += [
            tables.writes.valid.eq(self.table_writes.valid),
            tables.writes.payload.eq(self.table_writes.payload),
            self.table_writes.ready.eq(tables.writes.ready),
        ]
        number, count = Signal(range(config.table_steps + 1)), Signal(
            range(config.table_steps + 1))
        m.d.comb += number.eq(Mux(self.first, 0, count))
        with m.If(self.valid):
            m.d.sync += count.eq(number + 1)
        part, odd = (number[1:], number[0]) if wide else (number, C(0, 1))
        flags = Signal(layout)
        m.d.comb += [
            flags.valid.eq(self.valid & self.op.table),
            flags.first.eq(~odd),
            flags.last.eq(self.last),
            flags.inside.eq(1),
            flags.sum.eq(1),
            flags.partial.eq(1),
            flags.part.eq(1 << part[:(parts - 1).bit_length()]),
        ]
        codes = self.row.as_value().word_select(
            part[:(parts - 1).bit_length()], lanes * config.data_bits)
        low, slope = codes, odd
        for lane in range(lanes):
            code = codes.word_select(lane, config.data_bits)
            index = code
            if wide:
                byte = Mux(self.wide_index, code[8:], code[:8])
                index = Cat(odd, byte)
            m.d.sync += tables.index[lane].eq(Cat(index, self.table))
        m.d.sync += tables.read.eq(self.valid & self.op.table)
        for _ in range(1 + TableMemory.latency):
            after = Signal(layout), Signal.like(low), Signal()
            for register, value in zip(after, (flags, low, slope), strict=True):
                m.d.sync += register.eq(value)
            flags, low, slope = after
        entries = [
            (tables.entry[lane], low.word_select(lane, config.data_bits)[:8], slope)
            for lane in range(lanes)]
        return flags, entries

    def _elements(self, m, entries, platform):
        """Return the products of all lanes."""
        config = self._config
        code_type, factor_type = signed(config.data_bits + 1), signed(17)
        elements = []
        for lane in range(config.out_lanes):
            code = self.row[lane]
            extended, second = Signal(code_type), Signal(code_type)
            a, b = Signal(code_type), Signal(factor_type)
            negative = extended[-1]
            m.d.comb += [
                extended.eq(Cat(code, code[-1] & self.signed).as_signed()),
                a.eq(Mux(self.inside, extended, 0)),
                b.eq(Mux(
                    ~self.keep & (self.op.product | (self.op.prelu & negative)), second,
                    self.factor)),
            ]
            with m.If(self.valid & self.keep):
                m.d.sync += second.eq(extended)
            if entries is not None:
                entry, low, slope = entries[lane % config.table_lanes]
                with m.If(self.op.table):
                    m.d.comb += a.eq(entry)
                    if config.data_bits > 8:
                        m.d.comb += b.eq(Mux(slope, low, self.factor))
            if config.wire_registers:
                registers = Signal.like(a), Signal.like(b)
                m.d.sync += [registers[0].eq(a), registers[1].eq(b)]
                a, b = registers
            elements.append(multiply(m, a, b, load_b=1, platform=platform))
        return elements


def vector_latency(wire_registers):
    """Return :attr:`VectorUnit.latency` with or without wire registers."""
    return wire_registers + MULTIPLIER_LATENCY + 2


def _less(a, b):
    """Return whether one signed value is less than another of the same width.

    By the sign of a difference: that is one carry chain to synthesis.
    """
    a, b = Cat(a, a[-1]), Cat(b, b[-1])
    return (a - b)[len(a) - 1]
