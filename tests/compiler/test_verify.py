"""The verifier passes good programs and catches every single damage."""

import copy
from dataclasses import replace

import numpy as np
import pytest

from arch.config import preset
from arch.isa import Engine, Memory, Opcode, Products, Region
from compiler import compile_model
from compiler.dependencies import assign_tokens, find_needs
from compiler.ir import Instruction, Space, Span
from compiler.verify import VerifyError, happens_before, read_words, verify

from .configs import NANO, SMALL16, SQUARE
from .networks import NetworkBuilder, random_model


def small_program(config=NANO):
    b = NetworkBuilder(np.random.default_rng(3), (3, 12, 12))
    x = b.conv("input", 6, (3, 3), pads=(1, 1, 1, 1))
    y = b.conv(x, 6, (3, 3), pads=(1, 1, 1, 1), relu=None)
    x = b.add(x, y)
    x = b.average_pool(x, (3, 3), strides=(3, 3))
    b.fc(x, 10)
    return compile_model(b.model(), config)


def sizes(program):
    return {
        Region.WEIGHTS: len(program.weight_image), Region.INPUT: program.input_size,
        Region.OUTPUT: program.output_size, Region.SCRATCH: program.scratch_size}


def check(program, instructions):
    verify(instructions, program.config, sizes(program))


