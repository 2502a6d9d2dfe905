import random
from collections import deque

import pytest

from arch.config import AcceleratorConfig, preset
from arch.isa import Opcode, Region, encode
from hw.layouts import layout_of
from hw.save import SaveEngine

from .bench import simulate
from .streams import beat_at, check_stream, drain, expected_bursts, feed, fields, watch


BASES = [0x1000_0000, 0x2000_0040, 0x3000_0FC0, 0xF000_0000]
READ_LATENCY = 3


def save(**values):
    word = int.from_bytes(encode(Opcode.SAVE, values), "little")
    layout = layout_of(Opcode.SAVE)
    return layout.from_bits(word & ((1 << layout.size) - 1))


def expected(config, instructions):
    """Return bursts, beats ``(data, last)`` and done strobes ``(bursts before, layer, post)``."""
    bursts, beats, dones = [], [], []
    for instruction in instructions:
        size = config.row_size
        row_beats = size // config.dram_width
        for line in range(instruction.line_count):
            start = BASES[instruction.region] + instruction.address + line * instruction.line_stride
            first = instruction.row + line * instruction.row_stride
            data = b"".join(
                beat_at((first + row) % (1 << 20), size).to_bytes(size, "little")
                for row in range(instruction.row_count))
            width = config.dram_width
            line_bursts = expected_bursts(
                config, start % (1 << 32), row_beats * instruction.row_count)
            bursts += line_bursts
            for _, length in line_bursts:
                for beat in range(length + 1):
                    beats.append((int.from_bytes(data[:width], "little"), int(beat == length)))
                    data = data[width:]
        dones.append((len(bursts), instruction.layer, instruction.post))
    return bursts, beats, dones


def run(config, instructions, *, seed=0, shares=(1.0,) * 5, latency=0, failing=()):
    """Run instructions; return cycles, beats counted by layer, number of errors."""
    rng = random.Random(seed)
    dut = SaveEngine(config)
    bursts, beats, dones, errors, seen = [], [], [], [], {}
    queue, responses, delayed = deque(instructions), deque(), deque()
    clock, answered = [0], [0]
    reads = deque([None] * (READ_LATENCY - 1))

    def take_request(payload):
        bursts.append(fields(payload, "address", "length"))

    def take_beat(payload):
        beats.append(fields(payload, "data", "last"))
        if payload.last:
            number = sum(last for _, last in beats) - 1
            delayed.append((clock[0] + latency, {"resp": 2 if number in failing else 0}))

    async def memory(ctx):
        """Rows come ``READ_LATENCY`` cycles after their number was accepted."""
        while True:
            ctx.set(dut.reads.ready, rng.random() < shares[4])
            _, _, valid, ready, row = await ctx.tick().sample(
                dut.reads.valid, dut.reads.ready, dut.reads.payload)
            reads.append(row if valid and ready else None)
            answer = reads.popleft()
            ctx.set(dut.row_valid, answer is not None)
            ctx.set(dut.row_data, beat_at(answer, config.row_size) if answer is not None
                    else rng.getrandbits(config.row_size * 8))

    async def dram(ctx):
        while True:
            while delayed and delayed[0][0] <= clock[0]:
                responses.append(delayed.popleft()[1])
            await ctx.tick()
            clock[0] += 1

    async def observe(ctx):
        while True:
            _, _, status, done, valid, ready = await ctx.tick().sample(
                dut.status, dut.done, dut.responses.valid, dut.responses.ready)
            if done.valid:
                dones.append((answered[0], done.layer, done.post))
            answered[0] += valid and ready
            assert status.stall == (status.busy and not status.moved)
            assert status.busy or not status.moved
            if status.moved:
                seen[status.layer] = seen.get(status.layer, 0) + 1

    async def main(ctx):
        for number, base in enumerate(BASES):
            ctx.set(dut.bases[number], base)
        while len(dones) < len(instructions):
            await ctx.tick()
        for _ in range(3):
            await ctx.tick()
        assert not ctx.get(dut.status.busy)

    simulate(dut, main, processes=(
        memory, dram,
        feed(dut.instructions, queue, rng, shares[0]),
        drain(dut.requests, take_request, rng, shares[1]),
        drain(dut.beats, take_beat, rng, shares[2]),
        feed(dut.responses, responses, rng, shares[3]),
        check_stream(dut.requests), check_stream(dut.beats), check_stream(dut.reads),
        watch(dut.error, lambda: errors.append(1)), observe,
    ))
    expected_requests, expected_beats, expected_dones = expected(config, instructions)
    assert bursts == expected_requests, f"seed {seed}"
    assert beats == expected_beats, f"seed {seed}"
    assert [entry[1:] for entry in dones] == [entry[1:] for entry in expected_dones]
    for (before, *_), (least, *_) in zip(dones, expected_dones):
        assert before >= least, f"seed {seed}: done before its last response"
    return clock[0], seen, len(errors)


