"""The whole accelerator with a memory on its bus: a program by hand."""

import random

import pytest

from arch.config import AcceleratorConfig
from arch.isa import Memory, Opcode, Region, encode, encode_header
from arch.registers import Error, register
from hw.accelerator import Accelerator
from quantizer.layout import pack_params

from .bench import simulate


CONFIG = AcceleratorConfig(
    "test", in_lanes=2, out_lanes=4, feature_depth=64, feature_banks=2, weight_depth=16,
    param_depth=4, acc_depth=16, layer_depth=4, dram_width=4, burst_length=4)
UPPER = 100
PROGRAM, WEIGHTS, INPUT, OUTPUT = 0x1000, 0x2000, 0x3000, 0x4000
CONV = {
    "word": 0, "height": 1, "width": 4, "count_0": 4, "word_0": 2, "x_0": 1, "count_1": 1,
    "count_2": 1, "count_3": 1, "count_4": 2, "word_4": 1 - 6, "x_4": -3,
    "row": 32, "row_step": 1, "gap": 4, "signed": 1, "lo": -128,
    "weight_row": 0, "param_row": 0, "init": 1, "finish": 1,
}


def instructions():
    """Load four pixels of four channels, two weight tiles and a row of parameters; 1 x 1; save."""
    line = {"line_count": 1, "line_stride": 0, "row_stride": 0, "row": 0}
    return [
        encode(Opcode.LOAD, {
            **line, "layer": 0, "memory": Memory.PARAM, "region": Region.WEIGHTS, "row_count": 1}),
        encode(Opcode.LOAD, {
            **line, "layer": 0, "memory": Memory.WEIGHT, "region": Region.WEIGHTS, "address": 32,
            "row_count": 2}),
        encode(Opcode.LOAD, {
            **line, "layer": 1, "memory": Memory.FEATURE, "region": Region.INPUT, "row_count": 4,
            "post": 0b010}),
        encode(Opcode.CONV, {**CONV, "layer": 1, "wait": 0b001, "post": 0b100}),
        encode(Opcode.SAVE, {
            **line, "layer": 2, "region": Region.OUTPUT, "row": 32, "row_count": 4, "wait": 0b010}),
        encode(Opcode.END, {}),
    ]


