"""What the import knows so far: constants, maps and how ONNX views them, the nodes made."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ..graph import Node
from .inference import infer_shapes
from .node import OnnxNode
from .reader import Network


__all__ = (
    "Context",
    "Map",
    "Unknown",
)


@dataclass(frozen=True)
class Map:
    """A tensor that depends on the input: a tensor of the graph, as ONNX views it.

    Parameters
    ----------
    base : str
        Tensor of the graph that holds the values.
    shape : tuple of int
        Shape in ONNX, with the batch.
    order : int64, (elements,), optional
        Place in (n, c, h, w) order of every element in ONNX order; the same when not given.
    """

    base: str
    shape: tuple[int, ...]
    order: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Unknown:
    """A tensor behind an operator that was refused, of unknown shape."""

    cause: str


Constant = NDArray[Any]
Value = Map | Constant | Unknown


class Context:
    """The state of one import.

    Parameters
    ----------
    network : Network
        What is imported.

    Attributes
    ----------
    nodes : list of Node
        Nodes of the graph made so far.
    shapes : dict from tensor name to (c, h, w)
        Shape of every tensor of the graph.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.batch = network.shape[0]
        self.nodes: list[Node] = []
        self.shapes = {network.input: _first_view(network.shape[1:])}
        self._input_used = False
        self._values: dict[str, Value] = {network.input: Map(network.input, network.shape)}
        self._stored = {tensor.name: tensor for tensor in network.model.graph.initializer}
        self._needed = {name for node in network.nodes for name in node.proto.input}
        self._needed.add(network.output)

    # -- values

    def value(self, name: str) -> Value:
        """Return what is known of the ONNX tensor ``name``."""
        if name not in self._values and name in self._stored:
            self._values[name] = onnx.numpy_helper.to_array(self._stored.pop(name))
        return self._values[name]

    def _exists(self, name: str) -> bool:
        return name in self._values or name in self._stored

    def define(self, name: str, value: Value) -> None:
        """Record what the ONNX tensor ``name`` is."""
        self._values[name] = value

    def operands(self, node: OnnxNode) -> list[Value | None]:
        """Return the inputs of a node, ``None`` for those left out."""
        missing = [name for name in node.proto.input if name and not self._exists(name)]
        for name in missing:
            self.define(name, Unknown(repr(name)))
        if missing:
            raise node.error(f"reads {missing[0]!r}, which no earlier node writes")
        return [self.value(name) if name else None for name in node.proto.input]

    def is_needed(self, name: str) -> bool:
        """Return whether a node or the output of the network reads the ONNX tensor ``name``."""
        return name in self._needed

    def sole_output(self, node: OnnxNode) -> None:
        """Refuse a node of which more than the first output is read."""
        for name in node.proto.output[1:]:
            if name and self.is_needed(name):
                raise node.error(f"its output {name!r} is read; only the first output is supported")

    # -- constants

    def constant(self, node: OnnxNode, index: int, what: str) -> Constant | None:
        """Return a constant input, ``None`` when it is left out."""
        if index >= len(node.proto.input) or not node.proto.input[index]:
            return None
        value = self.value(node.proto.input[index])
        if not isinstance(value, np.ndarray):
            raise node.error(f"{what} must be a constant, not {node.proto.input[index]!r}, which "
                             f"is computed from the network's input")
        return value

    def numbers(self, node: OnnxNode, index: int, what: str) -> Constant | None:
        """Return a constant input whose values are all finite, ``None`` when it is left out."""
        value = self.constant(node, index, what)
        if value is not None and value.dtype != np.float64:
            value = value.astype(np.float32, copy=False)
        if value is not None and not np.isfinite(value).all():
            raise node.error(f"{what} {node.proto.input[index]!r} must be finite numbers, but "
                             f"holds NaN or infinity")
        return value

    def integers(self, node: OnnxNode, name: str, index: int, what: str) -> list[int] | None:
        """Return integers given as attribute ``name`` or as constant input ``index``."""
        if name in node.attributes:
            return [int(value) for value in node.attributes[name]]
        value = self.constant(node, index, what)
        return None if value is None else [int(item) for item in value.reshape(-1)]

    # -- maps

    def map(self, node: OnnxNode, index: int = 0) -> Map:
        """Return an input that depends on the network's input."""
        value = self.value(node.proto.input[index])
        if not isinstance(value, Map):
            raise node.error(f"input {index} must be computed from the network's input, not the "
                             f"constant {node.proto.input[index]!r}")
        return value

    def stream(self, node: OnnxNode, index: int = 0) -> Map:
        """Return an input whose elements are to be read one by one, in any shape."""
        value = self.read(node, self.map(node, index))
        if value.order is not None:
            raise node.error("reads a transposed map; Transpose is supported only where it leads "
                             "to Gemm or MatMul, or moves axes of size 1")
        return value

    def image(self, node: OnnxNode, index: int = 0) -> tuple[Map, tuple[int, int, int]]:
        """Return an input that must be a map (n, c, h, w), and its (c, h, w)."""
        shape = self.map(node, index).shape
        if len(shape) != 4:
            raise node.error(
                f"is {max(len(shape) - 2, 0)}-D (input of shape {shape}); supported is 2-D, on "
                f"inputs (n, c, h, w): give a 1-D signal as (n, c, 1, w)")
        view = (shape[1], shape[2], shape[3])
        base = self.map(node, index).base
        if base == self.network.input and not self._input_used:
            self.shapes[base] = view
        value = self.stream(node, index)
        if shape[0] != self.batch or self.shapes[base] != view:
            raise node.error(
                f"reads a map reshaped from {(self.batch, *self.shapes[base])} to {shape}; a "
                f"reshape between layers must keep batch, channels, lines and columns")
        return value, view

    def vector(self, node: OnnxNode, value: Map) -> NDArray[np.int64] | None:
        """Check that an input is one vector an image, and return where its elements lie.

        Returns
        -------
        int64, (elements of an image,), or None
            Place in (c, h, w) order of every element, ``None`` for the same order.
        """
        self.read(node, value)
        if value.shape[0] != self.batch or prod(value.shape[1:-1]) != 1:
            raise node.error(
                f"its input must be one vector an image, such as ({self.batch}, "
                f"{prod(value.shape) // self.batch}), not {value.shape}; put a Flatten before it")
        if value.order is None:
            return None
        places = value.order.reshape(self.batch, -1)
        size = places.shape[1]
        if np.any(places - np.arange(self.batch)[:, None] * size != places[0]):
            raise node.error("its input mixes the images of a batch")
        first: NDArray[np.int64] = places[0]
        return first

    def read(self, node: OnnxNode, value: Map) -> Map:
        """Return ``value`` for an operator that computes; fixes the view of the input."""
        if value.base == self.network.input:
            self._input_used = True
        return value

    def per_channel(self, node: OnnxNode, value: Map, constant: Constant) -> NDArray[np.float64]:
        """Return a constant operand as one number a channel, (c,)."""
        channels, height, width = self.shapes[value.base]
        try:
            full = np.broadcast_to(constant, value.shape)
        except ValueError:
            raise node.error(f"a constant of shape {constant.shape} must be broadcast to the shape "
                             f"{value.shape} of the other operand") from None
        rows = full.reshape(self.batch, channels, height * width)
        if np.any(rows != rows[:1, :, :1]):
            raise node.error(f"a constant of shape {constant.shape} must hold one number for each "
                             f"of the {channels} channels, the same at all positions")
        return rows[0, :, 0].astype(np.float64)

    # -- results

    def emit(self, node: Node, chw: tuple[int, int, int], shape: tuple[int, ...]) -> None:
        """Add a node to the graph; ``shape`` is the shape of its output in ONNX."""
        assert prod(shape) == self.batch * prod(chw), (node.name, chw, shape)
        self.nodes.append(node)
        self.shapes[node.output] = chw
        self.define(node.output, Map(node.output, shape))

    def inferred(self, node: OnnxNode) -> tuple[int, ...]:
        """Return the shape of a node's first output."""
        shape = self.inferred_all(node)[node.output]
        if shape is None:
            raise node.error("the shape of its output cannot be determined; its shape operands "
                             "must be constants")
        if 0 in shape:
            raise node.error(f"its output {shape} has a dimension of size 0")
        return shape

    def inferred_all(self, node: OnnxNode) -> dict[str, tuple[int, ...] | None]:
        """Return the shapes of a node's outputs, ``None`` where unknown."""
        known = {name: self.value(name) for name in node.proto.input if name}
        return infer_shapes(node, self.network.opset, {
            name: value.shape if isinstance(value, Map) else value
            for name, value in known.items() if not isinstance(value, Unknown)
        })


def _first_view(dims: tuple[int, ...]) -> tuple[int, int, int]:
    """Return (c, h, w) of an input that no operator has read yet."""
    match dims:
        case (c, h, w):
            return c, h, w
        case (h, w):
            return 1, h, w
    return prod(dims), 1, 1
