import numpy as np
import pytest

from arch.formats import Rounding, requantize
from hw.requantizer import Requantizer

from .bench import simulate


LANES = 4


def run(values, shifts, lo, hi, rounding, acc_width=32, code_width=8):
    """Return the codes of ``values`` (n, LANES) through the component."""
    dut = Requantizer(
        lanes=LANES, acc_width=acc_width, code_width=code_width, rounding=rounding)
    codes = []

    async def put(ctx):
        ctx.set(dut.lo, lo)
        ctx.set(dut.hi, np.broadcast_to(hi, LANES).tolist())
        for row, shift in zip(values.tolist(), shifts.tolist()):
            ctx.set(dut.valid, 1)
            ctx.set(dut.acc, row)
            ctx.set(dut.shift, shift)
            await ctx.tick()
        ctx.set(dut.valid, 0)
        for _ in range(dut.latency):
            await ctx.tick()

    async def get(ctx):
        latency = 0
        while len(codes) < len(values):
            await ctx.tick()
            latency += 1
            if ctx.get(dut.o_valid):
                assert codes or latency == dut.latency
                codes.append(list(ctx.get(dut.o)))

    simulate(dut, put, get)
    return np.array(codes)


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize(("lo", "hi"), [(-128, 127), (0, 255), (0, 96), (-7, 5)])
def test_matches_model(rounding, lo, hi):
    rng = np.random.default_rng(1)
    shifts = rng.integers(0, 32, (200, LANES))
    values = rng.integers(-300, 300, (200, LANES)) << rng.integers(0, 23, (200, LANES))
    assert values.min() < -2**24
    assert values.max() > 2**24
    actual = run(values, shifts, lo, hi, rounding)
    np.testing.assert_array_equal(actual, requantize(values, shifts, lo, hi, rounding) & 0xFF)


def test_bounds_of_lanes():
    values = np.random.default_rng(2).integers(-3000, 3000, (100, LANES))
    shifts = np.full_like(values, 3)
    for lo, hi in ((0, [0, 7, 200, 255]), (-128, [-100, 0, 64, 127])):
        actual = run(values, shifts, lo, hi, Rounding.HALF_EVEN)
        np.testing.assert_array_equal(actual, requantize(values, shifts, lo, hi) & 0xFF)


@pytest.mark.parametrize("rounding", list(Rounding))
def test_every_tie_and_its_neighbours(rounding):
    values = np.array([
        [sign * (((2 * n + 1) << shift >> 1) + d) for d in (-1, 0, 1, 2)]
        for shift in (1, 2, 7, 8, 9, 16) for n in range(4) for sign in (-1, 1)
    ])
    shifts = np.repeat([1, 2, 7, 8, 9, 16], 8)[:, None].repeat(LANES, axis=1)
    actual = run(values, shifts, -128, 127, rounding)
    np.testing.assert_array_equal(actual, requantize(values, shifts, -128, 127, rounding) & 0xFF)


def test_extremes():
    values = np.array([[-2**31, 2**31 - 1, -2**31, 2**31 - 1]] * 32)
    shifts = np.arange(32)[:, None].repeat(LANES, axis=1)
    actual = run(values, shifts, -128, 127, Rounding.HALF_EVEN)
    np.testing.assert_array_equal(actual, requantize(values, shifts, -128, 127) & 0xFF)


@pytest.mark.parametrize(("lo", "hi"), [(-2**15, 2**15 - 1), (0, 2**16 - 1), (-300, 70)])
def test_wide(lo, hi):
    rng = np.random.default_rng(3)
    shifts = rng.integers(0, 32, (200, LANES))
    values = rng.integers(-70_000, 70_000, (200, LANES)) << rng.integers(0, 31, (200, LANES))
    values[0] = -2**47, 2**47 - 1, -2**47, 2**47 - 1
    actual = run(values, shifts, lo, hi, Rounding.HALF_EVEN, acc_width=48, code_width=16)
    np.testing.assert_array_equal(actual, requantize(values, shifts, lo, hi) & 0xFFFF)
