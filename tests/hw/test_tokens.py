import random
from collections import deque

import pytest
from amaranth import *
from amaranth.lib import wiring

from arch.isa import Engine, Opcode, encode
from hw.layouts import layout_of
from hw.tokens import TokenCounters, TokenGate

from .bench import simulate
from .streams import check_stream, drain, feed, watch


OPCODES = {Engine.LOAD: Opcode.LOAD, Engine.CALC: Opcode.VECTOR, Engine.SAVE: Opcode.SAVE}


def instruction(engine, **values):
    opcode = OPCODES[engine]
    layout = layout_of(opcode)
    word = int.from_bytes(encode(opcode, values), "little")
    payload = layout.from_bits(word & ((1 << layout.size) - 1))
    # The simulator sets a union from a dict only.
    return {"vector": payload} if engine == Engine.CALC else payload


def common(engine, payload):
    return payload.vector if engine == Engine.CALC else payload


class Gates(wiring.Component):
    """Three gates with their counters."""

    def __init__(self):
        self.counters = TokenCounters()
        self.gates = [TokenGate(engine) for engine in Engine]
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        m.submodules.counters = self.counters
        for gate in self.gates:
            m.submodules[gate.engine.name.lower()] = gate
            m.d.comb += [
                gate.available.eq(self.counters.available[gate.engine]),
                self.counters.take[gate.engine].eq(gate.take),
            ]
        return m


@pytest.mark.parametrize("seed", range(3))
def test_order(seed):
    """A chain LOAD -> CALC -> SAVE -> LOAD with two buffers keeps its order."""
    rng = random.Random(seed)
    dut = Gates()
    shares = [rng.choice((0.1, 0.5, 1)) for _ in Engine]
    events, started = [], {engine: deque() for engine in Engine}
    programs = {
        Engine.LOAD: deque(
            instruction(Engine.LOAD, layer=n, post=2, wait=4 if n >= 2 else 0) for n in range(20)),
        Engine.CALC: deque(instruction(Engine.CALC, layer=n, post=4, wait=1) for n in range(20)),
        Engine.SAVE: deque(instruction(Engine.SAVE, layer=n, post=1, wait=2) for n in range(20)),
    }

    def start(engine):
        def take(payload):
            fields = common(engine, payload)
            events.append((engine, "start", fields.layer))
            started[engine].append((fields.layer, fields.post))
        return take

    async def finish(ctx):
        while len(events) < 120:
            for engine in Engine:
                done = dut.counters.done[engine]
                ended = bool(started[engine]) and rng.random() < shares[engine]
                ctx.set(done.valid, ended)
                if ended:
                    layer, post = started[engine].popleft()
                    ctx.set(done.post, post)
                    events.append((engine, "done", layer))
                else:
                    ctx.set(done.post, rng.randrange(8))
            await ctx.tick()

    processes = []
    for gate in dut.gates:
        processes += [
            feed(gate.i, programs[gate.engine], rng, 0.7), check_stream(gate.o),
            drain(gate.o, start(gate.engine), rng, 0.7),
        ]
    simulate(dut, finish, processes=processes)
    at = {event: index for index, event in enumerate(events)}
    for n in range(20):
        assert at[Engine.CALC, "start", n] > at[Engine.LOAD, "done", n], f"seed {seed}"
        assert at[Engine.SAVE, "start", n] > at[Engine.CALC, "done", n], f"seed {seed}"
        if n >= 2:
            assert at[Engine.LOAD, "start", n] > at[Engine.SAVE, "done", n - 2], f"seed {seed}"


def test_counts():
    """Tokens add up and are taken one by one; giving and taking at once changes nothing."""
    dut = TokenCounters()

    async def main(ctx):
        async def cycle(give=0, take=0, clear=0):
            ctx.set(dut.done[Engine.SAVE].valid, give)
            ctx.set(dut.done[Engine.SAVE].post, 0b010)
            ctx.set(dut.take[Engine.CALC], take << Engine.SAVE)
            ctx.set(dut.clear, clear)
            await ctx.tick()
            return ctx.get(dut.available[Engine.CALC])

        for _ in range(255):
            assert await cycle(give=1) == 0b100
        for _ in range(5):
            assert await cycle(give=1, take=1) == 0b100
        for _ in range(254):
            assert await cycle(take=1) == 0b100
        assert await cycle(take=1) == 0
        assert await cycle(give=1, take=0) == 0b100
        assert await cycle(clear=1) == 0
        assert ctx.get(dut.available[Engine.LOAD]) == 0
        assert ctx.get(dut.available[Engine.SAVE]) == 0

    simulate(dut, main)


def test_post_is_ignored_without_valid():
    dut = TokenCounters()

    async def main(ctx):
        ctx.set(dut.done[Engine.LOAD].post, 7)
        await ctx.tick()
        assert not any(ctx.get(dut.available[engine]) for engine in Engine)

    simulate(dut, main)


def test_waits_for_all():
    """All tokens of the mask are taken at once, none before the last is there."""
    dut = TokenGate(Engine.CALC)
    taken = []

    async def main(ctx):
        ctx.set(dut.o.ready, 1)
        ctx.set(dut.i.payload, instruction(Engine.CALC, layer=77, wait=0b101))
        ctx.set(dut.i.valid, 1)
        for available in (0b000, 0b001, 0b110, 0b100):
            ctx.set(dut.available, available)
            waiting = ctx.get(dut.waiting)
            assert (waiting.valid, waiting.layer) == (1, 77)
            assert not ctx.get(dut.i.ready)
            await ctx.tick()
            assert not ctx.get(dut.o.valid)
        ctx.set(dut.available, 0b111)
        assert not ctx.get(dut.waiting.valid)
        await ctx.tick()
        ctx.set(dut.i.valid, 0)
        assert ctx.get(dut.o.valid)
        assert ctx.get(dut.o.payload).vector.layer == 77
        await ctx.tick()
        assert not ctx.get(dut.o.valid)

    simulate(dut, main, processes=(watch(dut.take.any(), taken.append, dut.take),))
    assert taken == [0b101]


def test_flush():
    """What waits is thrown away; what was offered stays offered."""
    dut = TokenGate(Engine.SAVE)
    dropped = []
    rng = random.Random(0)
    queue = deque(instruction(Engine.SAVE, layer=n, wait=0 if n < 2 else 1) for n in range(5))

    async def main(ctx):
        for _ in range(8):
            await ctx.tick()
        ctx.set(dut.flush, 1)
        for _ in range(8):
            await ctx.tick()
        assert ctx.get(dut.o.valid)
        assert ctx.get(dut.o.payload).layer == 0
        assert not ctx.get(dut.waiting.valid)

    simulate(dut, main, processes=(
        feed(dut.i, queue, rng), check_stream(dut.o),
        watch(dut.dropped, lambda: dropped.append(1)),
    ))
    assert len(dropped) == 4
    assert not queue
