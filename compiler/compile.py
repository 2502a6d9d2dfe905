"""From a quantized model to a program."""

import hashlib
from dataclasses import replace

import numpy as np

from arch.config import AcceleratorConfig
from arch.isa import decode
from quantizer.graph import Conv
from quantizer.model import QuantizedModel

from .add import lower_add
from .conv import lower_conv
from .cycles import Prediction
from .dependencies import assign_tokens, find_needs
from .emitter import Emitter
from .errors import CompileError
from .ir import DramTiming, Instruction, Space
from .layers import (
    UNROLLS, AddTask, ConvTask, Layer, PoolTask, Task, can_unroll, network_output,
    operator_text, plan_layers,
)
from .maps import InputLayout, OutputLayout
from .memory_map import MemoryMap, plan_memory
from .overflow import check_accumulators
from .pool import lower_pool
from .program import Program
from .schedule import hoist_loads
from .tiling import Costs


__all__ = ("compile_model",)


def model_hash(model: QuantizedModel) -> str:
    """Return the SHA-256 of the integers, formats and shapes of a model."""
    digest = hashlib.sha256()
    for node in model.graph.accelerated:
        digest.update(repr((
            node.name, node.inputs, node.output, model.bounds(node),
            [str(model.formats[name]) for name in (*node.inputs, node.output)],
        )).encode())
        if isinstance(node, Conv):
            weights = model.weights[node.name]
            for array in (weights.codes, weights.bias, weights.frac):
                digest.update(np.ascontiguousarray(array, np.int64).tobytes())
    return digest.hexdigest()


def _layers(model: QuantizedModel, tasks: list[Task], config: AcceleratorConfig) -> list[Layer]:
    """Prove every accumulator, and return what the world sees of the layers."""
    graph = model.graph
    bounds = {node.output: model.bounds(node) for node in graph.accelerated}
    fmt = model.formats[graph.input]
    bounds[graph.input] = (fmt.min, fmt.max)
    layers = []
    for task in tasks:
        node = task.node
        shifts = () if isinstance(task, ConvTask) else _shifts(model, task)[0]
        bits = check_accumulators(task, bounds, shifts, config.acc_bits)
        size = 0
        if isinstance(task, ConvTask):
            size = task.codes.size * model.weights[node.name].bits // 8 + 4 * len(task.bias)
        layers.append(Layer(
            task.index, node.name, operator_text(graph, node), node.inputs, node.output,
            graph.shapes[node.inputs[0]], graph.shapes[node.output], graph.macs(node), bits,
            size))
    return layers


def _shifts(model: QuantizedModel, task: Task) -> tuple[tuple[int, ...], int]:
    assert isinstance(task, AddTask | PoolTask)
    node = task.node
    left, right = model.vector_shifts(node)  # type: ignore[arg-type]
    if max(left) > 15 or right > 31:
        raise CompileError(
            f"Layer '{task.name}': shifts must be at most 15 bits left and 31 right, not "
            f"{left} and {right}; choose closer formats for its inputs and output")
    return left, right


