"""The nodes of a quantized file as those of our graph: what one step computes becomes one node."""

from dataclasses import replace

from ..addends import fused_graph, fusible_convs
from ..graph import (
    Add,
    Concat,
    Conv,
    ConvTranspose,
    Graph,
    Lrn,
    Node,
    Pool,
    Softmax,
    Window,
)
from ..onnx_import.fuse import merge_bounds
from .plain import Plain
from .quantizer import Quantizer


__all__ = (
    "copies_channels",
    "quantizer_of",
    "structured",
)


def structured(graph: Graph, plain: Plain) -> Graph:
    """Return the graph whose nodes are the steps of the accelerator.

    Parameters
    ----------
    graph : Graph
        The float network.
    plain : Plain
        Its quantizers; those of tensors that get another name, or are new, are moved there.
    """
    return _with_addends(_with_output(_merged(graph, plain), plain), plain)


def quantizer_of(node: Node, plain: Plain) -> Quantizer | None:
    """Return the last quantizer that a node stands for; nothing but clamps comes behind it."""
    return plain.data.get(node.output) or next(
        (plain.clips[name] for name in reversed(node.sources) if name in plain.clips), None)


def copies_channels(node: Node) -> bool:
    """Return whether a node is a convolution that copies, within bounds."""
    return (isinstance(node, Conv) and not isinstance(node, ConvTranspose)
            and node.window == Window() and node.groups == len(node.weight)
            and node.weight.shape[1] == 1 and not node.bias.any()
            and bool((node.weight == 1).all()))


def _merged(graph: Graph, plain: Plain) -> Graph:
    """Return the graph without Clips and factors of 1 of which the operator before can be rid.

    These are Clips that stand for quantizers of results that only move, and factors that Quark puts
    behind an average pooling.
    """
    nodes: list[Node] = []
    uses = [name for node in graph.nodes for name in node.inputs] + [graph.output]
    for node in graph.nodes:
        before = next((each for each in nodes if each.output == node.inputs[0]), None)
        ends = isinstance(before, Softmax) and node.output == graph.output
        if isinstance(before, Concat | Lrn | Softmax) and not ends and (
                before.output not in plain.data and _only_quantizes(node, plain)
                and uses.count(before.output) == 1):
            nodes[nodes.index(before)] = replace(
                before, output=node.output, sources=before.sources + node.sources)
        elif isinstance(before, Pool) and not before.clamped and _is_one(node) and (
                uses.count(before.output) == 1):
            nodes[nodes.index(before)] = replace(
                before, output=node.output, lo=node.lo, hi=node.hi,
                sources=before.sources + node.sources)
        else:
            nodes.append(node)
    used = {graph.input, *(node.output for node in nodes)}
    return replace(graph, nodes=nodes, shapes={
        name: shape for name, shape in graph.shapes.items() if name in used})


def _only_quantizes(node: Node, plain: Plain) -> bool:
    """Return whether a node is a quantizer and nothing else, one with all codes of its format."""
    quantizers = [plain.clips.get(name) for name in node.sources]
    return isinstance(node, Pool) and node.window == Window() and all(
        each is not None and (each.lo, each.hi) == (each.format.min, each.format.max)
        for each in quantizers)


def _is_one(node: Node) -> bool:
    """Return whether a node multiplies by 1."""
    return isinstance(node, Conv) and copies_channels(node) and not node.upper.size


def _with_output(graph: Graph, plain: Plain) -> Graph:
    """Return the graph whose output has its name in the file, also where that is only viewed."""
    old, new = graph.output, plain.model.graph.output[0].name
    if new in graph.shapes:
        return graph
    if old in plain.data:
        plain.data[new] = plain.data.pop(old)
    names = {old: new}
    nodes = [
        replace(node, output=names.get(node.output, node.output),
                inputs=tuple(names.get(name, name) for name in node.inputs))
        for node in graph.nodes]
    return replace(graph, output=new, nodes=nodes, shapes={
        names.get(name, name): shape for name, shape in graph.shapes.items()})


def _with_addends(graph: Graph, plain: Plain) -> Graph:
    """Return the graph in which convolutions whose results have no quantizer do the Adds."""
    for add in [node for node in graph if isinstance(node, Add)]:
        for conv, other in fusible_convs(graph, add):
            if quantizer_of(conv, plain) is None:
                graph = fused_graph(graph, conv, add, other)
                break
    twice = {
        node.output for node in graph for reader in graph.consumers(node.output)
        if _rounds_again(quantizer_of(node, plain), quantizer_of(reader, plain))}
    return _with_finer_bounds(merge_bounds(graph, twice), plain)


def _rounds_again(before: Quantizer | None, quantizer: Quantizer | None) -> bool:
    return before is not None and quantizer is not None and before.fracs != quantizer.fracs


def _with_finer_bounds(graph: Graph, plain: Plain) -> Graph:
    """Return the graph in which bounds for each channel do not make steps finer.

    A convolution copies and bounds, and its shift goes right alone: steps are made finer before,
    where all that is too large saturates, as it would behind the bounds.
    """
    nodes: list[Node] = []
    shapes = dict(graph.shapes)
    for node in graph:
        (source, *_), quantizer = node.inputs, quantizer_of(node, plain)
        producer = graph.producer(source)
        before = plain.input if producer is None else quantizer_of(producer, plain)
        if copies_channels(node) and before is not None and quantizer is not None and (
                before.fracs < quantizer.fracs):
            name = f"{node.output}.unbounded"
            nodes.append(Pool(f"quantizer of {name}", (source,), name))
            node = replace(node, inputs=(name,))
            plain.data[name], shapes[name] = quantizer, shapes[source]
        nodes.append(node)
    return replace(graph, nodes=nodes, shapes=shapes)
