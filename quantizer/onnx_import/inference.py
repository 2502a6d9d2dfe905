"""ONNX's own checks and computations on single nodes: shapes, and values of constants."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from .node import OnnxNode


__all__ = (
    "check_node",
    "evaluate",
    "infer_shapes",
)


_SMALL = 1024  # elements of a constant that may decide a shape


def check_node(node: OnnxNode, opset: int) -> None:
    """Refuse a node with inputs or attributes that its operator does not have."""
    context = onnx.checker.C.CheckerContext()
    context.ir_version = onnx.IR_VERSION
    context.opset_imports = {"": opset}
    try:
        onnx.checker.check_node(node.proto, context)
    except onnx.checker.ValidationError as error:
        raise node.error(f"is not valid ONNX: {_first_line(error)}") from None


def infer_shapes(
    node: OnnxNode, opset: int, inputs: Mapping[str, tuple[int, ...] | NDArray[Any]]
) -> dict[str, tuple[int, ...] | None]:
    """Return the shapes of a node's outputs by ONNX's shape inference.

    Parameters
    ----------
    node : OnnxNode
        Node of a standard operator.
    opset : int
        Version of the standard operators.
    inputs : dict
        Shapes of float32 tensors, or constants.

    Returns
    -------
    dict from output name to tuple of int or None
        Shapes, ``None`` where unknown.
    """
    types, data = {}, {}
    for name, value in inputs.items():
        if isinstance(value, np.ndarray):
            kind = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
            types[name] = onnx.helper.make_tensor_type_proto(kind, value.shape)
            if value.size <= _SMALL:
                data[name] = onnx.numpy_helper.from_array(value, name)
        else:
            types[name] = onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, value)
    try:
        schema = onnx.defs.get_schema(node.proto.op_type, opset, "")
        found = onnx.shape_inference.infer_node_outputs(
            schema, node.proto, types, data, opset_imports=[onnx.helper.make_opsetid("", opset)])
    except (onnx.shape_inference.InferenceError, onnx.defs.SchemaError,
            onnx.checker.ValidationError) as error:
        raise node.error(f"its shapes do not fit: {_first_line(error)}") from None
    return {name: _shape(found.get(name)) for name in node.proto.output if name}


def evaluate(node: OnnxNode, opset: int, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """Return the outputs of a node whose inputs are all constants."""
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            [node.proto], "constant",
            [onnx.helper.make_tensor_value_info(
                name, onnx.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
             for name, value in inputs.items()],
            [onnx.ValueInfoProto(name=name) for name in node.proto.output if name]),
        opset_imports=[onnx.helper.make_opsetid("", opset)])
    try:
        with np.errstate(all="ignore"):
            results = ReferenceEvaluator(model).run(None, dict(inputs))
    except Exception as error:  # whatever the evaluator's numpy code meets
        raise node.error(f"computes a constant that onnx.reference cannot: {error}") from None
    return [np.asarray(result) for result in results]


def _shape(found: onnx.TypeProto | None) -> tuple[int, ...] | None:
    """Return a shape that is known in full."""
    if found is None or not found.tensor_type.HasField("shape"):
        return None
    dims = found.tensor_type.shape.dim
    if not all(dim.HasField("dim_value") for dim in dims):
        return None
    return tuple(dim.dim_value for dim in dims)


def _first_line(error: Exception) -> str:
    """Return the sentence of a message of several lines."""
    return str(error).strip().splitlines()[0].removeprefix("[ShapeInferenceError] ")
