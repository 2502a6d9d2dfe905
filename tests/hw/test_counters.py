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
    ctx.set(dut.engine, engine)
    ctx.set(dut.layer, layer)
    for _ in range(CounterBank.latency):
        await ctx.tick()
    return [ctx.get(dut.values[number]) for number in range(len(COUNTERS))]


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


@pytest.mark.parametrize(("depth", "layers", "change"), [
    (8, 8, 0.3), (128, 3, 1.0), (2, 2, 0.9), (16, 16, 0.02),
])
def test_matches_model(depth, layers, change):
    """No cycle is lost, however fast the layers change; a new run starts at zero."""
    rng = random.Random(layers)
    dut = CounterBank(depth)

    async def main(ctx):
        for run in range(3):
            model = Model()
            await strobe(ctx, dut.clear)
            await idle(ctx, dut, run)
            current = {engine: [0, 0] for engine in Engine}
            used = rng.sample(range(depth), layers) if run else list(range(layers))
            for _ in range(120):
                for engine in Engine:
                    for port in range(2):
                        if rng.random() < change:
                            current[engine][port] = rng.choice(used[:layers - run % 2])
                    busy, moved = rng.randrange(2), rng.randrange(2)
                    status = {
                        "layer": current[engine][0], "busy": busy, "moved": busy & moved,
                        "stall": busy & ~moved & 1}
                    waiting = {"valid": rng.randrange(2), "layer": current[engine][1]}
                    ctx.set(dut.status[engine], status)
                    ctx.set(dut.waiting[engine], waiting)
                    model.step(engine, status, waiting)
                await ctx.tick()
            await idle(ctx, dut)
            await strobe(ctx, dut.finish)
            await idle(ctx, dut)
            for engine in Engine:
                for layer in range(depth):
                    assert await read(ctx, dut, engine, layer) == model.counts.get(
                        (engine, layer), [0] * 4), f"run {run}, {engine.name}, layer {layer}"

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
