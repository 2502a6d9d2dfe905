"""Concat and Slice: which maps lie inside others, and the kernels that move what does not.

A Concat costs nothing when every input starts at a multiple of ``out_lanes`` channels and has the
format of the result: then its inputs are written into the rows of the result. A Slice that starts
at such a multiple is some blocks of its input. All others run as a 1 x 1 convolution whose kernels
copy, with the shift of each input.
"""

import numpy as np

from arch.config import AcceleratorConfig
from quantizer.execute import output_name
from quantizer.graph import Add, Concat, Graph, Mul, Slice, Window, is_host
from quantizer.model import QuantizedModel

from .errors import CompileError
from .layers import FreeTask, JoinTask, StoredMap


__all__ = (
    "Places",
    "join_places",
    "join_task",
    "slice_task",
)


Places = dict[str, tuple[str, int]]
"""For each map that is a part of a joined one, that map and its first block there."""


def _can_be_part(graph: Graph, tensor: str) -> bool:
    """Return whether a map may be a part: not what the host touches, nor an operand.

    The two operands of Add and Mul must lie alike, unless one is a channel vector.
    """
    return (
        not _from_host(graph, tensor) and tensor != output_name(graph)
        and not any(
            is_host(node) or (
                isinstance(node, Add | Mul)
                and len({graph.shapes[name] for name in node.inputs}) == 1)
            for node in graph.consumers(tensor)))


def _from_host(graph: Graph, tensor: str) -> bool:
    """Return whether the host writes a map to DRAM: the input, or the result of a step."""
    producer = graph.producer(tensor)
    return producer is None or is_host(producer)


def _blocks(model: QuantizedModel, node: Concat, lanes: int) -> dict[str, int] | None:
    """Return the first block of every input, ``None`` if one cannot lie inside the result."""
    fmt = model.formats[node.output]
    found: dict[str, int] = {}
    start = 0
    for name in node.inputs:
        if start % lanes or name in found or model.formats[name] != fmt:
            return None
        if not _can_be_part(model.graph, name):
            return None
        found[name] = start // lanes
        start += model.graph.shapes[name][0]
    return found


def _places_of(graph: Graph, node: Concat, blocks: dict[str, int], known: Places) -> Places | None:
    """Return the places that make a Concat free, ``None`` if the known ones forbid it."""
    first = known.get(node.inputs[0])
    if node.output not in known and first is not None and _can_be_part(graph, node.output):
        base = first  # perhaps all inputs already lie side by side
    else:
        base = known.get(node.output, (node.output, 0))
    home, start = base
    wanted = {name: (home, start + block) for name, block in blocks.items()}
    if any(known.get(name, place) != place for name, place in wanted.items()):
        return None
    if home == node.output:
        return wanted
    if node.output not in known and not all(name in known for name in wanted):
        return None
    return {**wanted, node.output: base}


def join_places(model: QuantizedModel, lanes: int) -> tuple[Places, set[str]]:
    """Decide which maps are parts of joined ones; the last Concat of a map decides.

    Parameters
    ----------
    model : QuantizedModel
        Network.
    lanes : int
        Codes of a row.

    Returns
    -------
    (dict, set of str)
        Places, and the nodes that then cost nothing.
    """
    places: Places = {}
    free: set[str] = set()
    for node in reversed(model.graph.accelerated):
        if isinstance(node, Concat):
            blocks = _blocks(model, node, lanes)
            found = None if blocks is None else _places_of(model.graph, node, blocks, places)
            if found is not None:
                places.update(found)
                free.add(node.name)
    for node in model.graph.accelerated:
        if isinstance(node, Slice) and node.output not in places:
            (source,) = node.inputs
            aligned = node.start % lanes == 0 and not _from_host(model.graph, source)
            if aligned and _can_be_part(model.graph, node.output):
                home, block = places.get(source, (source, 0))
                places[node.output] = home, block + node.start // lanes
                free.add(node.name)
    return places, free


def slice_task(
    model: QuantizedModel, node: Slice, config: AcceleratorConfig,
    common: tuple[int, Slice, tuple[StoredMap, ...], StoredMap], *, free: bool,
) -> FreeTask | JoinTask:
    """Return the task of a Slice."""
    index, _, _, output = common
    bounds = model.bounds(node)
    if free:
        return FreeTask(index, node, (), output, *bounds)
    zeros = np.zeros(output.channels, np.int64)
    return JoinTask(
        *common, *bounds, window=Window(), groups=1, codes=(zeros + 1).reshape(-1, 1, 1, 1),
        bias=zeros, shift=zeros, upper=zeros + bounds[1], bits=config.stored_bits(2),
        skip=node.start)


def join_task(
    model: QuantizedModel, node: Concat, config: AcceleratorConfig,
    common: tuple[int, Concat, tuple[StoredMap, ...], StoredMap], *, free: bool,
) -> FreeTask | JoinTask:
    """Return the task of a Concat."""
    index, _, inputs, output = common
    bounds = model.bounds(node)
    if free:
        return FreeTask(index, node, (), output, *bounds)
    shifts = model.concat_shifts(node)
    most = config.weight_bits - 2
    left, right = max(left for left, _ in shifts), max(right for _, right in shifts)
    if left > most or right > 31:
        raise CompileError(
            f"Layer '{node.name}': shifts must be at most {most} bits left and 31 right, not "
            f"{left} and {right}; choose closer formats for its inputs and output")
    channels = [stored.channels for stored in inputs]
    scale = np.repeat([1 << left for left, _ in shifts], channels).astype(np.int64)
    return JoinTask(
        *common, *bounds, window=Window(), groups=1, codes=scale.reshape(-1, 1, 1, 1),
        bias=np.zeros(len(scale), np.int64), shift=np.repeat([r for _, r in shifts], channels),
        upper=np.full(len(scale), bounds[1]), bits=config.stored_bits(left + 2))