def some_instructions(config, seed):
    rng = random.Random(seed)
    return [
        save(
            layer=rng.randrange(4096), post=rng.randrange(8), region=rng.choice(list(Region)),
            row=rng.randrange(1 << 11), address=rng.randrange(1 << 12) * config.dram_width,
            row_count=rng.randint(1, 12), line_count=rng.randint(1, 4),
            line_stride=rng.randrange(1 << 12) * config.dram_width, row_stride=rng.randrange(99),
        )
        for _ in range(8)
    ]


@pytest.mark.parametrize("name", ["tiny", "ecp5_85f", "large"])
@pytest.mark.parametrize("shares", [
    (1, 1, 1, 1, 1), (0.5, 0.5, 0.5, 0.5, 0.5), (0.2, 0.2, 1, 1, 1), (1, 1, 0.3, 0.1, 0.3),
], ids=str)
def test_random(name, shares):
    config = preset(name)
    latency = random.Random(name).randrange(40)
    run(config, some_instructions(config, name), seed=name, shares=shares, latency=latency)


@pytest.mark.parametrize("burst_length", [1, 256])
def test_burst_length(burst_length):
    config = AcceleratorConfig("odd", dram_width=16, burst_length=burst_length)
    run(config, some_instructions(config, burst_length), seed=burst_length)


def test_wide_rows():
    config = AcceleratorConfig("odd", in_lanes=32, out_lanes=64, dram_width=4)
    run(config, some_instructions(config, 5), seed=5, shares=(1, 1, 0.8, 1, 0.8))


def test_page_boundary():
    config = preset("ecp5_85f")
    instruction = save(region=Region.WEIGHTS, address=4096 - 24, row_count=200, line_count=1)
    bursts, _, _ = expected(config, [instruction])
    assert [length + 1 for _, length in bursts] == [3, 128, 128, 128, 13]
    run(config, [instruction])


@pytest.mark.parametrize("name", ["tiny", "ecp5_85f", "large"])
def test_throughput(name):
    """Lines and instructions follow each other at one beat per cycle."""
    config = preset(name)
    instructions = [
        save(address=4096 * index, row_count=8, line_count=5, line_stride=512, layer=index)
        for index in range(8)
    ]
    beats = 40 * config.row_size // config.dram_width
    cycles, seen, errors = run(config, instructions, latency=30)
    assert seen == dict.fromkeys(range(8), beats)
    assert errors == 0
    assert cycles < beats * 8 + 30 + 20


def test_done_waits_for_responses():
    config = preset("ecp5_85f")
    cycles, _, _ = run(config, [save(row_count=4, line_count=1)], latency=100)
    assert cycles > 108


def test_error():
    config = preset("ecp5_85f")
    _, _, errors = run(config, [save(row_count=4, line_count=6, line_stride=512)], failing=(1, 4))
    assert errors == 2
