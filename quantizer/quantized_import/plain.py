"""A quantized ONNX file as a float one, with its quantizers written down beside it.

A quantizer of data becomes a Clip to the range of its codes, which the import of float networks
merges into the operator before; a quantizer of constants becomes the constant. In QDQ form the
result of the Clip has the name of the tensor that was quantized, and that gets :data:`EXACT` behind
its name; in QONNX, where there is one node, it is the output of that.

Where values that are quantized already are quantized again, in other steps, each rounding counts:
the tensor in between is to be kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ..onnx_import.node import OnnxNode
from ..onnx_import.reader import node_labels
from .quantizer import Quantizer


__all__ = (
    "COPIES",
    "EXACT",
    "VIEWS",
    "Plain",
    "Rewriter",
)


EXACT = ".exact"

VIEWS = ("Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
"""Operators that give all values of their input in the same order, or may."""

COPIES = (*VIEWS, "MaxPool", "Pad", "Resize", "Slice", "Split", "Upsample")
"""Operators whose results are values of their input."""

_NOT_CLAMPED = ("Concat", "LRN", "Softmax")
_CLAMPS = ("Clip", "LeakyRelu", "Max", "Min", "PRelu", "Relu")
_CLIP_WITH_INPUTS = 11  # opset


@dataclass
class Plain:
    """A float network and the quantizers that it had.

    Parameters
    ----------
    model : ModelProto
        The network: standard operators on float32.
    input : Quantizer or None
        Quantizer of the network's input.
    data : dict from tensor name to Quantizer
        Quantizers of data.
    clips : dict from node name to Quantizer
        The same by the Clip that stands for each.
    weights : dict from initializer name to Quantizer
        Quantizers of constants.
    kept : set of str
        Tensors that are rounded a second time, and must not be merged into what follows.
    """

    model: onnx.ModelProto
    input: Quantizer | None = None
    data: dict[str, Quantizer] = field(default_factory=dict)
    clips: dict[str, Quantizer] = field(default_factory=dict)
    weights: dict[str, Quantizer] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)


def _order(nodes: Sequence[onnx.NodeProto]) -> list[int]:
    """Return the places of nodes so that each comes behind those it reads; Quark has others.

    Nodes of a cycle come last, as they are.
    """
    writers = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    before = [{writers[name] for name in node.input if name in writers} for node in nodes]
    done: dict[int, None] = {}
    waiting = list(range(len(nodes)))
    while waiting:
        ready = []
        for index in waiting:
            if before[index] <= done.keys():
                done[index] = None
                ready.append(index)
        if not ready:
            break
        waiting = [index for index in waiting if index not in done]
    return [*done, *waiting]


class Rewriter:
    """The walk over a quantized file.

    Parameters
    ----------
    model : ModelProto
        The file's content.
    file : str
        Its name, for messages.
    """

    def __init__(self, model: onnx.ModelProto, file: str) -> None:
        self.model = model
        self.file = file
        self.opset = next(entry.version for entry in model.opset_import if not entry.domain)
        self.constants = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        stored = self.constants.keys()
        self._inputs = {value.name for value in model.graph.input if value.name not in stored}
        self._names: dict[str, str] = {}
        self._known: dict[str, Quantizer] = {}  # of tensors that hold nothing but its values
        self._moved: set[str] = set()  # those of them that an operator has made
        self._clamped: dict[str, str] = {}  # the known tensor behind whose clamps a tensor is
        self._rigid: set[str] = set()  # tensors of operators that do not clamp their results
        self._twins: dict[str, list[tuple[Quantizer, str]]] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._exact_reader: OnnxNode | None = None
        self._plain = Plain(onnx.ModelProto())

    def walk(self, convert: Callable[[OnnxNode], bool]) -> Plain:
        """Return the float network.

        Parameters
        ----------
        convert : callable
            Takes a node; returns whether it was a quantizer, and has been dealt with.

        Raises
        ------
        NodeError
            If ``convert`` does, or the network's input is read without a quantizer.
        """
        labels = node_labels(self.model.graph.node)
        for index in _order(self.model.graph.node):
            proto = self.model.graph.node[index]
            node = OnnxNode(self.file, labels[index], proto)
            if proto.op_type == "Constant" and node.standard:
                self._constant(node)
            elif not convert(node):
                self._keep(node)
        if self._plain.input is not None and self._exact_reader is not None:
            raise self._exact_reader.error("reads the network's input without a quantizer",
                                           "quantize the input once, and read that everywhere")
        self._finish()
        return self._plain

    def quantize_data(
        self, node: OnnxNode, value: str, output: str, quantizer: Quantizer, *, name_of: str,
    ) -> None:
        """Write down that ``output`` is ``value``, quantized.

        Parameters
        ----------
        node : OnnxNode
            The quantizer.
        value, output : str
            Names in the file.
        quantizer : Quantizer
            What it does.
        name_of : str
            ``value`` or ``output``: whose name the result has from now on.
        """
        if len(quantizer.fracs) > 1:
            raise node.error("data must have one scale, not one for each channel",
                             "quantize data per tensor; weights may have a scale for each output "
                             "channel")
        name = self._names.get(value, value)
        known = self._known.get(name)
        if known is not None and known.does_the_same(quantizer):
            self._names[output] = name
            return
        for twin, other in self._twins.get(value, ()):
            if twin.does_the_same(quantizer):
                self._names[output] = other
                return
        if value in self._inputs:
            self._quantize_input(node, value, output, quantizer)
            return
        self._keep_between(name, quantizer)
        if name == value == name_of and name not in self._plain.data:
            self._rename(name, name + EXACT)
            source, target = name + EXACT, name
        else:
            source, target = name, output
        label = f"quantizer of {target}"
        scale = 2.0 ** -quantizer.fracs[0]
        self._clip(label, source, target, quantizer.lo * scale, quantizer.hi * scale)
        if source in self._rigid:  # a clamp that follows stays a node of its own
            self._plain.kept.add(target)
        self._names[output] = target
        self._twins.setdefault(value, []).append((quantizer, target))
        self._known[target] = self._plain.data[target] = self._plain.clips[label] = quantizer

    def _keep_between(self, name: str, quantizer: Quantizer) -> None:
        """Keep the values that a quantizer rounds for a second time, if it does."""
        before = name if name in self._known else self._clamped.get(name)
        if before is None:
            return
        known = self._known[before]
        if known.fracs != quantizer.fracs or (
                before in self._moved and known.format != quantizer.format):
            self._plain.kept.add(before)

    def codes(self, node: OnnxNode, name: str, quantizer: Quantizer) -> NDArray[np.int64]:
        """Return the codes of a float constant that a node quantizes."""
        values = np.asarray(self.constants[name], np.float64)
        if np.isnan(values).any():
            raise node.error(f"quantizes {name!r}, which holds NaN", "export the network again")
        return quantizer.codes(values)

    def quantize_constant(
        self, output: str, codes: NDArray[np.integer], quantizer: Quantizer
    ) -> None:
        """Write down that ``output`` is a constant with these codes."""
        values = quantizer.values(codes).astype(np.float32)
        self.constants[output] = values
        self._plain.weights[output] = quantizer

    def constant(self, node: OnnxNode, index: int, what: str) -> NDArray[np.generic]:
        """Return a constant input of a node."""
        inputs = node.proto.input
        name = inputs[index] if index < len(inputs) else ""
        if name not in self.constants:
            raise node.error(f"{what} must be a constant" + (f", not {name!r}" if name else ""))
        return self.constants[name]

    def _constant(self, node: OnnxNode) -> None:
        for attribute in node.proto.attribute:
            if attribute.name == "value":
                self.constants[node.output] = numpy_helper.to_array(attribute.t)
            elif attribute.name in ("value_float", "value_floats"):
                self.constants[node.output] = np.array(node.attributes[attribute.name], np.float32)
            elif attribute.name in ("value_int", "value_ints"):
                self.constants[node.output] = np.array(node.attributes[attribute.name], np.int64)
        if node.output not in self.constants:
            self._keep(node)

    def _keep(self, node: OnnxNode) -> None:
        """Take over a node that is no quantizer."""
        proto = onnx.NodeProto()
        proto.CopyFrom(node.proto)
        proto.name = node.label
        is_view = node.standard and proto.op_type in VIEWS
        for index, name in enumerate(proto.input):
            proto.input[index] = self._names.get(name, name)
            if name in self._inputs and not is_view:
                self._exact_reader = node
        if is_view and node.proto.input[0] in self._inputs:
            self._inputs.update(proto.output)
        self._nodes.append(proto)
        if node.standard:
            self._follow(proto)

    def _follow(self, proto: onnx.NodeProto) -> None:
        """Write down what is known of the results of an operator from what is of its inputs."""
        if proto.op_type in _NOT_CLAMPED or (
                proto.op_type in VIEWS and proto.input[0] in self._rigid):
            self._rigid.update(proto.output)
        for source in proto.input:
            if source in self._known and self._copies(proto, self._known[source]):
                self._known.update(dict.fromkeys(proto.output, self._known[source]))
                if proto.op_type not in VIEWS or source in self._moved:
                    self._moved.update(proto.output)
                return
            before = source if source in self._known else self._clamped.get(source)
            if before is not None and proto.op_type in (*_CLAMPS, *VIEWS):
                self._clamped.update(dict.fromkeys(proto.output, before))
                return

    def _copies(self, proto: onnx.NodeProto, quantizer: Quantizer) -> bool:
        """Return whether an operator gives nothing but values of its input, or ones like them."""
        if proto.op_type != "Pad":
            return proto.op_type in COPIES
        values = [helper.get_attribute_value(each) for each in proto.attribute
                  if each.name == "value"]
        if len(proto.input) > 2 and proto.input[2]:
            values.append(self.constants.get(proto.input[2], np.nan))
        padding = np.asarray(values, np.float64)
        return bool(np.array_equal(quantizer.values(quantizer.codes(padding)), padding))

    def _quantize_input(
        self, node: OnnxNode, name: str, output: str, quantizer: Quantizer
    ) -> None:
        fmt = quantizer.format
        if self._plain.input is not None:
            raise node.error(
                f"quantizes the network's input {name!r} for a second time, with other values than "
                f"{self._plain.input.place}", "quantize the input once")
        if (quantizer.lo, quantizer.hi) != (fmt.min, fmt.max):
            raise node.error(
                f"codes of the network's input must have the full range of {fmt.min}..{fmt.max}, "
                f"not {quantizer.lo}..{quantizer.hi}", "quantize the input without narrow range")
        self._plain.input = self._known[name] = quantizer
        self._names[output] = name

    def _clip(self, label: str, source: str, target: str, lo: float, hi: float) -> None:
        if self.opset < _CLIP_WITH_INPUTS:
            self._nodes.append(helper.make_node("Clip", [source], [target], label, min=lo, max=hi))
            return
        bounds = [f"{label}: {bound}" for bound in ("min", "max")]
        for bound, value in zip(bounds, (lo, hi), strict=True):
            self.constants[bound] = np.array(value, np.float32)
        self._nodes.append(helper.make_node("Clip", [source, *bounds], [target], label))

    def _rename(self, old: str, new: str) -> None:
        """Give another name to a tensor in what is written so far, and for what still reads it."""
        for proto in self._nodes:
            for names in (proto.input, proto.output):
                for index, name in enumerate(names):
                    if name == old:
                        names[index] = new
        self._names = {key: new if value == old else value for key, value in self._names.items()}
        self._names[old] = new
        if old in self._known:
            self._known[new] = self._known.pop(old)
        self._clamped = {
            new if key == old else key: new if value == old else value
            for key, value in self._clamped.items()}
        for names in (self._moved, self._rigid, self._plain.kept):
            if old in names:
                names.remove(old)
                names.add(new)

    def _finish(self) -> None:
        plain = self._plain.model
        plain.CopyFrom(self.model)
        graph = plain.graph
        for field_ in ("node", "initializer", "value_info", "quantization_annotation"):
            graph.ClearField(field_)
        graph.node.extend(self._nodes)
        read = {name for node in self._nodes for name in node.input}
        graph.initializer.extend(
            numpy_helper.from_array(value, name)
            for name, value in self.constants.items() if name in read)
        for output in graph.output:
            output.name = self._names.get(output.name, output.name)
