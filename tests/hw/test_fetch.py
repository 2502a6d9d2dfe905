import random
from collections import deque
from dataclasses import replace

import pytest

from arch.config import AcceleratorConfig, preset
from arch.isa import (
    INSTRUCTION_SIZE,
    ISA_VERSION,
    Engine,
    Opcode,
    decode,
    encode,
    encode_header,
    fields_of,
)
from arch.registers import Error
from hw.fetch import Fetcher

from .bench import simulate
from .streams import check_stream, drain, feed, fields, watch


def random_instruction(rng, opcode):
    return encode(opcode, {
        field.name: rng.randint(field.min, field.max)
        for field in fields_of(opcode) if field.name != "opcode"
    })


def program(config, seed, count, *, end=True, **header):
    rng = random.Random(seed)
    opcodes = [opcode for opcode in Opcode if opcode != Opcode.END]
    instructions = [random_instruction(rng, rng.choice(opcodes)) for _ in range(count)]
    if end:
        instructions.append(encode(Opcode.END, {}))
    first = encode_header(**{
        "config_hash": config.hash, "instruction_count": len(instructions), **header})
    return first + b"".join(instructions)


def run(config, images, *, address=0x8000_0000, seed=0, shares=(1.0, 1.0, 1.0), latency=0,
        failing=(), stop_after=None):
    """Fetch each program; return dispatched (by engine), errors, requests, cycles."""
    rng = random.Random(seed)
    dut = Fetcher(config)
    size = config.dram_width
    got = {engine: [] for engine in Engine}
    beats, delayed, requests, errors, dispatched = deque(), deque(), [], [], []
    clock, image, cycles = [0], [b""], []

    def request(payload):
        start, length = fields(payload, "address", "length")
        requests.append((start, length + 1))
        for beat in range(length + 1):
            place = start + beat * size
            data = image[0][place - address:place - address + size].ljust(size, b"\xA5")
            delayed.append((clock[0] + latency, {
                "data": int.from_bytes(data, "little"),
                "resp": 2 if place - address in failing else 0, "last": beat == length}))

    async def dram(ctx):
        while True:
            while delayed and delayed[0][0] <= clock[0]:
                beats.append(delayed.popleft()[1])
            await ctx.tick()
            clock[0] += 1

    async def check_always_ready(ctx):
        while True:
            _, _, valid, ready = await ctx.tick().sample(dut.beats.valid, dut.beats.ready)
            assert ready or not valid, "beats must never wait"

    async def main(ctx):
        assert ctx.get(dut.idle)
        for program in images:
            image[0] = program
            begin = clock[0]
            ctx.set(dut.address, address)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            ctx.set(dut.address, 0)
            while not ctx.get(dut.idle):
                if stop_after is not None and len(dispatched) >= stop_after:
                    ctx.set(dut.stop, 1)
                await ctx.tick()
            cycles.append(clock[0] - begin)
            assert not beats
            assert not delayed
            await ctx.tick()

    def take(engine):
        layout_bits = max(
            sum(field.width for field in fields_of(opcode))
            for opcode in Opcode if opcode.engine == engine)

        def keep(payload):
            word = payload.as_bits()
            assert word < 1 << layout_bits
            got[engine].append(word)
        return keep

    simulate(dut, main, processes=(
        dram, check_always_ready,
        drain(dut.requests, request, rng, shares[0]),
        feed(dut.beats, beats, rng, shares[1]),
        check_stream(dut.requests),
        *(check_stream(port) for port in (dut.load, dut.calc, dut.save)),
        drain(dut.load, take(Engine.LOAD), rng, shares[2]),
        drain(dut.calc, take(Engine.CALC), rng, shares[2]),
        drain(dut.save, take(Engine.SAVE), rng, shares[2]),
        watch(dut.dispatched, lambda: dispatched.append(1)),
        watch(dut.error.valid, lambda code, count: errors.append((code, count)),
              dut.error.code, dut.fetched),
    ))
    assert len(dispatched) == sum(map(len, got.values()))
    for start, count in requests:
        assert start // 4096 == (start + count * size - 1) // 4096
        assert 1 <= count <= config.burst_length
    return got, errors, requests, cycles


def expected(*images):
    got = {engine: [] for engine in Engine}
    for image in images:
        for start in range(INSTRUCTION_SIZE, len(image), INSTRUCTION_SIZE):
            instruction = image[start:start + INSTRUCTION_SIZE]
            opcode, _ = decode(instruction)
            if opcode == Opcode.END:
                break
            got[opcode.engine].append(int.from_bytes(instruction, "little"))
    return got


