"""ONNX files: reading, and the part of a network that one output needs."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx.inliner
from google.protobuf.message import DecodeError

from ..errors import ModelError
from .node import OnnxNode


__all__ = (
    "MAX_OPSET",
    "MIN_OPSET",
    "Network",
    "needed_nodes",
    "network_of",
    "node_labels",
    "read_model",
    "read_network",
)


MIN_OPSET = 9
MAX_OPSET = 21


@dataclass(frozen=True)
class Network:
    """The part of an ONNX file between its one input and one output.

    Parameters
    ----------
    path : str
        File, for messages.
    model : onnx.ModelProto
        The whole file.
    opset : int
        Version of the standard operators.
    input, output : str
        Names of the tensors.
    shape : tuple of int
        Shape of the input, with the batch in front.
    nodes : list of OnnxNode
        Nodes that the output needs, in order.
    listing : list of OnnxNode
        All nodes of the file.
    """

    path: str
    model: onnx.ModelProto
    opset: int
    input: str
    output: str
    shape: tuple[int, ...]
    nodes: list[OnnxNode]
    listing: list[OnnxNode]


def read_model(path: str | os.PathLike[str]) -> onnx.ModelProto:
    """Read an ONNX file with its external data; local functions are inlined.

    Raises
    ------
    ModelError
        If the file or its external data cannot be read, or it is not an ONNX file.
    """
    try:
        model = onnx.load_model_from_string(Path(path).read_bytes())
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
    except DecodeError:
        raise ModelError(f"{path}: not an ONNX file") from None
    if not model.opset_import or not (model.graph.node or model.graph.output):
        raise ModelError(f"{path}: not an ONNX file")
    if not model.graph.output:
        raise ModelError(f"{path}: the graph must have an output; export the network again")
    try:
        onnx.external_data_helper.load_external_data_for_model(model, str(Path(path).parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ModelError(
            f"{path}: the file that holds its weights (external data) cannot be read, it must lie "
            f"beside the model: {error}"
        ) from None
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    for named in (*model.graph.node, *model.opset_import):
        if named.domain == "ai.onnx":  # the long name of the standard operators
            named.domain = ""
    return model


def read_network(
    path: str | os.PathLike[str], outputs: str | Sequence[str] | None = None
) -> Network:
    """Read the part of an ONNX file that one output needs.

    Parameters
    ----------
    path : path
        ONNX file.
    outputs : str or sequence of one str, optional
        Tensor at which to cut; the file's output when not given.

    Raises
    ------
    ModelError
        If the file cannot be read, or the part has not one input, one output and a known shape.
    """
    return network_of(read_model(path), str(path), outputs)


def network_of(
    model: onnx.ModelProto, file: str, outputs: str | Sequence[str] | None = None
) -> Network:
    """Return the part of a model that one output needs; as :func:`read_network`.

    Parameters
    ----------
    model : ModelProto
        As :func:`read_model` returns it.
    file : str
        Its file, for messages.
    outputs : str or sequence of one str, optional
        Tensor at which to cut; the file's output when not given.
    """
    output = _output(model, file, outputs)
    _check_writers(model, file)
    needed, names = needed_nodes(model, [output])
    stored = {tensor.name for tensor in model.graph.initializer}
    wanted = [v for v in model.graph.input if v.name in names and v.name not in stored]
    if len(wanted) != 1:
        held = ", ".join(repr(value.name) for value in wanted) or "none"
        raise ModelError(
            f"{file}: a network must have one input, not {len(wanted)}: {held}; make constants of "
            f"the others, or cut with outputs=")
    labels = node_labels(model.graph.node)
    nodes = [OnnxNode(file, label, proto)
             for label, proto in zip(labels, model.graph.node, strict=True)]
    return Network(
        file, model, _opset(model, file), wanted[0].name, output, _input_shape(wanted[0], file),
        [node for node, use in zip(nodes, needed, strict=True) if use], nodes)


def needed_nodes(model: onnx.ModelProto, outputs: Iterable[str]) -> tuple[list[bool], set[str]]:
    """Return, for every node, whether ``outputs`` need it, and the names of all tensors needed."""
    writers = {name: i for i, node in enumerate(model.graph.node) for name in node.output}
    needed = [False] * len(model.graph.node)
    names: set[str] = set()
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        if name and name not in names:
            names.add(name)
            if name in writers:
                needed[writers[name]] = True
                waiting.extend(model.graph.node[writers[name]].input)
    return needed, names


def _output(model: onnx.ModelProto, file: str, outputs: str | Sequence[str] | None) -> str:
    """Return the one output tensor."""
    asked = [outputs] if isinstance(outputs, str) else outputs
    names = [value.name for value in model.graph.output] if asked is None else list(asked)
    if len(names) != 1:
        raise ModelError(
            f"{file}: a network must have one output, not {len(names)}: "
            f"{', '.join(map(repr, names))}; choose one with outputs=")
    written = {name for node in model.graph.node for name in node.output}
    known = written | {value.name for value in model.graph.input}
    if names[0] not in known:
        raise ModelError(f"{file}: no node writes the output {names[0]!r}")
    return names[0]


def _check_writers(model: onnx.ModelProto, file: str) -> None:
    """Refuse a graph that writes a tensor twice, or reads one before it is written."""
    labels = node_labels(model.graph.node)
    writers = {value.name: "the network's input" for value in model.graph.input}
    written = {name for node in model.graph.node for name in node.output}
    for label, node in zip(labels, model.graph.node, strict=True):
        late = [name for name in node.input if name in written and name not in writers]
        if late:
            raise ModelError(
                f"{file}: node {label!r} ({node.op_type}) reads {late[0]!r} before it is written; "
                f"the nodes of a graph must be in an order without cycles: export again")
        for name in filter(None, node.output):
            if name in writers:
                raise ModelError(
                    f"{file}: tensor {name!r} must be written once, not by {writers[name]} and by "
                    f"node {label!r}; export again")
            writers[name] = f"node {label!r}"


def _opset(model: onnx.ModelProto, file: str) -> int:
    """Return the version of the standard operators."""
    version = next((entry.version for entry in model.opset_import if not entry.domain), None)
    if version is None or not MIN_OPSET <= version <= MAX_OPSET:
        raise ModelError(
            f"{file}: the opset must be in {MIN_OPSET}..{MAX_OPSET}, not {version}; export again "
            f"with opset 17, or use onnx.version_converter")
    return int(version)


def _input_shape(value: onnx.ValueInfoProto, file: str) -> tuple[int, ...]:
    """Return the shape of the input; a free batch is 1."""
    tensor = value.type.tensor_type
    place = f"{file}: input {value.name!r}"
    if tensor.elem_type != onnx.TensorProto.FLOAT:
        kind = onnx.TensorProto.DataType.Name(tensor.elem_type)
        raise ModelError(f"{place} must be float32, not {kind}; convert the model to float32")
    dims = tensor.shape.dim
    if not tensor.HasField("shape") or len(dims) < 2:
        raise ModelError(f"{place} must have a shape with the batch in front, such as (n, 3, 32, "
                         f"32), not {len(dims)} axes")
    shape = [d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else None for d in dims]
    shape[0] = 1 if shape[0] is None else shape[0]
    if None in shape:
        axis = shape.index(None)
        raise ModelError(
            f"{place} has an unresolved dimension {dims[axis].dim_param or '?'!r} at axis {axis}; "
            f"only the batch may be free: export with a fixed size, or fix it with python -m "
            f"onnxruntime.tools.make_dynamic_shape_fixed")
    sizes = tuple(size for size in shape if size is not None)
    if 0 in sizes:
        raise ModelError(f"{place} must not have a dimension of size 0, not {sizes}")
    return sizes


def node_labels(nodes: Iterable[onnx.NodeProto]) -> list[str]:
    """Return a unique name for every node: its own, else that of its first output."""
    nodes = list(nodes)
    counts = Counter(node.name for node in nodes)
    taken = {name for name, count in counts.items() if name and count == 1}
    labels = []
    for node in nodes:
        label = node.name
        if label not in taken or counts[label] > 1:
            label = next((name for name in node.output if name), node.op_type)
            while label in taken:
                label += "'"
            taken.add(label)
        labels.append(label)
    return labels
