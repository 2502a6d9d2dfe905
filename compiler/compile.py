"""From a quantized model to a program."""

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from arch.config import TABLES, AcceleratorConfig
from arch.isa import INSTRUCTION_SIZE, Engine, Region, decode
from quantizer.graph import Activation, Add, Conv, Lrn, Mul, Pool, PRelu
from quantizer.model import QuantizedModel

from .add import lower_add
from .blocks import take_turns
from .clock import CalcClock
from .conv import lower_conv
from .conv_transpose import lower_conv_transpose
from .copies import CopyTask, lower_copy
from .cycles import predict
from .dependencies import assign_tokens, find_needs
from .describe import Layer, operator_text
from .elementwise import lower_table, lower_with_vector
from .emitter import Emitter
from .errors import CompileError
from .fusion import fuse_layers, single_layers
from .host import HostStep, Stops, host_step, segments_of
from .ir import DramTiming, Instruction, Space
from .layers import (
    AddTask,
    ConvTask,
    FreeTask,
    HostTask,
    PoolTask,
    SlopeTask,
    TableTask,
    Task,
)
from .limits import check_limits, check_size
from .machine import transfer_size
from .maps import InputLayout, OutputLayout
from .memory_map import MemoryMap, plan_memory
from .overflow import check_accumulators
from .plan import UNROLLS, can_unroll, network_output, plan_layers
from .pool import lower_pool, split_pool
from .pooling import find_fusions
from .program import Program
from .runs import run_segments
from .schedule import hoist_loads
from .tiling import Costs, Tiling
from .transposed import TransposedTask
from .unrolling import Unrolling
from .verify import verify


__all__ = ("compile_model",)


_COMPARED = 2000
"""Instructions that are enough to compare programs."""

_BEATS_FOR_A_CYCLE = 8
"""Beats of traffic less that are worth a cycle more."""


def model_hash(model: QuantizedModel) -> str:
    """Return the SHA-256 of the integers, formats and shapes of a model."""
    digest = hashlib.sha256()
    for node in model.graph.accelerated:
        digest.update(repr((
            node.name, node.inputs, node.output, model.bounds(node),
            [str(model.formats[name]) for name in (*node.inputs, node.output)],
        )).encode())
        if isinstance(node, Lrn):
            digest.update(repr((node.size, node.alpha, node.beta, node.bias)).encode())
        if isinstance(node, Conv):
            weights = model.weights[node.name]
            for array in (*weights.codes, weights.bias, weights.frac, model.uppers(node)):
                digest.update(np.ascontiguousarray(array, np.int64).tobytes())
        if isinstance(node, PRelu):
            slopes = model.slopes[node.name]
            digest.update(repr((slopes.codes.tolist(), slopes.frac)).encode())
        if isinstance(node, Activation):
            table = model.tables[node.name]
            digest.update(repr((table.base.tolist(), table.delta.tolist())).encode())
    return digest.hexdigest()


def _layers(model: QuantizedModel, tasks: list[Task], config: AcceleratorConfig) -> list[Layer]:
    """Prove every accumulator, and return what the world sees of the layers."""
    graph = model.graph
    bounds = {node.output: model.bounds(node) for node in graph.accelerated}
    fmt = model.formats[graph.input]
    bounds[graph.input] = (fmt.min, fmt.max)
    pooled = {
        task.output.name for task in tasks
        if isinstance(task, ConvTask) and task.pooling is not None}
    layers = []
    for task in tasks:
        node = task.node
        bits = size = 0
        if not isinstance(task, FreeTask | HostTask):
            shifts = () if isinstance(task, ConvTask) else _shifts(model, task)[0]
            bits = check_accumulators(task, bounds, shifts, config.acc_bits)
        if isinstance(task, ConvTask) and isinstance(node, Conv):
            size = task.codes.size * model.weights[node.name].bits // 8
            size += config.acc_bits // 8 * len(task.bias)
        if isinstance(task, SlopeTask):
            size = task.slopes.size * model.slopes[node.name].bits // 8
        pool = None if task.output.name == node.output else graph.producer(task.output.name)
        operator = operator_text(graph, node)
        if isinstance(task, ConvTask) and pool is not None:
            operator += f" + {operator_text(graph, pool)}"
        elif isinstance(task, FreeTask) and task.output.name in pooled:
            operator += " (fused)"
        layers.append(Layer(
            task.index, node.name, operator, node.inputs, node.output,
            graph.shapes[node.inputs[0]], graph.shapes[node.output], graph.macs(node), bits,
            size, host=isinstance(task, HostTask), fused="" if pool is None else pool.name))
    return layers


