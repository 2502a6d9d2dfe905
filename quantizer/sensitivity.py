"""What narrower weights of single layers do to the output of the network."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import ModelError
from .execute import Maps, check_inputs, execute_node, input_maps, output_name, quantize_input
from .graph import Conv, Node
from .model import QuantizedModel
from .ranges import Reference
from .search.options import Progress


__all__ = (
    "output_noise",
    "rerun",
    "run_all",
)


_HELD_CODES = 1 << 26  # of all maps that are kept at once


def run_all(model: QuantizedModel, inputs: ArrayLike) -> Maps:
    """Return the codes of every tensor, (n, h, w, c), for float inputs (n, *input_dims)."""
    maps: Maps = {model.graph.input: input_maps(model, quantize_input(model, inputs))}
    for node in model.graph.accelerated:
        maps[node.output] = execute_node(model, node, maps)
    return maps


def rerun(model: QuantizedModel, maps: Maps, changed: Node) -> Maps:
    """Return the maps that a changed node changes.

    Parameters
    ----------
    model : QuantizedModel
        The network; ``changed`` alone differs from the one that computed ``maps``.
    maps : dict from tensor name to int (n, h, w, c)
        Every tensor before the change.
    changed : Node
        Where the models differ.

    Returns
    -------
    dict from tensor name to int (n, h, w, c)
        Tensors with other codes than before; only nodes that these reach are computed.
    """
    nodes = model.graph.accelerated
    now = dict(maps)
    different: set[str] = set()
    for node in nodes[nodes.index(changed):]:
        if node is changed or different.intersection(node.inputs):
            codes = execute_node(model, node, now)
            if not np.array_equal(codes, now[node.output]):
                now[node.output] = codes
                different.add(node.output)
    return {name: now[name] for name in different}


def _squared(
    model: QuantizedModel, codes: NDArray[np.integer], exact: NDArray[np.float64]
) -> float:
    values = model.real(output_name(model.graph), codes.transpose(0, 3, 1, 2))
    return float(np.square(values - exact).sum())


def output_noise(
    model: QuantizedModel, narrower: Mapping[int, QuantizedModel], inputs: ArrayLike,
    reference: Reference, progress: Progress,
) -> dict[str, dict[int, float]]:
    """Measure what each layer's weights in each width add to the error of the output.

    Parameters
    ----------
    model : QuantizedModel
        The network with the widest weights.
    narrower : mapping from int to QuantizedModel
        The same network with weights of that many bits in every layer, and with the formats of
        ``model`` for all data.
    inputs : float, (n, *input_dims)
        Images, at least one.
    reference : Reference
        Float results.
    progress : callable
        Called with ``"sensitivity"``, the runs done and all runs.

    Returns
    -------
    dict from layer name to dict from int to float
        Squared error of the output that each width adds, relative to the squared output; the
        network's own error is that of no layer. At least 0.

    Raises
    ------
    ModelError
        If the formats of data differ between the networks.
    """
    graph = model.graph
    for bits, other in narrower.items():
        if other.formats != model.formats:
            name = next(name for name in model.formats
                        if other.formats.get(name) != model.formats[name])
            raise ModelError(
                f"tensor '{name}' must have the same format with {bits}-bit weights, "
                f"{model.formats[name]}, not {other.formats.get(name)}")
    convs = [node for node in graph.accelerated if isinstance(node, Conv)]
    images = check_inputs(inputs, graph)
    size = sum(int(np.prod(graph.shapes[name])) for name in model.formats)
    batch = max(1, _HELD_CODES // size)
    starts = range(0, len(images), batch)
    name, signal, done = output_name(graph), 0.0, 0
    total = len(starts) * len(convs) * len(narrower)
    added = {node.name: dict.fromkeys(narrower, 0.0) for node in convs}
    for start in starts:
        part = images[start:start + batch]
        exact = graph.real(name, reference.tensors(part, [name])[name])
        maps = run_all(model, part)
        signal += float(np.square(exact).sum())
        before = _squared(model, maps[name], exact)
        for node in convs:
            for bits, other in narrower.items():
                progress("sensitivity", done, total)
                weights = {**model.weights, node.name: other.weights[node.name]}
                found = rerun(replace(model, weights=weights), maps, node)
                if name in found:
                    added[node.name][bits] += _squared(model, found[name], exact) - before
                done += 1
    progress("sensitivity", total, total)
    scale = 1 / signal if signal else 0.0
    return {
        layer: {bits: max(0.0, value * scale) for bits, value in widths.items()}
        for layer, widths in added.items()}
