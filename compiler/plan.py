"""From the graph to one task for each layer, with what the accelerator cannot do refused."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from arch.config import AcceleratorConfig
from arch.formats import Format
from quantizer.graph import (
    Activation,
    Add,
    Concat,
    Conv,
    ConvTranspose,
    Graph,
    Mul,
    Node,
    Pad,
    Pool,
    PRelu,
    Resize,
    Slice,
    Window,
    is_host,
)
from quantizer.model import QuantizedModel

from .copies import CopyTask
from .errors import CompileError
from .join import join_places, join_task, slice_task
from .layers import (
    AddTask,
    ConvTask,
    FreeTask,
    HostTask,
    MulTask,
    PoolTask,
    SlopeTask,
    StoredMap,
    TableTask,
    Task,
)
from .pooling import Fusion, find_fusions
from .transposed import TransposedTask


__all__ = (
    "UNROLLS",
    "can_unroll",
    "network_output",
    "plan_layers",
    "unrolled",
)


UNROLLS = ("none", "columns", "taps", "loader")
"""What is unrolled into the lanes of the first layer: nothing, kernel columns by the host, all taps
by the host, all taps by LOAD."""

_MAX_POSITION = 2047


def network_output(graph: Graph) -> str:
    """Return the tensor in region 2: the output, or what a Softmax at the end reads."""
    producer = graph.producer(graph.output)
    tensor = graph.output
    while producer is not None and producer not in graph.accelerated:
        tensor = producer.inputs[0]
        producer = graph.producer(tensor)
    if producer is None or all(is_host(node) for node in graph):
        raise CompileError(
            f"Network '{graph.name}' has no layer for the accelerator between input and output")
    return tensor


def _check_codes(values: NDArray[np.int64], bits: int, what: str) -> None:
    lo, hi = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    if values.size and not lo <= values.min() <= values.max() <= hi:
        raise CompileError(
            f"{what} must be in {lo}..{hi} ({bits} bits), not {values.min()}..{values.max()}")


def _check_formats(model: QuantizedModel, config: AcceleratorConfig) -> None:
    if model.rounding != config.rounding:
        raise CompileError(
            f"Config '{config.name}' rounds {config.rounding}, the model was quantized for "
            f"{model.rounding}; use a config with that rounding, or quantize again")
    for node in model.graph.accelerated:
        for name in (*node.inputs, node.output):
            bits = model.formats[name].bits
            if bits > config.data_bits:
                raise CompileError(
                    f"Layer '{node.name}': tensor '{name}' has codes of {bits} bits, config "
                    f"'{config.name}' computes with {config.data_bits} (data_bits); quantize "
                    f"with at most {config.data_bits} data bits")
        if isinstance(node, Conv) and model.weights[node.name].bits > config.weight_bits:
            raise CompileError(
                f"Layer '{node.name}': weights have {model.weights[node.name].bits} bits, config "
                f"'{config.name}' multiplies by {config.weight_bits} (weight_bits); quantize "
                f"with at most {config.weight_bits} weight bits")


def _conv_task(
    model: QuantizedModel, node: Conv, config: AcceleratorConfig,
    common: tuple[int, Node, tuple[StoredMap, ...], StoredMap],
) -> ConvTask:
    weights = model.weights[node.name]
    shift = np.broadcast_to(model.shifts(node), weights.bias.shape)
    _check_codes(weights.codes, weights.bits, f"Layer '{node.name}': weight codes")
    if shift.min() < 0 or shift.max() > 31:
        raise CompileError(
            f"Layer '{node.name}': right shifts must be in 0..31 bits, not "
            f"{shift.min()}..{shift.max()}; choose other formats for its weights or output")
    kind = TransposedTask if isinstance(node, ConvTranspose) else ConvTask
    task = kind(
        *common, *model.bounds(node), window=node.window, groups=node.groups,
        codes=weights.codes, bias=weights.bias, shift=shift, upper=model.uppers(node),
        bits=config.stored_bits(weights.bits))
    if node.addend is None:
        return task
    bits = config.factor_bits(int(model.addend_shifts(node).max()))
    return replace(
        task, factors=_factors(model.addend_shifts(node), bits - 2), factor_bits=bits)


def _factors(shifts: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return powers of two, of at most ``most`` bits, that add up to left shifts: (k, 1, r, 1)."""
    if shifts.min() < 0:
        raise CompileError(f"Left shifts of an addend must be at least 0, not {shifts.min()}")
    counts = 1 << np.maximum(shifts - most, 0)
    factors = np.where(
        np.arange(counts.max()) < counts[:, None], 1 << np.minimum(shifts, most)[:, None], 0)
    return factors[:, None, :, None]


