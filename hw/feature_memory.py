"""Feature memory: banks that CALC, LOAD and SAVE share."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .primitives import RowMemory


__all__ = ("FeatureMemory",)


class FeatureMemory(wiring.Component):
    """Rows of data codes in banks, the bank taken by the upper bits of the row number.

    CALC reads and writes whenever it wants; SAVE reads and LOAD writes wait where CALC uses the
    same bank. A read answers :attr:`latency` cycles after it was accepted.

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

    latency = RowMemory.latency + 1

    def __init__(self, *, depth, banks, columns, column_width):
        self.depth = depth
        self.banks = banks
        self.columns = columns
        self.column_width = column_width
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

    def elaborate(self, platform):
        m = Module()
        bank_depth = self.depth // self.banks
        row_width = (bank_depth - 1).bit_length()
        bank_width = (self.banks - 1).bit_length()

        def split(row):
            return row[:row_width], row[row_width:row_width + bank_width]

        calc_row, calc_bank = split(self.calc_row)
        save_row, save_bank = split(self.save_reads.payload)
        calc_w_row, calc_w_bank = split(self.calc_w_row)
        load = self.load_writes.payload
        load_row, load_bank = split(load.row)
        save_free = ~(self.calc_read & (calc_bank == save_bank))
        load_free = ~(self.calc_write & (calc_w_bank == load_bank))
        m.d.comb += [
            self.save_reads.ready.eq(save_free),
            self.load_writes.ready.eq(load_free),
        ]

        answers = Array([
            Signal(len(self.calc_data), name=f"answer_{number}") for number in range(self.banks)])
        load_data = load.data.replicate(self.columns)
        for number in range(self.banks):
            bank = RowMemory(
                columns=self.columns, column_width=self.column_width, depth=bank_depth)
            m.submodules[f"bank_{number}"] = bank
            calc_reads = self.calc_read & (calc_bank == number)
            saves = self.save_reads.valid & (save_bank == number)
            calc_writes = self.calc_write & (calc_w_bank == number)
            loads = self.load_writes.valid & (load_bank == number)
            m.d.comb += [
                bank.r_en.eq(calc_reads | saves),
                bank.r_row.eq(Mux(calc_reads, calc_row, save_row)),
                bank.w_row.eq(Mux(calc_writes, calc_w_row, load_row)),
                bank.w_data.eq(Mux(calc_writes, self.calc_w_data, load_data)),
                answers[number].eq(bank.r_data),
            ]
            with m.If(calc_writes):
                m.d.comb += bank.w_en.eq(~0)
            with m.Elif(loads):
                m.d.comb += bank.w_en.eq(1 << load.column)

        calc_valid, calc_from = _delayed(m, self.calc_read, calc_bank, RowMemory.latency)
        saved = self.save_reads.valid & save_free
        save_valid, save_from = _delayed(m, saved, save_bank, RowMemory.latency)
        m.d.sync += self.save_valid.eq(save_valid)
        with m.If(calc_valid):
            m.d.sync += self.calc_data.eq(answers[calc_from])
        with m.If(save_valid):
            m.d.sync += self.save_data.eq(answers[save_from])
        return m


def _delayed(m, valid, value, cycles):
    """Return ``valid`` and ``value`` some cycles later."""
    for _ in range(cycles):
        valid_reg, value_reg = Signal(), Signal(max(1, len(value)))
        m.d.sync += [valid_reg.eq(valid), value_reg.eq(value)]
        valid, value = valid_reg, value_reg
    return valid, value
