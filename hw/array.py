"""The multiplier array and its adder trees."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.timing import tree_depth

from .primitives import MULTIPLIER_LATENCY, multiply


__all__ = (
    "MacArray",
    "factor",
    "joined_weight",
    "moving",
    "sum_tree",
)


class MacArray(wiring.Component):
    """Weight-stationary array: ``out_lanes`` dot products of ``in_lanes`` terms per cycle.

    Computes ``o[k] = sum(x[c] * w[k][c] for c in range(in_lanes))`` with the weights loaded last;
    with ``depthwise`` set, the first ``taps`` terms are ``window[c][k] * w[k][c]``, those not in
    ``mask`` zero, and the others are to have zero weights. With at least two taps, weights that
    are loaded with ``wide`` set have those of the first two terms as the halves of the first one's,
    the lower half first; ``mask`` is to leave the second term out.
    Latency is :attr:`latency` cycles; throughput is one word per cycle; new weights cost no cycle.

    Parameters
    ----------
    in_lanes, out_lanes : int
        Lanes.
    x_width, w_width : int
        Bits of a signed data and of a signed weight code.
    taps : int
        Codes of each output lane in the window, at most ``in_lanes``.
    wire_registers : bool
        Whether each multiplier has a register for its code more. Weights come a cycle later then.

    Members
    -------
    x : In(ArrayLayout(signed(x_width), in_lanes))
        Data word.
    x_soon : In(1)
        ``x`` of the next cycle counts; without it the registers may hold.
    window : In(ArrayLayout(ArrayLayout(signed(x_width), out_lanes), taps))
        Codes of each output lane, in the place of ``x`` when ``depthwise``.
    depthwise : In(1)
        Take ``window`` in this cycle.
    mask : In(taps)
        Codes of ``window`` that count.
    w : In(in_lanes * out_lanes * w_width)
        Weight tile: lane ``c`` of output ``k`` at code ``k * in_lanes + c``.
    load : In(1)
        Take ``w`` together with the ``x`` of this cycle, with wire registers of the one before.
    wide : In(1)
        The weights of the first two terms are one.
    o : Out(ArrayLayout(signed(o_width), out_lanes))
        Sums.
    """

    def __init__(
        self, *, in_lanes, out_lanes, x_width, w_width, taps=0, wire_registers=False
    ):
        self.in_lanes = in_lanes
        self.out_lanes = out_lanes
        self.x_width = x_width
        self.w_width = w_width
        self.taps = taps
        self.wire_registers = wire_registers
        self.has_wide = taps > 1 and w_width == 8
        growth = max((in_lanes - 1).bit_length(), w_width if self.has_wide else 0)
        self.o_width = x_width + w_width + growth
        super().__init__({
            "x": In(data.ArrayLayout(signed(x_width), in_lanes)),
            "x_soon": In(1),
            "window": In(data.ArrayLayout(data.ArrayLayout(signed(x_width), out_lanes), taps)),
            "depthwise": In(1),
            "mask": In(max(1, taps)),
            "w": In(in_lanes * out_lanes * w_width),
            "load": In(1),
            "wide": In(1),
            "o": Out(data.ArrayLayout(signed(self.o_width), out_lanes)),
        })

    @property
    def latency(self):
        """Cycles from ``x`` to ``o``."""
        return self.wire_registers + MULTIPLIER_LATENCY + tree_depth(self.in_lanes)

    def elaborate(self, platform):
        m = Module()
        enable = moving(m, self.x_soon, self.latency)
        wide = self.wide
        wide_load = self.wide
        for stage in range(self.latency):
            after = Signal(name=f"wide_{stage}")
            m.d.sync += after.eq(wide)
            wide = after
            if stage < self.wire_registers:
                wide_load = after
        for k in range(self.out_lanes):
            weights = [
                self.w.word_select(k * self.in_lanes + c, self.w_width).as_signed()
                for c in range(self.in_lanes)
            ]
            codes = [factor(m, self, c, k) for c in range(self.in_lanes)]
            if self.has_wide:
                weights[0] = joined_weight(weights[0], weights[1], wide_load)
            products = [
                multiply(m, x, w, load_b=self.load, enable=enable, platform=platform)
                for x, w in zip(codes, weights)
            ]
            lower = self.x_width + self.w_width
            total = sum_tree(m, [product[:lower].as_signed() for product in products], enable)
            m.d.comb += self.o[k].eq(total)
            if not self.has_wide:
                continue
            # Beside a wide weight all other products are zero: the upper bits of its product need
            # no adder.
            upper = products[0][lower:]
            for stage in range(tree_depth(self.in_lanes)):
                after = Signal(len(upper), name=f"upper_{k}_{stage}")
                with m.If(enable):
                    m.d.sync += after.eq(upper)
                upper = after
            with m.If(wide):
                m.d.comb += self.o[k].eq(Cat(total[:lower], upper).as_signed())
        return m


def moving(m, soon, latency):
    """Return whether anything is in an array, a register that many others can take as enable.

    They move then; afterwards they hold, which saves power and simulation time.
    """
    valid = Signal(latency)
    enable = Signal()
    m.d.sync += [valid.eq(Cat(soon, valid)), enable.eq(soon | valid.any())]
    return enable


def joined_weight(low, high, wide):
    """Return a signed weight, or one whose upper half is another one, one LUT4 a bit of that."""
    upper = Mux(wide, high.as_unsigned(), low[-1].replicate(len(high)))
    return Cat(low, upper).as_signed()


def factor(m, array, c, k):
    """Return what meets weight ``c`` of output ``k`` of an array, one LUT4 a bit."""
    x = array.x[c]
    if c < array.taps:
        counts = array.mask[c].replicate(len(x)).as_signed()
        x = Mux(array.depthwise, array.window[c][k] & counts, x)
    if not array.wire_registers:
        return x
    code = Signal(array.x[c].shape(), name=f"code_{k}_{c}")
    m.d.sync += code.eq(x)
    return code


def sum_tree(m, terms, enable):
    """Add registered stages, four terms each, and return the sum."""
    while len(terms) > 1:
        sums = []
        for start in range(0, len(terms), 4):
            total = _balanced(terms[start:start + 4])
            stage = Signal(total.shape())
            with m.If(enable):
                m.d.sync += stage.eq(total)
            sums.append(stage)
        terms = sums
    return terms[0]


def _balanced(terms):
    """Return the sum of terms, two at a time.

    Each sum is as wide as it must be, with operands extended before: to synthesis that is a carry
    chain of its own. A plain sum of several it would make of full adders, two LUT4 a bit each.
    """
    while len(terms) > 1:
        pairs = [terms[start:start + 2] for start in range(0, len(terms), 2)]
        terms = [_add(*pair) if len(pair) > 1 else pair[0] for pair in pairs]
    return terms[0]


def _add(a, b):
    width = max(len(a), len(b)) + 1
    a, b = (Cat(term, term[-1].replicate(width - len(term))) for term in (a, b))
    return (a + b)[:width].as_signed()
