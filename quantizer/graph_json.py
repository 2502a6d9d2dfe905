"""The structure of a graph as plain values, arrays aside."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .graph import (
    Activation,
    Add,
    Concat,
    Conv,
    ConvTranspose,
    Graph,
    Lrn,
    Mul,
    Node,
    Pad,
    Pool,
    PRelu,
    Resize,
    Slice,
    Softmax,
    Window,
)
from .intake import Intake


__all__ = (
    "ARRAYS",
    "graph_from_json",
    "graph_to_json",
    "node_from_json",
    "node_to_json",
)


ARRAYS = {
    "Conv": ("weight", "bias", "upper"), "ConvTranspose": ("weight", "bias", "upper"),
    "PRelu": ("slope",)}
"""Fields that are kept elsewhere, by kind of node."""

_KINDS: dict[str, type[Node]] = {
    kind.__name__: kind for kind in (
        Conv, ConvTranspose, Pool, Add, Mul, PRelu, Activation, Concat, Slice, Resize, Pad,
        Lrn, Softmax)}


def node_to_json(node: Node) -> dict[str, Any]:
    """Return all of a node but its arrays."""
    entry: dict[str, Any] = {"operator": type(node).__name__}
    arrays = ARRAYS.get(type(node).__name__, ())
    for field in fields(node):
        value = getattr(node, field.name)
        if field.name in arrays:
            continue
        if field.name in ("lo", "hi"):
            value = float(value) if np.isfinite(value) else None
        elif isinstance(value, Window):
            value = {part.name: list(getattr(value, part.name)) for part in fields(value)}
        entry[field.name] = list(value) if isinstance(value, tuple) else value
    return entry


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def node_from_json(entry: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Node:
    """Return the node that :func:`node_to_json` wrote."""
    values: dict[str, Any] = {
        key: _tuple(value) for key, value in entry.items() if key != "operator"}
    values["lo"] = -np.inf if values["lo"] is None else values["lo"]
    values["hi"] = np.inf if values["hi"] is None else values["hi"]
    if "window" in values:
        values["window"] = Window(**{
            key: _tuple(value) for key, value in values["window"].items()})
    for key in ARRAYS.get(entry["operator"], ()):
        values[key] = arrays[f"{entry['name']}/{key}"]
    return _KINDS[entry["operator"]](**values)


def graph_to_json(graph: Graph) -> dict[str, Any]:
    """Return all of a graph but the arrays of its nodes and its file."""
    return {
        "name": graph.name, "input": graph.input, "output": graph.output,
        "nodes": [node_to_json(node) for node in graph.nodes],
        "shapes": {name: list(shape) for name, shape in graph.shapes.items()},
        "input_dims": list(graph.input_dims), "output_dims": list(graph.output_dims),
        "metadata": graph.metadata,
        "exponents": {name: values.tolist() for name, values in graph.exponents.items()},
        "offsets": {name: values.tolist() for name, values in graph.offsets.items()},
        "intake": None if graph.intake is None else graph.intake.to_json(),
    }


def graph_from_json(
    entry: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], *, source: str
) -> Graph:
    """Return the graph that :func:`graph_to_json` wrote.

    Parameters
    ----------
    entry : mapping
        What it wrote.
    arrays : mapping from ``<node>/<field>`` to array
        Weights, biases, upper clamps and slopes.
    source : str
        File of the float network, empty where there is none.
    """
    return Graph(
        entry["name"], entry["input"], entry["output"],
        [node_from_json(node, arrays) for node in entry["nodes"]],
        {name: _tuple(shape) for name, shape in entry["shapes"].items()},
        _tuple(entry["input_dims"]), _tuple(entry["output_dims"]), dict(entry["metadata"]), source,
        {name: np.array(values, np.float64) for name, values in entry["exponents"].items()},
        {name: np.array(values, np.float64) for name, values in entry["offsets"].items()},
        None if entry["intake"] is None else Intake.from_json(entry["intake"]))
