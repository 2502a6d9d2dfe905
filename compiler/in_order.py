"""Model of an accelerator that runs one instruction after the other; durations, no data."""

import math
from collections.abc import Iterator, Sequence

from arch.config import AcceleratorConfig
from arch.isa import INSTRUCTION_SIZE, Engine
from arch.timing import (
    IN_ORDER_BURST,
    IN_ORDER_CALC,
    IN_ORDER_END,
    IN_ORDER_FETCH,
    IN_ORDER_LINE,
    IN_ORDER_LOAD,
    IN_ORDER_ROW,
    IN_ORDER_SAVE,
    IN_ORDER_START,
    UNROLL_LATENCY,
    calc_drain,
    slow_drain,
)

from .ir import DramTiming, Instruction
from .machine import (
    Dram,
    Run,
    group_cycles,
    is_slow,
    line_size,
    rows_cycles,
    write_cycles,
)


__all__ = ("run_in_order",)


def _bursts(address: int, line: int, config: AcceleratorConfig) -> Iterator[int]:
    """Yield the beats of each burst of a line: they end at multiples of the longest burst."""
    longest = config.burst_length
    start = address // config.dram_width
    left = line
    while left:
        beats = min(left, longest - start % longest)
        yield beats
        left -= beats
        start += beats


def _load(now: float, instruction: Instruction, config: AcceleratorConfig, dram: Dram) -> float:
    """Return when the next instruction is asked for, if a LOAD is dispatched now."""
    values = instruction.values
    now += IN_ORDER_LINE
    line = line_size(instruction, config) // config.dram_width
    slowest = write_cycles(instruction, config)
    first = end = now
    for number in range(values["line_count"]):
        now += IN_ORDER_LINE if number else 0
        address = values["address"] + number * values["line_stride"]
        for index, beats in enumerate(_bursts(address, line, config)):
            now += IN_ORDER_BURST if index else 0
            start, end = dram.read(now, beats, slowest)
            first = start if not (number or index) else first
            now = end
    cycles = rows_cycles(instruction, config)
    if cycles:
        lines = min(values["kernel_lines"] - values["lines_above"], values["map_lines"])
        held = first + lines * values["map_beats"] * dram.beat_cycles
        last = cycles / values["row_count"] * values["positions"]
        end = max(held + cycles, end + last) + UNROLL_LATENCY
    return end + IN_ORDER_LOAD


def _save(now: float, instruction: Instruction, config: AcceleratorConfig, dram: Dram) -> float:
    """Return when the next instruction is asked for, if a SAVE is dispatched now."""
    values = instruction.values
    now += IN_ORDER_LINE
    columns = config.row_size // config.dram_width
    line = values["row_count"] * columns
    for number in range(values["line_count"]):
        now += IN_ORDER_LINE if number else 0
        address = values["address"] + number * values["line_stride"]
        sent = 0
        for index, beats in enumerate(_bursts(address, line, config)):
            now += IN_ORDER_BURST if index else 0
            rows = -(-(sent + beats) // columns) - -(-sent // columns)
            now = dram.write_slowly(now, beats, beats + rows * (IN_ORDER_ROW - 1))
            sent += beats
    return now + IN_ORDER_SAVE


def _calc(now: float, instruction: Instruction, config: AcceleratorConfig) -> float:
    """Return when a CONV or VECTOR dispatched now is done."""
    drain = slow_drain(config.data_bits) if is_slow(instruction) else calc_drain(config.in_lanes)
    return (
        now + IN_ORDER_CALC + group_cycles(instruction, config) - instruction.values["gap"] + drain
        + config.dual_products)


def run_in_order(
    instructions: Sequence[Instruction], config: AcceleratorConfig, timing: DramTiming
) -> Run:
    """Run a program to its end.

    Parameters
    ----------
    instructions : sequence of Instruction
        Program, without END, all fields set.
    config : AcceleratorConfig
        Accelerator, with ``in_order``.
    timing : DramTiming
        DRAM.
    """
    dram = Dram(timing.latency, config.dram_width, timing.bytes_per_cycle or config.dram_width)
    word = INSTRUCTION_SIZE // config.dram_width
    now = dram.read(IN_ORDER_START, word)[1] + 1
    run = Run(0, [], [], [], [], [False] * len(instructions), dram.served)
    for instruction in instructions:
        asked = now
        now = dram.read(now, word)[1] + IN_ORDER_FETCH
        run.queued.append(now)
        run.gated.append(now)
        run.started.append(now)
        match instruction.engine:
            case Engine.LOAD:
                now = _load(now, instruction, config, dram)
            case Engine.SAVE:
                now = _save(now, instruction, config, dram)
            case _:
                now = _calc(now, instruction, config)
        assert now > asked
        run.done.append(now - 1)
    run.cycles = math.ceil(dram.read(now, word)[1]) + IN_ORDER_END
    return run
