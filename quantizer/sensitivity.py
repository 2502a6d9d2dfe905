"""What narrower weights of single layers do to the output of the network."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import ModelError
from .execute import Maps, check_inputs, execute_node, input_maps, output_name, quantize_input
from .graph import Conv, Node
from .model import QuantizedModel
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


def _distance(a: NDArray[np.integer], b: NDArray[np.integer]) -> float:
    """Return the squared distance of two maps, in units of their codes."""
    return float(np.square(a.astype(np.float64) - b).sum())


def _values(model: QuantizedModel, codes: NDArray[np.integer], name: str) -> NDArray[np.float64]:
    return model.real(name, codes.transpose(0, 3, 1, 2))


def _check_formats(model: QuantizedModel, narrower: Mapping[int, QuantizedModel]) -> None:
    for bits, other in narrower.items():
        if other.formats != model.formats:
            name = next(name for name in model.formats
                        if other.formats.get(name) != model.formats[name])
            raise ModelError(
                f"tensor '{name}' must have the same format with {bits}-bit weights, "
                f"{model.formats[name]}, not {other.formats.get(name)}")


def _layer_noise(
    models: Mapping[int, QuantizedModel], node: Conv, maps: Maps, output: str
) -> dict[int, float]:
    """Return what each width of one layer adds to the squared error of the output.

    One width is run to the end of the network, the middle one, or the next narrower one that
    changes the output; the others are to the distance of the layer's own results what that one is,
    since small errors grow in proportion.
    """
    near = {
        bits: _distance(execute_node(model, node, maps), maps[node.output])
        for bits, model in models.items()}
    changing = sorted(bits for bits, distance in near.items() if distance)
    for run in reversed(changing[:len(changing) // 2 + 1]):  # narrower until it reaches the output
        found = rerun(models[run], maps, node)
        if output in found:
            break
    else:
        return dict.fromkeys(models, 0.0)
    far = float(np.square(
        _values(models[run], found[output], output)
        - _values(models[run], maps[output], output)).sum())
    return {bits: far * distance / near[run] for bits, distance in near.items()}


def output_noise(
    model: QuantizedModel, narrower: Mapping[int, QuantizedModel], inputs: ArrayLike,
    progress: Progress,
) -> dict[str, dict[int, float]]:
    """Measure what each layer's weights in each width add to the error of the output.

    That is the squared distance to the output with the widest weights, which has no part in
    common with the error that this one has itself. Of each layer one width is run through the rest
    of the network.

    Parameters
    ----------
    model : QuantizedModel
        The network with the widest weights.
    narrower : mapping from int to QuantizedModel
        The same network with weights of that many bits in every layer, and with the formats of
        ``model`` for all data.
    inputs : float, (n, *input_dims)
        Images, at least one.
    progress : callable
        Called with ``"sensitivity"``, the layers done and all layers, of all parts of the images.

    Returns
    -------
    dict from layer name to dict from int to float
        Squared error of the output that each width adds, relative to the squared output.

    Raises
    ------
    ModelError
        If the formats of data differ between the networks.
    """
    _check_formats(model, narrower)
    graph = model.graph
    convs = [node for node in graph.accelerated if isinstance(node, Conv)]
    images = check_inputs(inputs, graph)
    size = sum(int(np.prod(graph.shapes[name])) for name in model.formats)
    batch = max(1, _HELD_CODES // size)
    starts = range(0, len(images), batch)
    name, signal, total = output_name(graph), 0.0, len(starts) * len(convs)
    added = {node.name: dict.fromkeys(narrower, 0.0) for node in convs}
    for part, start in enumerate(starts):
        maps = run_all(model, images[start:start + batch])
        signal += float(np.square(_values(model, maps[name], name)).sum())
        for index, node in enumerate(convs):
            progress("sensitivity", part * len(convs) + index, total)
            changed = {
                bits: replace(model, weights={
                    **model.weights, node.name: other.weights[node.name]})
                for bits, other in narrower.items()}
            for bits, noise in _layer_noise(changed, node, maps, name).items():
                added[node.name][bits] += noise
    progress("sensitivity", total, total)
    scale = 1 / signal if signal else 0.0
    return {
        layer: {bits: value * scale for bits, value in widths.items()}
        for layer, widths in added.items()}
