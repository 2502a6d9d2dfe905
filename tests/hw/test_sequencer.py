import itertools
import random

import pytest

from arch.isa import LEVELS, Opcode
from hw.layouts import layout_of
from hw.sequencer import Sequencer

from .bench import simulate


def expected(code):
    """Return (cycle, word, y, x, flags) of every step, by counting."""
    counts = [code[f"count_{level}"] for level in range(LEVELS)]
    position = [code["word"], code["y"], code["x"]]
    total = 1
    for count in counts:
        total *= count
    group = counts[0] * counts[1]
    cycle, steps = 0, []
    indices = itertools.product(*(range(count) for count in reversed(counts)))
    previous = None
    for number, index in enumerate(indices):
        if previous is not None:
            level = LEVELS - 1 - next(n for n in range(LEVELS) if index[n] != previous[n])
            position = [
                value + code[f"{axis}_{level}"]
                for value, axis in zip(position, ("word", "y", "x"))]
            cycle += 1 + (code["gap"] if number % group == 0 else 0)
        previous = index
        flags = {
            "first": number == 0,
            "group_first": number % group == 0,
            "group_last": number % group == group - 1,
            "pass_first": number < group,
            "pass_last": number >= total - group,
            "odd": number % group % 2 == 1,
        }
        steps.append((cycle, *position, flags))
    return steps


def random_code(rng):
    code = {
        "word": rng.randrange(1000, 2000), "y": rng.randrange(-3, 4), "x": rng.randrange(-3, 4),
        "gap": rng.choice([0, 0, 1, 5]),
    }
    for level in range(LEVELS):
        code[f"count_{level}"] = rng.choice([1, 1, 2, 3, 4])
        code[f"word_{level}"] = rng.randrange(-20, 20)
        code[f"y_{level}"] = rng.randrange(-2, 3)
        code[f"x_{level}"] = rng.randrange(-2, 3)
    return code


@pytest.mark.parametrize("seed", range(6))
def test_walks_the_loops(seed):
    rng = random.Random(seed)
    dut = Sequencer(word_width=14, layout=layout_of(Opcode.CONV))
    codes = [random_code(rng) for _ in range(5)]

    async def drive(ctx):
        for code in codes:
            steps, cycle, last = [], 0, False
            ctx.set(dut.instruction, code)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            while not last:
                assert ctx.get(dut.running)
                if ctx.get(dut.valid):
                    step = ctx.get(dut.step)
                    flags = {name: bool(getattr(step, name)) for name in (
                        "first", "group_first", "group_last", "pass_first", "pass_last", "odd")}
                    steps.append((cycle, step.word, step.y, step.x, flags))
                    last = ctx.get(dut.last)
                await ctx.tick()
                cycle += 1
            assert steps == expected(code), f"seed {seed}, {code}"
            for _ in range(code["gap"]):
                await ctx.tick()
            assert not ctx.get(dut.running)

    simulate(dut, drive)
