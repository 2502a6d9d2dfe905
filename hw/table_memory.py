"""Tables of functions of one code: written by LOAD, read by several lanes at once."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from arch.config import TABLES

from .primitives import RowMemory


__all__ = (
    "TableMemory",
    "table_write_layout",
)


def table_write_layout(config):
    """Return the layout of one beat on its way into a table."""
    beats = config.table_size // config.dram_width
    return data.StructLayout({
        "table": range(TABLES),
        "column": range(max(2, beats)),
        "data": config.dram_width * 8,
    })


class TableMemory(wiring.Component):
    """:data:`arch.config.TABLES` tables, a copy for each of ``config.table_lanes`` lanes.

    A read answers :attr:`latency` cycles after its request. Writes take the entries of a beat one
    after the other, a cycle each.

    Parameters
    ----------
    config : AcceleratorConfig
        Sizes.

    Members
    -------
    writes : In(stream.Signature(table_write_layout(config)))
        Beats of tables.
    read : In(1)
        Request of all lanes.
    index : In(ArrayLayout(range(TABLES * config.table_entries), config.table_lanes))
        Entry for each lane, those of all tables numbered through.
    entry : Out(ArrayLayout(signed(config.data_bits + 1), config.table_lanes))
        Entries.
    """

    latency = RowMemory.latency

    def __init__(self, config):
        self._config = config
        super().__init__({
            "writes": In(stream.Signature(table_write_layout(config))),
            "read": In(1),
            "index": In(data.ArrayLayout(
                range(TABLES * config.table_entries), config.table_lanes)),
            "entry": Out(data.ArrayLayout(signed(config.data_bits + 1), config.table_lanes)),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        width = config.data_bits + 1
        parts = config.dram_width // config.table_entry_size
        part = Signal(range(max(2, parts)))
        beat = self.writes.payload
        entry = beat.data.word_select(part, config.table_entry_size * 8)
        place = Cat(
            part[:(parts - 1).bit_length()],
            beat.column[:(config.table_size // config.dram_width - 1).bit_length()], beat.table)
        m.d.comb += self.writes.ready.eq(part == parts - 1)
        # A beat that is withdrawn, because LOAD was reset, leaves nothing behind.
        m.d.sync += part.eq(Mux(self.writes.valid & ~self.writes.ready, part + 1, 0))
        for lane in range(config.table_lanes):
            m.submodules[f"lane_{lane}"] = copy = RowMemory(
                columns=1, column_width=width, depth=TABLES * config.table_entries)
            m.d.comb += [
                copy.w_en.eq(self.writes.valid),
                copy.w_row.eq(place),
                copy.w_data.eq(entry[:width]),
                copy.r_en.eq(self.read),
                copy.r_row.eq(self.index[lane]),
                self.entry[lane].eq(copy.r_data),
            ]
        return m
