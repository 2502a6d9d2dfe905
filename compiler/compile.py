"""From a quantized model to a program."""

import hashlib
import math
from dataclasses import replace

import numpy as np

from arch.config import AcceleratorConfig
from arch.isa import INSTRUCTION_SIZE, Region
from quantizer.graph import Activation, Conv, Lrn, PRelu
from quantizer.model import QuantizedModel

from .choice import best_draft, fastest, fused_drafts, pooling_drafts
from .cycles import predict
from .describe import Layer
from .draft import Draft, input_layout_of, input_size_of, output_layout_of
from .errors import CompileError
from .host import Stops
from .ir import DramTiming
from .limits import check_size
from .memory_map import MemoryMap
from .plan import network_output
from .pooling import find_fusions
from .program import Program
from .verify import verify


__all__ = ("compile_model",)


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


def _placed_layers(draft: Draft) -> list[Layer]:
    """Return the layers with the places of their weights."""
    places = draft.emitter.weight_places
    return [
        replace(layer, weight_address=places[layer.index][0], stored_size=places[layer.index][1])
        if layer.index in places else layer for layer in draft.layers]


def _finished(
    model: QuantizedModel, config: AcceleratorConfig, dram: DramTiming, draft: Draft
) -> Program:
    """Return the verified program of a draft."""
    graph = model.graph
    output_layout = output_layout_of(model, config)
    input_size = input_size_of(model, config, draft)
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
        input_layout=input_layout_of(model, config, draft.unroll), output_layout=output_layout,
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
        pooled = pooling_drafts(model, config, timing, input_cycles)
    try:
        drafts = [*pooled, best_draft(model, config, timing, optimize, False, input_cycles)]
    except CompileError:
        if not pooled:
            raise
        drafts = pooled
    draft = fastest(drafts, model, config, timing, input_cycles)
    if optimize:
        drafts = [draft, *fused_drafts(model, config, timing, draft)]
        draft = fastest(drafts, model, config, timing, input_cycles)
    return _finished(model, config, timing, draft)