def _slope_task(
    model: QuantizedModel, node: PRelu, config: AcceleratorConfig,
    common: tuple[int, Node, tuple[StoredMap, ...], StoredMap],
) -> SlopeTask:
    """Return the task of a PRelu, whose slopes become a map of one position."""
    index, _, (source,), output = common
    slopes = model.slopes[node.name]
    if slopes.bits > config.data_bits:
        raise CompileError(
            f"Layer '{node.name}': slopes have {slopes.bits} bits, config '{config.name}' "
            f"computes with {config.data_bits} (data_bits); quantize with at most "
            f"{config.data_bits} data bits")
    _check_codes(slopes.codes, slopes.bits, f"Layer '{node.name}': slope codes")
    vector = StoredMap(
        f"{node.name}.slopes", source.channels, 1, 1, config.out_lanes,
        Format(slopes.bits, slopes.frac, True), constant=True)
    return SlopeTask(
        index, node, (source, vector), output, *model.bounds(node), slopes=slopes.codes)


def _table_task(
    model: QuantizedModel, node: Activation, config: AcceleratorConfig,
    common: tuple[int, Node, tuple[StoredMap, ...], StoredMap],
) -> TableTask:
    """Return the task of a function of one number.

    With 16-bit data base and slope of a segment alternate; codes of 8 bits are segments then.
    """
    if not config.table_lanes:
        raise CompileError(
            f"Layer '{node.name}': {node.kind} needs a table, config '{config.name}' has none "
            "(table_lanes); use a table_lanes of at least 1")
    table = model.tables[node.name]
    wide = model.formats[node.inputs[0]].bits > 8
    entries = table.base
    if config.data_bits > 8:
        entries = np.stack([table.base, table.delta], axis=1).ravel()
    scale = 8 if config.data_bits > 8 else 0
    return TableTask(
        *common, *model.bounds(node), entries=entries, index_shift=8 if wide else 0, scale=scale)


def _check_positions(node: Conv | Pool, shape: tuple[int, int, int]) -> None:
    """Refuse windows that reach farther than the hardware counts."""
    top, left, bottom, right = node.window.pads
    for name, size, before, after in (
        ("lines", shape[1], top, bottom), ("columns", shape[2], left, right),
    ):
        if size + after > _MAX_POSITION + 1 or before > _MAX_POSITION + 1:
            raise CompileError(
                f"Layer '{node.name}': {name} of its input must be in "
                f"{-_MAX_POSITION - 1}..{_MAX_POSITION}, padding included, not "
                f"{-before}..{size + after - 1}")


def _task(
    model: QuantizedModel, index: int, node: Node, config: AcceleratorConfig,
    stored: Callable[[str], StoredMap],
) -> Task:
    common = (index, node, tuple(stored(name) for name in node.inputs), stored(node.output))
    if isinstance(node, Conv | Pool):
        _check_positions(node, common[2][0].shape)
    match node:
        case Conv():
            return _conv_task(model, node, config, common)
        case Pool():
            return PoolTask(*common, *model.bounds(node), pool=node)
        case Add():
            return AddTask(*common, *model.bounds(node))
        case Resize(repeats=repeats, steps=steps, offsets=offsets):
            return CopyTask(
                *common, *model.bounds(node), repeats=repeats, steps=steps, offsets=offsets)
        case Pad(pads=(top, left, _, _), mode="constant"):
            return CopyTask(
                *common, *model.bounds(node), offsets=(-top, -left), fill=model.fill(node))
        case Pad(pads=(top, left, _, _)):
            return CopyTask(
                *common, *model.bounds(node), offsets=(-top, -left), mode=node.mode)
        case Mul():
            return MulTask(*common, *model.bounds(node))
        case PRelu():
            return _slope_task(model, node, config, common)
        case Activation():
            return _table_task(model, node, config, common)
    if is_host(node):
        return HostTask(*common, *model.bounds(node))
    raise CompileError(
        f"Layer '{node.name}': {type(node).__name__} cannot run on the accelerator; "
        "Conv, ConvTranspose, Pool, Add, Mul, PRelu, functions of one number, Concat, Slice, "
        "Resize and Pad can")


def unrolled(task: ConvTask, unroll: str) -> ConvTask:
    """Return a convolution over an input whose taps the host has put into the lanes.

    Parameters
    ----------
    task : ConvTask
        Convolution over the plain input.
    unroll : str
        ``columns``: the channels of a position are those of all kernel columns, kernel column
        outermost. ``taps`` and ``loader``: those of all taps, kernel line outermost.

    Returns
    -------
    ConvTask
        The same results.
    """
    window, source = task.window, task.inputs[0]
    (r, s), (sy, _) = window.kernel, window.strides
    top, _, bottom, _ = window.pads
    k, c = task.codes.shape[:2]
    if unroll == "columns":
        geometry = Window((r, 1), (sy, 1), (top, 0, bottom, 0), (window.dilations[0], 1))
        codes = task.codes.transpose(0, 3, 1, 2).reshape(k, s * c, r, 1)
        shape = (s * c, source.height, task.computed[1])
    else:
        geometry = Window()
        codes = task.codes.transpose(0, 2, 3, 1).reshape(k, r * s * c, 1, 1)
        shape = (r * s * c, *task.computed)
    channels, height, width = shape
    plain = replace(source, channels=channels, height=height, width=width)
    return replace(task, window=geometry, codes=codes, inputs=(plain, *task.inputs[1:]))


