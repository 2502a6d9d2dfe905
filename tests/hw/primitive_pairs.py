"""Primitives of the families beside the generic ones, for a bench with random inputs."""

from amaranth import *
from amaranth.hdl import Fragment
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.primitives import FAMILIES, BulkMemory, FamilyPlatform, RowMemory, multiply


__all__ = (
    "BULKS",
    "MEMORIES",
    "MULTIPLIERS",
    "Multiplier",
    "Pairs",
    "bulk_memory",
    "row_memory",
)


MULTIPLIERS = ((9, 8), (9, 17), (17, 17), (9, 16))
"""Widths of factors: arrays, vector unit, and the array with two products of a multiplier."""

MEMORIES = ((2, 11, 500), (1, 12, 1000), (1, 17, 2048), (2, 4, 3000), (1, 2, 8000), (1, 1, 20000))
"""Columns, their width, and rows."""

BULKS = ((32, 1000), (64, 20000))
"""Widths, and words."""


class Multiplier(wiring.Component):
    """A multiplier with ports."""

    def __init__(self, a_width, b_width):
        super().__init__({
            "a": In(signed(a_width)), "b": In(signed(b_width)), "load_b": In(1), "enable": In(1),
            "o": Out(signed(a_width + b_width))})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(multiply(
            m, self.a, self.b, load_b=self.load_b, enable=self.enable, platform=platform))
        return m


def row_memory(columns, column_width, depth):
    """Return the memory of an entry of :data:`MEMORIES`, those of two columns or more filled."""
    rows = [row * 0x9e3779b97f4a7c15 % (1 << columns * column_width) for row in range(1, 601)]
    return RowMemory(
        columns=columns, column_width=column_width, depth=depth,
        init=rows[:depth] if columns > 1 else ())


def bulk_memory(width, depth):
    """Return the memory of an entry of :data:`BULKS`."""
    return BulkMemory(width=width, depth=depth)


class Pairs(wiring.Component):
    """What each family makes of every primitive, with the same inputs as the generic one.

    Attributes
    ----------
    names : list of str
        One for each bit of ``differs``.

    Members
    -------
    noise : In(256)
        Random bits, in every cycle others.
    writes : In(1)
        Memories are written.
    differs : Out(len(names))
        Outputs that differ from those of the generic one.
    """

    def __init__(self):
        generic = FAMILIES["generic"]
        self._pairs = [
            (kind, sizes, [
                family.name for family in FAMILIES.values()
                if getattr(type(family), kind) is not getattr(type(generic), kind)])
            for kind, entries in (
                ("multiply", MULTIPLIERS), ("row_memory", MEMORIES), ("bulk_memory", BULKS))
            for sizes in entries]
        self.names = [
            f"{name} {kind} {sizes}" for kind, sizes, names in self._pairs for name in names]
        super().__init__({
            "noise": In(256), "writes": In(1), "differs": Out(len(self.names))})

    def elaborate(self, platform):
        m = Module()
        differs = []
        for number, (kind, sizes, families) in enumerate(self._pairs):
            make, output = {
                "multiply": (Multiplier, "o"), "row_memory": (row_memory, "r_data"),
                "bulk_memory": (bulk_memory, "r_data")}[kind]
            outputs = []
            for family in ("generic", *families):
                component = make(*sizes)
                for port, value in getattr(self, f"_{kind}")(m, *sizes).items():
                    m.d.comb += getattr(component, port).eq(value)
                m.submodules[f"pair_{number}_{family}"] = Fragment.get(
                    component, FamilyPlatform(family))
                outputs.append(getattr(component, output))
            differs += [each != outputs[0] for each in outputs[1:]]
        m.d.comb += self.differs.eq(Cat(*differs))
        return m

    def _multiply(self, m, a_width, b_width):
        enable = self.noise[81:83].any()
        return {
            "a": self.noise[:a_width].as_signed(), "b": self.noise[40:40 + b_width].as_signed(),
            "load_b": self.noise[80] & enable, "enable": enable}

    def _row_memory(self, m, columns, column_width, depth):
        # None is written while it is read, or in the cycle after it is asked for, and nothing is
        # asked while answers are held.
        rows = [self._row(bits, depth) for bits in (self.noise[:4], self.noise[4:8])]
        hold = self.noise[8] & self.noise[9]
        asked, row = Signal(), Signal(range(depth))
        with m.If(~hold):
            m.d.sync += [asked.eq(self.noise[10]), row.eq(rows[1])]
        writes = self.writes & (rows[0] != rows[1]) & ~(asked & (rows[0] == row))
        return {
            "w_en": self.noise[12:12 + columns] & writes.replicate(columns), "w_row": rows[0],
            "w_data": self.noise[20:20 + columns * column_width], "r_row": rows[1],
            "r_hold": hold, "r_en": ~hold & self.noise[10]}

    def _bulk_memory(self, m, width, depth):
        hold = self.noise[8] & self.noise[9]
        return {
            "en": self.noise[10] & (~hold | self.noise[11]),
            "w_en": Mux(self.noise[11], self.noise[12:] | 1, 0),
            "row": self._row(self.noise[:4], depth), "w_data": self.noise[20:20 + width],
            "hold": hold}

    def _row(self, bits, depth):
        """Return one of the first or last eight rows."""
        return Mux(bits[3], depth - 1 - bits[:3], bits[:3])
