"""When CALC takes an instruction, and when it is done."""

from amaranth import *
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from arch.isa import Engine, Opcode, VectorOp

from .layouts import Done, Status, instruction_layout


__all__ = (
    "CalcIssuer",
    "InOrderCalcIssuer",
)


class _Issuer(wiring.Component):
    """Ports of both issuers."""

    def __init__(self, config, *, done_stage, slow_done_stage):
        self._config = config
        self._done_stage = done_stage
        self._slow_done_stage = slow_done_stage
        super().__init__({
            "instructions": In(stream.Signature(instruction_layout(Engine.CALC))),
            "stop": In(1),
            "running": In(1),
            "last": In(1),
            "moved": In(1),
            "start": Out(1),
            "code": Out(instruction_layout(Engine.CALC)),
            "is_vector": Out(1),
            "done": Out(Done),
            "status": Out(Status),
        })


class CalcIssuer(_Issuer):
    """Take instructions one behind the other, while results of those before are on their way.

    Parameters
    ----------
    config : AcceleratorConfig
        Sizes.
    done_stage, slow_done_stage : int
        Cycles after a step at which its result can be read: without, and with a division or table.

    Members
    -------
    instructions : In(stream.Signature(instruction_layout(Engine.CALC)))
        CONV and VECTOR instructions whose tokens have been taken.
    stop : In(1)
        Drop the instruction under way, and those that come.
    running, last, moved : In(1)
        The sequencer has steps left; this is its last one; it gives a step.
    start : Out(1)
        Strobe for the sequencer: begin with ``code``.
    code : Out(instruction_layout(Engine.CALC))
        The instruction under way.
    is_vector : Out(1)
        It is a VECTOR, not a CONV.
    done : Out(Done)
        One instruction has written all its results.
    status : Out(Status)
        What this cycle counts as.
    """

    def elaborate(self, platform):
        m = Module()
        conv = self.code.conv
        m.d.comb += self.is_vector.eq(_is_vector(self.code, self._config))
        slow = Signal()
        age = Signal(range(self._done_stage + 1))       # cycles since the last start, saturating
        drain = Signal(range(self._slow_done_stage + 1))  # cycles until nothing is inside
        young, inside = Signal(), Signal()               # whether they are not 0
        start = Signal()
        ended = Signal()
        head_vector, head_slow = Signal(), Signal()
        head = self.instructions.payload
        m.d.comb += [
            head_vector.eq(_is_vector(head, self._config)),
            head_slow.eq(_is_slow(head, head_vector)),
        ]
        # Results of different kinds take different ways; they must not meet.
        mixed = (head_vector ^ self.is_vector) | slow | head_slow
        ready = (
            ~self.running & ~ended & ~start & ~young
            & ((~head.vector.fence & ~mixed) | ~inside))
        # One cycle later than possible, so that MIN_GROUP cycles lie between the last step and the
        # first, which may take up its sum.
        m.d.sync += ended.eq(self.last)
        taken = self.instructions.valid & ready
        m.d.comb += [self.instructions.ready.eq(ready), self.start.eq(start)]
        m.d.sync += start.eq(taken)
        with m.If(taken):
            m.d.sync += [
                self.code.eq(head), slow.eq(head_slow), age.eq(self._done_stage), young.eq(1)]
        with m.Elif(young):
            m.d.sync += [age.eq(age - 1), young.eq(age != 1)]
        with m.If(start | self.running):
            m.d.sync += [
                drain.eq(Mux(slow, self._slow_done_stage, self._done_stage)), inside.eq(1)]
        with m.Elif(inside):
            m.d.sync += [drain.eq(drain - 1), inside.eq(drain != 1)]

        pending = fifo.SyncFIFO(width=15, depth=4)
        m.submodules.pending = ResetInserter(self.stop)(pending)
        last = Signal(self._slow_done_stage)
        skipped = self._slow_done_stage - self._done_stage
        shifted = Signal.like(last)
        m.d.comb += [
            shifted.eq(Cat(self.last & slow, last)),
            pending.w_en.eq(start),
            pending.w_data.eq(Cat(conv.layer, conv.post)),
            pending.r_en.eq(last[-1]),
            self.done.valid.eq(last[-1]),
            Cat(self.done.layer, self.done.post).eq(pending.r_data),
            self.status.layer.eq(conv.layer),
            self.status.busy.eq(start | self.running | inside),
            self.status.moved.eq(self.moved),
            self.status.stall.eq(self.status.busy & ~self.moved),
        ]
        m.d.sync += last.eq(shifted | ((self.last & ~slow) << skipped))
        return m


class InOrderCalcIssuer(_Issuer):
    """Take an instruction when the one before is done.

    Parameters and members are those of :class:`CalcIssuer`, but that the payload of
    ``instructions`` must stay until ``done``: ``code`` is no register.
    """

    def elaborate(self, platform):
        m = Module()
        conv = self.code.conv
        m.d.comb += [
            self.code.eq(self.instructions.payload),
            self.is_vector.eq(_is_vector(self.code, self._config)),
        ]
        slow = _is_slow(self.code, self.is_vector)
        busy, start = Signal(), Signal()
        drain = Signal(range(self._slow_done_stage + 1))  # cycles until nothing is inside
        m.d.comb += [
            self.instructions.ready.eq(~busy),
            self.start.eq(start),
            self.done.valid.eq(busy & ~start & ~self.running & (drain == 1)),
            self.done.layer.eq(conv.layer),
            self.done.post.eq(conv.post),
            self.status.layer.eq(conv.layer),
            self.status.busy.eq(busy),
            self.status.moved.eq(self.moved),
            self.status.stall.eq(busy & ~self.moved),
        ]
        m.d.sync += start.eq(self.instructions.valid & ~busy & ~self.stop)
        with m.If(start | self.running):
            m.d.sync += drain.eq(Mux(slow, self._slow_done_stage, self._done_stage))
        with m.Elif(drain != 0):
            m.d.sync += drain.eq(drain - 1)
        with m.If(self.instructions.valid & self.instructions.ready):
            m.d.sync += busy.eq(1)
        with m.If(self.done.valid | self.stop):
            m.d.sync += busy.eq(0)
        return m


def _is_vector(code, config):
    """Return whether an instruction of CALC is a VECTOR, of which there may be none, not a CONV.

    One bit of the opcode says it.
    """
    bit = (Opcode.VECTOR ^ Opcode.CONV).bit_length() - 1
    return code.vector.opcode[bit] if config.vector_unit else C(0, 1)


def _is_slow(code, is_vector):
    """Return whether results of an instruction come after a division or a table."""
    vector = code.vector
    return is_vector & (vector.divide | (vector.op == VectorOp.TABLE.value))
