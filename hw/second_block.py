"""The second of two output blocks that the array computes at a time."""

from amaranth import *
from amaranth.lib import data

from arch.isa import Products

from .param_memory import lane_params
from .primitives import RowMemory


__all__ = (
    "SecondBlock",
    "has_second",
    "second_block",
    "two_blocks",
)


class SecondBlock:
    """Sums and parameters of the second of two output blocks, beside those of the first.

    It shares the flags of steps with the rest of the engine, and therefore its module.

    Parameters
    ----------
    config : AcceleratorConfig
        Sizes, with ``dual_products``.
    array : DualMacArray
        The array.
    param : RowMemory
        Parameters of the lanes.
    sum_stage : int
        Stage at which a sum of products leaves the array.

    Attributes
    ----------
    sums : Signal(ArrayLayout(signed(acc_bits), out_lanes))
        Accumulated sums, at ``sum_stage + 1``.
    params : Signal
        By lane, ``bias``, ``shift`` and ``upper`` of the block.
    """

    def __init__(self, config, *, array, param, sum_stage):
        self._config = config
        self._array = array
        self._param = param
        self._sum_stage = sum_stage
        self.sums = Signal(data.ArrayLayout(signed(config.acc_bits), config.out_lanes))
        self.params = Signal(data.ArrayLayout(data.StructLayout(
            {"bias": signed(config.acc_bits), "shift": 5, "upper": config.data_bits}),
            config.out_lanes))

    def accumulate(self, m, conv, flags, acc, forward):
        """Accumulate the sums of the second of two output blocks beside those of the first.

        Its parameters are read just before those of the first, and held.
        """
        config, at, param = self._config, self._sum_stage, self._param
        m.submodules.acc_second = second = RowMemory(
            columns=1, column_width=config.out_lanes * config.acc_bits, depth=config.acc_depth)
        ask = at - RowMemory.latency
        before, now = flags[ask - 1], flags[at - 1]
        with m.If(before.conv & before.first & has_second(before)):
            m.d.comb += [param.r_en.eq(1), param.r_row.eq(conv.param_row + 1)]
        held = self.params
        with m.If(now.conv & now.first & has_second(now)):
            for lane in range(config.out_lanes):
                row = lane_params(param, lane)
                m.d.sync += [
                    held[lane].bias.eq(row.bias), held[lane].shift.eq(row.shift),
                    held[lane].upper.eq(row.upper)]
        sums = self.sums
        used = flags[at].result & has_second(flags[at])
        with m.If(used):
            for lane in range(config.out_lanes):
                stored = second.r_data.word_select(lane, config.acc_bits).as_signed()
                total = Mux(forward, sums[lane], stored)
                products = Mux(
                    second_block(flags[at]), self._array.o[lane], self._array.o_second[lane])
                m.d.sync += sums[lane].eq(
                    products + Mux(flags[at].bias, held[lane].bias, total))
        kept = Signal()
        m.d.sync += kept.eq(used)
        m.d.comb += [
            second.r_en.eq(acc.r_en), second.r_row.eq(acc.r_row),
            second.w_en.eq(
                flags[at + 1].result & ~flags[at + 1].finish & kept), second.w_row.eq(acc.w_row),
            second.w_data.eq(sums.as_value()),
        ]


def two_blocks(step):
    """Return whether a step computes two output blocks."""
    return step.products == Products.BLOCKS


def second_block(step):
    """Return whether a step computes the second of two output blocks only."""
    return step.products == Products.SECOND


def has_second(step):
    """Return whether a step computes a second output block."""
    return two_blocks(step) | second_block(step)
