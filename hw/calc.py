"""The CALC engine: loops, array, vector unit and requantizer around feature memory."""

from types import SimpleNamespace

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from arch.isa import Engine, Opcode, Products, VectorOp
from arch.timing import CALC_START, result_steps

from .array import MacArray
from .calc_issue import CalcIssuer, InOrderCalcIssuer
from .dual_array import DualMacArray
from .feature_memory import calc_read_latency
from .layouts import Done, Status, instruction_layout, layout_of
from .param_memory import ParamMemory, lane_params
from .primitives import RowMemory
from .requantizer import Requantizer
from .result_path import ResultPath
from .second_block import SecondBlock, second_block
from .sequencer import Sequencer
from .table_memory import table_write_layout
from .vector_unit import OPERATORS, VectorUnit


__all__ = ("CalcEngine",)


class CalcEngine(wiring.Component):
    """Runs CONV and VECTOR instructions, one step per cycle and never stalled once started.

    Stages, in cycles after the sequencer's step (``P`` is :attr:`sum_stage`; with wire registers
    feature memory takes two cycles more, and so does a row that is written, the array one)::

        0        bounds
        1..4     feature memory, row at 4
        4..      vector unit, result at 9
        5..P     array, sums of in_lanes products at P (accumulators and biases too)
        P+1      accumulated
        P+2      requantizer, codes at P+6
        P+7      row written; of a pooling at P+8

    Parameters
    ----------
    config : AcceleratorConfig
        Sizes.

    Members
    -------
    instructions : In(stream.Signature(instruction_layout(Engine.CALC)))
        CONV and VECTOR instructions whose tokens have been taken.
    read, read_row : Out
        Request to feature memory.
    read_data : In
        Row requested, :attr:`FeatureMemory.calc_latency` cycles later.
    write, write_row, write_data : Out
        Result row.
    weight_en, param_en, load_row, load_data : In
        Columns that LOAD writes to weight and parameter memory; ``load_data`` is for
        ``config.weight_columns`` columns of weight memory, or for the first of parameter memory.
    table_writes : In(stream.Signature(table_write_layout(config)))
        Beats that LOAD writes to table memory; only with ``config.table_lanes``.
    stop : In(1)
        Drop the instruction under way, and those that come.
    done : Out(Done)
        One instruction has written all its results.
    status : Out(Status)
        What this cycle counts as.
    """

    def __init__(self, config):
        self.config = config
        self._read_latency = calc_read_latency(config.wire_registers)
        row_bits = config.row_size * 8
        beat = config.dram_width
        self._weight = RowMemory(
            columns=config.weight_row_size // beat, column_width=beat * 8,
            depth=config.weight_depth)
        self._is_serial = config.requantizer_steps > 1
        self._param = ParamMemory(config) if self._is_serial else RowMemory(
            columns=config.param_row_size // beat, column_width=beat * 8,
            depth=config.param_depth)
        lanes = {"in_lanes": config.in_lanes, "out_lanes": config.out_lanes,
                 "taps": config.window_taps, "wire_registers": config.wire_registers}
        self._array = DualMacArray(**lanes) if config.dual_products else MacArray(
            **lanes, x_width=config.data_bits + 1, w_width=config.weight_bits)
        self._vector = VectorUnit(config) if config.vector_unit else None
        self._second = SecondBlock(
            config, array=self._array, param=self._param, sum_stage=self.sum_stage,
        ) if config.dual_products else None
        ports = {
            "instructions": In(stream.Signature(instruction_layout(Engine.CALC))),
            "read": Out(1),
            "read_row": Out(range(config.feature_depth)),
            "read_data": In(row_bits),
            "write": Out(1),
            "write_row": Out(range(config.feature_depth)),
            "write_data": Out(row_bits),
            "weight_en": In(self._weight.columns),
            "param_en": In(config.param_row_size // beat),
            "load_row": In(20),
            "load_data": In(config.weight_columns * beat * 8),
            "stop": In(1),
            "done": Out(Done),
            "status": Out(Status),
        }
        if config.table_lanes:
            ports["table_writes"] = In(stream.Signature(table_write_layout(config)))
        super().__init__(ports)

    @property
    def sum_stage(self):
        """Stage at which a sum of products leaves the array."""
        return self._word_stage + self._array.latency

    @property
    def _word_stage(self):
        """Stage at which a word enters the array."""
        return 2 + self._read_latency

    @property
    def done_stage(self):
        """Stage at which a result can be read, without a division or table."""
        return self.sum_stage + 8 + self.config.wire_registers

    @property
    def slow_done_stage(self):
        """Stage at which the result of a division or table can be read."""
        if self._vector is None:
            return self.done_stage
        latency = max(self._vector.divide_latency, self._vector.table_latency)
        return max(
            self.done_stage,
            2 + self._read_latency + latency + 1 + Requantizer.latency + 2
            + self.config.wire_registers)

    def elaborate(self, platform):
        wire = self.config.wire_registers
        assert self.config.in_order or (
            self.done_stage - wire + CALC_START <= result_steps(wire))
        m = Module()
        config = self.config
        m.submodules.issuer = issuer = (InOrderCalcIssuer if config.in_order else CalcIssuer)(
            config, done_stage=self.done_stage, slow_done_stage=self.slow_done_stage)
        conv, vector, is_vector = issuer.code.conv, issuer.code.vector, issuer.is_vector

        word_width = max(1, (config.feature_words - 1).bit_length())
        sequencer = Sequencer(
            word_width=word_width, layout=layout_of(Opcode.CONV), loop_width=config.loop_bits,
            rest=max(1, config.requantizer_steps - 1))
        m.submodules.sequencer = ResetInserter(self.stop)(sequencer)
        m.d.comb += [
            sequencer.instruction.eq(conv),
            sequencer.hold.eq(is_vector & vector.hold),
            sequencer.word_b.eq(vector.word_b),
        ]
        with m.If(is_vector):
            m.d.comb += sequencer.instruction.wrap.eq(0)
        if config.dual_products:
            m.d.comb += sequencer.spread.eq(
                ~is_vector & conv.finish & (conv.products == Products.BLOCKS))
        if self._is_serial:
            m.d.comb += sequencer.spread.eq(conv.finish)
        connect(m, flipped(self.instructions), issuer.instructions)
        m.d.comb += [
            issuer.stop.eq(self.stop),
            issuer.running.eq(sequencer.running),
            issuer.last.eq(sequencer.last),
            issuer.moved.eq(sequencer.valid),
            sequencer.start.eq(issuer.start),
            self.done.eq(issuer.done),
            self.status.eq(issuer.status),
        ]
        flags = self._flags(m, conv, vector, is_vector, sequencer)
        parts = (config.words_per_row - 1).bit_length()
        m.d.sync += self.read_row.eq(sequencer.step.word[parts:])

        vector_unit = self._vector_path(m, vector, flags) if config.vector_unit else (
            SimpleNamespace(o_valid=C(0, 1), o=C(0, config.out_lanes * config.acc_bits)))
        sums = self._array_path(m, conv, flags)
        results = ResultPath(
            config, param=self._param, sum_stage=self.sum_stage, second=self._second)
        write = results.elaborate_in(m, conv, vector, is_vector, flags, vector_unit, sums)
        m.d.comb += Cat(self.write, self.write_row, self.write_data).eq(Cat(write))
        return m

    def _flags(self, m, conv, vector, is_vector, sequencer):
        """Return the flags of a step at every stage, ``flags[stage]``, from 1 on."""
        step, width = sequencer.step, self.config.loop_bits
        layout = data.StructLayout({
            "conv": 1, "vector": 1, "first": 1, "group_first": 1, "group_last": 1,
            "inside": 1, "counted": 1, "odd": 1, "signed": 1, "bias": 1, "finish": 1,
            "result": 1, "depthwise": 1, "line_first": 1, "wrapped": 1,
            "hold": 1, "line_last": 1, "in_last_line": 1, "products": 2, "wide": 1,
            "part": max(1, (self.config.words_per_row - 1).bit_length()),
        })
        inside = (
            (step.y >= 0) & (step.y < conv.height[:width])
            & (step.x >= 0) & (step.x < conv.width[:width]))
        counted = (
            (inside | vector.count_pad)
            & (step.y < vector.count_height[:width]) & (step.x < vector.count_width[:width]))
        parts = (self.config.words_per_row - 1).bit_length()
        flags = [None]
        for stage in range(1, self.sum_stage + 6 + self.config.requantizer_steps):
            flags.append(Signal(layout, name=f"flags_{stage}"))
        m.d.sync += [
            flags[1].conv.eq(sequencer.valid & ~is_vector),
            flags[1].vector.eq(sequencer.valid & is_vector),
            flags[1].first.eq(sequencer.valid & step.first),
            flags[1].group_first.eq(step.group_first),
            flags[1].group_last.eq(step.group_last),
            flags[1].inside.eq(inside),
            self.read.eq(sequencer.valid & inside),
            flags[1].counted.eq(counted),
            flags[1].odd.eq(step.odd),
            flags[1].signed.eq(conv.signed),
            flags[1].bias.eq(step.pass_first & conv.init),
            flags[1].finish.eq(step.pass_last & conv.finish),
            flags[1].part.eq(step.word[:parts]),
            flags[1].result.eq(
                sequencer.valid & ~is_vector
                & (step.result | ~(conv.depthwise | (conv.products == Products.TAPS)))),
            flags[1].products.eq(conv.products),
            flags[1].depthwise.eq(conv.depthwise),
            flags[1].wide.eq(conv.wide),
            flags[1].line_first.eq(step.line_first),
            flags[1].wrapped.eq(step.wrapped),
            flags[1].hold.eq(step.hold),
            flags[1].line_last.eq(step.line_last),
            flags[1].in_last_line.eq(step.in_last_line),
        ]
        for before, after in zip(flags[1:], flags[2:]):
            m.d.sync += after.eq(before)
        if self.config.in_order:
            # What is the same in all steps of an instruction needs no registers.
            still = {name: conv[name] for name in ("signed", "products", "depthwise", "wide")}
            flags[1:] = [
                SimpleNamespace(**{
                    name: still.get(name, step[name]) for name in layout.members})
                for step in flags[1:]]
        return flags

    def _vector_path(self, m, vector, flags):
        m.submodules.vector = unit = self._vector
        enters, ahead, before, now = flags[self._read_latency - 2:][:4]
        # The next instruction may come while rows of this one are on their way: what the unit
        # needs of one takes effect just before its first row. It is known a cycle before, so that
        # the registers can lie where the lanes are.
        layout = data.StructLayout({
            "op": OPERATORS, "hold": 1, "table": 2, "signed": 1, "signed_b": 1, "shift_a": 4,
            "shift_b": 4})
        next_code, code = Signal(layout), Signal(layout)
        with m.If(enters.vector & (enters.first | enters.hold)):
            for name in layout.members:
                if name != "op":
                    m.d.sync += next_code[name].eq(vector[name])
            for op in VectorOp:
                m.d.sync += next_code.op[op.name.lower()].eq(vector.op == op.value)
        next_second = ahead.hold | (ahead.odd & ~next_code.hold & ~next_code.op.table)
        second, factor = Signal(), Signal.like(unit.factor)
        m.d.sync += [
            code.eq(next_code),
            second.eq(next_second),
            factor.eq(1 << Mux(next_second, next_code.shift_b, next_code.shift_a)),
            unit.factor.eq(factor),
            unit.keep.eq(before.hold | (code.op.product & ~code.hold & ~before.odd)),
            unit.signed.eq(Mux(second, code.signed_b, code.signed)),
        ]
        m.d.comb += [
            unit.op.eq(code.op),
            unit.valid.eq(now.vector),
            unit.row.as_value().eq(self.read_data),
            unit.hold.eq(code.hold),
            unit.first.eq(now.group_first),
            unit.last.eq(now.group_last),
            unit.inside.eq(now.inside),
            unit.counted.eq(now.counted),
            unit.table.eq(code.table),
            unit.wide_index.eq(code.shift_b[3]),
            unit.divide.eq(vector.divide),
        ]
        if self.config.table_lanes:
            connect(m, flipped(self.table_writes), unit.table_writes)
        return unit

    def _array_path(self, m, conv, flags):
        """Multiply and accumulate; return the accumulated sums, at ``sum_stage + 1``."""
        config, at = self.config, self.sum_stage
        m.submodules.weight = weight = self._weight
        m.submodules.param = param = self._param
        m.submodules.array = array = self._array
        m.submodules.acc = acc = RowMemory(
            columns=1, column_width=config.out_lanes * config.acc_bits, depth=config.acc_depth)

        # Weights: asked for so that they arrive with the first word of their pass. Rows of memories
        # all over a chip are known a cycle before, so that their registers can lie there.
        word_stage = self._word_stage
        weight_stage = word_stage + config.wire_registers
        ask = weight_stage - RowMemory.latency
        next_row, weight_row = Signal(range(config.weight_depth)), Signal(
            range(config.weight_depth))
        early = flags[ask - 2]
        with m.If(early.conv & early.group_first):
            m.d.sync += next_row.eq(Mux(early.first, conv.weight_row, next_row + 1))
        m.d.sync += weight_row.eq(next_row)
        m.d.comb += [
            weight.w_en.eq(self.weight_en),
            weight.w_row.eq(self.load_row),
            weight.w_data.eq(
                self.load_data.replicate(weight.columns // self.config.weight_columns)),
            weight.r_en.eq(flags[ask].conv & flags[ask].group_first),
            weight.r_row.eq(weight_row),
            array.w.eq(weight.r_data),
            array.load.eq(flags[weight_stage].conv & flags[weight_stage].group_first),
            array.x_soon.eq(flags[word_stage - 1].conv),
        ]
        row = flags[word_stage - 1]
        width = config.in_lanes * config.data_bits
        with m.If(row.conv):
            word = Signal(width)
            m.d.comb += word.eq(self.read_data.word_select(row.part, width))
            for lane in range(config.in_lanes):
                value = word.word_select(lane, config.data_bits)
                extended = Cat(value, value[-1] & row.signed)
                m.d.sync += array.x[lane].eq(Mux(row.inside, extended, 0))
        m.d.comb += [
            array.depthwise.eq(flags[word_stage].depthwise),
            array.wide.eq(flags[word_stage].wide),
        ]
        if config.dual_products:
            m.d.comb += [
                array.products.eq(flags[word_stage].products),
                array.line_first.eq(flags[word_stage].line_first),
            ]
        if config.window_taps:
            self._window(m, row)

        # Accumulators: read, add, write back; biases in their place in the first pass.
        next_index, index = Signal(range(config.acc_depth)), Signal(range(config.acc_depth))
        ask = at - RowMemory.latency
        early = flags[ask - 2]
        restart = Signal()  # the group has given no result yet
        fresh = restart | early.group_first
        with m.If(early.conv):
            m.d.sync += restart.eq(fresh & ~early.result)
        with m.If(early.result):
            m.d.sync += next_index.eq(Mux(fresh, 0, next_index + 1))
        m.d.sync += index.eq(next_index)
        indices = [index]
        for _ in range(RowMemory.latency + 1):
            indices.append(Signal.like(index))
            m.d.sync += indices[-1].eq(indices[-2])
        m.d.comb += [
            param.w_en.eq(self.param_en),
            param.w_row.eq(self.load_row),
        ]
        param_row = conv.param_row
        if not config.in_order:
            param_row = Signal.like(conv.param_row)
            m.d.sync += param_row.eq(conv.param_row)
        reads_param = flags[ask].conv & flags[ask].first
        if self._is_serial:
            m.d.comb += [param.w_data.eq(self.load_data), param.bias_en.eq(reads_param)]
        else:
            m.d.comb += [
                param.w_data.eq(self.load_data[:param.column_width].replicate(param.columns)),
                param.r_en.eq(reads_param),
            ]
        m.d.comb += [
            param.r_row.eq(param_row),
            acc.r_en.eq(flags[ask].result & ~flags[ask].bias),
            acc.r_row.eq(index),
        ]
        sums = Signal(data.ArrayLayout(signed(config.acc_bits), config.out_lanes))
        # A pass of one position takes up the sum of the cycle before, not yet written.
        forward = Signal()
        m.d.sync += forward.eq(
            flags[at - 1].result & flags[at].result & (indices[1] == indices[2]))
        with m.If(flags[at].result):
            for lane in range(config.out_lanes):
                bias = param.bias[lane] if self._is_serial else (
                    lane_params(param, lane).bias[:config.acc_bits].as_signed())
                stored = acc.r_data.word_select(lane, config.acc_bits).as_signed()
                before = Mux(forward, sums[lane], stored)
                m.d.sync += sums[lane].eq(array.o[lane] + Mux(flags[at].bias, bias, before))
        kept = flags[at + 1].result & ~flags[at + 1].finish
        if config.dual_products:
            kept = kept & ~second_block(flags[at + 1])
        m.d.comb += [
            acc.w_en.eq(kept),
            acc.w_row.eq(indices[-1]),
            acc.w_data.eq(sums.as_value()),
        ]
        if self._second:
            self._second.accumulate(m, conv, flags, acc, forward)
        return sums

    def _window(self, m, row):
        """Shift the row just read into the window; mask the codes of other lines than a result's.

        A result that wraps has the codes from before the line, every other those of the line, of
        which a wide weight takes the newest only.
        """
        window, mask = self._array.window, self._array.mask
        seen = Signal(self._array.taps)  # codes of the window that are of the line
        seen_next = Cat(Const(1, 1), Mux(row.line_first, 0, seen))[:len(seen)]
        with m.If(row.conv & row.depthwise):
            m.d.sync += [
                seen.eq(seen_next), mask.eq(
                    Mux(row.wide, 1, seen_next ^ row.wrapped.replicate(len(seen))))]
        for lane in range(self.config.out_lanes):
            value = self.read_data.word_select(lane, self.config.data_bits)
            extended = Cat(value, value[-1] & row.signed).as_signed()
            entering = Mux(row.inside, extended, 0)
            for tap in range(self._array.taps):
                with m.If(row.conv & row.depthwise):
                    m.d.sync += window[tap][lane].eq(entering)
                entering = window[tap][lane]
