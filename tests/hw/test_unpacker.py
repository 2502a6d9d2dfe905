import random
from collections import deque

import numpy as np
import pytest

from arch.config import CHUNK_BEATS
from hw.unpacker import Unpacker
from quantizer.layout import pack_planes

from .bench import simulate
from .streams import check_stream, drain, feed


def run(width, bits, chunks, *, shares=(1.0, 1.0), pairs=False):
    """Send chunks of all codes there are, in random order, twice; return codes and cycles."""
    rng = random.Random(f"{width} {bits} {chunks}")
    size = CHUNK_BEATS * width // 8
    every = list(range(-(1 << (bits - 1)), 1 << (bits - 1)))
    codes = [rng.choice(every) for _ in range(chunks * size)]
    # A stream of its own ends with its last chunk: what is left of the beat is dropped.
    if pairs:
        half = 1 << (bits // 2)
        halves = [((part & (half - 1)) ^ half >> 1) - (half >> 1)
                  for code in codes for part in (code, code >> bits // 2)]
        packed = pack_planes(halves, bits // 2, size, pairs=True)
        codes = [first & 15 | second << 4 for first, second in zip(halves[::2], halves[1::2])]
    else:
        packed = pack_planes(codes, bits, size)
    packed += bytes(rng.randrange(256) for _ in range(-len(packed) % (width // 8)))
    beats = [packed[n:n + width // 8] for n in range(0, len(packed), width // 8)]
    dut = Unpacker(width, dual=True)
    queue = deque(int.from_bytes(beat, "little") for beat in beats * 2)
    taken, clock = [], [0]

    async def clear(ctx):
        while True:
            ctx.set(dut.clear, len(taken) % chunks == chunks - 1)
            await ctx.tick()

    async def main(ctx):
        ctx.set(dut.bits, bits)
        ctx.set(dut.two_planes, bits == 2)
        ctx.set(dut.pairs, int(pairs))
        while len(taken) < 2 * chunks:
            await ctx.tick()
            clock[0] += 1

    simulate(dut, main, processes=(
        feed(dut.i, queue, rng, shares[0]),
        drain(dut.o, lambda chunk: taken.append(list(chunk)), rng, shares[1]),
        check_stream(dut.o), clear))
    np.testing.assert_array_equal(np.ravel(taken), codes * 2, err_msg=f"{width} {bits}")
    return len(beats) * 2, clock[0]


@pytest.mark.parametrize("bits", range(2, 8))
@pytest.mark.parametrize("width", [32, 64])
def test_every_width(bits, width):
    for chunks in (1, 2, 5):
        beats, cycles = run(width, bits, chunks)
        assert beats == 2 * -(-chunks * bits // 2)
        assert cycles <= beats + 3


@pytest.mark.parametrize("bits", range(2, 8))
def test_stalls(bits):
    run(32, bits, 7, shares=(0.6, 0.6))


@pytest.mark.parametrize("bits", [4, 6])
def test_pairs(bits):
    """Two codes of half the bits become four bits each."""
    for chunks in (1, 5):
        run(64, bits, chunks, pairs=True)
