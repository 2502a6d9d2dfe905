"""The functional simulator does what the instruction set says, one instruction at a time."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from arch.config import AcceleratorConfig
from arch.formats import divide_round, requantize
from arch.isa import Memory, Opcode, Region, VectorOp, encode, encode_header
from compiler.host import Segment
from quantizer.layout import pack_codes, pack_params, pack_planes, unpack_params
from sim.errors import SimulationError
from sim.functional import FunctionalMachine, run_functional


CONFIG = AcceleratorConfig(
    "test", in_lanes=2, out_lanes=4, feature_depth=128, feature_banks=1,
    weight_depth=16, param_depth=4, acc_depth=16, dram_width=4)


def machine(seed=0):
    """Return a machine with random memories."""
    rng = np.random.default_rng(seed)
    made = FunctionalMachine(CONFIG, {
        region: bytearray(rng.integers(0, 256, 1024, np.uint8).tobytes()) for region in Region})
    for memory in (made.feature, made.weight):
        memory[:] = rng.integers(0, 256, memory.shape, np.uint8)
    shape = CONFIG.param_depth, CONFIG.out_lanes
    made.param[:] = np.frombuffer(pack_params(
        rng.integers(-2000, 2000, shape), rng.integers(0, 9, shape), rng.integers(-90, 128, shape)),
        np.uint8).reshape(made.param.shape)
    return made


def calc(opcode, **fields):
    """Return all fields of a CALC instruction."""
    values = {f"count_{level}": 1 for level in range(5)}
    values |= {f"{axis}_{level}": 0 for axis in ("word", "y", "x") for level in range(5)}
    values |= {
        "word": 0, "y": 0, "x": 0, "height": 1, "width": 1, "row": 0, "row_step": 1, "gap": 0,
        "signed": 1, "lo": -128}
    values |= (
        {"weight_row": 0, "param_row": 0, "init": 1, "finish": 1, "depthwise": 0, "warm": 0,
         "skip": 0, "wrap": 0, "products": 0} if opcode == Opcode.CONV else
        {"hi": 127, "op": 0, "hold": 0, "word_b": 0, "table": 0,
         "signed_b": 1, "shift_a": 0, "shift_b": 0, "shift": 0, "divide": 0,
         "count_pad": 0, "count_height": 4095, "count_width": 4095})
    assert set(fields) <= set(values)
    return values | fields


def walk(values):
    """Yield (word, y, x) of every step, one delta at a time."""
    position = np.array([values["word"], values["y"], values["x"]])
    counts = [values[f"count_{level}"] for level in range(5)]
    index = [0] * 5
    while True:
        yield tuple(int(value) for value in position)
        for level in range(5):
            index[level] += 1
            if index[level] < counts[level]:
                position = position + [values[f"{axis}_{level}"] for axis in ("word", "y", "x")]
                break
            index[level] = 0
        else:
            return


def random_loops(rng, words):
    values = {"word": words // 2, "y": int(rng.integers(-1, 2)), "x": int(rng.integers(-1, 2)),
              "height": 3, "width": 4}
    for level in range(5):
        values[f"count_{level}"] = int(rng.integers(1, 4))
        values[f"word_{level}"] = int(rng.integers(-3, 4))
        values[f"y_{level}"] = int(rng.integers(-1, 2))
        values[f"x_{level}"] = int(rng.integers(-1, 2))
    return values


def as_codes(row, signed):
    return row.view(np.int8 if signed else np.uint8).astype(np.int64)


def params_of(made, values):
    """Return bias, shift and signed upper bound of each lane of a CONV."""
    bias, shift, upper = unpack_params(made.param[values["param_row"]].tobytes(), CONFIG.out_lanes)
    return bias[0], shift[0], upper[0].astype(np.uint8).view(np.int8).astype(np.int64)


def conv_model(made, values):
    """Return accumulators and results of a CONV, step by step."""
    steps = values["count_0"] * values["count_1"]
    words = made.feature.reshape(-1, CONFIG.in_lanes)
    bias, shift, upper = params_of(made, values)
    acc = made.acc[0].copy()
    for number, (word, y, x) in enumerate(walk(values)):
        step, row = number % steps, values["weight_row"] + number // steps
        tile = as_codes(made.weight[row], True).reshape(CONFIG.out_lanes, CONFIG.in_lanes)
        if number < steps and values["init"]:
            acc[step] = bias
        if 0 <= y < values["height"] and 0 <= x < values["width"]:
            acc[step] += tile @ as_codes(words[word % len(words)], values["signed"])
    return acc, requantize(acc[:steps], shift, values["lo"], upper)


@pytest.mark.parametrize("seed", range(12))
def test_conv_equals_its_steps(seed):
    rng = np.random.default_rng(seed)
    made = machine(seed)
    values = calc(
        Opcode.CONV, **random_loops(rng, 256), signed=int(rng.integers(2)), lo=-100,
        param_row=2, row=5, row_step=3)
    for level in (2, 3, 4):  # at most 8 passes
        values[f"count_{level}"] = min(2, values[f"count_{level}"])
    acc, codes = conv_model(made, values)
    made.run(Opcode.CONV, values)
    np.testing.assert_array_equal(made.acc[0], acc)
    np.testing.assert_array_equal(made.written[0].view(np.int8), codes)
    np.testing.assert_array_equal(made.feature[5:5 + 3 * len(codes):3].view(np.int8), codes)


def depthwise_model(made, values):
    """Return the results of a depthwise CONV: a window slides along each run of loop 0."""
    line = values["count_0"]
    rows = made.feature
    bias, shift, upper = params_of(made, values)
    acc = {}
    for number, (word, y, x) in enumerate(walk(values)):
        column, group = number % line, number // (line * values["count_1"])
        if column == 0:
            window = [np.zeros(CONFIG.out_lanes, np.int64)] * CONFIG.window_taps
        inside = 0 <= y < values["height"] and 0 <= x < values["width"]
        row = rows[word // CONFIG.words_per_row % len(rows)]
        window = [as_codes(row, values["signed"]) * inside, *window[:-1]]
        if number % (line * values["count_1"]) == 0:
            results = 0
        after = column - values["warm"]
        if after >= 0 and after % (values["skip"] + 1) == 0:
            tile = as_codes(made.weight[values["weight_row"] + group], True).reshape(
                CONFIG.out_lanes, CONFIG.in_lanes)
            acc.setdefault(results, bias)
            acc[results] = acc[results] + sum(
                tile[:, tap] * codes for tap, codes in enumerate(window))
            results += 1
    return requantize(
        np.array([acc[n] for n in sorted(acc)]), shift, values["lo"], upper)


@pytest.mark.parametrize("seed", range(6))
def test_depthwise_conv_equals_its_steps(seed):
    rng = np.random.default_rng(seed)
    made = machine(seed)
    values = calc(
        Opcode.CONV, word=20, y=-1, x=-1, height=4, width=6, count_0=7, word_0=2, x_0=1,
        count_1=2, word_1=0, x_1=-6, y_1=1, count_2=3, word_2=-12, x_2=-6, y_2=0,
        signed=int(rng.integers(2)), lo=-100, param_row=1, row=60, depthwise=1,
        warm=seed % 3, skip=seed % 2)
    expected = depthwise_model(made, values)
    made.run(Opcode.CONV, values)
    np.testing.assert_array_equal(made.written[0].view(np.int8), expected)


def test_conv_in_two_parts():
    made, whole = machine(3), machine(3)
    common = {"count_0": 6, "word_0": 1, "height": 9, "width": 9, "row": 60}
    whole.run(Opcode.CONV, calc(Opcode.CONV, **common, count_2=4, word_2=2))
    made.run(Opcode.CONV, calc(Opcode.CONV, **common, count_2=1, finish=0))
    assert not made.written
    made.run(Opcode.CONV, calc(
        Opcode.CONV, **common, word=7, count_2=3, word_2=2, weight_row=1, init=0))
    np.testing.assert_array_equal(made.written[0], whole.written[0])


def test_accumulator_overflow_is_seen():
    made = machine()
    made.param[0] = np.full(4, (1 << 31) - 1, "<i8").view(np.uint8)
    made.weight[:] = 1
    made.feature[:] = 1
    with pytest.raises(SimulationError, match="An accumulator overflows 32 bits"):
        made.run(Opcode.CONV, calc(Opcode.CONV))


def vector_model(made, values):
    """Return the results of a VECTOR, step by step."""
    steps = values["count_0"] * values["count_1"]
    groups, results = [], []
    for number, position in enumerate(walk(values)):
        if number % steps == 0:
            groups.append([])
        groups[-1].append(position)
    for group in groups:
        found, counted = [], 0
        for number, (word, y, x) in enumerate(group):
            odd = number % 2
            signed = values["signed_b" if odd else "signed"]
            inside = 0 <= y < values["height"] and 0 <= x < values["width"]
            row = made.feature[word // CONFIG.words_per_row % len(made.feature)]
            if inside:
                found.append(as_codes(row, signed) << values["shift_b" if odd else "shift_a"])
            counted += (inside or values["count_pad"]) and (
                y < values["count_height"] and x < values["count_width"])
        zero = np.zeros(CONFIG.out_lanes, np.int64)
        acc = np.max(found, axis=0) if values["op"] == VectorOp.MAX else sum(found, zero)
        if values["divide"]:
            rounded = divide_round(acc, counted, values["shift"])
            results.append(np.clip(rounded, values["lo"], values["hi"]))
        else:
            results.append(requantize(acc, values["shift"], values["lo"], values["hi"]))
    return np.array(results)


@pytest.mark.parametrize("seed", range(8))
def test_sum_equals_its_steps(seed):
    rng = np.random.default_rng(seed)
    made = machine(seed)
    loops = random_loops(rng, 256)
    for level in range(5):
        loops[f"word_{level}"] *= CONFIG.words_per_row
    values = calc(
        Opcode.VECTOR, **loops, op=VectorOp.SUM, signed=int(rng.integers(2)),
        signed_b=int(rng.integers(2)), shift_a=2, shift_b=1, shift=int(rng.integers(0, 4)),
        lo=-90, hi=100, row=7)
    expected = vector_model(made, values)
    made.run(Opcode.VECTOR, values)
    np.testing.assert_array_equal(made.written[0].view(np.int8), expected)


@pytest.mark.parametrize("count_pad", [0, 1])
@pytest.mark.parametrize("seed", range(4))
def test_average_divides_by_what_is_counted(seed, count_pad):
    rng = np.random.default_rng(seed)
    made = machine(seed)
    # Windows of 3 x 3 from (-1, -1) on, two to the right and two down, on a map of 4 x 4.
    values = calc(
        Opcode.VECTOR, word=40, y=-1, x=-1, height=4, width=4, count_0=3, word_0=2, x_0=1,
        count_1=3, word_1=8, y_1=1, x_1=-2, count_2=2, word_2=-10, y_2=-2, count_3=2, word_3=-4,
        x_3=-4, op=VectorOp.SUM, divide=1, count_pad=count_pad, count_height=4,
        count_width=5, signed=int(rng.integers(2)), signed_b=1, shift_a=seed, shift_b=seed,
        shift=int(rng.integers(0, 3)), lo=-90, hi=100, row=7)
    expected = vector_model(made, values)
    made.run(Opcode.VECTOR, values)
    np.testing.assert_array_equal(made.written[0].view(np.int8), expected)


@pytest.mark.parametrize("signed", [0, 1])
def test_maximum_ignores_padding(signed):
    made = machine(5)
    values = calc(
        Opcode.VECTOR, word=20, x=-1, y=-1, height=3, width=5, count_0=3, word_0=2, x_0=1,
        count_1=2, word_1=6, x_1=-2, y_1=1, count_2=3, word_2=-8, y_2=-1, signed=signed,
        signed_b=signed, lo=-128, hi=255, row=40)
    expected = vector_model(made, values)
    made.run(Opcode.VECTOR, values)
    np.testing.assert_array_equal(made.written[0], expected.astype(np.uint8))


@pytest.mark.parametrize("hold", [0, 1])
@pytest.mark.parametrize("op", [VectorOp.SUM, VectorOp.PRODUCT, VectorOp.PRELU])
def test_two_operands(op, hold):
    made = machine(3)
    loops = {"count_0": 1, "word_2": 2} if hold else {"count_0": 2, "word_0": 40, "word_2": -38}
    values = calc(
        Opcode.VECTOR, op=op, hold=hold, word_b=90, word=10, count_2=12, row=60, signed_b=0,
        shift_a=3, shift_b=1, shift=4, lo=-120, hi=110, **loops)
    rows = made.feature.copy()
    if op == VectorOp.PRELU and not hold:
        return
    made.run(Opcode.VECTOR, values)
    for number, written in enumerate(made.written[0].view(np.int8)):
        a = as_codes(rows[5 + number], True)
        b = as_codes(rows[45] if hold else rows[25 + number], False)
        expected = {
            VectorOp.SUM: (a << 3) + (b << 1), VectorOp.PRODUCT: a * b,
            VectorOp.PRELU: np.where(a < 0, a * b, a << 3)}[op]
        np.testing.assert_array_equal(written, requantize(expected, 4, -120, 110))


@pytest.mark.parametrize("index_shift", [0, 8])
@pytest.mark.parametrize("bits", [8, 16])
def test_table(bits, index_shift):
    if bits == 8 and index_shift:
        return
    wide = bits > 8
    config = replace(CONFIG, data_bits=16, acc_bits=48) if wide else CONFIG
    made = FunctionalMachine(config, {})
    rng = np.random.default_rng(4)
    made.feature[:] = rng.integers(0, 256, made.feature.shape)
    entries = rng.integers(-1 << bits, 1 << bits, config.table_entries)
    made.table[2] = entries.astype(f"<i{config.table_entry_size}").view(np.uint8)
    codes = made.feature[7:19].view(f"<u{config.code_size}").astype(np.int64)
    low, high = -1 << bits, (1 << bits) - 1
    made.run(Opcode.VECTOR, calc(
        Opcode.VECTOR, op=VectorOp.TABLE, table=2, count_0=config.table_steps, word=14, count_2=12,
        word_2=2, shift_a=8 * wide, shift_b=index_shift, shift=8 * wide, lo=low // 2, hi=high))
    index = codes >> index_shift & 255
    results = entries[index]
    if wide:
        acc = entries[2 * index] * 256 + entries[2 * index + 1] * (codes & 255)
        results = requantize(acc, 8, low, high)
    written = made.written[0].view(f"<u{config.code_size}").astype(np.int64)
    np.testing.assert_array_equal(
        written, np.clip(results, low // 2, high) & ((1 << bits) - 1))


def transfer(**fields):
    return {
        "memory": Memory.FEATURE, "region": Region.INPUT, "address": 0, "row": 0, "row_count": 1,
        "line_count": 1, "line_stride": 0, "row_stride": 0} | fields


def test_load_and_save_in_lines():
    made = machine()
    data = np.frombuffer(bytes(made.regions[Region.INPUT]), np.uint8)
    made.run(Opcode.LOAD, transfer(
        address=40, row=3, row_count=2, line_count=3, line_stride=100, row_stride=5))
    for line in range(3):
        start = 40 + 100 * line
        np.testing.assert_array_equal(
            made.feature[3 + 5 * line:5 + 5 * line].ravel(), data[start:start + 8])
    made.run(Opcode.SAVE, transfer(
        region=Region.SCRATCH, address=8, row=3, row_count=7, line_count=2, line_stride=60,
        row_stride=7))
    scratch = np.frombuffer(bytes(made.regions[Region.SCRATCH]), np.uint8)
    np.testing.assert_array_equal(scratch[8:36], made.feature[3:10].ravel())
    np.testing.assert_array_equal(scratch[68:96], made.feature[10:17].ravel())


@pytest.mark.parametrize("memory", list(Memory))
def test_load_of_each_memory(memory):
    made = machine()
    count = 1 if memory == Memory.TABLE else 2
    made.run(Opcode.LOAD, transfer(memory=memory, address=64, row=1, row_count=count))
    rows = {
        Memory.FEATURE: made.feature, Memory.WEIGHT: made.weight, Memory.PARAM: made.param,
        Memory.TABLE: made.table}[memory][1:1 + count]
    assert rows.tobytes() == bytes(made.regions[Region.INPUT][64:64 + rows.size])


@pytest.mark.parametrize("bits", [0, 3])
def test_load_of_some_columns(bits):
    """Rows of two beats, of which one is stored; narrow weights come two beats at a time."""
    made = machine()
    before = made.weight.copy()
    load = transfer(memory=Memory.WEIGHT, weight_bits=bits, columns=1, row=1, row_count=6,
                    line_beats=6, address=64)
    if bits:
        with pytest.raises(SimulationError, match="There are no 1 columns to fill"):
            made.run(Opcode.LOAD, load)
        made.run(Opcode.LOAD, load | {"columns": 2, "line_beats": 5})
        return
    made.run(Opcode.LOAD, load)
    stored = np.frombuffer(made.regions[Region.INPUT], np.uint8)[64:64 + 24].reshape(6, 4)
    np.testing.assert_array_equal(made.weight[1:7, :4], stored)
    np.testing.assert_array_equal(made.weight[1:7, 4:], before[1:7, 4:])
    assert made.lanes[1:7].tolist() == [2] * 6
    with pytest.raises(SimulationError, match="A line has 24 bytes in DRAM"):
        made.run(Opcode.LOAD, load | {"line_beats": 0})


def test_sums_of_lanes_without_weights_mean_nothing():
    made = machine()
    most = (1 << 31) - 1
    made.param[0] = np.array([1, 2, most, most], "<i8").view(np.uint8)
    made.feature[:], made.weight[:] = 127, 127
    conv = calc(Opcode.CONV, count_2=4, gap=3)
    with pytest.raises(SimulationError, match="An accumulator overflows 32 bits"):
        made.run(Opcode.CONV, conv)
    made.lanes[0:4] = 2
    made.run(Opcode.CONV, conv)


@pytest.mark.parametrize("bits", range(2, 8))
def test_load_of_narrow_weights(bits):
    """Rows of 8 codes; 4 beats of codes are 16."""
    made = machine()
    half = 1 << bits - 1
    lines = np.random.default_rng(bits).integers(-half, half, (2, 24))
    for start, codes in zip((64, 104), lines, strict=True):
        packed = pack_planes(codes, bits, 16)
        made.regions[Region.INPUT][start:start + len(packed)] = packed
    made.run(Opcode.LOAD, transfer(
        memory=Memory.WEIGHT, weight_bits=bits, address=64, line_stride=40, row_stride=4, row=1,
        row_count=3, line_count=2))
    for codes, row in zip(lines, (1, 5), strict=True):
        np.testing.assert_array_equal(made.weight[row:row + 3].view(np.int8).ravel(), codes)
    stored = -(-2 * 16 * bits // 32) * 4
    last = transfer(
        memory=Memory.WEIGHT, weight_bits=bits, address=1024 - stored, row_count=3)
    made.run(Opcode.LOAD, last)
    with pytest.raises(SimulationError, match="LOAD goes past the end of a memory"):
        made.run(Opcode.LOAD, last | {"address": 1028 - stored})


@pytest.mark.parametrize(("opcode", "values", "message"), [
    (Opcode.LOAD, transfer(weight_bits=4), "Codes of 4 bits are for weight memory, 2 to 7"),
    (Opcode.LOAD, transfer(row=127, row_count=2), "LOAD goes past the end of a memory"),
    (Opcode.SAVE, transfer(address=1024), "SAVE goes past the end of a memory"),
    (Opcode.LOAD, transfer(address=2), "LOAD is not aligned to the bus"),
    (Opcode.CONV, calc(Opcode.CONV, row=128), "Result row 128 is past the end"),
    (Opcode.CONV, calc(Opcode.CONV, count_0=17), "CONV needs more accumulators or weights"),
    (Opcode.CONV, calc(Opcode.CONV, count_2=17), "CONV needs more accumulators or weights"),
    (Opcode.VECTOR, calc(Opcode.VECTOR, word=1), "VECTOR must read whole rows"),
    (Opcode.VECTOR, calc(Opcode.VECTOR, hold=1, word_b=1), "VECTOR must read whole rows"),
    (Opcode.VECTOR, calc(Opcode.VECTOR, hold=1), "A maximum cannot hold an operand"),
    (Opcode.VECTOR, calc(Opcode.VECTOR, op=VectorOp.PRODUCT), "must be one element"),
    (Opcode.VECTOR, calc(Opcode.VECTOR, op=VectorOp.SUM, hold=1, count_0=2), "must be one element"),
    (Opcode.VECTOR, calc(Opcode.VECTOR, op=VectorOp.TABLE, count_0=2), "the steps of a table"),
    (Opcode.LOAD, transfer(memory=Memory.WEIGHT, pairs=1), "Pairs are for weight memory"),
    (Opcode.CONV, calc(Opcode.CONV, products=1), "The config has one product of a multiplier"),
])
def test_what_the_hardware_cannot_do(opcode, values, message):
    with pytest.raises(SimulationError, match=message):
        machine().run(opcode, values)


def test_two_products_are_for_plain_convolutions():
    made = FunctionalMachine(
        replace(CONFIG, dual_products=True), {region: bytearray(1024) for region in Region})
    for field in ("depthwise", "skip"):
        with pytest.raises(SimulationError, match="Two products are for plain convolutions"):
            made.run(Opcode.CONV, calc(Opcode.CONV, products=2, **{field: 1}))
    for memory, bits in ((Memory.FEATURE, 0), (Memory.WEIGHT, 5)):
        with pytest.raises(SimulationError, match="Pairs are for weight memory"):
            made.run(Opcode.LOAD, transfer(memory=memory, weight_bits=bits, pairs=1))


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_pairs_take_half_a_byte_each(bits):
    made = FunctionalMachine(
        replace(CONFIG, dual_products=True), {region: bytearray(range(256)) for region in Region})
    half = 1 << bits - 1
    pairs = np.random.default_rng(bits).integers(-half, half, (24, 2))
    packed = pack_codes(pairs, 4) if bits == 4 else pack_planes(pairs, bits, 16, pairs=True)
    made.regions[Region.INPUT][64:64 + len(packed)] = packed
    made.run(Opcode.LOAD, transfer(
        memory=Memory.WEIGHT, weight_bits=2 * bits % 8, pairs=1, address=64, row=1, row_count=3))
    first, second = pairs.T
    np.testing.assert_array_equal(
        made.weight[1:4].view(np.int8).ravel(), 16 * second + first + 8)


def test_weights_of_16_bits_are_not_packed():
    config = replace(CONFIG, data_bits=16, weight_bits=16, acc_bits=48)
    made = FunctionalMachine(config, {region: bytearray(1024) for region in Region})
    with pytest.raises(SimulationError, match="Codes of 4 bits are for weight memory"):
        made.run(Opcode.LOAD, transfer(memory=Memory.WEIGHT, weight_bits=4))


@dataclass
class Bytes:
    """A program that no compiler made."""

    config: AcceleratorConfig
    program_image: bytes
    weight_image: bytes = b""
    output_size: int = 8
    scratch_size: int = 0
    steps: tuple[Segment, ...] = (Segment(0, 0, 0),)


def program(*instructions, config=CONFIG):
    body = b"".join(encode(opcode, values) for opcode, values in instructions)
    return Bytes(CONFIG, encode_header(
        config_hash=config.hash, instruction_count=len(instructions)) + body)


def test_run_returns_output_and_rows():
    code = program(
        (Opcode.LOAD, transfer(row_count=2)),
        (Opcode.VECTOR, calc(Opcode.VECTOR, count_2=2, word_2=2, row=10, lo=0)),
        (Opcode.SAVE, transfer(region=Region.OUTPUT, row=10, row_count=2)), (Opcode.END, {}))
    output, rows = run_functional(code, bytes([1, 255, 3, 4, 5, 6, 7, 128]))
    assert output == bytes([1, 0, 3, 4, 5, 6, 7, 0])
    assert rows.tolist() == [[1, 0, 3, 4], [5, 6, 7, 0]]


def test_program_for_another_config():
    code = program((Opcode.END, {}), config=replace(CONFIG, param_depth=8))
    with pytest.raises(SimulationError, match="The program was made for another config"):
        run_functional(code, b"")


def test_program_without_end():
    with pytest.raises(SimulationError, match="The program has no END"):
        run_functional(program((Opcode.LOAD, transfer())), bytes(4))