def image(program, config_hash=CONFIG.hash):
    """Return DRAM as {address: byte}, random data included, and the expected output."""
    rng = random.Random(11)
    pixels = [[rng.randrange(-128, 128) for _ in range(4)] for _ in range(4)]
    weights = [[[rng.randrange(-128, 128) for _ in range(2)] for _ in range(4)] for _ in range(2)]
    biases = [rng.randrange(-9000, 9000) for _ in range(4)]
    content = {
        PROGRAM: encode_header(config_hash=config_hash, instruction_count=len(program))
        + b"".join(program),
        WEIGHTS: pack_params(biases, 6, UPPER)
        + bytes(w & 0xFF for tile in weights for lane in tile for w in lane),
        INPUT: bytes(code & 0xFF for pixel in pixels for code in pixel),
    }
    dram = {base + n: byte for base, data in content.items() for n, byte in enumerate(data)}
    expected = [
        max(-128, min(UPPER, round((biases[k] + sum(
            pixel[c] * weights[c // 2][k][c % 2] for c in range(4))) / 64))) & 0xFF
        for pixel in pixels for k in range(4)
    ]
    return dram, expected


def memory(dut, dram, rng, *, busy=0.0, read_response=0, write_response=0):
    """Return a background testbench that answers the bus from ``dram``."""
    async def run(ctx):
        reads, writes, responses = [], [], 0
        port = dut.m_axi
        while True:
            ctx.set(port.arready, rng.random() >= busy)
            ctx.set(port.awready, rng.random() >= busy)
            ctx.set(port.wready, bool(writes) and rng.random() >= busy)
            valid = bool(reads) and (rng.random() >= busy or ctx.get(port.rvalid))
            ctx.set(port.rvalid, valid)
            if valid:
                number, address, left = reads[0]
                beat = bytes(dram.get(address + n, 0) for n in range(4))
                ctx.set(port.rid, number)
                ctx.set(port.rdata, int.from_bytes(beat, "little"))
                ctx.set(port.rlast, left == 0)
                ctx.set(port.rresp, read_response)
            ctx.set(port.bvalid, responses > 0)
            ctx.set(port.bresp, write_response)
            moved = {name: ctx.get(getattr(port, f"{name}valid") & getattr(port, f"{name}ready"))
                     for name in ("ar", "r", "aw", "w", "b")}
            if moved["ar"]:
                reads.append((ctx.get(port.arid), ctx.get(port.araddr), ctx.get(port.arlen)))
            if moved["aw"]:
                writes.append(ctx.get(port.awaddr))
            if moved["w"]:
                data = ctx.get(port.wdata).to_bytes(4, "little")
                dram.update({writes[0] + n: byte for n, byte in enumerate(data)})
                writes[0] += 4
                if ctx.get(port.wlast):
                    writes.pop(0)
                    responses += 1
            if moved["r"]:
                number, address, left = reads.pop(0)
                if left:
                    reads.insert(0, (number, address + 4, left - 1))
            responses -= moved["b"]
            await ctx.tick()
    return run


async def write(ctx, dut, name, value):
    port = dut.s_axi
    ctx.set(port.awaddr, register(name).offset)
    ctx.set(port.wdata, value)
    ctx.set(port.wstrb, 0xF)
    ctx.set(port.awvalid, 1)
    ctx.set(port.wvalid, 1)
    ctx.set(port.bready, 1)
    await ctx.tick().until(port.awready & port.wready)
    ctx.set(port.awvalid, 0)
    ctx.set(port.wvalid, 0)
    await ctx.tick().until(port.bvalid)


async def read(ctx, dut, name):
    port = dut.s_axi
    ctx.set(port.araddr, register(name).offset)
    ctx.set(port.arvalid, 1)
    ctx.set(port.rready, 1)
    await ctx.tick().until(port.arready)
    ctx.set(port.arvalid, 0)
    value, = await ctx.tick().sample(port.rdata).until(port.rvalid)
    return value


def run(program, *, runs=1, config_hash=CONFIG.hash, busy=0.0, **responses):
    """Run ``program`` and return what the registers and the output region hold afterwards."""
    dut = Accelerator(CONFIG)
    dram, expected = image(program, config_hash)
    result = {}

    async def drive(ctx):
        for name, value in (
            ("PROGRAM", PROGRAM), ("REGION_0", WEIGHTS), ("REGION_1", INPUT), ("REGION_2", OUTPUT),
        ):
            await write(ctx, dut, name, value)
        for _ in range(runs):
            dram.update({OUTPUT + n: 0xEE for n in range(16)})
            await write(ctx, dut, "CONTROL", 3)
            await ctx.tick().until(dut.interrupt)
            for name in ("STATUS", "ERROR", "ERROR_INDEX", "CYCLES_LO"):
                result[name] = await read(ctx, dut, name)
            await write(ctx, dut, "STATUS", 2)
            await ctx.tick().repeat(2)
            assert not ctx.get(dut.interrupt)
        for engine, layer in ((0, 0), (0, 1), (1, 1), (2, 2), (2, 1)):
            await write(ctx, dut, "SELECT", engine << 12 | layer)
            for _ in range(4):
                await ctx.tick()
            result[engine, layer] = [
                await read(ctx, dut, f"COUNT_{name}") for name in ("BUSY", "BEATS")]

    simulate(dut, drive, processes=[memory(dut, dram, random.Random(12), busy=busy, **responses)])
    result["output"] = [dram[OUTPUT + n] for n in range(16)]
    result["expected"] = expected
    return result


@pytest.mark.parametrize("busy", [0.0, 0.6])
def test_program_runs_twice(busy):
    result = run(instructions(), runs=2, busy=busy)
    assert result["STATUS"] == 0b010
    assert result["output"] == result["expected"]
    assert [result[key][1] for key in ((0, 0), (0, 1), (1, 1), (2, 2), (2, 1))] == [12, 4, 8, 4, 0]
    assert result["CYCLES_LO"] > result[1, 1][0] > 8


def test_program_for_another_config_is_refused():
    result = run(instructions(), config_hash=CONFIG.hash ^ 1)
    assert (result["STATUS"], result["ERROR"]) == (0b110, 3 << 8 | Error.CONFIG)
    assert result["output"] == [0xEE] * 16


def test_unknown_opcode_ends_the_run():
    program = instructions()
    program[4] = b"\x0f" + program[4][1:]
    result = run(program)
    assert (result["STATUS"], result["ERROR"]) == (0b110, 3 << 8 | Error.OPCODE)
    assert result["ERROR_INDEX"] == 5


def test_failed_read_and_write_name_the_engine():
    result = run(instructions(), read_response=2)
    assert (result["STATUS"], result["ERROR"]) == (0b110, 3 << 8 | Error.READ)
    result = run(instructions(), write_response=2)
    assert (result["STATUS"], result["ERROR"]) == (0b110, 2 << 8 | Error.WRITE)
