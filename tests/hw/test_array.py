import numpy as np
import pytest

from hw.array import MacArray

from .bench import simulate


@pytest.mark.parametrize(("in_lanes", "out_lanes"), [(1, 4), (2, 4), (8, 4)])
def test_matches_matmul(in_lanes, out_lanes):
    rng = np.random.default_rng(3)
    dut = MacArray(in_lanes=in_lanes, out_lanes=out_lanes, x_width=9, w_width=8)
    words = rng.integers(-256, 256, (40, in_lanes))
    words[:2] = [[-256] * in_lanes, [255] * in_lanes]
    tiles = rng.integers(-128, 128, (40, out_lanes, in_lanes))
    tiles[0] = -128
    loads = rng.random(40) < 0.4
    loads[0] = True
    held = np.maximum.accumulate(np.where(loads, np.arange(40), 0))
    expected = [(tiles[t] @ x).tolist() for t, x in zip(held, words)]
    actual = []

    async def drive(ctx):
        for n in range(40 + dut.latency):
            if n < 40:
                tile = tiles[n].astype(np.uint8).ravel()
                ctx.set(dut.x, words[n].tolist())
                ctx.set(dut.x_valid, 1)
                ctx.set(dut.w, int.from_bytes(tile.tobytes(), "little"))
                ctx.set(dut.load, int(loads[n]))
            else:
                ctx.set(dut.x_valid, 0)
                ctx.set(dut.load, 0)
            if n >= dut.latency:
                actual.append(list(ctx.get(dut.o)))
            await ctx.tick()

    simulate(dut, drive)
    assert actual == expected