@pytest.mark.parametrize("config", [NANO, SQUARE, preset("ecp5_85f")], ids=lambda c: c.name)
def test_removing_any_token_is_caught(config):
    program = small_program(config)
    check(program, program.instructions)
    caught = 0
    posts = {}
    waits = sum(bin(item.values["wait"]).count("1") for item in program.instructions)
    stride = -(-waits // 40)
    for index, item in enumerate(program.instructions):
        for source in Engine:
            if item.values["wait"] >> source & 1:
                poster = posts[source, item.engine].pop(0)
                caught += 1
                if caught % stride:
                    continue
                damaged = copy.deepcopy(program.instructions)
                damaged[index].values["wait"] &= ~(1 << source)
                damaged[poster].values["post"] &= ~(1 << item.engine)
                with pytest.raises(VerifyError):
                    check(program, damaged)
        for target in Engine:
            if item.values["post"] >> target & 1:
                posts.setdefault((item.engine, target), []).append(index)
    assert caught > 5


def test_removing_any_fence_is_caught():
    program = small_program(preset("ecp5_85f"))
    fences = [n for n, item in enumerate(program.instructions) if item.values["fence"]]
    assert len(fences) >= 3
    for index in fences:
        damaged = copy.deepcopy(program.instructions)
        damaged[index].values["fence"] = 0
        with pytest.raises(VerifyError, match="lacks a fence"):
            check(program, damaged)


@pytest.mark.parametrize(("opcode", "field", "change", "message"), [
    (Opcode.LOAD, "row", 1 << 18, "leaves"),
    (Opcode.LOAD, "address", 1 << 30, "leaves its region"),
    (Opcode.LOAD, "address", 2, "is not aligned to the bus"),
    (Opcode.LOAD, "weight_bits", 1, "has codes of no such width"),
    (Opcode.CONV, "weight_row", 1000, "leaves WEIGHT"),
    (Opcode.CONV, "param_row", 1000, "leaves PARAM"),
    (Opcode.CONV, "row", 1 << 17, "leaves FEATURE"),
    (Opcode.CONV, "count_0", 500, "needs more accumulators"),
    (Opcode.CONV, "init", -1, "loses or misses partial sums"),
    (Opcode.VECTOR, "word", 1, "does not read whole rows"),
    (Opcode.VECTOR, "layer", 4000, "has no counters"),
])
def test_bad_fields_are_caught(opcode, field, change, message):
    program = small_program()
    damaged = copy.deepcopy(program.instructions)
    candidates = [item for item in damaged if item.opcode == opcode]
    if field == "row" and opcode == Opcode.CONV:
        candidates = [item for item in candidates if item.values["finish"]]
    candidates[0].values[field] += change
    with pytest.raises(VerifyError, match=message):
        check(program, damaged)


def test_narrow_codes_are_for_weights():
    program = small_program()
    damaged = copy.deepcopy(program.instructions)
    maps = [
        item for item in damaged
        if item.opcode == Opcode.LOAD and item.values["memory"] == Memory.FEATURE]
    maps[0].values["weight_bits"] = 4
    with pytest.raises(VerifyError, match="has codes of no such width"):
        check(program, damaged)


@pytest.mark.parametrize(("opcode", "field", "value", "message"), [
    (Opcode.LOAD, "pairs", 0, "takes pairs of weights for single ones, or the reverse"),
    (Opcode.LOAD, "weight_bits", 5, "has no such pairs of codes"),
    (Opcode.CONV, "products", 0, "takes pairs of weights for single ones, or the reverse"),
    (Opcode.CONV, "depthwise", 1, "makes products that the config has not"),
    (Opcode.CONV, "row_step", 1, "writes a row twice"),
    (Opcode.CONV, "param_row", 3, "leaves PARAM"),
])
def test_two_products(opcode, field, value, message):
    config = replace(NANO, dual_products=True)
    b = NetworkBuilder(np.random.default_rng(3), (3, 6, 7))
    b.conv("input", 8, weight_bits=4)
    program = compile_model(b.model(), config)
    check(program, program.instructions)
    damaged = copy.deepcopy(program.instructions)
    name, kept = ("pairs", 1) if opcode == Opcode.LOAD else ("finish", 1)
    next(item for item in damaged if item.opcode == opcode and item.values[name] == kept
         and item.values.get("products") != Products.TAPS).values[field] = value
    with pytest.raises(VerifyError, match=message):
        check(program, damaged)
    if field == "products":
        plain = replace(program, config=NANO)
        with pytest.raises(VerifyError, match="has no such pairs of codes"):
            check(plain, program.instructions)


def test_codes_of_16_bits_are_not_packed():
    b = NetworkBuilder(np.random.default_rng(3), (3, 6, 9), bits=16, weight_bits=16)
    b.conv("input", 6, weight_bits=5)
    program = compile_model(b.model(), SMALL16)
    damaged = copy.deepcopy(program.instructions)
    loads = [
        item for item in damaged
        if item.opcode == Opcode.LOAD and item.values["memory"] == Memory.WEIGHT]
    assert all(item.values["weight_bits"] == 0 for item in loads)
    loads[0].values["weight_bits"] = 5
    with pytest.raises(VerifyError, match="has codes of no such width"):
        check(program, damaged)


def test_short_groups_are_caught():
    b = NetworkBuilder(np.random.default_rng(3), (3, 6, 9))
    b.conv(b.average_pool("input", (3, 3), strides=(3, 3)), 6, (2, 1))
    program = compile_model(b.model(), NANO)
    damaged = copy.deepcopy(program.instructions)
    for item in damaged:
        if item.engine == Engine.CALC:
            item.values["gap"] = 0
    with pytest.raises(VerifyError, match="divides too fast"):
        check(program, damaged)
    for item in damaged:
        if item.opcode == Opcode.VECTOR:
            item.values["divide"] = 0
    with pytest.raises(VerifyError, match="has too short a pass"):
        check(program, damaged)


def test_dropped_load_is_caught():
    program = small_program()
    quiet = [
        n for n, item in enumerate(program.instructions)
        if item.opcode == Opcode.LOAD and not item.values["wait"] and not item.values["post"]]
    damaged = [item for n, item in enumerate(program.instructions) if n != quiet[0]]
    with pytest.raises(VerifyError, match="that nothing has written"):
        check(program, damaged)


def test_missing_output_is_caught():
    program = small_program()
    damaged = copy.deepcopy(program.instructions)
    save = next(
        item for item in reversed(damaged)
        if item.opcode == Opcode.SAVE and item.values["region"] == Region.OUTPUT)
    save.values["row_count"] -= 1
    with pytest.raises(VerifyError, match="part of the output is never written"):
        check(program, damaged)


def test_too_many_tokens_are_caught():
    def item(opcode, **fields):
        return Instruction(opcode, {"layer": 0, "wait": 0, "post": 0, **fields}, 0)

    give = [item(Opcode.LOAD, post=1 << Engine.CALC) for _ in range(250)]
    take = [item(Opcode.CONV, wait=1 << Engine.LOAD) for _ in range(250)]
    with pytest.raises(VerifyError, match="could overflow a token counter"):
        happens_before(give + take)
    happens_before(give[:200] + take[:200])


def test_tokens_are_never_held_for_long():
    # 300 computations, each of which frees a row that a far later load overwrites.
    calc = [
        Instruction(Opcode.CONV, {}, 0, reads=(Span(Space.WEIGHT, n, n + 1),)) for n in range(300)]
    load = [
        Instruction(Opcode.LOAD, {}, 0, writes=(Span(Space.WEIGHT, n, n + 1),)) for n in range(300)]
    both = calc + load
    assign_tokens(both, find_needs(both, {Space.WEIGHT: 300}))
    started = happens_before(both)
    for n in range(300):
        assert started[300 + n][Engine.CALC] >= n
    assert sum(item.values["post"] != 0 for item in calc) <= 201


def _steps(values):
    """Return the words of all steps inside the map, by counting."""
    found = set()
    position = np.array([values["word"], values["y"], values["x"]])
    counts = [values[f"count_{level}"] for level in range(5)]
    index = [0] * 5
    while True:
        if 0 <= position[1] < values["height"] and 0 <= position[2] < values["width"]:
            found.add(int(position[0]))
        for level in range(5):
            index[level] += 1
            if index[level] < counts[level]:
                position = position + [values[f"{axis}_{level}"] for axis in ("word", "y", "x")]
                break
            index[level] = 0
        else:
            return found


def test_read_words_equal_a_walk():
    rng = np.random.default_rng(5)
    for config in (NANO, SQUARE, preset("small")):
        for seed in range(6):
            program = compile_model(
                random_model(np.random.default_rng(100 + seed), max_size=6), preset("small"))
            calc = [item for item in program.instructions if item.engine == Engine.CALC]
            for item in calc:
                words = read_words(item.values, program.config.feature_words)
                expected = {word % program.config.feature_words for word in _steps(item.values)}
                assert set(words.tolist()) == expected, config.name
    for _ in range(20):  # loops that move lines and columns at once
        values = {"word": 500, "y": 1, "x": 0, "height": 4, "width": 5}
        for level in range(5):
            values[f"count_{level}"] = int(rng.integers(1, 4))
            for axis in ("word", "y", "x"):
                values[f"{axis}_{level}"] = int(rng.integers(-2, 3))
        assert set(read_words(values, 4096).tolist()) == _steps(values)
