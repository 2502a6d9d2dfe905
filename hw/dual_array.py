"""The multiplier array with two products of a multiplier."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.isa import Products
from arch.timing import tree_depth

from .array import factor, moving, sum_tree
from .primitives import MULTIPLIER_LATENCY, multiply


__all__ = ("DualMacArray",)


_X_WIDTH = 9
_SHIFT = 13
"""Bits that hold the product of a data code and 4 bits without sign."""
_OFFSET = 8
"""What the lower of two weights is stored with in addition."""


class DualMacArray(wiring.Component):
    """A :class:`MacArray` of 8-bit weights, or of pairs of 4-bit weights that share their data.

    A weight byte is ``16 * high + low``, where ``low`` has no sign. A multiplier computes::

        x * (high << 13 | low)  =  x * high << 13  +  x * low        |x * low| < 1 << 12

    whose parts are added by themselves: ``H = sum(x * high)``, ``L = sum(x * low)``. One weight a
    byte gives ``o = 16 * H + L``. Of a pair the lower one is stored as ``low = w + 8``, so that
    its sum is ``L - 8 * sum(x)``; that goes to ``o`` and ``H`` to ``o_second``, or, where the pair
    belongs to neighbouring taps, ``o`` is the lower one's sum and the ``H`` of the step before.
    With ``wide`` the halves of a weight of 16 bits are multiplied as they are, and
    ``o = (H << 13) + L``.
    Latency is :attr:`latency` cycles; throughput is one word per cycle.

    Parameters
    ----------
    in_lanes, out_lanes : int
        Lanes.
    taps : int
        Codes of each output lane in the window, at most ``in_lanes``.
    wire_registers : bool
        As of :class:`hw.array.MacArray`.

    Members
    -------
    x, x_soon, window, depthwise, mask, w, load, wide
        As of :class:`MacArray`.
    products : In(Products)
        What the weights are, together with ``x``.
    line_first : In(1)
        No step is before this one.
    o : Out(ArrayLayout(signed(o_width), out_lanes))
        Sums.
    o_second : Out(ArrayLayout(signed(second_width), out_lanes))
        Sums of the upper weights of pairs.
    """

    def __init__(self, *, in_lanes, out_lanes, taps=0, wire_registers=False):
        self.in_lanes = in_lanes
        self.out_lanes = out_lanes
        self.taps = taps
        self.wire_registers = wire_registers
        growth = (in_lanes - 1).bit_length()
        self.has_wide = taps > 1
        self.o_width = _X_WIDTH + (16 if self.has_wide else 8) + growth
        self.second_width = _SHIFT + growth
        x = data.ArrayLayout(signed(_X_WIDTH), in_lanes)
        super().__init__({
            "x": In(x),
            "x_soon": In(1),
            "window": In(data.ArrayLayout(
                data.ArrayLayout(signed(_X_WIDTH), out_lanes), taps)),
            "depthwise": In(1),
            "mask": In(taps),
            "products": In(2),
            "line_first": In(1),
            "w": In(in_lanes * out_lanes * 8),
            "load": In(1),
            "wide": In(1),
            "o": Out(data.ArrayLayout(signed(self.o_width), out_lanes)),
            "o_second": Out(data.ArrayLayout(signed(self.second_width), out_lanes)),
        })

    @property
    def latency(self):
        """Cycles from ``x`` to ``o``."""
        return self.wire_registers + MULTIPLIER_LATENCY + tree_depth(self.in_lanes) + 1

    def elaborate(self, platform):
        m = Module()
        enable = moving(m, self.x_soon, self.latency)

        # What the last stage must know of a step.
        step = Cat(
            (self.products == Products.ONE) | (self.products == Products.SECOND),
            self.products == Products.TAPS, self.line_first, self.wide)
        wide_load = self.wide
        for stage in range(self.latency - 1):
            after = Signal(len(step), name=f"step_{stage}")
            m.d.sync += after.eq(step)
            step = after
            if stage < self.wire_registers:
                wide_load = step[-1]
        one, taps, line_first, wide = step
        offset = -_OFFSET * sum_tree(m, list(self.x), enable)
        for stage in range(self.wire_registers + MULTIPLIER_LATENCY):
            after = Signal(offset.shape(), name=f"offset_{stage}")
            with m.If(enable):
                m.d.sync += after.eq(offset)
            offset = after

        for k in range(self.out_lanes):
            products = []
            for c in range(self.in_lanes):
                byte = self.w.word_select(k * self.in_lanes + c, 8)
                weights = Cat(byte[:4], C(0, _SHIFT - 4), byte[4:]).as_signed()
                if self.has_wide and c == 0:
                    second = self.w.word_select(k * self.in_lanes + 1, 8)
                    weights = Mux(wide_load, Cat(byte, second).as_signed(), weights)
                products.append(multiply(
                    m, factor(m, self, c, k), weights, load_b=self.load, enable=enable,
                    platform=platform))
            low = sum_tree(m, [product[:_SHIFT].as_signed() for product in products], enable)
            # A negative lower part has borrowed from the upper one.
            high = sum_tree(m, [
                product[_SHIFT:].as_signed() + product[_SHIFT - 1] for product in products], enable)
            other = Signal(signed(self.o_width), name=f"other_{k}")
            before = Signal(signed(self.second_width), name=f"before_{k}")
            m.d.comb += [
                other.eq(Mux(one, high << 4, offset)),
                before.eq(Mux(taps & ~line_first, self.o_second[k], 0)),
            ]
            if self.has_wide:
                with m.If(wide):
                    m.d.comb += other.eq(high << _SHIFT)
            with m.If(enable):
                m.d.sync += [self.o[k].eq(low + other + before), self.o_second[k].eq(high)]
        return m
