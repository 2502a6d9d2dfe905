import numpy as np
import pytest

from arch.isa import pool_ends
from hw.pool_unit import PoolUnit

from .bench import simulate


LANES, DEPTH = 3, 16


def windows(size, kernel, stride, before, last):
    """Return the positions under each window of one axis."""
    count = len(pool_ends(size, kernel=kernel, stride=stride, before=before, first=True, last=last))
    starts = [number * stride - before for number in range(count)]
    return [range(max(0, start), min(size, start + kernel)) for start in starts]


def run(tiles, *, kernel, stride, before=(0, 0), last=(0, 0), signed=0, row=0, pause=0):
    """Return what comes of ``tiles``, lists of lines that follow each other."""
    dut = PoolUnit(lanes=LANES, code_width=8, depth=DEPTH)
    results = []
    steps = sum(len(line) for tile in tiles for line in tile)
    rng = np.random.default_rng(steps)

    async def put(ctx):
        y = before[0]
        for number, tile in enumerate(tiles):
            ctx.set(dut.load, 1)
            ctx.set(dut.geometry, {
                "kernel": kernel - 1, "stride": stride - 1, "x": before[1], "y": y,
                "first": int(number == 0), "right": last[1],
                "bottom": int(number == len(tiles) - 1 and last[0]), "row": row,
                "signed": signed})
            await ctx.tick()
            ctx.set(dut.load, 0)
            for n, line in enumerate(tile):
                for x, codes in enumerate(line):
                    ctx.set(dut.step, 1)
                    ctx.set(dut.line_last, int(x == len(line) - 1))
                    ctx.set(dut.in_last_line, int(n == len(tile) - 1))
                    await ctx.tick()
                    ctx.set(dut.step, 0)
                    ctx.set(dut.i, (codes & 0xFF).tolist())
                    if pause and rng.random() < 0.5:
                        await ctx.tick()
            y = (y + len(tile)) % stride
            for _ in range(4):
                await ctx.tick()
                ctx.set(dut.i, [0x7F] * LANES)

    async def get(ctx):
        async for _, _, valid, codes in ctx.tick().sample(dut.o_valid, dut.o):
            if valid:
                results.append([codes[lane] for lane in range(LANES)])

    simulate(dut, put, processes=(get,))
    dtype = np.int8 if signed else np.uint8
    return np.array(results, np.uint8).reshape(-1, LANES).view(dtype)


def expected(codes, *, kernel, stride, before, last):
    """Return the maximum over every window, line by line."""
    return np.array([
        codes[np.ix_(lines, columns)].max(axis=(0, 1))
        for lines in windows(codes.shape[0], kernel, stride, before[0], last[0])
        for columns in windows(codes.shape[1], kernel, stride, before[1], last[1])])


@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize(("kernel", "stride", "before", "last"), [
    (2, 2, (0, 0), (0, 0)), (3, 3, (0, 0), (0, 0)), (4, 4, (0, 0), (0, 0)),
    (3, 2, (0, 0), (0, 0)), (3, 2, (1, 1), (0, 0)), (4, 3, (0, 2), (0, 0)),
    (2, 1, (0, 0), (0, 0)), (1, 2, (0, 0), (0, 0)), (2, 3, (0, 0), (0, 0)),
    (2, 2, (1, 1), (1, 1)), (3, 2, (0, 1), (0, 1)), (4, 4, (3, 1), (1, 0)),
])
def test_every_window(kernel, stride, before, last, signed):
    rng = np.random.default_rng(kernel * 10 + stride)
    size = [9 + (1 if each else 0) for each in last]
    if kernel == 3 and last[1]:
        size[1] = 8 + before[1]
    low, high = (-128, 128) if signed else (0, 256)
    codes = rng.integers(low, high, (*size, LANES))
    options = {"kernel": kernel, "stride": stride, "before": before, "last": last}
    want = expected(codes, **options)
    assert len(want)
    for pause in (0, 1):
        np.testing.assert_array_equal(
            run([codes], **options, signed=signed, pause=pause), want)


@pytest.mark.parametrize("cuts", [[1], [2, 3], [1, 2, 3, 4, 5, 6]])
@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2), (4, 3), (2, 1)])
def test_lines_go_on_in_the_next_instruction(kernel, stride, cuts):
    codes = np.random.default_rng(3).integers(0, 256, (7, 7, LANES))
    options = {"kernel": kernel, "stride": stride, "before": (1 % stride, 0), "last": (0, 0)}
    np.testing.assert_array_equal(
        run(np.split(codes, cuts), **options, row=5), expected(codes, **options))


def test_latency():
    dut = PoolUnit(lanes=LANES, code_width=8, depth=DEPTH)
    seen = []

    async def put(ctx):
        ctx.set(dut.load, 1)
        ctx.set(dut.geometry, {"kernel": 0, "stride": 1, "first": 1})
        await ctx.tick()
        ctx.set(dut.load, 0)
        ctx.set(dut.step, 1)
        for _ in range(dut.latency + 1):
            seen.append(ctx.get(dut.o_valid))
            await ctx.tick()
            ctx.set(dut.step, 0)

    simulate(dut, put)
    assert seen == [0] * dut.latency + [1]
