import numpy as np
import pytest

from arch.isa import Products
from hw.array import MacArray
from hw.dual_array import DualMacArray

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
        ctx.set(dut.x_soon, 1)
        await ctx.tick()
        for n in range(40 + dut.latency):
            ctx.set(dut.x_soon, n + 1 < 40)
            if n < 40:
                tile = tiles[n].astype(np.uint8).ravel()
                ctx.set(dut.x, words[n].tolist())
                ctx.set(dut.w, int.from_bytes(tile.tobytes(), "little"))
                ctx.set(dut.load, int(loads[n]))
            else:
                ctx.set(dut.load, 0)
            if n >= dut.latency:
                actual.append(list(ctx.get(dut.o)))
            await ctx.tick()

    simulate(dut, drive)
    assert actual == expected


@pytest.mark.parametrize("products", list(Products))
@pytest.mark.parametrize(("in_lanes", "out_lanes"), [(1, 4), (2, 4), (8, 4), (32, 4)])
def test_two_products(in_lanes, out_lanes, products):
    rng = np.random.default_rng(int(products))
    dut = DualMacArray(in_lanes=in_lanes, out_lanes=out_lanes)
    count = 40
    words = rng.integers(-256, 256, (count, in_lanes))
    low = rng.integers(-8, 8, (count, out_lanes, in_lanes))
    high = rng.integers(-8, 8, (count, out_lanes, in_lanes))
    words[:4] = np.array([-256, 255, -256, 255])[:, None]
    low[0], high[0], low[2], high[2], low[3] = -8, -8, 7, -8, -8
    loads, firsts = rng.random((2, count)) < 0.4
    loads[:4] = firsts[0] = True
    one = products in (Products.ONE, Products.SECOND)
    if one:
        tiles = (16 * high + (low & 15)).astype(np.uint8)
    else:
        tiles = (16 * high + low + 8).astype(np.uint8)
    held = np.maximum.accumulate(np.where(loads, np.arange(count), 0))
    wide = tiles.astype(np.int8).astype(int)
    expected, before = [], None
    for n, x in enumerate(words):
        sums, second = low[held[n]] @ x, high[held[n]] @ x
        if one:
            sums = wide[held[n]] @ x
        elif products == Products.TAPS and not firsts[n]:
            sums = sums + before
        before = second
        expected.append((sums.tolist(), second.tolist()))
    actual = []

    async def drive(ctx):
        ctx.set(dut.products, products.value)
        ctx.set(dut.x_soon, 1)
        await ctx.tick()
        for n in range(count + dut.latency):
            ctx.set(dut.x_soon, n + 1 < count)
            ctx.set(dut.load, 0)
            if n < count:
                ctx.set(dut.x, words[n].tolist())
                ctx.set(dut.w, int.from_bytes(tiles[n].tobytes(), "little"))
                ctx.set(dut.load, int(loads[n]))
                ctx.set(dut.line_first, int(firsts[n]))
            if n >= dut.latency:
                actual.append((list(ctx.get(dut.o)), list(ctx.get(dut.o_second))))
            await ctx.tick()

    simulate(dut, drive)
    if one:
        expected, actual = ([sums for sums, _ in found] for found in (expected, actual))
    assert actual == expected


@pytest.mark.parametrize("kind", ["plain", "dual"])
@pytest.mark.parametrize("in_lanes", [2, 4, 8, 32])
def test_weights_of_two_codes(kind, in_lanes):
    """Every power of two as a weight of the newest code, between ordinary tiles."""
    rng = np.random.default_rng(in_lanes)
    lanes = {"in_lanes": in_lanes, "out_lanes": 4, "taps": 2}
    dut = DualMacArray(**lanes) if kind == "dual" else MacArray(**lanes, x_width=9, w_width=8)
    count = 48
    wide = np.arange(count) % 3 > 0
    windows = rng.integers(-256, 256, (count, 2, 4))
    windows[:3] = np.array([-256, 255, -256])[:, None, None]
    tiles = np.zeros((count, 4, in_lanes), np.int64)
    tiles[:, :, :2] = rng.integers(-128, 128, (count, 4, 2))
    factors = 1 << rng.integers(0, 15, (count, 4))
    factors[:3], factors[3:6] = 1 << 14, -(1 << 15)
    tiles[wide, :, 0] = (factors & 255)[wide]
    tiles[wide, :, 1] = (factors >> 8)[wide]
    expected = [
        (factors[n] * windows[n, 0] if wide[n] else
         (tiles[n, :, :2].T * windows[n]).sum(0)).tolist() for n in range(count)]
    actual = []

    async def drive(ctx):
        ctx.set(dut.load, 1)
        ctx.set(dut.x_soon, 1)
        await ctx.tick()
        for n in range(count + dut.latency):
            ctx.set(dut.x_soon, n + 1 < count)
            if n < count:
                ctx.set(dut.depthwise, 1)
                ctx.set(dut.mask, 1 if wide[n] else 3)
                ctx.set(dut.window, windows[n].tolist())
                ctx.set(dut.x, rng.integers(-256, 256, in_lanes).tolist())
                ctx.set(dut.wide, int(wide[n]))
                ctx.set(dut.w, int.from_bytes(tiles[n].astype(np.uint8).tobytes(), "little"))
            if n >= dut.latency:
                actual.append(list(ctx.get(dut.o)))
            await ctx.tick()

    simulate(dut, drive)
    assert actual == expected
