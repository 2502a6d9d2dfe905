"""Programs for one way to run a network, not yet verified."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from arch.config import TABLES, AcceleratorConfig
from quantizer.graph import Conv
from quantizer.model import QuantizedModel

from .blocks import take_turns
from .clock import CalcClock
from .dependencies import assign_tokens, find_needs
from .describe import Layer, operator_text
from .emitter import Emitter
from .fusion import single_layers
from .host import HostStep, Stops, host_step, segments_of
from .ir import DramTiming, Instruction, Space
from .layers import (
    ConvTask,
    FreeTask,
    HostTask,
    PoolTask,
    SlopeTask,
    Task,
)
from .limits import check_limits
from .lowering import complete_fields, lower_layers, shifts_of
from .maps import InputLayout, OutputLayout
from .memory_map import MemoryMap, plan_memory
from .overflow import check_accumulators
from .plan import network_output, plan_layers
from .pool import split_pool
from .runs import run_segments
from .schedule import hoist_loads
from .tiling import Costs
from .unrolling import Unrolling


__all__ = (
    "Draft",
    "input_layout_of",
    "input_size_of",
    "layerwise_draft",
    "output_layout_of",
    "steps_of",
    "unrolling_of",
    "written_draft",
)


def _layers(
    model: QuantizedModel, tasks: list[Task], config: AcceleratorConfig
) -> list[Layer]:
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
            shifts = () if isinstance(task, ConvTask) else shifts_of(model, task)[0]
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


def steps_of(
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


def output_layout_of(model: QuantizedModel, config: AcceleratorConfig) -> OutputLayout:
    """Return how the output lies in memory."""
    output = network_output(model.graph)
    return OutputLayout(
        model.graph.shapes[output], model.formats[output], config.out_lanes, config.code_size)


def input_layout_of(
    model: QuantizedModel, config: AcceleratorConfig, unroll: str
) -> InputLayout:
    """Return how the host packs an input for one way to unroll it."""
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


def unrolling_of(
    model: QuantizedModel, config: AcceleratorConfig, unroll: str
) -> Unrolling | None:
    """Return what LOAD makes of the input, ``None`` if it copies it."""
    if unroll != "loader":
        return None
    layout = input_layout_of(model, config, unroll)
    return Unrolling(model.graph.input, layout.shape, layout.window, config)


@dataclass
class Draft:
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


def layerwise_draft(
    model: QuantizedModel, config: AcceleratorConfig, dram: DramTiming, unroll: str,
    optimize: bool, fuse: bool,
) -> Draft:
    """Compile for one way to unroll the input, layer by layer."""
    tasks = plan_layers(model, config, unroll, fuse=fuse)
    layers = _layers(model, tasks, config)
    memory = plan_memory(
        single_layers(steps_of(tasks, config)), model.graph.input, network_output(model.graph),
        Costs(config, dram, unrolling_of(model, config, unroll)), stops=_stops(model, tasks))
    return written_draft(model, config, unroll, tasks, layers, memory, optimize)


def written_draft(
    model: QuantizedModel, config: AcceleratorConfig, unroll: str, tasks: list[Task],
    layers: list[Layer], memory: MemoryMap, optimize: bool,
) -> Draft:
    """Write and order the instructions for one memory map."""
    stops = _stops(model, tasks)
    emitter = Emitter(config, memory, stops, unrolling_of(model, config, unroll))
    pauses = lower_layers(model, memory, emitter, stops)
    sizes = {
        Space.FEATURE: config.feature_depth,
        Space.WEIGHT: config.weight_depth,
        Space.PARAM: config.param_depth,
        Space.TABLE: TABLES,
        Space.DRAM_OUTPUT: output_layout_of(model, config).size // config.row_size,
        Space.DRAM_SCRATCH: memory.scratch_size // config.row_size,
    }
    check_limits(emitter.instructions, layers, config)
    complete_fields(emitter.instructions, layers)
    instructions: list[Instruction] = []
    parts = segments_of([position for _, position in pauses], len(emitter.instructions))
    for part in parts:
        instructions += _ordered(
            emitter.instructions[part.first:part.stop], sizes, config, optimize)
    return Draft(
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


def input_size_of(model: QuantizedModel, config: AcceleratorConfig, draft: Draft) -> int:
    """Return the bytes of an input, as the host packs it."""
    unrolling = unrolling_of(model, config, draft.unroll)
    if unrolling is not None:
        return unrolling.size
    return config.row_size * next(
        stored.rows for task in draft.tasks for stored in task.inputs
        if stored.name == model.graph.input)
