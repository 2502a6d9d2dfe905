import random

import pytest

from hw.feature_memory import FeatureMemory

from .bench import simulate


def make(**parameters):
    return FeatureMemory(depth=64, banks=4, columns=2, column_width=16, **parameters)


async def load(ctx, dut, row, column, data):
    ctx.set(dut.load_writes.valid, 1)
    ctx.set(dut.load_writes.payload, {"row": row, "column": column, "data": data})
    await ctx.tick().until(dut.load_writes.ready)
    ctx.set(dut.load_writes.valid, 0)


async def calc_read(ctx, dut, row):
    ctx.set(dut.calc_read, 1)
    ctx.set(dut.calc_row, row)
    await ctx.tick()
    ctx.set(dut.calc_read, 0)
    for _ in range(dut.calc_latency - 1):
        await ctx.tick()
    return ctx.get(dut.calc_data)


@pytest.mark.parametrize("wire_registers", [False, True])
def test_what_is_loaded_is_read(wire_registers):
    dut = make(wire_registers=wire_registers)
    rng = random.Random(4)
    rows = [rng.getrandbits(32) for _ in range(64)]

    async def drive(ctx):
        for row, value in enumerate(rows):
            await load(ctx, dut, row, 0, value & 0xFFFF)
            await load(ctx, dut, row, 1, value >> 16)
        for row in rng.sample(range(64), 64):
            assert await calc_read(ctx, dut, row) == rows[row]

    simulate(dut, drive)


def test_calc_goes_first_in_a_bank_and_others_wait():
    dut = make()

    async def drive(ctx):
        ctx.set(dut.calc_write, 1)
        ctx.set(dut.calc_w_row, 17)
        ctx.set(dut.calc_w_data, 0xAAAA5555)
        ctx.set(dut.load_writes.valid, 1)
        ctx.set(dut.load_writes.payload, {"row": 18, "column": 1, "data": 7})
        assert not ctx.get(dut.load_writes.ready)
        ctx.set(dut.load_writes.payload, {"row": 33, "column": 1, "data": 7})
        assert ctx.get(dut.load_writes.ready)
        await ctx.tick()
        ctx.set(dut.calc_write, 0)
        ctx.set(dut.load_writes.valid, 0)
        ctx.set(dut.calc_read, 1)
        ctx.set(dut.calc_row, 17)
        ctx.set(dut.save_reads.valid, 1)
        ctx.set(dut.save_reads.payload, 20)
        assert not ctx.get(dut.save_reads.ready)
        ctx.set(dut.save_reads.payload, 33)
        assert ctx.get(dut.save_reads.ready)
        await ctx.tick()
        ctx.set(dut.calc_read, 0)
        ctx.set(dut.save_reads.valid, 0)
        await ctx.tick()
        await ctx.tick()
        assert ctx.get(dut.calc_data) == 0xAAAA5555
        assert ctx.get(dut.save_valid)
        assert ctx.get(dut.save_data) == 7 << 16
        await ctx.tick()
        assert not ctx.get(dut.save_valid)

    simulate(dut, drive)
