"""The CALC engine with its feature memory, against loops written out in Python."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from arch.config import TABLES, AcceleratorConfig
from arch.formats import divide_round, requantize
from arch.isa import LEVELS, Engine, Opcode, Products, VectorOp
from arch.timing import divide_group, pass_gap
from hw.calc import CalcEngine
from hw.feature_memory import FeatureMemory
from hw.layouts import Done, instruction_layout
from quantizer.layout import pack_params

from .bench import simulate


CONFIG = AcceleratorConfig(
    "test", in_lanes=2, out_lanes=4, feature_depth=256, feature_banks=2, weight_depth=64,
    param_depth=4, acc_depth=32, table_lanes=2, dram_width=4)
WIDE = replace(CONFIG, data_bits=16, weight_bits=16, acc_bits=48)
MIXED = replace(CONFIG, data_bits=16, weight_bits=8, acc_bits=48)
DUAL = replace(CONFIG, dual_products=True)
WIRED = replace(CONFIG, wire_registers=True)
WIRED_DUAL = replace(DUAL, wire_registers=True)


class Harness(wiring.Component):
    """CALC and feature memory, with LOAD's side of every memory as ports."""

    def __init__(self, config):
        self.config = config
        self.calc = CalcEngine(config)
        columns = config.row_size // config.dram_width
        self.feature = FeatureMemory(
            depth=config.feature_depth, banks=config.feature_banks, columns=columns,
            column_width=config.dram_width * 8, wire_registers=config.wire_registers)
        tables = (
            {"table_writes": self.calc.signature.members["table_writes"]}
            if config.table_lanes else {})
        super().__init__(tables | {
            "instructions": In(stream.Signature(instruction_layout(Engine.CALC))),
            "load_writes": Out(self.feature.load_writes.signature),
            "weight_en": In(len(self.calc.weight_en)),
            "param_en": In(len(self.calc.param_en)),
            "load_row": In(20),
            "load_data": In(config.dram_width * 8),
            "done": Out(Done),
            "write": Out(1),
            "write_row": Out(range(config.feature_depth)),
            "write_data": Out(config.row_size * 8),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.calc = calc = self.calc
        m.submodules.feature = feature = self.feature
        connect(m, flipped(self.instructions), calc.instructions)
        connect(m, flipped(self.load_writes), feature.load_writes)
        if self.config.table_lanes:
            connect(m, flipped(self.table_writes), calc.table_writes)
        m.d.comb += [
            feature.calc_read.eq(calc.read), feature.calc_row.eq(calc.read_row),
            calc.read_data.eq(feature.calc_data),
            feature.calc_write.eq(calc.write), feature.calc_w_row.eq(calc.write_row),
            feature.calc_w_data.eq(calc.write_data),
            calc.weight_en.eq(self.weight_en), calc.param_en.eq(self.param_en),
            calc.load_row.eq(self.load_row),
            calc.load_data.eq(self.load_data.replicate(self.calc.config.weight_columns)),
            self.done.eq(calc.done),
            self.write.eq(calc.write), self.write_row.eq(calc.write_row),
            self.write_data.eq(calc.write_data),
        ]
        return m


class Model:
    """What the memories hold, and what instructions do to them."""

    def __init__(self, config, seed):
        rng = np.random.default_rng(seed)
        self.config = config
        self.feature = rng.integers(
            0, 1 << config.data_bits, (config.feature_depth, config.out_lanes))
        half = 1 << (config.weight_bits - 1)
        self.weight = rng.integers(
            -half, half, (config.weight_depth, config.out_lanes, config.in_lanes))
        more = config.data_bits + config.weight_bits - 16
        self.bias = rng.integers(
            -5000 << more, 5000 << more, (config.param_depth, config.out_lanes))
        self.shift = rng.integers(4, 12, (config.param_depth, config.out_lanes))
        self.shift += config.weight_bits - 8
        half_code = 1 << (config.data_bits - 1)
        self.upper = rng.integers(half_code // 4, half_code, self.shift.shape)
        self.upper[3] += half_code  # for results without a sign
        limit = 1 << config.data_bits
        self.table = rng.integers(-limit, limit, (TABLES, config.table_entries))
        self.acc = np.zeros((2, config.acc_depth, config.out_lanes), np.int64)
        self.writes = []

    def write(self, row, codes):
        self.feature[row] = codes & ((1 << self.config.data_bits) - 1)
        self.writes.append((row, self.feature[row].tolist()))

    def run(self, opcode, code):
        """Run one instruction."""
        groups = {}
        counts = [code.get(f"count_{level}", 1) for level in reversed(range(LEVELS))]
        position = np.array([code["word"], code["y"], code["x"]])
        previous = None
        for index in itertools.product(*map(range, counts)):
            if previous:
                level = LEVELS - 1 - next(n for n in range(LEVELS) if index[n] != previous[n])
                position = position + [code.get(f"{a}_{level}", 0) for a in ("word", "y", "x")]
            previous = index
            groups.setdefault(index[:3], []).append(position)
        groups = list(groups.values())
        {Opcode.CONV: self.conv, Opcode.VECTOR: self.vector}[opcode](code, groups)

    def inside(self, code, y, x):
        return 0 <= y < code["height"] and 0 <= x < code["width"]

    def extend(self, codes, signed):
        bits = self.config.data_bits
        return codes - ((signed & (codes >> (bits - 1))) << bits)

    def depthwise(self, code, groups):
        for number, group in enumerate(groups):
            tile = self.weight[code["weight_row"] + number]
            index = 0
            wrap = code.get("wrap", 0)
            window = []  # line and codes, newest first
            for n, (word, y, x) in enumerate(group + group[-1:] * wrap):
                line, step = divmod(n, code["count_0"])
                row = self.feature[word // self.config.words_per_row % len(self.feature)]
                row = self.extend(row, code["signed"]) * self.inside(code, y, x)
                window = [(line, row), *window]
                after = (n if wrap else step) - code["warm"]
                if after >= 0 and after % (code["skip"] + 1) == 0:
                    target = line - (step < wrap)
                    sums = sum(
                        tile[:, tap] * codes for tap, (other, codes) in enumerate(
                            window[:self.config.window_taps]) if other == target)
                    if code.get("wide"):
                        sums = ((tile[:, 0] & 255) + (tile[:, 1] << 8)) * window[0][1]
                    second = code.get("products") == Products.SECOND
                    self.accumulate(code, number, len(groups), index, sums, int(second))
                    index += 1

    def conv(self, code, groups):
        if code.get("depthwise"):
            self.depthwise(code, groups)
            return
        for number, group in enumerate(groups):
            tile = self.weight[code["weight_row"] + number]
            index, before = 0, None
            for n, (word, y, x) in enumerate(group):
                codes = self.codes(code, word, y, x)
                if code.get("products", 0) in (Products.ONE, Products.SECOND):
                    second = code.get("products", 0) == Products.SECOND
                    self.accumulate(code, number, len(groups), n, tile @ codes, int(second))
                    continue
                sums, second = ((tile & 15) - 8) @ codes, (tile >> 4) @ codes
                if code["products"] == Products.BLOCKS:
                    self.accumulate(code, number, len(groups), n, sums)
                    self.accumulate(code, number, len(groups), n, second, 1)
                    continue
                step = n % code["count_0"]
                if step >= code["warm"]:
                    sums += before if step else 0
                    self.accumulate(code, number, len(groups), index, sums)
                    index += 1
                before = second

    def codes(self, code, word, y, x):
        parts = self.config.words_per_row
        words = self.feature[word // parts % len(self.feature)].reshape(parts, -1)
        return self.extend(words[word % parts], code["signed"]) * self.inside(code, y, x)

    def accumulate(self, code, number, groups, index, sums, block=0):
        biased = code["init"] and number == 0
        param = code["param_row"] + block
        total = sums + (self.bias[param] if biased else self.acc[block, index])
        if code["finish"] and number == groups - 1:
            self.write(code["row"] + index * code["row_step"] + block, requantize(
                total, self.shift[param], code["lo"],
                self.extend(self.upper[param], int(code["lo"] < 0))))
        else:
            self.acc[block, index] = total

    def looked_up(self, code, codes):
        entries = self.table[code["table"]]
        index = codes >> code["shift_b"] & 0xFF
        if self.config.data_bits == 8:
            return entries[index]
        return (entries[2 * index] << 8) + entries[2 * index + 1] * (codes & 0xFF)

    def element(self, code, a, b):
        signed_a, signed_b = self.extend(a, code["signed"]), self.extend(b, code["signed_b"])
        shifted = signed_a << code["shift_a"]
        match code["op"]:
            case VectorOp.SUM:
                return shifted + (signed_b << code["shift_b"])
            case VectorOp.PRODUCT:
                return signed_a * signed_b
            case VectorOp.PRELU:
                return np.where(signed_a < 0, signed_a * signed_b, shifted)
            case VectorOp.TABLE:
                return self.looked_up(code, a)

    def elementwise(self, code, groups):
        parts = self.config.words_per_row
        held = self.feature[code["word_b"] // parts].copy()
        for number, group in enumerate(groups):
            a, b = (self.feature[group[n][0] // parts] for n in (0, -1))
            acc = self.element(code, a, held if code["hold"] else b)
            self.write(code["row"] + number * code["row_step"], requantize(
                acc, code["shift"], code["lo"], code["hi"]))

    def vector(self, code, groups):
        parts = self.config.words_per_row
        if code["hold"] or code["op"] > VectorOp.SUM:
            self.elementwise(code, groups)
            return
        for number, group in enumerate(groups):
            values, count = [], 0
            for n, (word, y, x) in enumerate(group):
                inside = self.inside(code, y, x)
                count += ((inside or code["count_pad"]) and y < code["count_height"]
                          and x < code["count_width"])
                signed = code["signed_b" if n % 2 else "signed"]
                shift = code["shift_b" if n % 2 else "shift_a"]
                if inside:
                    values.append(self.extend(self.feature[word // parts], signed) << shift)
            acc = np.sum(values, axis=0) if code["op"] else np.max(values, axis=0)
            if code["divide"]:
                codes = divide_round(acc, count, code["shift"])
            else:
                codes = requantize(acc, code["shift"], -2**47, 2**47)
            row = code["row"] + number * code["row_step"]
            self.write(row, np.clip(codes, code["lo"], code["hi"]))


def run(seed, program, config=CONFIG):
    """Run ``program`` on both and compare every row written, in order."""
    dut, model = Harness(config), Model(config, seed)
    code_type, weight_type = f"<u{config.code_size}", f"<i{config.weight_size}"
    writes, done = [], []

    async def drive(ctx):
        for row, codes in enumerate(model.feature):
            content = codes.astype(code_type).tobytes()
            for column in range(len(content) // 4):
                ctx.set(dut.load_writes.valid, 1)
                ctx.set(dut.load_writes.payload, {
                    "row": row, "column": column,
                    "data": int.from_bytes(content[4 * column:][:4], "little")})
                await ctx.tick().until(dut.load_writes.ready)
        ctx.set(dut.load_writes.valid, 0)
        for row, tile in enumerate(model.weight):
            await load(ctx, dut.weight_en, row, tile.astype(weight_type).tobytes())
        for row, params in enumerate(zip(model.bias, model.shift, model.upper)):
            await load(ctx, dut.param_en, row, pack_params(*params))
        if any(code.get("op") == VectorOp.TABLE for _, code in program):
            await load_tables(ctx)
        for opcode, code in program:
            ctx.set(dut.instructions.valid, 1)
            name = "conv" if opcode is Opcode.CONV else "vector"
            ctx.set(dut.instructions.payload[name], {**code, "opcode": opcode.value})
            await ctx.tick().until(dut.instructions.ready)
        ctx.set(dut.instructions.valid, 0)
        async for _ in ctx.tick():
            if len(done) == len(program):
                break

    async def load_tables(ctx):
        entry_type = f"<i{config.table_entry_size}"
        for table, entries in enumerate(model.table):
            content = entries.astype(entry_type).tobytes()
            for column in range(len(content) // 4):
                ctx.set(dut.table_writes.valid, 1)
                ctx.set(dut.table_writes.payload, {
                    "table": table, "column": column,
                    "data": int.from_bytes(content[4 * column:][:4], "little")})
                await ctx.tick().until(dut.table_writes.ready)
        ctx.set(dut.table_writes.valid, 0)

    async def load(ctx, enable, row, content):
        for column in range(len(content) // 4):
            ctx.set(enable, 1 << column)
            ctx.set(dut.load_row, row)
            ctx.set(dut.load_data, int.from_bytes(content[4 * column:][:4], "little"))
            await ctx.tick()
        ctx.set(enable, 0)

    async def watch(ctx):
        async for _, _, write, row, data, ended in ctx.tick().sample(
                dut.write, dut.write_row, dut.write_data, dut.done):
            if write:
                codes = data.to_bytes(config.row_size, "little")
                writes.append((row, np.frombuffer(codes, code_type).tolist()))
            if ended.valid:
                done.append((ended.layer, len(writes)))

    simulate(dut, drive, processes=[watch])
    for opcode, code in program:
        model.run(opcode, code)
    assert writes == model.writes
    return done


def conv(**changes):
    """Return a 3 x 3 convolution of a 5 x 6 map of one row (two words) a pixel."""
    return Opcode.CONV, {
        "layer": 1, "fence": 1, "word": 0, "y": -1, "x": -1, "height": 5, "width": 6,
        "count_0": 6, "word_0": 2, "x_0": 1,
        "count_1": 5, "word_1": 2, "x_1": -5, "y_1": 1,
        "count_2": 3, "word_2": 2 - 58, "x_2": -5 + 1, "y_2": -4,
        "count_3": 3, "word_3": 12 - 58 - 4, "x_3": -5 - 2, "y_3": -4 + 1,
        "count_4": 2, "word_4": 1 - 58 - 4 - 24, "x_4": -5 - 2, "y_4": -4 - 2,
        "row": 100, "row_step": 1, "gap": 0, "signed": 1, "lo": -128,
        "weight_row": 3, "param_row": 1, "init": 1, "finish": 1, **changes,
    }




def depthwise(**changes):
    """Return a 3 x 2 depthwise convolution of a 5 x 6 map of one row a pixel."""
    return Opcode.CONV, {
        **conv()[1], "layer": 4, "depthwise": 1, "warm": 1, "skip": 0, "y": -1, "x": 0,
        "count_0": 6, "word_0": 2, "x_0": 1, "count_1": 5, "word_1": 2, "x_1": -5, "y_1": 1,
        "count_2": 3, "word_2": 2 - 58, "x_2": -5, "y_2": -3, "count_3": 1, "count_4": 1,
        **changes,
    }


def pool(**changes):
    """Return a 2 x 2 maximum of a 4 x 6 map of one row a pixel."""
    return Opcode.VECTOR, {
        "layer": 2, "fence": 1, "word": 20, "y": 0, "x": 0, "height": 4, "width": 6,
        "count_0": 2, "word_0": 2, "x_0": 1,
        "count_1": 2, "word_1": 12 - 2, "y_1": 1, "x_1": -1,
        "count_2": 3, "word_2": 4 - 14, "y_2": -1, "x_2": 1,
        "count_3": 2, "word_3": 24 - 14 - 8, "y_3": 1, "x_3": -5,
        "count_4": 1,
        "row": 200, "row_step": 2, "gap": 0, "signed": 1, "lo": -128, "hi": 127,
        "op": 0, "hold": 0, "word_b": 0, "table": 0,
        "signed_b": 1, "shift_a": 0, "shift_b": 0, "shift": 0, "divide": 0,
        "count_pad": 0, "count_height": 4, "count_width": 6, **changes,
    }


def add(**changes):
    """Return the sum of ten rows and ten others."""
    return Opcode.VECTOR, {
        "layer": 3, "fence": 1, "word": 10, "y": 0, "x": 0, "height": 1, "width": 1,
        "count_0": 2, "word_0": 100, "count_1": 1, "count_2": 10, "word_2": 2 - 100,
        "count_3": 1, "count_4": 1,
        "row": 220, "row_step": 1, "gap": 0, "signed": 1, "lo": 0, "hi": 255,
        "op": 1, "hold": 0, "word_b": 0, "table": 0,
        "signed_b": 0, "shift_a": 2, "shift_b": 0, "shift": 3, "divide": 0,
        "count_pad": 0, "count_height": 1, "count_width": 1, **changes,
    }


@pytest.mark.parametrize("seed", range(2))
def test_convolution(seed):
    assert run(seed, [conv()]) == [(1, 30)]


def test_convolution_of_unsigned_data_with_clamp():
    run(3, [conv(signed=0, lo=0, param_row=3)])


def test_passes_split_over_instructions():
    run(4, [
        conv(count_4=1, finish=0),
        conv(count_4=1, init=0, word=1, weight_row=12, fence=0),
    ])


def test_shortest_group_with_gap():
    single = {f"count_{level}": 1 for level in range(LEVELS)}
    taps = {"count_2": 9, "word_2": 1, "y": 0, "x": 0, "x_2": 0, "y_2": 0}
    run(5, [conv(**single | taps)])
    run(5, [conv(**single | taps | {"count_0": n, "gap": pass_gap(n)}) for n in (2, 3, 4)])


def test_single_position_split_over_instructions():
    single = {f"count_{level}": 1 for level in range(LEVELS)}
    taps = {"y": 0, "x": 0, "x_2": 0, "y_2": 0, "word_2": 1, "count_2": 25}
    parts = [
        conv(**single | taps, init=int(n == 0), finish=int(n == 4), weight_row=9 + n, fence=0)
        for n in range(5)
    ]
    run(14, parts)


def test_back_to_back_without_fence():
    run(6, [conv(), conv(row=140, weight_row=20, param_row=2, fence=0, signed=0, lo=-5),
            conv(row=180, weight_row=1, param_row=0, fence=0)])


def test_depthwise():
    run(10, [depthwise(), conv(row=140, fence=0), depthwise(row=200, signed=0, fence=0)])


def test_depthwise_of_every_other_column():
    run(11, [depthwise(skip=1), depthwise(skip=2, warm=0, row=150, count_0=7)])


def test_depthwise_lines_that_follow_each_other():
    wide = {"x": 0, "warm": 2, "wrap": 2}
    run(13, [
        depthwise(wrap=1), depthwise(**wide, row=140), pool(row=40),
        depthwise(wrap=1, skip=1, count_0=2, x_1=-1, x_2=-1, row=190, fence=0),
        depthwise(wrap=1, count_0=1, x_0=0, word_0=0, x_1=0, x_2=0, row=200, fence=0),
    ])


def test_depthwise_taps_split_over_instructions():
    run(12, [
        depthwise(finish=0),
        depthwise(init=0, warm=0, skip=1, count_0=9, x_1=-8, x_2=-8, weight_row=9, fence=0),
    ])


def test_reads_what_the_instruction_before_wrote():
    run(7, [conv(), conv(word=200, row=0)])


@pytest.mark.parametrize("config", [CONFIG, WIRED], ids=["plain", "wired"])
def test_maximum_then_convolution_then_sum(config):
    run(8, [pool(), conv(fence=0), add(fence=0), pool(op=1, shift=2, fence=0, row=80), add(row=0)],
        config)


@pytest.mark.parametrize("config", [CONFIG, WIRED], ids=["plain", "wired"])
def test_average_with_padding(config):
    three = {
        "count_0": 3, "word_1": 12 - 4, "x_1": -2, "count_1": 3, "word_2": 4 - 28, "y_2": -2,
        "x_2": 0, "word_3": 24 - 28 - 8, "x_3": -6, "y_3": 0, "y": -1, "x": -1,
        "op": 1, "divide": 1, "gap": divide_group(8) - 9,
    }
    padded = {"count_pad": 1, "count_height": 5, "count_width": 7, "row": 150}
    shifted = {"shift_a": 2, "shift_b": 2, "shift": 1, "signed": 0, "signed_b": 0}
    run(9, [pool(**three, fence=0), pool(**three, **padded), add(fence=0),
            pool(**three, **shifted)], config)


@pytest.mark.parametrize("config", [DUAL, WIRED_DUAL], ids=["dual", "wired dual"])
@pytest.mark.parametrize("seed", range(20, 22))
def test_two_products_of_two_blocks(config, seed):
    two = {"products": Products.BLOCKS.value, "row_step": 2}
    run(seed, [
        conv(**two), conv(row=160, fence=0),
        conv(**two, row=190, fence=0, signed=0, lo=0, param_row=2), pool(fence=0, row=10),
        conv(**two, row=30, gap=3),
    ], config)


def test_two_blocks_split_over_instructions():
    two = {"products": Products.BLOCKS.value, "row_step": 3, "param_row": 2}
    run(22, [
        conv(**two, count_4=1, finish=0),
        conv(**two, count_4=1, init=0, word=1, weight_row=12, fence=0), conv(),
    ], DUAL)


def test_two_blocks_of_a_single_position():
    two = {"products": Products.BLOCKS.value, "row_step": 0}
    single = {f"count_{level}": 1 for level in range(LEVELS)}
    taps = {"count_2": 9, "word_2": 1, "y": 0, "x": 0, "x_2": 0, "y_2": 0}
    run(23, [conv(**single | taps | two), conv(**single | two, y=0, x=0, row=40, fence=0),
             conv(**single | taps | two | {"param_row": 2, "row": 60}, fence=0)], DUAL)
    run(24, [conv(**single | taps | two | {"count_0": n, "row_step": 2, "gap": pass_gap(n)})
             for n in (2, 3, 4)], DUAL)


@pytest.mark.parametrize("warm", [0, 1])
def test_two_products_of_two_taps(warm):
    two = {"products": Products.TAPS.value, "warm": warm, "count_2": 2, "x": -warm,
           "word": -2 * warm % 512, "count_0": 6 + warm, "x_1": -5 - warm, "word_1": 2 - 2 * warm}
    run(25 + warm, [
        conv(**two), conv(row=140, fence=0), conv(**two, row=180, fence=0, signed=0),
        depthwise(row=220, fence=0), conv(**two, row=30, weight_row=20)], DUAL)


def test_plain_instructions_where_two_products_could_be():
    run(28, [conv(), depthwise(row=140, fence=0), conv(row=180, signed=0, fence=0), add()], DUAL)


def addend(**changes):
    """Return what adds a 5 x 6 map of one row a pixel to the sums of another instruction."""
    return depthwise(**{
        "y": 0, "warm": 0, "wide": 1, "count_2": 1, "word_2": 0, "x_2": 0, "y_2": 0, "finish": 0,
        "gap": 0, **changes})


@pytest.mark.parametrize(
    "config", [CONFIG, DUAL, MIXED, WIRED, WIRED_DUAL],
    ids=["plain", "dual", "16 x 8", "wired", "wired dual"])
@pytest.mark.parametrize("seed", range(2))
def test_addend_before_a_convolution(config, seed):
    single = {f"count_{level}": 1 for level in range(LEVELS)}
    run(30 + seed, [
        addend(word=2, signed=seed), conv(init=0, fence=0), depthwise(row=140, fence=0),
        addend(row=150, weight_row=7, fence=0), conv(row=170, init=0, fence=0),
        addend(**single, fence=0), conv(**single, y=0, x=0, init=0, row=10, fence=0),
        addend(init=1, finish=1, row=20, fence=0), conv(row=60)], config)


def test_addend_behind_a_convolution():
    run(32, [conv(finish=0), addend(init=0, finish=1, row=140, fence=0)])


@pytest.mark.parametrize("wide", [0, 1])
def test_addends_of_two_blocks(wide):
    two = {"products": Products.BLOCKS.value, "row_step": 2}
    second = {"products": Products.SECOND.value}
    run(33 + wide, [
        addend(wide=wide), addend(**second, wide=wide, word=4, weight_row=9, fence=0),
        conv(**two, init=0, fence=0),
        conv(count_2=1, count_3=1, count_4=1, finish=0, row=0, fence=0, y=0, x=0),
        conv(**second, count_2=1, count_3=1, count_4=1, finish=0, fence=0, y=0, x=0),
        conv(**two, row=170, init=0, fence=0)], DUAL)


BOUNDS = {"lo": -(1 << 15)}


@pytest.mark.parametrize("config", [WIDE, MIXED], ids=["16 x 16", "16 x 8"])
def test_convolutions_of_16_bits(config):
    run(15, [
        conv(**BOUNDS), conv(row=140, fence=0, signed=0, lo=0, param_row=3),
        depthwise(row=180, fence=0, **BOUNDS)], config)


def test_accumulators_of_more_than_32_bits():
    model = Model(WIDE, 16)
    parts = [conv(count_4=1, finish=0, signed=0),
             conv(count_4=1, init=0, word=1, weight_row=12, fence=0, signed=0)]
    model.run(*parts[0])
    assert abs(model.acc).max() >= 1 << 31
    run(16, [(opcode, {**code, **BOUNDS}) for opcode, code in parts], WIDE)


def test_vectors_of_16_bits():
    three = {
        "count_0": 3, "word_1": 12 - 4, "x_1": -2, "count_1": 3, "word_2": 4 - 28, "y_2": -2,
        "x_2": 0, "word_3": 24 - 28 - 8, "x_3": -6, "y_3": 0, "y": -1, "x": -1,
        "op": 1, "divide": 1, "gap": divide_group(16) - 9,
    }
    wide = {"signed": 0, "signed_b": 0, "lo": 0, "hi": (1 << 16) - 1}
    bounds = {**BOUNDS, "hi": (1 << 15) - 1}
    run(17, [
        pool(**bounds), add(shift=2, fence=0, **bounds),
        add(shift_a=15, shift_b=15, shift=17, fence=0, row=30, **bounds),
        pool(**three, fence=0, **bounds),
        pool(**three | wide, shift_a=4, shift_b=4, shift=4, row=150)], WIDE)
