"""Add as a part of the convolution before it: which ones can be, and the graph that then is."""

from collections.abc import Iterator
from dataclasses import replace

from .graph import Add, Conv, Graph, Node


__all__ = (
    "fused_graph",
    "fusible_convs",
)


def fusible_convs(graph: Graph, add: Add) -> Iterator[tuple[Conv, str]]:
    """Yield the convolutions that could do an Add, and what they would add, the last one first.

    That is one without a clamp and addend of its own, whose result is an operand of the same
    shape as the other one, and nothing else.
    """
    if len({graph.shapes[name] for name in add.inputs}) > 1 or len(set(add.inputs)) == 1:
        return
    for node in reversed(graph.nodes):
        if type(node) is not Conv or node.output not in add.inputs:
            continue
        (other,) = {*add.inputs} - {node.output}
        if (not node.clamped and node.addend is None
                and graph.consumers(node.output) == [add] and node.output != graph.output):
            yield node, other


def fused_graph(graph: Graph, conv: Conv, add: Add, other: str) -> Graph:
    """Return the graph in which a convolution that adds ``other`` stands in the place of an Add."""
    fused = replace(
        conv, inputs=(conv.inputs[0], other), output=add.output, lo=add.lo, hi=add.hi,
        sources=(*conv.sources, *add.sources))
    nodes: list[Node] = [
        fused if node is add else node for node in graph.nodes if node is not conv]
    return replace(
        graph, nodes=nodes,
        shapes={name: shape for name, shape in graph.shapes.items() if name != conv.output},
        exponents={name: each for name, each in graph.exponents.items() if name != conv.output})
