import random

import pytest

from arch.isa import Engine
from arch.registers import COUNTERS
from hw.counters import CounterBank

from .bench import simulate


class Model:
    """Counts by layer and engine."""

    def __init__(self):
        self.counts = {}

    def step(self, engine, status, waiting):
        if status["busy"]:
            row = self.counts.setdefault((engine, status["layer"]), [0] * 4)
            row[0] += 1
            row[2] += status["stall"]
            row[3] += status["moved"]
        elif waiting["valid"]:
            self.counts.setdefault((engine, waiting["layer"]), [0] * 4)[1] += 1


async def read(ctx, dut, engine, layer):
    while ctx.get(dut.busy):
        await ctx.tick()
    ctx.set(dut.engine, engine)
    ctx.set(dut.layer, layer)
    values = []
    for number in range(len(COUNTERS)):
        ctx.set(dut.number, number)
        for _ in range(CounterBank.latency):
            await ctx.tick()
        values.append(ctx.get(dut.value))
    return values


async def strobe(ctx, port):
    ctx.set(port, 1)
    await ctx.tick()
    ctx.set(port, 0)


async def idle(ctx, dut, cycles=6):
    for engine in Engine:
        ctx.set(dut.status[engine], {"layer": 3})
        ctx.set(dut.waiting[engine], {"layer": 5})
    for _ in range(cycles):
        await ctx.tick()


def random_cycles(rng, layers, change, cycles):
    """Return what the engines do in each cycle; what each is at changes with a chance."""
    doing = dict.fromkeys(Engine)
    for _ in range(cycles):
        for engine in Engine:
            if doing[engine] is None or rng.random() < change:
                doing[engine] = rng.choice(layers), rng.choice(layers), rng.randrange(2)
        yield {
            engine: (
                {"layer": layer, "busy": busy, "moved": busy & (moved := rng.randrange(2)),
                 "stall": busy & ~moved & 1},
                {"valid": rng.randrange(2), "layer": next_layer})
            for engine, (layer, next_layer, busy) in doing.items()
        }


async def count(ctx, dut, cycles, model):
    for cycle in cycles:
        for engine, (status, waiting) in cycle.items():
            ctx.set(dut.status[engine], status)
            ctx.set(dut.waiting[engine], waiting)
            model.step(engine, status, waiting)
        await ctx.tick()
    await idle(ctx, dut)
    await strobe(ctx, dut.finish)


@pytest.mark.parametrize(("depth", "layers", "change", "cycles"), [
    (8, 8, 0.05, 300), (64, 20, 0.05, 300), (2, 2, 0.1, 200), (16, 16, 0.002, 600),
    (32, 30, 1.0, 16),
])
def test_matches_model(depth, layers, change, cycles):
    """Each layer has its own cycles; a new run starts at zero."""
    rng = random.Random(layers)
    dut = CounterBank(depth)

    async def main(ctx):
        for run in range(3):
            model = Model()
            await strobe(ctx, dut.clear)
            await idle(ctx, dut, run)
            used = rng.sample(range(depth), layers - (layers > 2) * run)
            await count(ctx, dut, random_cycles(rng, used, change, cycles), model)
            for engine in Engine:
                for layer in range(depth):
                    assert await read(ctx, dut, engine, layer) == model.counts.get(
                        (engine, layer), [0] * 4), f"run {run}, {engine.name}, layer {layer}"

    simulate(dut, main)


@pytest.mark.parametrize("change", [0.3, 1.0])
def test_no_cycle_is_lost(change):
    """However fast the layers change: then a cycle may count for another layer."""
    dut = CounterBank(8)
    model = Model()

    async def main(ctx):
        await strobe(ctx, dut.clear)
        await count(ctx, dut, random_cycles(random.Random(4), range(8), change, 500), model)
        for engine in Engine:
            rows = [await read(ctx, dut, engine, layer) for layer in range(8)]
            expected = [row for (owner, _), row in model.counts.items() if owner == engine]
            assert [sum(n) for n in zip(*rows)] == [sum(n) for n in zip(*expected)], engine.name

    simulate(dut, main)


def test_no_such_engine_keeps_running():
    """Reading engine 3 does not disturb anything."""
    dut = CounterBank(4)

    async def main(ctx):
        ctx.set(dut.status[Engine.SAVE], {"layer": 2, "busy": 1, "moved": 1})
        for _ in range(10):
            await ctx.tick()
        await idle(ctx, dut)
        await strobe(ctx, dut.finish)
        await idle(ctx, dut)
        await read(ctx, dut, 3, 2)
        assert await read(ctx, dut, Engine.SAVE, 2) == [10, 0, 0, 10]

    simulate(dut, main)
