import numpy as np
import pytest

from arch.formats import Rounding, requantize
from hw.serial_requantizer import SerialRequantizer

from .bench import simulate


LANES = 4


def run(values, shifts, lo, hi, *, width, pause=0, rounding=Rounding.HALF_EVEN):
    """Return the codes of ``values`` (n, LANES); ``shifts`` and ``hi`` have a number a lane."""
    dut = SerialRequantizer(
        lanes=LANES, width=width, acc_width=24, code_width=8, rounding=rounding)
    codes, latencies, clock, given = [], [], [0], []

    async def put(ctx):
        ctx.set(dut.lo, lo)
        for row in values.tolist():
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            ctx.set(dut.acc, row)
            given.append(clock[0] + 1)
            await ctx.tick()
            ctx.set(dut.acc, [0x5A5A] * LANES)
            for _ in range(dut.steps - 2 + pause):
                await ctx.tick()
        for _ in range(dut.latency):
            await ctx.tick()

    async def parameters(ctx):
        parts = []
        while True:
            _, _, ask, part = await ctx.tick().sample(dut.ask, dut.part)
            parts = [*parts[-1:], part if ask else None]
            if len(parts) == 2 and parts[0] is not None:
                lanes = slice(parts[0] * width, (parts[0] + 1) * width)
                ctx.set(dut.shift, shifts[lanes])
                ctx.set(dut.hi, hi[lanes])
            else:
                ctx.set(dut.shift, [31] * width)
                ctx.set(dut.hi, [0] * width)

    async def get(ctx):
        while True:
            _, _, valid, row = await ctx.tick().sample(dut.o_valid, dut.o)
            if valid:
                codes.append(list(row))
                latencies.append(clock[0] - given[len(codes) - 1])
            clock[0] += 1

    simulate(dut, put, processes=(parameters, get))
    assert set(latencies) == {dut.latency}
    return np.array(codes)


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize(("width", "pause"), [(1, 0), (1, 3), (2, 0), (2, 1)])
def test_matches_model(width, pause, rounding):
    rng = np.random.default_rng(1)
    values = rng.integers(-300, 300, (40, LANES)) << rng.integers(0, 15, (40, LANES))
    shifts, hi = [0, 3, 9, 14], [127, 64, 100, 7]
    actual = run(values, shifts, -128, hi, width=width, pause=pause, rounding=rounding)
    expected = requantize(values, np.array(shifts), -128, np.array(hi), rounding)
    np.testing.assert_array_equal(actual, expected & 0xFF)
