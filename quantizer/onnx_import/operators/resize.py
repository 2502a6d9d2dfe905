"""Resize and Upsample: nearest neighbor by whole factors.

Which position is the nearest is a matter of float rounding. So onnxruntime is asked: it resizes a
map of numbered positions.
"""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ...graph import Resize
from ..context import Context
from ..node import OnnxNode


__all__ = ("convert_resize",)


_IR_VERSION = 8  # known to every onnxruntime with the newest operators here


def convert_resize(context: Context, node: OnnxNode) -> None:
    """Nearest neighbor whose lines and columns are taken equally often, or at equal distances."""
    value, (channels, height, width) = context.image(node)
    shape = context.inferred(node)
    if shape[:2] != value.shape[:2]:
        raise node.error(
            f"resizes batch or channels, from {value.shape} to {shape}; only lines and columns "
            "can be resized")
    crops = node.attribute("coordinate_transformation_mode", "") == "tf_crop_and_resize"
    if shape == value.shape and not crops:
        context.define(node.output, value)
        return
    mode = node.attribute("mode", "nearest")
    if mode != "nearest" or crops:
        what = "coordinate_transformation_mode must not be 'tf_crop_and_resize'" if crops else (
            f"mode must be 'nearest', not {mode!r}")
        raise node.error(what)
    places = _resized(context, node, np.arange(height * width).reshape(height, width))
    found = []
    for taken, size, what in (
            (places[:, 0] // width, height, "lines"), (places[0] % width, width, "columns")):
        pattern = _pattern(taken)
        if pattern is None:
            raise node.error(
                f"takes {what} {_listed(taken)} of {size}; possible are all of them, each as "
                "often as the others, or every n-th one: scale by a whole number, with "
                "nearest_mode 'floor' and coordinate_transformation_mode 'asymmetric'")
        found.append(pattern)
    repeats, steps, offsets = zip(*found, strict=True)
    context.emit(
        Resize(node.label, (value.base,), node.output, sources=(node.label,), repeats=repeats,
               steps=steps, offsets=offsets),
        (channels, shape[2], shape[3]), shape)


def _resized(context: Context, node: OnnxNode, places: NDArray[Any]) -> NDArray[np.int64]:
    """Return what onnxruntime makes of a map (h, w), for the first channel."""
    import onnxruntime  # heavy; the rest of the package does without

    value = context.map(node)
    name, *others = node.proto.input
    stored = [
        onnx.numpy_helper.from_array(np.asarray(context.constant(node, index, other)), other)
        for index, other in enumerate(others, start=1) if other]
    kind = onnx.TensorProto.FLOAT
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            [node.proto], "resize",
            [onnx.helper.make_tensor_value_info(name, kind, value.shape)],
            [onnx.helper.make_tensor_value_info(node.output, kind, None)], stored),
        opset_imports=[onnx.helper.make_opsetid("", context.network.opset)],
        ir_version=_IR_VERSION)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        (result,) = session.run(None, {name: np.broadcast_to(
            places, value.shape).astype(np.float32)})
    except Exception as error:  # onnxruntime's errors have no common class
        raise node.error(f"onnxruntime cannot run it: {error}") from None
    return np.asarray(result[0, 0]).astype(np.int64)


def _listed(taken: NDArray[np.int64]) -> str:
    shown = ", ".join(map(str, taken[:8].tolist()))
    return f"[{shown}, …]" if len(taken) > 8 else f"[{shown}]"


def _pattern(taken: NDArray[np.int64]) -> tuple[int, int, int] | None:
    """Return how often each position is taken, the step between them, and the first one.

    Examples
    --------
    >>> _pattern(np.array([0, 0, 1, 1, 2])), _pattern(np.array([1, 4, 7]))
    ((2, 1, 0), (1, 3, 1))
    """
    count, first = len(taken), int(taken[0])
    changes = np.flatnonzero(np.diff(taken))
    repeat = int(changes[0]) + 1 if len(changes) else count
    step = int(taken[repeat]) - first if len(changes) else 1
    if step < 1 or np.any(taken != first + np.arange(count) // repeat * step):
        return None
    return repeat, step, first