def _shifts(model: QuantizedModel, task: Task) -> tuple[tuple[int, ...], int]:
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


def _steps(
    tasks: Sequence[Task], config: AcceleratorConfig, *, by_turns: bool = False
) -> list[Task]:
    """Return what is to be done, step by step: nothing for some layers, for others several."""
    steps: list[Task] = []
    if by_turns:
        tasks = take_turns(
            [task for task in tasks if not isinstance(task, FreeTask)], config.feature_depth)
    for task in tasks:
        if isinstance(task, PoolTask):
            steps += split_pool(task, config.feature_depth)
        elif not isinstance(task, FreeTask | HostTask):
            steps.append(task)
    return steps


def _stops(model: QuantizedModel, tasks: Sequence[Task]) -> Stops:
    """Return the steps of the host among the tasks."""
    return Stops(
        tuple(task for task in tasks if isinstance(task, HostTask)), model.graph.input,
        network_output(model.graph))


def _lower(
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
            lower_pool(emitter, task, tiling, _shifts(model, task), turn)
        case AddTask(has_vector=True):
            lower_with_vector(emitter, task, tiling, _shifts(model, task), turn)
        case AddTask():
            lower_add(emitter, task, tiling, _shifts(model, task), turn)
        case TableTask():
            lower_table(emitter, task, tiling, _shifts(model, task), turn)


def _complete_fields(instructions: list[Instruction], layers: list[Layer]) -> None:
    """Check every field, and write out those left at zero."""
    for instruction in instructions:
        try:
            _, instruction.values = decode(instruction.encode())
        except ValueError as error:
            raise CompileError(
                f"Layer '{layers[instruction.layer].name}': its geometry does not fit the "
                f"instruction set: {error}") from error


def _output_layout(model: QuantizedModel, config: AcceleratorConfig) -> OutputLayout:
    output = network_output(model.graph)
    return OutputLayout(
        model.graph.shapes[output], model.formats[output], config.out_lanes, config.code_size)


def _input_layout(
    model: QuantizedModel, config: AcceleratorConfig, unroll: str
) -> InputLayout:
    graph = model.graph
    plain = InputLayout(
        graph.shapes[graph.input], model.formats[graph.input], config.out_lanes,
        code_size=config.code_size)
    if unroll == "none":
        return plain
    (first,) = graph.consumers(graph.input)
    assert isinstance(first, Conv)
    beat = config.dram_width if unroll == "loader" else 1
    return replace(plain, unroll=unroll, window=first.window, beat=beat)


def _unrolling(
    model: QuantizedModel, config: AcceleratorConfig, unroll: str
) -> Unrolling | None:
    """Return what LOAD makes of the input, ``None`` if it copies it."""
    if unroll != "loader":
        return None
    layout = _input_layout(model, config, unroll)
    return Unrolling(model.graph.input, layout.shape, layout.window, config)


def _places(memory: MemoryMap) -> dict[str, dict[str, int]]:
    """Return where every map lies, for the manifest."""
    places: dict[str, dict[str, int]] = {}
    for name, row in memory.resident.items():
        places.setdefault(name, {})["feature_row"] = row
    for name, (region, address) in memory.dram.items():
        places.setdefault(name, {}).update(region=int(region), address=address)
    return places


def _compulsory(layers: list[Layer], model: QuantizedModel, stops: Stops) -> list[int]:
    """Return for each layer the DRAM bytes that no schedule and no layout can avoid.

    What the host writes is read once, and what it reads is written once.
    """
    def size(tensor: str) -> int:
        return -(-math.prod(model.graph.shapes[tensor]) * model.formats[tensor].bits // 8)

    sizes = [layer.weight_size for layer in layers]
    own = [layer for layer in layers if not layer.host]
    for name in stops.arrivals:
        readers = [layer.index for layer in own if name in layer.inputs]
        sizes[min(readers, default=0)] += size(name) if readers else 0
    for name in stops.departures:
        writers = [layer.index for layer in own if layer.output == name]
        sizes[max(writers, default=0)] += size(name) if writers else 0
    return sizes


@dataclass
class _Draft:
    """A program for one way to unroll the input and to join layers, not yet verified."""

    unroll: str
    layers: list[Layer]
    tasks: list[Task]
    memory: MemoryMap
    emitter: Emitter
    instructions: list[Instruction]
    stops: Stops
    host_steps: list[HostStep]

    def prefix(self, layer: int) -> list[Instruction]:
        """Return the instructions up to the last one of a layer."""
        last = max((
            index for index, item in enumerate(self.instructions) if item.layer <= layer),
            default=-1)
        return self.instructions[:last + 1]

    def cycles(
        self, config: AcceleratorConfig, dram: DramTiming, layer: int | None = None
    ) -> int:
        """Return the duration, up to a layer if it is given."""
        instructions = self.instructions if layer is None else self.prefix(layer)
        positions = [min(step.position, len(instructions)) for step in self.host_steps]
        return run_segments(
            instructions, segments_of(positions, len(instructions)), config, dram).cycles


def _draft(
    model: QuantizedModel, config: AcceleratorConfig, dram: DramTiming, unroll: str,
    optimize: bool, fuse: bool,
) -> _Draft:
    """Compile for one way to unroll the input, layer by layer."""
    tasks = plan_layers(model, config, unroll, fuse=fuse)
    layers = _layers(model, tasks, config)
    memory = plan_memory(
        single_layers(_steps(tasks, config)), model.graph.input, network_output(model.graph),
        Costs(config, dram, _unrolling(model, config, unroll)), stops=_stops(model, tasks))
    return _written(model, config, unroll, tasks, layers, memory, optimize)


def _written(
    model: QuantizedModel, config: AcceleratorConfig, unroll: str, tasks: list[Task],
    layers: list[Layer], memory: MemoryMap, optimize: bool,
) -> _Draft:
    """Write and order the instructions for one memory map."""
    stops = _stops(model, tasks)
    emitter = Emitter(config, memory, stops, _unrolling(model, config, unroll))
    pauses = _lower(model, memory, emitter, stops)
    sizes = {
        Space.FEATURE: config.feature_depth,
        Space.WEIGHT: config.weight_depth,
        Space.PARAM: config.param_depth,
        Space.TABLE: TABLES,
        Space.DRAM_OUTPUT: _output_layout(model, config).size // config.row_size,
        Space.DRAM_SCRATCH: memory.scratch_size // config.row_size,
    }
    check_limits(emitter.instructions, layers, config)
    _complete_fields(emitter.instructions, layers)
    instructions: list[Instruction] = []
    parts = segments_of([position for _, position in pauses], len(emitter.instructions))
    for part in parts:
        instructions += _ordered(
            emitter.instructions[part.first:part.stop], sizes, config, optimize)
    return _Draft(
        unroll, layers, tasks, memory, emitter, instructions, stops,
        [host_step(task, position, memory.dram, config, model.graph)
         for task, position in pauses])


def _ordered(
    instructions: list[Instruction], sizes: dict[Space, int], config: AcceleratorConfig,
    optimize: bool,
) -> list[Instruction]:
    """Return the instructions between two stops with tokens, loads moved up."""
    needs = find_needs(instructions, sizes)
    if optimize:
        instructions = hoist_loads(instructions, needs)
        needs = find_needs(instructions, sizes)
    assign_tokens(instructions, needs, CalcClock(config) if optimize else None)
    return instructions


def _placed_layers(draft: _Draft) -> list[Layer]:
    """Return the layers with the places of their weights."""
    places = draft.emitter.weight_places
    return [
        replace(layer, weight_address=places[layer.index][0], stored_size=places[layer.index][1])
        if layer.index in places else layer for layer in draft.layers]


def _input_size(model: QuantizedModel, config: AcceleratorConfig, draft: _Draft) -> int:
    """Return the bytes of an input, as the host packs it."""
    unrolling = _unrolling(model, config, draft.unroll)
    if unrolling is not None:
        return unrolling.size
    return config.row_size * next(
        stored.rows for task in draft.tasks for stored in task.inputs
        if stored.name == model.graph.input)


def _finished(
    model: QuantizedModel, config: AcceleratorConfig, dram: DramTiming, draft: _Draft
) -> Program:
    """Return the verified program of a draft."""
    graph = model.graph
    output_layout = _output_layout(model, config)
    input_size = _input_size(model, config, draft)
    output = network_output(graph)
    check_size(graph.name, sum((
        (len(draft.instructions) + 2 + len(draft.host_steps)) * INSTRUCTION_SIZE,
        draft.emitter.image.size, input_size, output_layout.size, draft.memory.scratch_size)),
        config)
    verify(draft.instructions, config, {
        Region.WEIGHTS: draft.emitter.image.size, Region.INPUT: input_size,
        Region.OUTPUT: output_layout.size, Region.SCRATCH: draft.memory.scratch_size},
        draft.host_steps)
    return Program(
        name=graph.name, config=config, instructions=draft.instructions,
        weight_image=draft.emitter.image.to_bytes(), layers=_placed_layers(draft),
        input_layout=_input_layout(model, config, draft.unroll), output_layout=output_layout,
        input_name=graph.input, output_name=output, input_size=input_size,
        scratch_size=draft.memory.scratch_size, writes=draft.emitter.records,
        tensors={
            task.output.name: (graph.shapes[task.output.name], task.output.format)
            for task in draft.tasks},
        dram=dram,
        compulsory=_compulsory(draft.layers, model, draft.stops),
        prediction=predict(
            draft.instructions, draft.layers, config, dram, draft.host_steps),
        host_steps=draft.host_steps,
        places=_places(draft.memory), model_hash=model_hash(model),
        parts={
            task.output.name: (task.output.home.name, task.output.block0)
            for task in draft.tasks
            if task.output.home is not None and task.output.name == task.node.output})


def _best_draft(
    model: QuantizedModel, config: AcceleratorConfig, dram: DramTiming, optimize: bool,
    fuse: bool, input_cycles: float,
) -> _Draft:
    """Return the draft with the best way to unroll the input: fast, and with little traffic.

    Of a long program only the first layers are compared; behind them it makes no difference.
    """
    drafts = [_draft(model, config, dram, UNROLLS[0], optimize, fuse)]
    if not optimize or not can_unroll(model):
        return drafts[0]
    for unroll in UNROLLS[1:]:
        try:
            drafts.append(_draft(model, config, dram, unroll, optimize, fuse))
        except CompileError:
            continue
    last = len(drafts[0].layers) - 1
    compared = min((
        layer for layer in range(last) if len(drafts[0].prefix(layer)) >= _COMPARED),
        default=last)

    def cost(draft: _Draft) -> float:
        beats = sum(
            INSTRUCTION_SIZE if item.engine == Engine.CALC else
            INSTRUCTION_SIZE + transfer_size(item, config)
            for item in draft.prefix(compared)) / config.dram_width
        return (draft.cycles(config, dram, compared) + beats / _BEATS_FOR_A_CYCLE
                + input_cycles * _input_size(model, config, draft))

    return min(drafts, key=cost)


def _fastest(
    drafts: list[_Draft], model: QuantizedModel, config: AcceleratorConfig, dram: DramTiming,
    input_cycles: float,
) -> _Draft:
    """Return the draft with the shortest run, input included, of equal ones the first."""
    if len(drafts) == 1:
        return drafts[0]
    return min(drafts, key=lambda draft: (
        draft.cycles(config, dram) + input_cycles * _input_size(model, config, draft)))


def _fused(
    model: QuantizedModel, config: AcceleratorConfig, dram: DramTiming, draft: _Draft
) -> list[_Draft]:
    """Return the drafts with layers that take turns by lines, by channel blocks, and by both."""
    ends = model.graph.input, network_output(model.graph)
    costs = Costs(config, dram, _unrolling(model, config, draft.unroll))
    plain, cut = (_steps(draft.tasks, config, by_turns=turns) for turns in (False, True))
    memories = [fuse_layers(plain, *ends, costs, stops=draft.stops)]
    if len(cut) > len(plain):
        try:
            memories += [
                plan_memory(single_layers(cut), *ends, costs, stops=draft.stops),
                fuse_layers(cut, *ends, costs, stops=draft.stops)]
        except CompileError:
            pass
    drafts = []
    for memory in memories:
        if memory is None:
            continue
        try:
            drafts.append(_written(
                model, config, draft.unroll, draft.tasks, draft.layers, memory, True))
        except CompileError:
            # Some maps move between the layers' turns, for which not every config has a unit.
            continue
    return drafts


def _pooling_drafts(
    model: QuantizedModel, config: AcceleratorConfig, dram: DramTiming, input_cycles: float
) -> list[_Draft]:
    """Return the draft in which convolutions pool their results, if it fits."""
    try:
        return [_best_draft(model, config, dram, True, True, input_cycles)]
    except CompileError:
        return []


def compile_model(
    model: QuantizedModel, config: AcceleratorConfig, *, dram: DramTiming | None = None,
    optimize: bool = True, fuse: bool = True, input_cycles: float = 0.0,
) -> Program:
    """Compile a network for an accelerator.

    Parameters
    ----------
    model : QuantizedModel
        Network.
    config : AcceleratorConfig
        Accelerator.
    dram : DramTiming, optional
        DRAM to schedule for and to predict with.
    optimize : bool
        Whether loads move up, the best way to unroll the input is searched, and layers are joined
        where that is faster; without it the input stays as it is, every layer runs alone, and
        every load stands in front of what needs it.
    fuse : bool
        Whether convolutions pool their results where that is faster. Of the convolution only the
        pooled map then exists; without it every tensor of the network does.
    input_cycles : float
        Cycles that a byte of the input takes on its way into memory, before a run. How the input
        is unrolled is chosen for the time of both together; the prediction is that of the run.

    Returns
    -------
    Program
        Verified program.

    Raises
    ------
    CompileError
        If the accelerator cannot run the network; names the layer, the buffer and what would do.
    """
    timing = dram or DramTiming()
    pooled = []
    if optimize and fuse and find_fusions(model, config):
        pooled = _pooling_drafts(model, config, timing, input_cycles)
    try:
        drafts = [*pooled, _best_draft(model, config, timing, optimize, False, input_cycles)]
    except CompileError:
        if not pooled:
            raise
        drafts = pooled
    draft = _fastest(drafts, model, config, timing, input_cycles)
    if optimize:
        drafts = [draft, *_fused(model, config, timing, draft)]
        draft = _fastest(drafts, model, config, timing, input_cycles)
    return _finished(model, config, timing, draft)
