"""What a quantized file has before its first quantizer and behind its last one, for the host.

That is what our own exports have around a network whose ends fit their codes, node by node:

* Reshape to (n, c, h, w), Pad with zeros, Sub and Mul with a number for each channel before the
  first quantizer (:class:`quantizer.intake.Intake`);
* Mul and Add with one number behind the last quantizer, or the last one before a Softmax.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ..execute import output_name
from ..graph import Graph
from ..intake import Intake
from .plain import COPIES, VIEWS


__all__ = (
    "Ends",
    "without_ends",
)


@dataclass(frozen=True)
class Ends:
    """What the host does around a network.

    Parameters
    ----------
    input_dims : tuple of int
        Shape of the file's input, without batch, where there is an intake.
    intake : Intake, optional
        What is done to the input.
    factor, offset : float
        What the result is multiplied by, and what is added then.
    """

    input_dims: tuple[int, ...] = ()
    intake: Intake | None = None
    factor: float = 1.0
    offset: float = 0.0

    def around(self, graph: Graph) -> Graph:
        """Return the graph of what is in between with these ends."""
        name = output_name(graph)
        channels = graph.shapes[name][0]
        if self.factor != 1:
            graph = replace(graph, exponents={name: np.full(channels, -np.log2(self.factor))})
        if self.offset != 0:
            graph = replace(graph, offsets={name: np.full(channels, self.offset)})
        if self.intake is not None:
            graph = replace(graph, intake=self.intake, input_dims=self.input_dims)
        return graph


def without_ends(model: onnx.ModelProto) -> tuple[onnx.ModelProto, Ends]:
    """Return a file's network without what the host does around it, and that.

    Parameters
    ----------
    model : ModelProto
        The file; it stays as it is.

    Returns
    -------
    ModelProto
        The network, whose input is what its first quantizer takes. All of the file where it does
        something else at an end: then it is for the import to say what it cannot keep.
    Ends
        What was left out.
    """
    file = _File(model)
    first, last = _intake(file), _result(file)
    ends = Ends()
    if first is not None:
        file.cut(first.nodes)
        ends = replace(ends, input_dims=first.dims, intake=first.intake)
        shape = file.model.graph.input[file.input].type.tensor_type.shape
        batch = shape.dim[0]
        del shape.dim[:]
        shape.dim.append(batch)
        shape.dim.extend(
            onnx.TensorShapeProto.Dimension(dim_value=size)
            for size in first.intake.padded(first.bare))
    if last is not None:
        file.cut(last.nodes)
        ends = replace(ends, factor=last.factor, offset=last.offset)
    return file.model, ends


@dataclass(frozen=True)
class _First:
    """What was found at the input; ``dims`` are the file's, ``bare`` those before the padding."""

    nodes: list[onnx.NodeProto]
    dims: tuple[int, ...]
    bare: tuple[int, int, int]
    intake: Intake


@dataclass(frozen=True)
class _Last:
    """What was found at the result."""

    nodes: list[onnx.NodeProto]
    factor: float
    offset: float


