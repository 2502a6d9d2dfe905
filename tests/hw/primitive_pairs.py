"""Primitives of the families beside the generic ones, for a bench with random inputs."""

from amaranth import *
from amaranth.hdl import Fragment
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.primitives import FamilyPlatform, RowMemory, multiply


__all__ = (
    "MEMORIES",
    "MULTIPLIERS",
    "Multiplier",
    "Pairs",
    "row_memory",
)


MULTIPLIERS = ((9, 8), (9, 17), (17, 17), (9, 16))
"""Widths of factors: arrays, vector unit, and the array with two products of a multiplier."""

MEMORIES = ((5, 11, 500), (3, 12, 1000), (1, 17, 2048), (2, 6, 3000), (1, 2, 8000), (1, 1, 20000))
"""Columns, their width, and rows."""


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
    """Return the memory of an entry of :data:`MEMORIES`."""
    return RowMemory(columns=columns, column_width=column_width, depth=depth)


class Pairs(wiring.Component):
    """Every primitive of each family, with the same inputs as the generic one.

    Parameters
    ----------
    families : sequence of str
        Names of families.

    Members
    -------
    noise : In(256)
        Random bits, in every cycle others.
    differs : Out(len(names))
        Outputs that differ from those of the generic one, by :attr:`names`.
    """

    def __init__(self, families):
        self._families = families
        self.names = [
            f"{family} {kind} {sizes}" for kind, entries in (
                ("multiplier", MULTIPLIERS), ("memory", MEMORIES))
            for sizes in entries for family in families]
        super().__init__({"noise": In(256), "differs": Out(len(self.names))})

    def elaborate(self, platform):
        m = Module()
        differs = []
        for number, sizes in enumerate(MULTIPLIERS):
            a, b = Signal(signed(sizes[0])), Signal(signed(sizes[1]))
            m.d.comb += [a.eq(self.noise), b.eq(self.noise[40:])]
            differs += self._copies(m, f"multiplier_{number}", Multiplier, sizes, {
                "a": a, "b": b, "load_b": self.noise[80], "enable": self.noise[81:83].any(),
            }, "o")
        for number, sizes in enumerate(MEMORIES):
            columns, column_width, depth = sizes
            # Few rows, spread over the whole depth; none is read while it is written, and nothing
            # is asked while answers are held.
            rows = [
                Mux(bits[2], depth - 1 - bits[:2], bits[:2])
                for bits in (self.noise[:3], self.noise[3:6])]
            hold = self.noise[6] & self.noise[7]
            differs += self._copies(m, f"memory_{number}", row_memory, sizes, {
                "w_en": Mux(rows[0] == rows[1], 0, self.noise[8:8 + columns]),
                "w_row": rows[0], "w_data": self.noise[16:16 + columns * column_width],
                "r_row": rows[1], "r_hold": hold, "r_en": ~hold & self.noise[15],
            }, "r_data")
        m.d.comb += self.differs.eq(Cat(*differs))
        return m

    def _copies(self, m, name, make, sizes, inputs, output):
        """Return for each family whether its output differs from the generic one."""
        outputs = []
        for family in ("generic", *self._families):
            component = make(*sizes)
            for port, value in inputs.items():
                m.d.comb += getattr(component, port).eq(value)
            m.submodules[f"{name}_{family}"] = Fragment.get(component, FamilyPlatform(family))
            outputs.append(getattr(component, output))
        return [output != outputs[0] for output in outputs[1:]]
