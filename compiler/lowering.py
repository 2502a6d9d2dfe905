"""From tasks with their tilings to instructions."""

import math
from collections import Counter
from dataclasses import replace

from arch.isa import decode
from quantizer.graph import Activation, Add, Mul, Pool, PRelu
from quantizer.model import QuantizedModel

from .add import lower_add
from .conv import lower_conv
from .conv_transpose import lower_conv_transpose
from .copies import CopyTask, lower_copy
from .describe import Layer
from .elementwise import lower_table, lower_with_vector
from .emitter import Emitter
from .errors import CompileError
from .host import Stops
from .ir import Instruction
from .layers import (
    AddTask,
    ConvTask,
    HostTask,
    PoolTask,
    TableTask,
    Task,
)
from .memory_map import MemoryMap
from .pool import lower_pool
from .tiling import Tiling
from .transposed import TransposedTask


__all__ = (
    "complete_fields",
    "lower_layers",
    "shifts_of",
)


def shifts_of(model: QuantizedModel, task: Task) -> tuple[tuple[int, ...], int]:
    """Return by how much VECTOR shifts its operands to the left, and its results to the right."""
    node = task.node
    if isinstance(task, CopyTask):
        return (0,), 0
    left: tuple[int, ...]
    match node:
        case Mul():
            left, right = (0, 0), model.product_shift(node)
        case PRelu():
            left, right = (model.slopes[node.name].frac, 0), model.product_shift(node)
        case Activation():
            assert isinstance(task, TableTask)
            left, right = (task.scale,), task.scale
        case Add() | Pool():
            left, right = model.vector_shifts(node)
        case _:
            raise AssertionError(node)
    if max(left) > 15 or not 0 <= right <= 31:
        raise CompileError(
            f"Layer '{task.name}': shifts must be at most 15 bits left and 0..31 right, not "
            f"{left} and {right}; choose closer formats for its inputs and output")
    return left, right


def lower_layers(
    model: QuantizedModel, memory: MemoryMap, emitter: Emitter, stops: Stops
) -> list[tuple[HostTask, int]]:
    """Write the instructions; return each step of the host with those before it."""
    waiting = list(stops.tasks)
    found: list[tuple[HostTask, int]] = []

    def stop(before: float) -> None:
        while waiting and waiting[0].index < before:
            found.append((waiting[0], len(emitter.instructions)))
            emitter.stop(waiting.pop(0))

    for plan in memory.plans:
        stop(plan.group.tasks[0].index)
        layers = list(zip(plan.group.tasks, plan.tilings, strict=True))
        emitter.add_weights(layers)
        if not plan.steps:
            _lower_layer(model, *layers[0], emitter)
            continue
        for task in plan.group.tasks[:-1]:
            name = task.output.name
            emitter.open_window(
                task.output, *plan.windows[name], ring=name in plan.group.rings)
        lines = {name: window[1] for name, window in plan.windows.items()}
        turns = Counter[int]()
        for step in plan.steps:
            task, tiling = layers[step.number]
            emitter.move_window(task, step.keep, step.rect)
            for rect in plan.group.cut(step.number, step.rect, lines):
                _lower_layer(
                    model, task, replace(tiling, rects=(rect,)), emitter, turns[step.number])
                turns[step.number] += 1
    stop(math.inf)
    return found


def _lower_layer(
    model: QuantizedModel, task: Task, tiling: Tiling, emitter: Emitter, turn: int = 0
) -> None:
    match task:
        case TransposedTask():
            lower_conv_transpose(emitter, task, tiling, turn)
        case CopyTask():
            lower_copy(emitter, task, tiling, turn)
        case ConvTask():
            lower_conv(emitter, task, tiling, turn)
        case PoolTask():
            lower_pool(emitter, task, tiling, shifts_of(model, task), turn)
        case AddTask(has_vector=True):
            lower_with_vector(emitter, task, tiling, shifts_of(model, task), turn)
        case AddTask():
            lower_add(emitter, task, tiling, shifts_of(model, task), turn)
        case TableTask():
            lower_table(emitter, task, tiling, shifts_of(model, task), turn)


def complete_fields(instructions: list[Instruction], layers: list[Layer]) -> None:
    """Check every field, and write out those left at zero."""
    for instruction in instructions:
        try:
            _, instruction.values = decode(instruction.encode())
        except ValueError as error:
            raise CompileError(
                f"Layer '{layers[instruction.layer].name}': its geometry does not fit the "
                f"instruction set: {error}") from error
