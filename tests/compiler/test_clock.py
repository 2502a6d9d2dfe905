"""Fences that are not needed because a row has surely been written when it is read."""

import numpy as np
import pytest

from arch.config import preset
from arch.isa import Opcode, decode
from arch.timing import CALC_REST, CALC_START, result_steps
from compiler import compile_model
from compiler.clock import CalcClock
from compiler.ir import Instruction

from .networks import NetworkBuilder


CONFIG = preset("small")


def instruction(opcode=Opcode.CONV, **fields):
    """Return an instruction with ten steps along words, ten results, and all fields set."""
    values = {f"count_{level}": 1 for level in range(5)}
    values |= {"count_0": 10, "word_0": 2, "x_0": 1, "height": 1, "width": 4095, "row_step": 1,
               "init": 1, "finish": 1}
    if opcode == Opcode.VECTOR:
        values = {name: value for name, value in values.items() if name not in ("init", "finish")}
    made = Instruction(opcode, values | fields, 0)
    made.values = decode(made.encode())[1]
    return made


def in_time(first, second):
    clock = CalcClock(CONFIG)
    clock.run(first)
    return clock.in_time(second)


def test_rows_nobody_wrote():
    assert in_time(instruction(row=100), instruction(word=2 * 200))


def test_rows_just_written():
    assert not in_time(instruction(row=100), instruction(word=2 * 100))


@pytest.mark.parametrize(("passes", "expected"), [(2, False), (3, True)])
def test_rows_read_in_the_last_pass(passes, expected):
    # In the order in which they were written: the first one nine cycles before the last.
    assert expected == (9 + 1 + CALC_REST + CALC_START + 10 * (passes - 1) > result_steps(False))
    late = instruction(
        word=2 * 300 - 200 * (passes - 1), count_2=passes, word_2=200 - 18, x_2=-9)
    assert in_time(instruction(row=300), late) == expected


def test_padding_is_not_read():
    assert in_time(instruction(row=100), instruction(word=2 * 100, y=-1))


def test_steps_that_wrap_and_gaps_take_time():
    fields = {"word": 2 * 200, "count_2": 2, "word_2": -2 * 100 - 18, "x_2": -9}
    assert not in_time(instruction(row=100), instruction(**fields))
    assert in_time(instruction(row=100), instruction(**fields, gap=10))
    slow = {"depthwise": 1, "warm": 7, "wrap": 7}
    assert in_time(instruction(row=100), instruction(**fields, **slow, gap=3))


def test_results_of_an_earlier_instruction():
    clock = CalcClock(CONFIG)
    clock.run(instruction(row=100))
    clock.run(instruction(row=200, word=2 * 300, count_2=2))
    assert clock.in_time(instruction(word=2 * 100))
    assert not clock.in_time(instruction(word=2 * 200))


def test_vector_results_always_need_a_fence():
    vector = instruction(Opcode.VECTOR, row=100)
    assert not in_time(vector, instruction(word=2 * 100))
    clock = CalcClock(CONFIG)
    clock.run(vector)
    clock.run(instruction(row=200, word=2 * 300, fence=1))
    assert clock.in_time(instruction(word=2 * 100, count_0=1))


def test_vector_reads_always_need_a_fence():
    assert not in_time(instruction(row=100), instruction(Opcode.VECTOR, word=2 * 200))


@pytest.mark.parametrize(("size", "expected"), [(3, 2), (8, 0)])
def test_only_small_maps_need_fences(size, expected):
    builder = NetworkBuilder(np.random.default_rng(0), (8, size, size))
    x = builder.conv("input", 8, (1, 1))
    x = builder.conv(x, 8, (3, 3), pads=(1, 1, 1, 1), groups=8)
    program = compile_model(builder.model(builder.conv(x, 8, (1, 1))), CONFIG)
    assert sum(item.values.get("fence", 0) for item in program.instructions) == expected
