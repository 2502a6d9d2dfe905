"""What an ONNX file asks for, node by node, before any work."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .errors import NodeError
from .graph import Activation, Concat, Conv, Graph, Node, Slice, Softmax
from .onnx_import.importer import convert
from .onnx_import.node import OnnxNode
from .onnx_import.reader import read_network


__all__ = (
    "NodeReport",
    "inspect_model",
)


@dataclass(frozen=True)
class NodeReport:
    """Where a node of an ONNX file runs, or why it cannot.

    Parameters
    ----------
    node : str
        Name of the node, or of its output where it has none.
    operator : str
        Type of the operator.
    runs_on : str
        ``array`` (multipliers; Concat and Slice too, where they are not free), ``vector``
        (pooling, sums, products, activations, Resize and Pad), ``host``, ``folded`` (into another
        node, or computed at import), or ``-`` (nowhere).
    macs : int
        Multiply-accumulate operations for one image.
    bytes : int
        Weights, in bytes, at one byte each.
    note : str
        What it is folded into, or why it is not supported.
    supported : bool
        Whether it can be imported.
    """

    node: str
    operator: str
    runs_on: str
    macs: int
    bytes: int
    note: str
    supported: bool


def inspect_model(
    path: str | os.PathLike[str], *, outputs: str | Sequence[str] | None = None
) -> list[NodeReport]:
    """Report on every node of an ONNX file, in the file's order.

    The decisions are those of :func:`~quantizer.onnx_import.load_graph`, which refuses a file with
    the reason of the first node that is not supported.

    Parameters
    ----------
    path : path
        ONNX file.
    outputs : str or sequence of one str, optional
        Name of the tensor at which to cut the network, for files with several outputs.

    Raises
    ------
    ModelError
        If the file cannot be read or has not one input and one output.
    """
    network = read_network(path, outputs)
    refused: dict[str, NodeError] = {}

    def refuse(node: OnnxNode, error: NodeError) -> None:
        refused[node.label] = error

    graph = convert(network, refuse)
    needed = {node.label for node in network.nodes}
    reports = []
    for node in network.listing:
        label, operator = node.label, node.operator
        if label in refused:
            report = NodeReport(label, operator, "-", 0, 0, refused[label].reason, False)
        elif label not in needed:
            report = NodeReport(label, operator, "-", 0, 0, "not needed for the output", True)
        else:
            report = _report(graph, label, operator)
        reports.append(report)
    return reports


def _report(graph: Graph, label: str, operator: str) -> NodeReport:
    """Report on a node that was imported."""
    into = [node for node in graph if label in node.sources]
    for node in into:
        if node.name == label:
            size = node.weight.size if isinstance(node, Conv) else 0
            return NodeReport(
                label, operator, _place(node), graph.macs(node), size, _note(node), True)
    if into:
        note = "into " + ", ".join(repr(node.name) for node in into)
    else:
        note = "no work at run time"
    return NodeReport(label, operator, "folded", 0, 0, note, True)


def _place(node: Node) -> str:
    """Return which unit runs a node of the graph."""
    if isinstance(node, Conv | Concat | Slice):
        return "array"
    return "host" if isinstance(node, Softmax) else "vector"


def _note(node: Node) -> str:
    """Return the clamp of a node in words, and what a Concat, Slice or activation is."""
    if isinstance(node, Slice):
        return "free where it starts at a multiple of out_lanes channels"
    if isinstance(node, Concat):
        return "free where every input starts at a multiple of out_lanes channels"
    if isinstance(node, Activation):
        return ", ".join(filter(None, (f"{node.kind}, looked up in a table", _clamp(node))))
    return _clamp(node)


def _clamp(node: Node) -> str:
    """Return the clamp of a node in words."""
    if not node.clamped:
        return ""
    if node.hi == np.inf:
        return f"result at least {node.lo:g}"
    if node.lo == -np.inf:
        return f"result at most {node.hi:g}"
    return f"result {node.lo:g} to {node.hi:g}"
