import numpy as np
import pytest

from arch.config import AcceleratorConfig
from hw.table_memory import TableMemory

from .bench import simulate


NARROW = AcceleratorConfig(
    "narrow", in_lanes=2, out_lanes=4, table_lanes=2, feature_depth=64, dram_width=4)
WIDE = AcceleratorConfig(
    "wide", in_lanes=2, out_lanes=4, table_lanes=1, data_bits=16, acc_bits=48, dram_width=8)


@pytest.mark.parametrize("config", [NARROW, WIDE], ids=lambda config: config.name)
def test_entries_come_back(config):
    dut = TableMemory(config)
    rng = np.random.default_rng(2)
    limit = 1 << config.data_bits
    tables = rng.integers(-limit, limit, (4, config.table_entries))
    content = tables.astype(f"<i{config.table_entry_size}")
    seen, expected = [], []

    async def put(ctx):
        width = config.dram_width
        # A beat that LOAD never finishes.
        ctx.set(dut.writes.valid, 1)
        await ctx.tick()
        ctx.set(dut.writes.valid, 0)
        await ctx.tick()
        for table, entries in enumerate(content):
            data = entries.tobytes()
            for column in range(len(data) // width):
                beat = int.from_bytes(data[column * width:][:width], "little")
                ctx.set(dut.writes.valid, 1)
                ctx.set(dut.writes.payload, {"table": table, "column": column, "data": beat})
                await ctx.tick().until(dut.writes.ready)
        ctx.set(dut.writes.valid, 0)
        for _ in range(200):
            index = rng.integers(0, tables.size, config.table_lanes)
            expected.append(tables.ravel()[index].tolist())
            ctx.set(dut.read, 1)
            ctx.set(dut.index, index.tolist())
            await ctx.tick()
            ctx.set(dut.read, 0)
            await ctx.tick().repeat(TableMemory.latency - 1)
            seen.append(list(ctx.get(dut.entry)))

    simulate(dut, put)
    assert seen == expected
