import numpy as np
import pytest

from arch.config import AcceleratorConfig
from arch.formats import divide_round, shift_round
from arch.timing import divide_group
from hw.vector_unit import VectorUnit

from .bench import simulate


LANES = 4
CONFIG = AcceleratorConfig("test", in_lanes=2, out_lanes=LANES, table_lanes=2, dram_width=4)


def run(groups, *, total, divide=False, signed=(1, 1), shift=(0, 0), gap=0):
    """Return the results of ``groups``: lists of (codes, inside, counted)."""
    dut = VectorUnit(CONFIG)
    results = []

    async def put(ctx):
        ctx.set(dut.op, {"sum": total, "max": not total})
        ctx.set(dut.divide, int(divide))
        for group in groups:
            for n, (codes, inside, counted) in enumerate(group):
                ctx.set(dut.valid, 1)
                ctx.set(dut.row, (np.asarray(codes) & 0xFF).tolist())
                ctx.set(dut.first, int(n == 0))
                ctx.set(dut.last, int(n == len(group) - 1))
                ctx.set(dut.inside, int(inside))
                ctx.set(dut.counted, int(counted))
                ctx.set(dut.signed, signed[n % 2])
                ctx.set(dut.factor, 1 << shift[n % 2])
                await ctx.tick()
            ctx.set(dut.valid, 0)
            for _ in range(gap):
                await ctx.tick()

    async def get(ctx):
        while len(results) < len(groups):
            await ctx.tick()
            if ctx.get(dut.o_valid):
                results.append(list(ctx.get(dut.o)))

    simulate(dut, put, get)
    return np.array(results)


@pytest.mark.parametrize("signed", [0, 1])
def test_maximum_skips_what_is_outside(signed):
    rng = np.random.default_rng(5)
    low, high = (-128, 128) if signed else (0, 256)
    groups, expected = [], []
    for size in (1, 2, 4, 9, 1, 3):
        codes = rng.integers(low, high, (size, LANES))
        inside = rng.random(size) < 0.6
        inside[rng.integers(size)] = True
        groups.append([(c, i, i) for c, i in zip(codes, inside)])
        expected.append(codes[inside].max(axis=0))
    np.testing.assert_array_equal(run(groups, total=False, signed=(signed, signed)), expected)


def test_sum_aligns_operands_of_different_sign():
    rng = np.random.default_rng(6)
    a, b = rng.integers(-128, 128, (20, LANES)), rng.integers(0, 256, (20, LANES))
    groups = [[(x, 1, 1), (y, 1, 1)] for x, y in zip(a, b)]
    actual = run(groups, total=True, signed=(1, 0), shift=(3, 1))
    np.testing.assert_array_equal(actual, (a << 3) + (b << 1))


def test_average_divides_by_what_is_counted():
    rng = np.random.default_rng(7)
    groups, sums, counts = [], [], []
    for size in (9, 5, 9, 6, 1, 7):
        codes = rng.integers(-128, 128, (size, LANES))
        inside = rng.random(size) < 0.7
        counted = inside | (rng.random(size) < 0.5)
        counted[0] = inside[0] = True
        groups.append(list(zip(codes, inside, counted)))
        sums.append((codes * inside[:, None]).sum(axis=0))
        counts.append(counted.sum())
    actual = run(groups, total=True, divide=True, gap=divide_group(8))
    np.testing.assert_array_equal(
        shift_round(actual, 2), divide_round(sums, np.array(counts)[:, None]))
