"""The walk over an ONNX file: one decision, node by node, of what is supported."""

import contextlib
import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np

from ..errors import ModelError, NodeError
from ..graph import Graph, Node, Pad, Pool, is_host
from .context import Context, Map, Unknown
from .fuse import LOWEST, fuse
from .inference import check_node, evaluate
from .node import OnnxNode
from .operators import OPERATORS, unsupported
from .reader import Network, read_network


__all__ = (
    "convert",
    "load_graph",
)


_RANDOM = ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
           "RandomUniformLike")


def load_graph(
    path: str | os.PathLike[str], *, outputs: str | Sequence[str] | None = None
) -> Graph:
    """Import an ONNX file.

    Parameters
    ----------
    path : path
        ONNX file, opset 9 to 21 (tested mostly from 11), float32.
    outputs : str or sequence of one str, optional
        Name of the tensor at which to cut the network, for files with several outputs.

    Returns
    -------
    Graph
        The network with clamps, BatchNormalization, biases and padding fused.

    Raises
    ------
    ModelError
        If the file cannot be read, or the accelerator cannot compute exactly what it says.
    """

    def refuse(node: OnnxNode, error: NodeError) -> None:
        raise error

    graph = convert(read_network(path, outputs), refuse)
    if all(is_host(node) for node in graph):
        raise ModelError(f"{path}: the network holds no operator for the accelerator")
    return graph


def convert(
    network: Network, refuse: Callable[[OnnxNode, NodeError], None], *,
    kept: Collection[str] = (),
) -> Graph:
    """Convert a network.

    Parameters
    ----------
    network : Network
        What to convert.
    refuse : callable
        Called with each node that cannot be converted, and why; when it returns, the walk
        continues behind the node.
    kept : collection of str
        Tensors of the file that stay tensors of the graph: nothing that reads one is merged into
        what writes it.

    Returns
    -------
    Graph
        The fused network, with a plain :class:`Node` for every output of a refused one.
    """
    context = Context(network)
    for node in network.nodes:
        try:
            _step(context, node)
        except NodeError as error:
            refuse(node, error)
            _skip(context, node)
    output = _output(context, refuse)
    graph = fuse(Graph(
        name=Path(network.path).stem,
        input=network.input,
        output=output.base,
        nodes=context.nodes,
        shapes=context.shapes,
        input_dims=network.shape[1:],
        output_dims=output.shape[output.shape[0] == context.batch:],
        metadata={entry.key: entry.value for entry in network.model.metadata_props},
        source=network.path,
    ), {value.base for value in map(context.value, kept) if isinstance(value, Map)})
    _check_pads(network, graph, refuse)
    return graph


def _check_pads(
    network: Network, graph: Graph, refuse: Callable[[OnnxNode, NodeError], None]
) -> None:
    """Refuse padding with the lowest number that no MaxPool has taken."""
    left = {
        node.name: node.value for node in graph if isinstance(node, Pad) and node.value <= LOWEST}
    for node in network.nodes:
        if node.label in left:
            refuse(node, node.error(
                f"padding of {left[node.label]:g} is possible only right before a MaxPool whose "
                "windows all reach the map; use a value that the map can have"))


def _output(context: Context, refuse: Callable[[OnnxNode, NodeError], None]) -> Map:
    """Return the output of the network."""
    network = context.network
    value = context.value(network.output)
    node = network.nodes[-1] if network.nodes else None
    if not isinstance(value, Map):
        if node is not None and isinstance(value, np.ndarray):
            refuse(node, node.error("the output of the network is a constant"))
        return Map(network.output, (context.batch,))
    if node is not None and value.order is not None:
        refuse(node, node.error(
            "the output of the network is a transposed map; cut the network before the Transpose"))
    if node is not None and value.base == network.input:
        context.emit(Pool(node.label, (value.base,), network.output, sources=(node.label,)),
                     context.shapes[value.base], value.shape)
        value = Map(network.output, value.shape)
    return value


def _step(context: Context, node: OnnxNode) -> None:
    """Convert one node."""
    operands = context.operands(node)
    for operand in operands:
        if isinstance(operand, Unknown):
            raise node.error(f"not checked, because the shape behind {operand.cause} is unknown")
    if not node.standard:
        raise unsupported(node)
    opset = context.network.opset
    if _is_constant(node, operands):
        check_node(node, opset)
        inputs = {name: context.value(name) for name in node.proto.input if name}
        results = evaluate(node, opset, {
            name: value for name, value in inputs.items() if isinstance(value, np.ndarray)})
        for name, result in zip(filter(None, node.proto.output), results, strict=True):
            context.define(name, result)
        return
    if node.operator not in OPERATORS:
        raise unsupported(node)
    check_node(node, opset)
    OPERATORS[node.operator](context, node)


def _is_constant(node: OnnxNode, operands: Sequence[object]) -> bool:
    """Return whether a node can be computed at once."""
    subgraphs = any(a.HasField("g") or a.graphs for a in node.proto.attribute)
    return (not subgraphs and node.operator not in _RANDOM
            and not any(isinstance(operand, Map) for operand in operands))


def _skip(context: Context, node: OnnxNode) -> None:
    """Let the nodes behind one that was refused see tensors of the right shape, if it is known."""
    operands = context.operands(node)
    bases = tuple(operand.base for operand in operands if isinstance(operand, Map))
    shapes: dict[str, tuple[int, ...] | None] = {}
    if node.standard and not any(isinstance(operand, Unknown) for operand in operands):
        with contextlib.suppress(NodeError):
            shapes = context.inferred_all(node)
    for name in filter(None, node.proto.output):
        match shapes.get(name):
            case (int(_), int(c), int(h), int(w)) as shape if 0 not in shape:
                chw = (c, h, w)
            case (int(_), int(c)) as shape if 0 not in shape:
                chw = (c, 1, 1)
            case _:
                context.define(name, Unknown(repr(node.label)))
                continue
        context.emit(Node(node.label, bases, name, sources=(node.label,)), chw, shape)
