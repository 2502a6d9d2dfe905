"""Feature memory: banks that CALC, LOAD and SAVE share."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .primitives import RowMemory


__all__ = (
    "FeatureMemory",
    "calc_read_latency",
)


class FeatureMemory(wiring.Component):
    """Rows of data codes in banks, the bank taken by the upper bits of the row number.

    CALC reads and writes whenever it wants; SAVE reads and LOAD writes wait where CALC uses the
    same bank. A read answers :attr:`latency` cycles after it was accepted, of CALC
    :attr:`calc_latency`.

    Parameters
    ----------
    depth : int
        Rows.
    banks : int
        Banks.
    columns : int
        Columns of a row, what LOAD writes at once.
    column_width : int
        Bits in one column.
    wire_registers : bool
        Whether what goes to a bank passes a register in front of it, and what CALC asks for another
        one before that. Reads and writes are late by one cycle then, those of CALC by two.

    Members
    -------
    calc_read : In(1)
        CALC reads ``calc_row``.
    calc_data : Out(columns * column_width)
        Row read by CALC.
    save_reads : In(stream.Signature(range(depth)))
        Rows that SAVE reads.
    save_valid : Out(1)
        ``save_data`` holds the row read by SAVE.
    save_data : Out(columns * column_width)
        Row read by SAVE.
    calc_write : In(1)
        CALC writes ``calc_w_data`` to ``calc_w_row``.
    load_writes : In(stream.Signature(StructLayout({row, column, data})))
        Columns that LOAD writes.
    """

    def __init__(self, *, depth, banks, columns, column_width, wire_registers=False):
        self.depth = depth
        self.banks = banks
        self.columns = columns
        self.column_width = column_width
        self.wire_registers = wire_registers
        width = columns * column_width
        super().__init__({
            "calc_read": In(1),
            "calc_row": In(range(depth)),
            "calc_data": Out(width),
            "save_reads": In(stream.Signature(range(depth))),
            "save_valid": Out(1),
            "save_data": Out(width),
            "calc_write": In(1),
            "calc_w_row": In(range(depth)),
            "calc_w_data": In(width),
            "load_writes": In(stream.Signature(data.StructLayout({
                "row": range(depth),
                "column": range(max(2, columns)),
                "data": column_width,
            }))),
        })

    @property
    def latency(self):
        """Cycles from a read accepted to its answer."""
        return RowMemory.latency + 1 + self.wire_registers

    @property
    def calc_latency(self):
        """Cycles from a read of CALC to its answer."""
        return calc_read_latency(self.wire_registers)

    def elaborate(self, platform):
        m = Module()
        bank_depth = self.depth // self.banks
        row_width = (bank_depth - 1).bit_length()
        bank_width = (self.banks - 1).bit_length()

        def split(row):
            return row[:row_width], row[row_width:row_width + bank_width]

        calc = {
            "read": self.calc_read, "row": self.calc_row, "write": self.calc_write,
            "w_row": self.calc_w_row, "w_data": self.calc_w_data}
        numbers = range(self.banks)
        reads = [calc["read"] & (split(calc["row"])[1] == number) for number in numbers]
        writes = [calc["write"] & (split(calc["w_row"])[1] == number) for number in numbers]
        if self.wire_registers:
            calc = {name: _registered(m, value, f"calc_{name}") for name, value in calc.items()}
            reads = [_registered(m, each, f"reads_{at}") for at, each in enumerate(reads)]
            writes = [_registered(m, each, f"writes_{at}") for at, each in enumerate(writes)]
        calc_row, calc_bank = split(calc["row"])
        save_row, save_bank = split(self.save_reads.payload)
        calc_w_row, calc_w_bank = split(calc["w_row"])
        load = self.load_writes.payload
        load_row, load_bank = split(load.row)
        save_free = ~(calc["read"] & (calc_bank == save_bank))
        load_free = ~(calc["write"] & (calc_w_bank == load_bank))
        m.d.comb += [
            self.save_reads.ready.eq(save_free),
            self.load_writes.ready.eq(load_free),
        ]

        answers = Array([
            Signal(len(self.calc_data), name=f"answer_{number}") for number in numbers])
        load_data = load.data.replicate(self.columns)
        to_bank = m.d.sync if self.wire_registers else m.d.comb
        for number, calc_reads, calc_writes in zip(numbers, reads, writes, strict=True):
            bank = RowMemory(
                columns=self.columns, column_width=self.column_width, depth=bank_depth)
            m.submodules[f"bank_{number}"] = bank
            saves = self.save_reads.valid & (save_bank == number)
            loads = self.load_writes.valid & (load_bank == number)
            ports = {name: Signal.like(getattr(bank, name), name=f"bank_{number}_{name}")
                     for name in ("r_en", "r_row", "w_en", "w_row", "w_data")}
            to_bank += [
                ports["r_en"].eq(calc_reads | saves),
                ports["r_row"].eq(Mux(calc_reads, calc_row, save_row)),
                ports["w_row"].eq(Mux(calc_writes, calc_w_row, load_row)),
                ports["w_data"].eq(Mux(calc_writes, calc["w_data"], load_data)),
                ports["w_en"].eq(Mux(
                    calc_writes, ~Const(0, self.columns), Mux(loads, 1 << load.column, 0))),
            ]
            m.d.comb += [getattr(bank, name).eq(port) for name, port in ports.items()]
            m.d.comb += answers[number].eq(bank.r_data)

        late = RowMemory.latency + self.wire_registers
        calc_valid, calc_from = _delayed(m, calc["read"], calc_bank, late)
        saved = self.save_reads.valid & save_free
        save_valid, save_from = _delayed(m, saved, save_bank, late)
        m.d.sync += self.save_valid.eq(save_valid)
        with m.If(calc_valid):
            m.d.sync += self.calc_data.eq(answers[calc_from])
        with m.If(save_valid):
            m.d.sync += self.save_data.eq(answers[save_from])
        return m


def calc_read_latency(wire_registers):
    """Return :attr:`FeatureMemory.calc_latency` of a memory with or without wire registers."""
    return RowMemory.latency + 1 + 2 * wire_registers


def _registered(m, value, name):
    """Return a value a cycle later."""
    register = Signal(len(value), name=name)
    m.d.sync += register.eq(value)
    return register


def _delayed(m, valid, value, cycles):
    """Return ``valid`` and ``value`` some cycles later."""
    for _ in range(cycles):
        valid_reg, value_reg = Signal(), Signal(max(1, len(value)))
        m.d.sync += [valid_reg.eq(valid), value_reg.eq(value)]
        valid, value = valid_reg, value_reg
    return valid, value
