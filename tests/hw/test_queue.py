# amaranth: UnusedElaboratable=no
import random
from collections import deque

import pytest

from hw.queue import StreamBuffer, StreamQueue

from .bench import simulate
from .streams import check_stream, drain, feed


def run(dut, values, shares, seed=0):
    """Pass ``values`` through; return cycles."""
    rng = random.Random(seed)
    got, cycles = [], [0]

    async def main(ctx):
        while len(got) < len(values):
            await ctx.tick()
            cycles[0] += 1
        for _ in range(5):
            await ctx.tick()

    simulate(dut, main, processes=(
        feed(dut.i, deque(values), rng, shares[0]), drain(dut.o, got.append, rng, shares[1]),
        check_stream(dut.o),
    ))
    assert got == values, f"seed {seed}"
    return cycles[0]


def components():
    return (
        StreamBuffer(12), StreamQueue(12, 1), StreamQueue(12, 2), StreamQueue(12, 8),
        StreamQueue(12, 9, buffered=True),
    )


@pytest.mark.parametrize("shares", [(1, 1), (0.5, 0.5), (0.2, 1), (1, 0.2)], ids=str)
def test_order(shares):
    rng = random.Random(1)
    for dut in components():
        run(dut, [rng.randrange(1 << 12) for _ in range(60)], shares)


def test_throughput():
    for dut in (StreamBuffer(12), StreamQueue(12, 2), StreamQueue(12, 8, buffered=True)):
        assert run(dut, list(range(100)), (1, 1)) <= 104


@pytest.mark.parametrize("depth", [2, 8])
def test_depth(depth):
    dut = StreamBuffer(4) if depth == 2 else StreamQueue(4, depth)
    queue = deque(range(12))

    async def main(ctx):
        for _ in range(20):
            await ctx.tick()

    simulate(dut, main, processes=(feed(dut.i, queue, random.Random(0)),))
    # The feeder holds one more.
    assert len(queue) == 12 - depth - 1


def test_depth_0():
    with pytest.raises(ValueError, match="^Queue depth must be at least 1, not 0$"):
        StreamQueue(4, 0)