def can_unroll(model: QuantizedModel) -> bool:
    """Return whether the input is read by one ungrouped convolution and nothing else."""
    readers = model.graph.consumers(model.graph.input)
    first = readers[0] if len(readers) == 1 else None
    return (
        isinstance(first, Conv) and not isinstance(first, ConvTranspose)
        and first.addend != model.graph.input
        and first.groups == 1 and first.window.kernel != (1, 1)
        and model.graph.input != network_output(model.graph))


def _pooled(task: ConvTask, fusion: Fusion, output: StoredMap, bounds: tuple[int, int]) -> ConvTask:
    """Return a convolution that pools its results.

    Parameters
    ----------
    task : ConvTask
        Convolution.
    fusion : Fusion
        The pooling.
    output : StoredMap
        The pooled map.
    bounds : (int, int)
        Bounds of the pooling.
    """
    lo, hi = bounds
    if fusion.join is not None:
        first = fusion.channel // output.lanes
        output = output.part(first, first + fusion.pooling.blocks)
    return replace(
        task, output=output, pooling=fusion.pooling, lo=min(max(task.lo, lo), hi),
        hi=max(min(task.hi, hi), lo), upper=np.clip(task.upper, lo, hi))


def _fuse(
    model: QuantizedModel, tasks: list[Task], fusions: Mapping[str, Fusion],
    stored: Callable[[str], StoredMap],
) -> list[Task]:
    """Let convolutions do the poolings behind them."""
    pools = {fusion.pool.name for fusion in fusions.values()}
    joins = {
        fusion.join.name: fusion.pool for fusion in fusions.values() if fusion.join is not None}
    found: list[Task] = []
    for task in tasks:
        fusion = fusions.get(task.name)
        if fusion is not None:
            assert isinstance(task, ConvTask)
            task = _pooled(
                task, fusion, stored(fusion.pool.output), model.bounds(fusion.pool))
        elif task.name in pools or task.name in joins:
            pool = joins.get(task.name, task.node)
            task = FreeTask(
                task.index, task.node, (), stored(pool.output), *model.bounds(task.node))
        found.append(task)
    return found


def plan_layers(
    model: QuantizedModel, config: AcceleratorConfig, unroll: str = "none", *,
    fuse: bool = False,
) -> list[Task]:
    """Return one task for each layer, in execution order.

    Parameters
    ----------
    model : QuantizedModel
        Network.
    config : AcceleratorConfig
        Accelerator.
    unroll : str
        One of :data:`UNROLLS`.
    fuse : bool
        Whether convolutions do the poolings behind them, where they can.

    Raises
    ------
    CompileError
        If the accelerator cannot run a layer at all.
    """
    graph = model.graph
    _check_formats(model, config)
    nodes = graph.accelerated
    if len(nodes) > config.layer_depth > 0:
        raise CompileError(
            f"Network '{graph.name}' has {len(nodes)} layers, the counters of config "
            f"'{config.name}' tell {config.layer_depth} apart; use a layer_depth of at least "
            f"{1 << (len(nodes) - 1).bit_length()}")

    places, free = join_places(model, config.out_lanes)

    def stored(name: str) -> StoredMap:
        plain = StoredMap(name, *graph.shapes[name], config.out_lanes, model.formats[name])
        if name not in places:
            return plain
        home, block = places[name]
        return replace(plain, home=stored(home), block0=block)

    tasks: list[Task] = []
    for index, node in enumerate(nodes):
        maps = tuple(map(stored, node.inputs)), stored(node.output)
        is_free = node.name in free
        if isinstance(node, Concat):
            tasks.append(join_task(model, node, config, (index, node, *maps), free=is_free))
        elif isinstance(node, Slice):
            tasks.append(slice_task(model, node, config, (index, node, *maps), free=is_free))
        else:
            tasks.append(_task(model, index, node, config, stored))
    if fuse:
        tasks = _fuse(model, tasks, find_fusions(model, config), stored)
    if unroll != "none":
        tasks = [
            unrolled(task, unroll)
            if isinstance(task, ConvTask) and graph.input in task.node.inputs else task
            for task in tasks
        ]
    return tasks