@pytest.mark.parametrize("name", ["tiny", "ecp5_85f", "large"])
@pytest.mark.parametrize("shares", [(1, 1, 1), (0.5, 0.5, 0.3), (0.1, 1, 1), (1, 1, 0.05)], ids=str)
def test_random(name, shares):
    config = preset(name)
    images = [program(config, f"{name}{n}", count) for n, count in enumerate((0, 1, 2, 3, 20))]
    got, errors, _, _ = run(config, images, seed=name, shares=shares, latency=7)
    assert got == expected(*images)
    assert errors == []


@pytest.mark.parametrize("offset", [0, 4, 64, 128, 192, 252])
def test_alignment(offset):
    """Nothing is read past the 256 bytes in which the program ends."""
    config = preset("tiny")
    image = program(config, 3, 9)
    address = 0x1_0F00 + offset
    got, errors, requests, _ = run(config, [image], address=address)
    assert got == expected(image)
    assert errors == []
    end = max(start + count * 4 for start, count in requests)
    assert end == address + len(image)


@pytest.mark.parametrize(("dram_width", "burst_length"), [
    (4, 1), (8, 2), (16, 256), (64, 64), (64, 1),
])
def test_bus(dram_width, burst_length):
    config = AcceleratorConfig(
        "odd", in_lanes=8, out_lanes=64, dram_width=dram_width, burst_length=burst_length)
    image = program(config, 4, 12)
    got, errors, requests, _ = run(config, [image, image], latency=5)
    assert got == expected(image, image)
    assert errors == []
    assert max(count for _, count in requests) == min(burst_length, 256 // dram_width)


def test_throughput():
    """Reading ahead hides the latency: one instruction in 64 / dram_width + 2 cycles."""
    config = preset("ecp5_85f")
    _, _, _, (cycles,) = run(config, [program(config, 1, 40)], latency=30)
    assert cycles < 42 * 10 + 2 * 45


@pytest.mark.parametrize(("change", "error"), [
    ({"magic": 0x584E5945}, Error.MAGIC),
    ({"version": ISA_VERSION + 1}, Error.VERSION),
    ({"config_hash": -1}, Error.CONFIG),
    ({"config_hash": 1 << 63}, Error.CONFIG),
], ids=str)
def test_header(change, error):
    config = preset("ecp5_85f")
    good = program(config, 1, 3)
    header = {"magic": 0x584E5944, "version": ISA_VERSION, "config_hash": config.hash}
    for name, value in change.items():
        header[name] = (header[name] ^ value if name == "config_hash" else value) % (1 << 64)
    bad = (
        header["magic"].to_bytes(4, "little") + header["version"].to_bytes(4, "little")
        + header["config_hash"].to_bytes(8, "little") + good[16:])
    got, errors, _, _ = run(config, [bad, good])
    assert errors == [(error, 0)]
    assert got == expected(good)


@pytest.mark.parametrize("opcode", range(5, 16))
def test_unknown_opcode(opcode):
    config = preset("ecp5_85f")
    image = program(config, 1, 9)
    at = 4 * INSTRUCTION_SIZE
    bad = image[:at] + bytes([image[at] & 0xF0 | opcode]) + image[at + 1:]
    got, errors, _, _ = run(config, [bad])
    assert errors == [(Error.OPCODE, 4)]
    assert got == expected(bad[:at])


def test_no_unit_for_an_opcode():
    config = replace(preset("ecp5_85f"), vector_unit=False, table_lanes=0)
    image = program(config, 1, 9)
    first = next(number for number in range(1, 10)
                 if image[number * INSTRUCTION_SIZE] & 0xF == Opcode.VECTOR)
    got, errors, _, _ = run(config, [image])
    assert errors == [(Error.OPCODE, first)]
    assert got == expected(image[:first * INSTRUCTION_SIZE])


@pytest.mark.parametrize("count", [0, 5])
def test_no_end(count):
    config = preset("ecp5_85f")
    image = program(config, 1, count, end=False)
    got, errors, _, _ = run(config, [image])
    assert errors == [(Error.OPCODE, count)]
    assert got == expected(image)


@pytest.mark.parametrize(("offset", "count"), [(8, 0), (64 * 3 + 16, 3)])
def test_read_error(offset, count):
    config = preset("ecp5_85f")
    image = program(config, 1, 9)
    got, errors, _, _ = run(config, [image], failing=(offset,))
    assert errors == [(Error.READ, count)]
    assert got == expected(image[:64 * max(count, 1)])


def test_read_error_past_end_is_ignored():
    config = preset("ecp5_85f")
    image = program(config, 1, 1)
    _, errors, requests, _ = run(config, [image], failing=(64 * 3 + 8,))
    assert requests == [(0x8000_0000, 32)]
    assert errors == []


def test_stop():
    config = preset("ecp5_85f")
    image = program(config, 1, 60)
    got, errors, _, _ = run(config, [image], shares=(1, 1, 0.2), stop_after=5)
    assert errors == []
    assert 5 <= sum(map(len, got.values())) <= 6