class _File:
    """A copy of a file, and who writes and reads what."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        graph = self.model.graph
        self._stored = {tensor.name: tensor for tensor in graph.initializer}
        self._constants = {
            node.output[0]: attribute.t for node in graph.node if node.op_type == "Constant"
            for attribute in node.attribute if attribute.name == "value"}
        self.writers = {name: node for node in graph.node for name in node.output if name}
        self.input = next(
            (index for index, value in enumerate(graph.input) if value.name not in self._stored), 0)

    def readers(self, name: str) -> list[onnx.NodeProto]:
        """Return the nodes that read a tensor."""
        return [node for node in self.model.graph.node if name in node.input]

    def is_output(self, name: str) -> bool:
        """Return whether a tensor is a result of the file."""
        return any(value.name == name for value in self.model.graph.output)

    def constant(self, name: str) -> NDArray[np.generic] | None:
        """Return a constant, ``None`` for any other tensor."""
        tensor = self._stored.get(name, self._constants.get(name))
        return None if tensor is None else numpy_helper.to_array(tensor)

    def cut(self, nodes: list[onnx.NodeProto]) -> None:
        """Take nodes out: what reads the last one's result reads the first one's operand."""
        operand = next(name for name in nodes[0].input if self.constant(name) is None)
        result = nodes[-1].output[0]
        for reader in self.readers(result):
            for index, name in enumerate(reader.input):
                if name == result:
                    reader.input[index] = operand
        for value in self.model.graph.output:
            if value.name == result:
                value.name = operand
        for node in nodes:
            self.model.graph.node.remove(node)


def _along(file: _File, name: str) -> Iterator[onnx.NodeProto]:
    """Yield the nodes from a tensor onward, each the only reader of what comes before."""
    while len(readers := file.readers(name)) == 1 and not file.is_output(name):
        yield readers[0]
        name = readers[0].output[0]


def _intake(file: _File) -> _First | None:
    """Return what is done to the input before the first quantizer, ``None`` if nothing or else."""
    value = file.model.graph.input[file.input]
    dims = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)[1:]
    bare, nodes = dims, list[onnx.NodeProto]()
    pads = (0, 0, 0, 0)
    found: dict[str, NDArray[np.float32]] = {}
    for node in _along(file, value.name):
        operand = file.constant(node.input[1]) if len(node.input) > 1 else None
        if node.domain or node.op_type == "QuantizeLinear" or operand is None:
            break
        if node.op_type == "Reshape" and not nodes:
            bare = tuple(int(size) for size in operand.reshape(-1)[1:])
        elif node.op_type == "Pad" and not found and (around := _pads(file, node)) is not None:
            pads = around
        elif len(bare) == 3 and node.op_type in ("Sub", "Mul") and node.op_type not in found and (
                "Mul" not in found and (each := _numbers(operand, bare[0])) is not None):
            found[node.op_type] = each
        else:
            return None
        nodes.append(node)
    if len(bare) != 3 or min(bare) < 1 or prod(bare) != prod(dims) or not (found or any(pads)):
        return None
    offset, factor = (found.get(operator, np.full(bare[0], neutral, np.float32))
                      for operator, neutral in (("Sub", 0), ("Mul", 1)))
    if not (np.isfinite(offset).all() and np.isfinite(factor).all() and (factor > 0).all()):
        return None
    return _First(nodes, dims, (bare[0], bare[1], bare[2]), Intake(offset, factor, pads))


def _pads(file: _File, node: onnx.NodeProto) -> tuple[int, int, int, int] | None:
    """Return the zeros that a Pad puts around lines and columns, ``None`` if it does not."""
    attributes = _attributes(node)
    value = file.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else 0
    pads = file.constant(node.input[1])
    assert pads is not None
    if attributes.get("mode", b"constant") != b"constant" or value is None or np.any(value) or (
            pads.size != 8 or len(node.input) > 3):
        return None
    before, after = pads[:4].tolist(), pads[4:].tolist()
    if any((*before[:2], *after[:2])) or min(*before, *after) < 0:
        return None
    return before[2], before[3], after[2], after[3]


def _numbers(operand: NDArray[np.generic], channels: int) -> NDArray[np.float32] | None:
    """Return a number for each channel of a map (n, c, h, w), ``None`` if there are others."""
    if operand.dtype != np.float32 or operand.size not in (1, channels) or operand.ndim > 4 or (
            operand.size > 1 and operand.shape[-3:] != (channels, 1, 1)):
        return None
    return np.broadcast_to(operand.reshape(-1), channels).astype(np.float32)


def _attributes(node: onnx.NodeProto) -> Mapping[str, object]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def _result(file: _File) -> _Last | None:
    """Return what is done to the result behind its last quantizer, ``None`` if nothing or else."""
    name = file.model.graph.output[0].name
    while (node := file.writers.get(name)) is not None and not node.domain and (
            node.op_type in (*VIEWS, "Softmax")):
        name = node.input[0]
    nodes: list[onnx.NodeProto] = []
    found = {"Add": 0.0, "Mul": 1.0}
    for operator in ("Add", "Mul"):
        node = file.writers.get(name)
        if node is None or node.domain or node.op_type != operator:
            continue
        operands = [(file.constant(each), other) for each, other in zip(
            node.input, reversed(node.input), strict=True)]
        number, name = next(
            ((each, other) for each, other in operands if each is not None), (None, ""))
        if number is None or number.dtype != np.float32 or np.ptp(number) != 0:
            return None
        nodes.insert(0, node)
        found[operator] = float(number.reshape(-1)[0])
    quantizer = file.writers.get(name)
    while quantizer is not None and quantizer.op_type in COPIES and not quantizer.domain:
        quantizer = file.writers.get(quantizer.input[0])
    if not nodes or quantizer is None or not (
            quantizer.op_type == "DequantizeLinear" or quantizer.domain):
        return None
    alone = all(len(file.readers(each)) + file.is_output(each) == 1
                for node in nodes for each in node.output)
    if not alone or not np.isfinite([*found.values()]).all() or found["Mul"] <= 0:
        return None
    return _Last(nodes, found["Mul"], found["Add"])
