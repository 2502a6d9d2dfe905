"""Tokens: what orders engines that otherwise run on their own."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from arch.isa import Engine
from arch.timing import TOKEN_COUNT

from .layouts import Done, Waiting, common_fields, instruction_layout


__all__ = (
    "TokenCounters",
    "TokenGate",
)


class TokenGate(wiring.Component):
    """Hold back an engine's instructions until the tokens they wait for are there.

    Latency is one cycle; throughput is one instruction in two cycles: tokens are taken in the
    cycle after the one in which it is accepted, and no engine's word goes back to the queue.

    Parameters
    ----------
    engine : Engine
        Engine behind the gate.

    Members
    -------
    i : In(stream(instruction_layout(engine)))
        Instructions from the queue.
    o : Out(stream(instruction_layout(engine)))
        Instructions that may start.
    available : In(3)
        Bit e: a token from engine e is there.
    take : Out(3)
        Bit e: strobe, one token from engine e is taken.
    flush : In(1)
        Throw away what comes in.
    dropped : Out(1)
        Strobe: an instruction has been thrown away.
    waiting : Out(Waiting)
        Whether the next instruction lacks a token.
    """

    def __init__(self, engine):
        self._engine = Engine(engine)
        layout = instruction_layout(self._engine)
        super().__init__({
            "i": In(stream.Signature(layout)),
            "o": Out(stream.Signature(layout)),
            "available": In(len(Engine)),
            "take": Out(len(Engine)),
            "flush": In(1),
            "dropped": Out(1),
            "waiting": Out(Waiting),
        })

    @property
    def engine(self):
        """Engine behind the gate."""
        return self._engine

    def elaborate(self, platform):
        m = Module()
        common = common_fields(self.i.payload)
        missing = Signal()
        free = ~self.o.valid
        m.d.sync += self.take.eq(0)
        m.d.comb += [
            missing.eq((common.wait & ~self.available).any()),
            self.waiting.valid.eq(self.i.valid & missing & ~self.flush),
            self.waiting.layer.eq(common.layer),
            self.dropped.eq(self.i.valid & self.flush),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        # Whatever is offered comes in, for the sake of the clock: it counts with ``o.valid``.
        with m.If(free):
            m.d.sync += self.o.payload.eq(self.i.payload)
        with m.If(self.flush):
            m.d.comb += self.i.ready.eq(1)
        with m.Elif(self.i.valid & ~missing & free):
            m.d.comb += self.i.ready.eq(1)
            m.d.sync += [
                self.take.eq(common.wait),
                self.o.valid.eq(1),
            ]
        return m


class TokenCounters(wiring.Component):
    """One counter of tokens for each ordered pair of engines.

    A token given can be taken from the next cycle on. A counter holds up to 255 tokens; the
    compiler must not let it overflow.

    Members
    -------
    clear : In(1)
        Strobe: forget all tokens.
    done : In(ArrayLayout(Done, 3))
        By giving engine: ``post`` says to whom one token is given.
    take : In(ArrayLayout(3, 3))
        By taking engine: bit e takes one token from engine e, which must be there.
    available : Out(ArrayLayout(3, 3))
        By taking engine: bit e says that a token from engine e is there.
    """

    counter_width = TOKEN_COUNT.bit_length()

    def __init__(self):
        masks = data.ArrayLayout(len(Engine), len(Engine))
        super().__init__({
            "clear": In(1),
            "done": In(data.ArrayLayout(Done, len(Engine))),
            "take": In(masks),
            "available": Out(masks),
        })

    def elaborate(self, platform):
        m = Module()
        for source in Engine:
            for target in Engine:
                counter = Signal(self.counter_width, name=f"{source.name}_{target.name}".lower())
                give = self.done[source].valid & self.done[source].post[target]
                take = self.take[target][source]
                m.d.comb += self.available[target][source].eq(counter != 0)
                with m.If(self.clear):
                    m.d.sync += counter.eq(0)
                with m.Elif(give ^ take):
                    # One more or one less, in one adder.
                    m.d.sync += counter.eq(
                        counter + Cat(C(1, 1), take.replicate(self.counter_width - 1)))
        return m
