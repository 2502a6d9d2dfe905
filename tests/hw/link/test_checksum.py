import random

from arch.serial import checksum
from hw.link.checksum import Checksum

from ..bench import simulate


def test_matches_model():
    dut = Checksum()
    rng = random.Random(0)

    async def testbench(ctx):
        for _ in range(20):
            data = b"123456789" if rng.random() < 0.1 else rng.randbytes(rng.randint(1, 12))
            ctx.set(dut.clear, 1)
            await ctx.tick()
            ctx.set(dut.clear, 0)
            for byte in data:
                ctx.set(dut.valid, 0)
                await ctx.tick().repeat(rng.randint(1, 2))
                ctx.set(dut.valid, 1)
                ctx.set(dut.data, byte)
                await ctx.tick()
            ctx.set(dut.valid, 0)
            assert ctx.get(dut.value) == checksum(data), data

    simulate(dut, testbench)