def _space_sizes(
    config: AcceleratorConfig, emitter: Emitter, memory: MemoryMap, input_size: int,
    output_size: int,
) -> dict[Space, int]:
    return {
        Space.FEATURE: config.feature_depth,
        Space.WEIGHT: config.weight_depth,
        Space.PARAM: config.param_depth,
        Space.DRAM_WEIGHTS: -(-emitter.image.size // config.row_size),
        Space.DRAM_INPUT: input_size // config.row_size,
        Space.DRAM_OUTPUT: output_size // config.row_size,
        Space.DRAM_SCRATCH: memory.scratch_size // config.row_size,
    }


def _lower(
    model: QuantizedModel, tasks: list[Task], memory: MemoryMap, emitter: Emitter
) -> None:
    for task, tiling in zip(tasks, memory.tilings, strict=True):
        match task:
            case ConvTask():
                lower_conv(emitter, task, tiling)
            case PoolTask():
                lower_pool(emitter, task, tiling, _shifts(model, task))
            case AddTask():
                lower_add(emitter, task, tiling, _shifts(model, task))


def _complete_fields(instructions: list[Instruction], layers: list[Layer]) -> None:
    """Check every field, and write out those left at zero."""
    for instruction in instructions:
        try:
            _, instruction.values = decode(instruction.encode())
        except ValueError as error:
            raise CompileError(
                f"Layer '{layers[instruction.layer].name}': its geometry does not fit the "
                f"instruction set: {error}") from error


def _input_layout(
    model: QuantizedModel, config: AcceleratorConfig, unroll: str
) -> InputLayout:
    graph = model.graph
    plain = InputLayout(graph.shapes[graph.input], model.formats[graph.input], config.out_lanes)
    if unroll == "none":
        return plain
    (first,) = graph.consumers(graph.input)
    assert isinstance(first, Conv)
    return replace(plain, unroll=unroll, window=first.window)


def _compulsory(
    layers: list[Layer], graph_input: str, input_size: int, output: str, output_size: int
) -> list[int]:
    """Return for each layer the DRAM bytes that no schedule can avoid."""
    sizes = [layer.weight_size for layer in layers]
    first = next(layer.index for layer in layers if graph_input in layer.inputs)
    last = next(layer.index for layer in layers if layer.output == output)
    sizes[first] += input_size
    sizes[last] += output_size
    return sizes


def _compile(
    model: QuantizedModel, config: AcceleratorConfig, dram: DramTiming, unroll: str,
    optimize: bool,
) -> Program:
    """Compile for one way to unroll the input."""
    graph = model.graph
    output = network_output(graph)
    tasks = plan_layers(model, config, unroll)
    layers = _layers(model, tasks, config)
    costs = Costs(config, dram)
    memory = plan_memory(tasks, graph.input, output, costs)
    emitter = Emitter(config, memory, graph.input, output)
    _lower(model, tasks, memory, emitter)
    stored_input = next(
        stored for task in tasks for stored in task.inputs if stored.name == graph.input)
    input_size = stored_input.rows * config.row_size
    output_layout = OutputLayout(graph.shapes[output], model.formats[output], config.out_lanes)
    sizes = _space_sizes(config, emitter, memory, input_size, output_layout.size)
    instructions = emitter.instructions
    needs = find_needs(instructions, sizes)
    if optimize:
        instructions = hoist_loads(instructions, needs)
        needs = find_needs(instructions, sizes)
    assign_tokens(instructions, needs)
    _complete_fields(instructions, layers)
    return Program(
        name=graph.name, config=config, instructions=instructions,
        weight_image=emitter.image.to_bytes(), layers=layers,
        input_layout=_input_layout(model, config, unroll),
        output_layout=output_layout, input_name=graph.input, output_name=output,
        input_size=input_size, scratch_size=memory.scratch_size, writes=emitter.records,
        tensors={
            task.output.name: (graph.shapes[task.output.name], task.output.format)
            for task in tasks},
        dram=dram,
        compulsory=_compulsory(layers, graph.input, input_size, output, output_layout.size),
        prediction=Prediction(0),
        model_hash=model_hash(model))


def compile_model(
    model: QuantizedModel, config: AcceleratorConfig, *, dram: DramTiming | None = None,
    optimize: bool = True,
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
        Whether loads move up and the best way to unroll the input is searched; without it the
        input stays as it is and every load stands in front of what needs it.

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
    unrolls = UNROLLS if optimize and can_unroll(model) else UNROLLS[:1]
    best = _compile(model, config, timing, unrolls[0], optimize)
    for unroll in unrolls[1:]:
        try:
            program = _compile(model, config, timing, unroll, optimize)
        except CompileError:
            continue
        if program.prediction.cycles < best.prediction.cycles:
            best = program
    return best
