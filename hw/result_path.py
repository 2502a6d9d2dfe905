"""From sums and results of the vector unit to rows of feature memory."""

from amaranth import *
from amaranth.lib import data

from .feature_memory import calc_read_latency
from .param_memory import lane_params
from .pool_unit import PoolUnit
from .requantizer import Requantizer
from .second_block import two_blocks
from .serial_requantizer import SerialRequantizer
from .vector_unit import vector_latency


__all__ = ("ResultPath",)


class ResultPath:
    """Requantizes what either path of CALC gives, pools it if asked, and makes rows of it.

    It shares the flags of steps with the rest of the engine, at all their stages, and therefore
    its module.

    Parameters
    ----------
    config : AcceleratorConfig
        Sizes.
    param : RowMemory or ParamMemory
        Parameters of the lanes.
    sum_stage : int
        Stage at which a sum of products leaves the array.
    second : SecondBlock or None
        Sums and parameters of the second output block of two, with ``config.dual_products``.
    """

    def __init__(self, config, *, param, sum_stage, second):
        self._config = config
        self._param = param
        self._sum_stage = sum_stage
        self._second = second
        self._is_serial = config.requantizer_steps > 1
        codes = {"lanes": config.out_lanes, "acc_width": config.acc_bits,
                 "code_width": config.data_bits, "rounding": config.rounding}
        self._requantizer = SerialRequantizer(
            **codes, width=config.requantizer_lanes) if self._is_serial else Requantizer(**codes)
        self._pool = PoolUnit(
            lanes=config.out_lanes, code_width=config.data_bits, depth=config.pool_depth,
        ) if config.pool_depth else None

    def elaborate_in(self, m, conv, vector, is_vector, flags, unit, sums):
        """Add the logic to the engine's module ``m``; return enable, row and data of the writes.

        Parameters
        ----------
        m : Module
            Module of the engine.
        conv, vector : View
            The instruction under way, as either kind.
        is_vector : Signal
            Which of them it is.
        flags : list
            Flags of the steps at each stage, from 1 on.
        unit : VectorUnit
            Or what has its ``o_valid`` and ``o``.
        sums : Signal
            Accumulated sums, at ``sum_stage + 1``.
        """
        config, at = self._config, self._sum_stage
        m.submodules.requantizer = requantizer = self._requantizer
        vector_at = 1 + calc_read_latency(config.wire_registers) + vector_latency(
            config.wire_registers)
        # The second result of a step follows in the next cycle, in which no step is.
        second = Signal(Requantizer.latency + 2)
        if self._is_serial:
            self._scale_serially(m, conv, flags, sums)
        else:
            self._scale(m, vector, flags, unit, sums, second, vector_at)

        # An instruction's bounds and rows take effect just before its first result. The bound for
        # all lanes is known a cycle before.
        lo, next_lo = Signal(signed(17)), Signal(signed(17))
        row = Signal(range(config.feature_depth))
        row_step = Signal(11)
        m.d.comb += requantizer.lo.eq(lo)
        conv_first = flags[at + 4].conv & flags[at + 4].first
        ahead = flags[vector_at + 3]
        vector_first = ahead.vector & ahead.first
        write, result = self._pooled(m, conv, flags, conv_first, vector_first)
        with m.If(conv_first | vector_first):
            m.d.sync += row.eq(conv.row)
            if not config.in_order:
                m.d.sync += row_step.eq(conv.row_step)
        with m.Elif(write & ~second[-1]):
            m.d.sync += row.eq(row + row_step)
        if config.in_order:
            m.d.comb += [lo.eq(conv.lo), row_step.eq(conv.row_step)]
        else:
            before, before_vector = flags[at + 3], flags[vector_at + 2]
            with m.If((before.conv & before.first) | (before_vector.vector & before_vector.first)):
                m.d.sync += next_lo.eq(conv.lo)
            m.d.sync += lo.eq(next_lo)
        if not self._is_serial:
            self._upper_bounds(m, conv, vector, is_vector, conv_first, vector_first, second)
        enable, write_row, write_data = Signal(), Signal.like(row), Signal.like(result)
        m.d.sync += enable.eq(write)
        with m.If(write):
            m.d.sync += [
                write_row.eq(Mux(second[-1], write_row + 1, row)),
                write_data.eq(result),
            ]
        return enable, write_row, write_data

    def _scale(self, m, vector, flags, unit, sums, second, vector_at):
        """Give the requantizer accumulators and shifts of either path, all lanes at once."""
        config, at, param = self._config, self._sum_stage, self._param
        requantizer = self._requantizer
        valid, sum_soon, sum_valid = Signal(), Signal(), Signal()
        m.d.sync += [
            sum_soon.eq(flags[at - 1].result & flags[at - 1].finish), sum_valid.eq(sum_soon)]
        acc = Signal(data.ArrayLayout(signed(config.acc_bits), config.out_lanes))
        shift = Signal(data.ArrayLayout(5, config.out_lanes))
        right = Signal(5)
        with m.If(flags[vector_at - 1].vector & flags[vector_at - 1].first):
            m.d.sync += right.eq(vector.shift + Mux(vector.divide, 2, 0))
        if config.dual_products:
            m.d.sync += second.eq(Cat(sum_valid & two_blocks(flags[at + 1]), second))
        m.d.sync += valid.eq(sum_valid | second[0] | unit.o_valid)
        with m.If(unit.o_valid):
            m.d.sync += acc.eq(unit.o)
            for lane in range(config.out_lanes):
                m.d.sync += shift[lane].eq(right)
        with m.Elif(sum_valid):
            m.d.sync += acc.eq(sums)
            for lane in range(config.out_lanes):
                m.d.sync += shift[lane].eq(lane_params(param, lane).shift)
        if config.dual_products:
            with m.If(second[0]):
                m.d.sync += acc.eq(self._second.sums)
                for lane in range(config.out_lanes):
                    m.d.sync += shift[lane].eq(self._second.params[lane].shift)
        m.d.comb += [
            requantizer.valid.eq(valid), requantizer.acc.eq(acc), requantizer.shift.eq(shift)]

    def _scale_serially(self, m, conv, flags, sums):
        """Give the requantizer the accumulators of a step, and parameters as it asks for them."""
        at, param, requantizer = self._sum_stage, self._param, self._requantizer
        m.d.comb += [
            requantizer.start.eq(flags[at].result & flags[at].finish),
            requantizer.acc.eq(sums),
            param.scale_en.eq(requantizer.ask),
            param.part.eq(requantizer.part),
            requantizer.shift.eq(param.shift),
        ]
        for place, upper in enumerate(param.upper):
            m.d.comb += requantizer.hi[place].eq(_with_sign(upper, conv))

    def _upper_bounds(self, m, conv, vector, is_vector, conv_first, vector_first, second):
        """Give the requantizer its upper bounds: one for all of VECTOR, those of CONV by lane.

        The sign of the latter is that of the lower bound. They stay for an instruction, but for
        the results of a second block, which have their own.
        """
        config = self._config
        for lane in range(config.out_lanes):
            own = _with_sign(lane_params(self._param, lane).upper[:config.data_bits], conv)
            bound = Signal(signed(config.data_bits + 1), name=f"hi_{lane}")
            if config.in_order:
                m.d.comb += bound.eq(Mux(is_vector, vector.hi[:len(bound)], own))
            else:
                with m.If(conv_first | vector_first):
                    m.d.sync += bound.eq(Mux(conv_first, own, vector.hi[:len(bound)]))
            if config.dual_products:
                other = Signal.like(bound, name=f"second_hi_{lane}")
                with m.If(conv_first):
                    m.d.sync += other.eq(_with_sign(self._second.params[lane].upper, conv))
                bound = Mux(second[-2], other, bound)
            m.d.comb += self._requantizer.hi[lane].eq(bound)

    def _pooled(self, m, conv, flags, conv_first, vector_first):
        """Pool the codes of the requantizer if the instruction asks for it; return what to write.

        A row comes later by one cycle then, and before the first of the next instruction, whose
        step is later than :data:`arch.timing.MIN_GROUP` cycles.
        """
        requantizer, at = self._requantizer, self._sum_stage
        codes = requantizer.o.as_value()
        if self._pool is None:
            return requantizer.o_valid, codes
        m.submodules.pool = pool = self._pool
        pooled = Signal()
        step = flags[at + 4 + self._config.requantizer_steps]
        with m.If(conv_first | vector_first):
            m.d.sync += pooled.eq(
                conv_first & ((conv.pool_kernel != 0) | (conv.pool_stride != 0)))
        m.d.comb += [
            pool.load.eq(conv_first),
            pool.geometry.eq(Cat(
                conv.pool_kernel, conv.pool_stride, conv.pool_x, conv.pool_y, conv.pool_first,
                conv.pool_right, conv.pool_bottom, conv.pool_row[:len(pool.geometry.row)],
                conv.lo[-1])),
            pool.step.eq(pooled & step.result & step.finish),
            pool.line_last.eq(step.line_last),
            pool.in_last_line.eq(step.in_last_line),
            pool.i.eq(requantizer.o),
        ]
        write = Mux(pooled, pool.o_valid, requantizer.o_valid)
        return write, Mux(pooled, pool.o.as_value(), codes)


def _with_sign(upper, conv):
    """Return an upper bound with the sign of the lower one."""
    return Cat(upper, upper[-1] & conv.lo[-1]).as_signed()
