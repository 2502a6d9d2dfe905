# amaranth: UnusedElaboratable=no
import random

import pytest

from hw.tops import BlockMemory

from ..bench import simulate
from ..link.masters import Master, run_scripts


def beats_of(data, beat):
    return [int.from_bytes(data[n:n + beat], "little") for n in range(0, len(data), beat)]


def wait_for(master, count):
    """Return a script that ends when so many bursts have been read."""
    def script(ctx):
        while len(master.bursts) < count:
            yield
    return script


@pytest.mark.parametrize(("data_width", "share"), [(32, 1.0), (32, 0.4), (64, 0.7)])
def test_reads_what_was_written(data_width, share):
    # Both directions at once: reads follow writes a few bursts behind.
    rng = random.Random(data_width + int(10 * share))
    beat = data_width // 8
    size = 24 * 9 * beat  # no power of two
    dut = BlockMemory(data_width=data_width, id_width=2, size=size)
    master = Master(dut.axi, rng, share=share)
    bursts, address = [], 0
    while address < size:
        length = min(rng.randint(1, 16), (size - address) // beat)
        bursts.append((address, [rng.getrandbits(data_width) for _ in range(length)],
                       rng.randrange(4)))
        address += length * beat

    def reads(ctx):
        for number, (address, beats, identifier) in enumerate(bursts):
            while len(master.responses) <= number:
                yield
            yield from master.request_reads(ctx, [(address, len(beats), identifier)])

    simulate(dut, run_scripts(
        wait_for(master, len(bursts)), lambda ctx: master.write(ctx, bursts), reads,
        master.take_reads))
    assert master.responses == [(number, 0) for _, _, number in bursts]
    assert master.bursts == [
        (number, beats, [0] * len(beats)) for _, beats, number in bursts]


def test_init_and_rest():
    init = bytes(range(1, 21))
    dut = BlockMemory(data_width=32, id_width=1, size=28, init=init)
    master = Master(dut.axi, random.Random(0))
    simulate(dut, run_scripts(
        wait_for(master, 1), lambda ctx: master.request_reads(ctx, [(0, 7, 1)]),
        master.take_reads))
    assert master.bursts == [(1, beats_of(init + bytes(8), 4), [0] * 7)]


def test_strobes():
    dut = BlockMemory(data_width=32, id_width=1, size=16, init=bytes(range(16)))
    master = Master(dut.axi, random.Random(0))

    def script(ctx):
        yield from master.write(ctx, [(4, [0xA0A1A2A3], 0)], strobes=0b0101, data_first=True)
        yield from master.request_reads(ctx, [(4, 1, 0)])
        yield from wait_for(master, 1)(ctx)

    simulate(dut, run_scripts(script, master.take_reads))
    assert master.bursts == [(0, [0x07A105A3], [0])]


@pytest.mark.parametrize("address", [24, 0x40, 1 << 16, 0x8000_0000])
def test_beyond_the_end(address):
    # A memory of six beats: the first burst leaves it, the others never meet it.
    data = bytes(range(24))
    dut = BlockMemory(data_width=32, id_width=1, size=24, init=data)
    master = Master(dut.axi, random.Random(0))
    first = min(address, 16)

    def script(ctx):
        yield from master.write(ctx, [(address, [1, 2], 0)])
        yield from master.write(ctx, [(first, [0x33, 0x44, 0x55], 1)])
        yield from master.request_reads(ctx, [(first, 4, 1), (address, 1, 0)])
        yield from wait_for(master, 2)(ctx)

    simulate(dut, run_scripts(script, master.take_reads))
    assert master.responses == [(0, 2), (1, 2)]
    number, beats, responses = master.bursts[0]
    assert (number, beats[:2], responses) == (1, [0x33, 0x44], [0, 0, 2, 2])
    assert master.bursts[1][2] == [2]


def test_speed():
    # A beat a cycle; the first comes three cycles after its request was taken.
    dut = BlockMemory(data_width=32, id_width=1, size=256)
    master = Master(dut.axi, random.Random(0))
    seen = []

    async def watch(ctx):
        ticks = ctx.tick().sample(dut.axi.arvalid & dut.axi.arready, dut.axi.rvalid)
        number = 0
        async for _, _, request, answer in ticks:
            number += 1
            if request or answer:
                seen.append((number, "request" if request else "beat"))

    def take(ctx):
        ctx.set(dut.axi.rready, 1)
        yield from wait_for(master, 1)(ctx)

    def script(ctx):
        yield from master.request_reads(ctx, [(0, 16, 0)])
        for _ in range(24):
            yield

    simulate(dut, run_scripts(script, take), processes=(watch,))
    start = seen[0][0]
    assert seen == [(start, "request")] + [(start + 3 + n, "beat") for n in range(16)]


@pytest.mark.parametrize(("size", "message"), [
    (4, "Size must be a multiple of 4 bytes, at least two, not 4"),
    (18, "Size must be a multiple of 4 bytes, at least two, not 18"),
    (8, "Init must have at most 8 bytes, not 12"),
])
def test_sizes_are_checked(size, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        BlockMemory(data_width=32, id_width=1, size=size, init=bytes(12))
