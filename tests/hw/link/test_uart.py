# amaranth: UnusedElaboratable=no
import random
from collections import deque

import pytest

from hw.link import UARTReceiver, UARTTransmitter

from ..bench import simulate
from ..streams import feed, watch


def receive(divisor, levels):
    """Return the bytes, and ``None`` for each error, that a line of (level, cycles) gives."""
    dut = UARTReceiver(divisor=divisor)
    found = []

    async def testbench(ctx):
        for level, cycles in (*levels, (1, 12 * divisor)):
            ctx.set(dut.rx, level)
            await ctx.tick().repeat(cycles)

    total = sum(cycles for _, cycles in levels) + 20 * divisor
    simulate(dut, testbench, max_cycles=total, processes=(
        watch(dut.valid, found.append, dut.data), watch(dut.error, lambda: found.append(None))))
    return found


def frame(byte, *, cycles, stop=1):
    """Return the levels of a byte, its bits of ``cycles`` on average."""
    bits = (0, *(byte >> place & 1 for place in range(8)), stop)
    ends = [round(cycles * number) for number in range(11)]
    return [(bit, end - begin) for bit, begin, end in zip(bits, ends, ends[1:])]


def line(data, *, cycles):
    return [level for byte in data for level in frame(byte, cycles=cycles)]


@pytest.mark.parametrize("divisor", [4, 5, 7, 16])
def test_bytes_without_pauses(divisor):
    data = random.Random(divisor).randbytes(24) + b"\x00\xff\x00"
    assert receive(divisor, line(data, cycles=divisor)) == list(data)


@pytest.mark.parametrize("cycles", [15.4, 16.6])
def test_other_clock(cycles):
    # Three and a half percent off, with no pause in which to catch up.
    data = random.Random(1).randbytes(40)
    assert receive(16, line(data, cycles=cycles)) == list(data)


def test_spikes_are_outvoted():
    rng = random.Random(2)
    data = rng.randbytes(16)
    levels = []
    for number, (level, cycles) in enumerate(line(data, cycles=16)):
        spike, at = rng.randint(0, 5) * (number % 10 < 9), rng.randint(2, 9)
        levels += [(level, at), (1 - level, spike), (level, cycles - at - spike)]
    assert receive(16, [entry for entry in levels if entry[1]]) == list(data)


def test_short_low_is_no_start():
    assert receive(8, [(0, 3), (1, 40), *frame(0x5A, cycles=8)]) == [0x5A]


def test_missing_stop_bit():
    broken = [*frame(0xFF, cycles=8, stop=0), (1, 8)]
    assert receive(8, [*broken, *frame(0x3C, cycles=8)]) == [None, 0x3C]


def test_line_that_stays_low():
    assert receive(8, [(0, 500), (1, 8), *frame(0x3C, cycles=8)]) == [None, 0x3C]


@pytest.mark.parametrize("divisor", [4, 9])
def test_transmitter(divisor):
    dut = UARTTransmitter(divisor=divisor)
    data = random.Random(divisor).randbytes(12)
    seen = []

    async def testbench(ctx):
        for byte in data:
            ctx.set(dut.i.payload, byte)
            ctx.set(dut.i.valid, 1)
            await ctx.tick().until(dut.i.ready)
        ctx.set(dut.i.valid, 0)
        await ctx.tick().repeat(12 * divisor)

    async def look(ctx):
        async for _, _, level in ctx.tick().sample(dut.tx):
            seen.append(level)

    simulate(dut, testbench, processes=(look,))
    bits = [bit for byte in data for bit, _ in frame(byte, cycles=divisor)]
    wave = [bit for bit in bits for _ in range(divisor)]
    start = seen.index(0)
    assert seen[start:start + len(wave)] == wave
    assert set(seen[start + len(wave):]) == {1}


def test_transmitter_feeds_receiver():
    # What one end sends without pauses the other one takes.
    dut = UARTTransmitter(divisor=4)
    rng = random.Random(5)
    data = list(rng.randbytes(20))
    queue, seen = deque(data), []

    async def testbench(ctx):
        await ctx.tick().repeat(20 * 45)

    async def look(ctx):
        async for _, _, level in ctx.tick().sample(dut.tx):
            seen.append((level, 1))

    simulate(dut, testbench, processes=(look, feed(dut.i, queue, rng)))
    assert receive(4, seen) == data


def test_divisor_is_checked():
    for component in (UARTReceiver, UARTTransmitter):
        with pytest.raises(ValueError, match="^Divisor must be at least 4, not 3$"):
            component(divisor=3)
