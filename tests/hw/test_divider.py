import numpy as np

from arch.formats import divide_round, shift_round
from hw.divider import Divider

from .bench import simulate


def test_matches_model():
    rng = np.random.default_rng(2)
    dut = Divider(lanes=4, width=32, count_width=16)
    counts = np.concatenate([np.arange(1, 60), rng.integers(1, 5000, 40)])
    means = rng.integers(-4000, 4000, (len(counts), 4))
    sums = means * counts[:, None] + rng.integers(0, counts[:, None], (len(counts), 4))
    sums[::5] = (counts[::5, None] * (2 * means[::5] + 1)) // 2  # ties where the count is even
    quotients = []

    async def drive(ctx):
        for row, count in zip(sums.tolist(), counts.tolist()):
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            ctx.set(dut.i, row)
            ctx.set(dut.count, count)
            for cycle in range(1, dut.latency + 1):
                assert ctx.get(dut.o_valid) == (cycle == dut.latency)
                if cycle < dut.latency:
                    await ctx.tick()
            quotients.append(list(ctx.get(dut.o)))
            await ctx.tick()

    simulate(dut, drive)
    for shift in (0, 1, 3):
        np.testing.assert_array_equal(
            shift_round(quotients, 2 + shift), divide_round(sums, counts[:, None], shift))
