import functools
import random
from collections import deque
from dataclasses import replace

import numpy as np
import pytest

from arch.config import CHUNK_BEATS, AcceleratorConfig, preset
from arch.isa import UNROLL_FIELDS, Memory, Opcode, Region, encode
from hw.layouts import beats_per_row, layout_of
from hw.load import LoadEngine
from quantizer.layout import unpack_planes

from .bench import simulate
from .streams import beat_at, check_stream, drain, expected_bursts, feed, fields, watch
from .test_unroller import geometry, unrolled


BASES = [0x1000_0000, 0x2000_0040, 0x3000_0FC0, 0xF000_0000]


def load(**values):
    word = int.from_bytes(encode(Opcode.LOAD, values), "little")
    layout = layout_of(Opcode.LOAD)
    return layout.from_bits(word & ((1 << layout.size) - 1))


def narrow_line(config, instruction, start, first):
    """Return the bursts of a line of narrow weights, and its writes, some columns at a time."""
    bits, width = instruction.weight_bits, config.dram_width
    row_size = instruction.columns * config.dram_width or config.weight_row_size
    size = config.packed_size(instruction.row_count, bits, instruction.columns)
    packed = b"".join(
        beat_at(start + place, width).to_bytes(width, "little")
        for place in range(0, size, width))
    count, chunk = instruction.row_count * row_size, CHUNK_BEATS * width
    packed = packed[:-(-count // chunk) * chunk * bits // 8]
    if instruction.pairs:
        low, high = unpack_planes(packed, 2 * count, bits // 2, chunk, pairs=True).reshape(-1, 2).T
        codes = (16 * high + low + 8).astype(np.int8)
    else:
        codes = unpack_planes(packed, count, bits, chunk).astype(np.int8)
    step = config.weight_columns
    wide = codes.tobytes()
    writes = [
        (instruction.memory, first + place // row_size, place % row_size // width, 1,
         int.from_bytes(wide[place:place + step * width], "little"))
        for place in range(0, len(wide), step * width)]
    return expected_bursts(config, start, size // width), writes


def rows_of_taps(config, instruction, start, first):
    """Return the bursts of lines of a map, and the writes of the rows made of them."""
    width, beats = config.dram_width, beats_per_row(config)[Memory.FEATURE]
    lines = b"".join(
        beat_at(start + place * width, width).to_bytes(width, "little")
        for place in range(instruction.line_beats))
    values = {name: int(getattr(instruction, name)) for name in UNROLL_FIELDS}
    size = values["kernel_lines"] * values["segment"] + values["fill"]
    values["output_lines"] = instruction.row_count * config.row_size // (
        size * values["positions"])
    codes = np.frombuffer(lines, np.uint8).reshape(values["map_lines"], -1)
    writes = [
        (Memory.FEATURE, first + number // beats, number % beats, 0,
         int.from_bytes(bytes(beat), "little"))
        for number, beat in enumerate(unrolled(codes, values, width))]
    return expected_bursts(config, start, instruction.line_beats), writes


def expected(config, instructions):
    """Return bursts, and writes and done strobes in order."""
    bursts, events = [], []
    for instruction in instructions:
        beats = instruction.columns or beats_per_row(config)[instruction.memory]
        for line in range(instruction.line_count):
            start = BASES[instruction.region] + instruction.address + line * instruction.line_stride
            start %= 1 << 32
            first = (instruction.row + line * instruction.row_stride) % (1 << 20)
            if instruction.kernel_lines:
                asked, writes = rows_of_taps(config, instruction, start, first)
                bursts += asked
                events += writes
                continue
            if instruction.weight_bits:
                asked, writes = narrow_line(config, instruction, start, first)
                bursts += asked
                events += writes
                continue
            bursts += expected_bursts(config, start, beats * instruction.row_count)
            for row in range(instruction.row_count):
                for column in range(beats):
                    address = start + (row * beats + column) * config.dram_width
                    events.append((
                        instruction.memory, first + row, column, 0,
                        beat_at(address, config.dram_width) ^ int.from_bytes(
                            bytes([8 * instruction.pairs] * config.dram_width))))
        events.append(("done", instruction.layer, instruction.post))
    return bursts, events


@functools.cache
def _replicated(width, count):
    return sum(1 << width * n for n in range(count))


def value_of(config, beat):
    """Return the data of a write, checking that all beats of it are the same unless wide."""
    width = config.dram_width * 8
    value = beat.data & ((1 << width) - 1)
    if beat.wide:
        return beat.data
    assert beat.data == value * _replicated(width, config.weight_columns)
    return value


def run(config, instructions, *, seed=0, shares=(1.0,) * 4, latency=0, failing=(), window=128):
    """Run instructions; return cycles, beats counted by layer, number of errors."""
    rng = random.Random(seed)
    dut = LoadEngine(config, window=window)
    bursts, events, ended, errors, seen = [], [], [], [], {}
    queue, beats, delayed = deque(instructions), deque(), deque()
    clock = [0]

    def request(payload):
        address, length = fields(payload, "address", "length")
        bursts.append((address, length))
        for beat in range(length + 1):
            place = address + beat * config.dram_width
            delayed.append((clock[0] + latency, {
                "data": beat_at(place, config.dram_width),
                "resp": 2 if place in failing else 0, "last": beat == length}))

    async def dram(ctx):
        async for _ in ctx.tick():
            clock[0] += 1
            while delayed and delayed[0][0] <= clock[0]:
                beats.append(delayed.popleft()[1])

    async def observe(ctx):
        port, done = dut.writes, dut.done
        async for _, _, status, end, valid, ready, beat in ctx.tick().sample(
                dut.status, done, port.valid, port.ready, port.payload):
            if end.valid:
                ended.append(("done", end.layer, end.post))
                events.append(ended[-1])
            if valid and ready:
                events.append((*fields(beat, "memory", "row", "column", "wide"),
                               value_of(config, beat)))
            assert status.stall == (status.busy and not status.moved)
            assert status.busy or not status.moved
            if status.moved:
                seen[status.layer] = seen.get(status.layer, 0) + 1

    async def main(ctx):
        for number, base in enumerate(BASES):
            ctx.set(dut.bases[number], base)
        async for _ in ctx.tick():
            if len(ended) == len(instructions):
                break
        for _ in range(3):
            await ctx.tick()
        assert not ctx.get(dut.status.busy)

    simulate(dut, main, processes=(
        dram,
        feed(dut.instructions, queue, rng, shares[0]),
        drain(dut.requests, request, rng, shares[1]),
        feed(dut.beats, beats, rng, shares[2]),
        drain(dut.writes, lambda beat: None, rng, shares[3]),
        check_stream(dut.requests), check_stream(dut.writes),
        watch(dut.error, lambda: errors.append(1)), observe,
    ))
    expected_requests, expected_events = expected(config, instructions)
    assert bursts == expected_requests, f"seed {seed}"
    assert events == expected_events, f"seed {seed}"
    return clock[0], seen, len(errors)


def some_instructions(config, seed, widths=(0,)):
    """Return instructions; those for weights have codes of one of ``widths``."""
    rng = random.Random(seed)
    memories = list(Memory)
    # A table is up to 128 beats, and there are four.
    most = dict.fromkeys(memories, 12) | {Memory.TABLE: 2}
    return [
        load(
            layer=rng.randrange(4096), post=rng.randrange(8), memory=memory,
            weight_bits=rng.choice(widths) if memory == Memory.WEIGHT else 0,
            region=rng.choice(list(Region)), row=rng.randrange(1 << 11),
            address=rng.randrange(1 << 12) * config.dram_width,
            row_count=rng.randint(1, most[memory]), line_count=rng.randint(1, 4),
            line_stride=rng.randrange(1 << 12) * config.dram_width, row_stride=rng.randrange(99),
        )
        for memory in rng.choices(memories, k=5)
    ]


@pytest.mark.parametrize("name", ["tiny", "ecp5_85f", "large"])
@pytest.mark.parametrize("shares", [
    (1, 1, 1, 1), (0.5, 0.5, 0.5, 0.5), (1, 0.2, 1, 1), (1, 1, 1, 0.3), (0.1, 1, 0.7, 1),
], ids=str)
def test_random(name, shares):
    config = preset(name)
    latency = random.Random(name).randrange(40)
    run(config, some_instructions(config, name), seed=name, shares=shares, latency=latency)


NARROW_CONFIGS = [
    preset("tiny"), preset("small"), preset("ecp5_85f"), preset("large"),
    AcceleratorConfig("one beat", in_lanes=1, out_lanes=4, dram_width=4),
    AcceleratorConfig("wide", in_lanes=8, out_lanes=64, dram_width=64, burst_length=4),
]


@pytest.mark.parametrize("config", NARROW_CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize("shares", [
    (1, 1, 1, 1), (1, 0.7, 0.5, 0.5),
], ids=str)
def test_narrow_weights(config, shares):
    """All widths, one after the other and between plain transfers, with stalls."""
    widths = [2, 3, 4, 5, 6, 7]
    random.Random(config.name).shuffle(widths)
    instructions = [
        load(
            memory=Memory.WEIGHT, region=Region.WEIGHTS, weight_bits=bits, row=13 * bits,
            address=1024 * bits + config.dram_width * bits, row_count=rows, line_count=lines,
            line_stride=512, row_stride=5, layer=bits, post=bits)
        for bits in widths for rows, lines in ((1, 1), (3, 2))
    ]
    instructions[3:3] = some_instructions(config, config.name, (0, *widths))
    run(config, instructions, seed=config.name, shares=shares, latency=5)


@pytest.mark.parametrize("bits", [0, 2, 5, 7])
@pytest.mark.parametrize("config", NARROW_CONFIGS, ids=lambda config: config.name)
def test_some_columns(config, bits):
    """Rows of which DRAM holds the first columns only, between whole ones."""
    rng = random.Random(config.name)
    most = config.weight_row_size // config.dram_width
    step = config.weight_columns if bits else 1
    instructions = []
    for columns in sorted({step, most // 2 // step * step or step, most}):
        rows = rng.randint(1, 7)
        size = config.packed_size(rows, bits or 8, columns)
        instructions += [
            load(memory=Memory.WEIGHT, weight_bits=bits, columns=columns, row_count=rows,
                 line_count=2, line_stride=1024, row_stride=9, row=columns, address=4096 * columns,
                 line_beats=size // config.dram_width, post=2),
            *some_instructions(config, columns, (0, 3))[:2]]
    run(config, instructions, seed=config.name, shares=(1, 0.7, 0.6, 0.6), latency=5)


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7])
def test_narrow_weights_come_at_the_rate_of_the_bus(bits):
    """Four rows of 128 codes: 64 beats at 8 bits, less in proportion."""
    config = preset("ecp5_85f")
    instructions = [
        load(memory=Memory.WEIGHT, weight_bits=bits, row=4 * n, row_count=4, line_count=1,
             address=64 * bits * n, layer=n)
        for n in range(8)]
    cycles, seen, _ = run(config, instructions, latency=30)
    assert seen == dict.fromkeys(range(8), 8 * bits)
    assert cycles < 8 * 8 * bits + 30 + 20


def test_narrow_weights_wait_for_the_chip():
    """Rows of two beats: 2-bit codes fill two rows with one beat, which takes two cycles."""
    cycles, seen, _ = run(preset("tiny"), [
        load(memory=Memory.WEIGHT, weight_bits=2, row_count=200, line_count=1)])
    assert seen == {0: 100}
    assert 200 <= cycles < 200 + 20


@pytest.mark.parametrize("burst_length", [1, 2, 256])
def test_burst_length(burst_length):
    config = AcceleratorConfig("odd", dram_width=16, burst_length=burst_length)
    run(config, some_instructions(config, burst_length), seed=burst_length)


def test_page_boundary():
    config = preset("ecp5_85f")
    instruction = load(region=Region.WEIGHTS, address=4096 - 24, row_count=300, line_count=1)
    bursts, _ = expected(config, [instruction])
    assert [length + 1 for _, length in bursts] == [3, 128, 128, 128, 128, 85]
    run(config, [instruction])


def test_lines_backwards():
    config = preset("tiny")
    instruction = load(
        address=8192, row_count=3, line_count=3, line_stride=2**32 - 64, row=21,
        row_stride=2**20 - 6)
    _, events = expected(config, [instruction])
    assert [row for _, row, *_ in events[:-1]] == [21, 22, 23, 15, 16, 17, 9, 10, 11]
    run(config, [instruction])


@pytest.mark.parametrize("memory", [Memory.FEATURE, Memory.WEIGHT, Memory.PARAM])
def test_throughput(memory):
    """Back-to-back instructions run at one beat per cycle, across a long latency."""
    config = preset("ecp5_85f")
    instructions = [
        load(memory=memory, address=4096 * index, row_count=16 // beats_per_row(config)[memory]
             if memory != Memory.FEATURE else 8, line_count=1, layer=index)
        for index in range(30)
    ]
    beats = len(expected(config, instructions)[1]) - len(instructions)
    cycles, seen, errors = run(config, instructions, latency=30)
    assert seen == dict.fromkeys(range(30), 16)
    assert errors == 0
    assert cycles < beats + 30 + 20


def test_table():
    config = preset("tiny")
    instruction = load(memory=Memory.TABLE, row=2, row_count=2, line_count=1)
    _, events = expected(config, [instruction])
    assert [event[1:3] for event in events[:-1]] == [
        (row, column) for row in (2, 3) for column in range(128)]
    run(config, [instruction])


def test_window():
    """No more than window + burst_length beats are on their way."""
    config = AcceleratorConfig("odd", burst_length=16)
    cycles, _, _ = run(config, [load(row_count=100, line_count=2)], latency=60, window=8)
    # 8 beats of window let two bursts of 16 go out per latency.
    assert cycles > 400 / 32 * 60 * 0.9


def test_error():
    config = preset("tiny")
    _, _, errors = run(
        config, [load(row_count=8, line_count=1)], failing=(BASES[0] + 8, BASES[0] + 20))
    assert errors == 2


@pytest.mark.parametrize("config", NARROW_CONFIGS, ids=lambda config: config.name)
def test_pairs(config):
    """Pairs of codes of 2 to 4 bits, which take 4 bits each on chip, between plain transfers."""
    config = replace(config, dual_products=True)
    instructions = [
        load(memory=Memory.WEIGHT, region=Region.WEIGHTS, weight_bits=2 * bits % 8, pairs=1,
             row=13 * bits, address=1024 * bits, row_count=rows, line_count=lines,
             line_stride=512, row_stride=5, layer=bits)
        for bits in (2, 3, 4) for rows, lines in ((1, 1), (3, 2))]
    instructions[2:2] = some_instructions(config, config.name, (0, 4, 6))
    run(config, instructions, seed=config.name, shares=(1, 0.7, 0.5, 0.8), latency=5)


@pytest.mark.parametrize("config", [
    replace(preset("tiny"), unroll_size=64),
    replace(preset("small"), unroll_size=256),
    AcceleratorConfig("words", data_bits=16, acc_bits=48, unroll_size=512, dram_width=16),
], ids=lambda config: config.name)
@pytest.mark.parametrize("shares", [(1, 1, 1, 1), (1, 0.7, 0.5, 0.5)], ids=str)
def test_kernel_taps(config, shares):
    """Rows of taps between plain transfers."""
    rng = random.Random(config.name)
    instructions = []
    while len(instructions) < 12:
        found = geometry(rng, config.dram_width, config.code_size, config.row_size)
        lines = found.pop("output_lines")
        size = found["kernel_lines"] * found["segment"] + found["fill"]
        if found["kernel_lines"] * found["map_beats"] * config.dram_width > config.unroll_size:
            continue
        instructions += [
            load(memory=Memory.FEATURE, region=Region.INPUT, row=rng.randrange(99), line_count=1,
                 row_count=lines * found["positions"] * size // config.row_size,
                 line_beats=found["map_lines"] * found["map_beats"],
                 address=rng.randrange(99) * config.dram_width, post=1, **found),
            *some_instructions(config, len(instructions))[:rng.randrange(3)]]
    run(config, instructions, seed=config.name, shares=shares, latency=5)
