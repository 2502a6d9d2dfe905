"""The network as the accelerator sees it: stored maps, and one task for each layer."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from arch.config import AcceleratorConfig
from arch.formats import Format
from quantizer.graph import Add, Conv, Graph, Node, Pool, Window
from quantizer.model import QuantizedModel

from .errors import CompileError


__all__ = (
    "AddTask",
    "ConvTask",
    "Layer",
    "PoolTask",
    "Rect",
    "StoredMap",
    "Task",
    "UNROLLS",
    "network_output",
    "plan_layers",
)


UNROLLS = ("none", "columns", "taps")
"""What the host unrolls into the lanes of the first layer: nothing, kernel columns, all taps."""


@dataclass(frozen=True)
class Rect:
    """Lines ``y0`` up to ``y1`` and columns ``x0`` up to ``x1`` of a map."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def lines(self) -> int:
        """Lines."""
        return self.y1 - self.y0

    @property
    def columns(self) -> int:
        """Columns."""
        return self.x1 - self.x0

    @property
    def size(self) -> int:
        """Positions."""
        return self.lines * self.columns


@dataclass(frozen=True)
class StoredMap:
    """A map in rows of ``lanes`` codes: line by line, position by position, block by block.

    Parameters
    ----------
    name : str
        Name of the tensor.
    channels, height, width : int
        Shape as stored; for an unrolled input not that of the tensor.
    lanes : int
        Codes of a row.
    format : Format
        Format of the codes.
    """

    name: str
    channels: int
    height: int
    width: int
    lanes: int
    format: Format

    @property
    def blocks(self) -> int:
        """Rows of one position."""
        return -(-self.channels // self.lanes)

    @property
    def rows(self) -> int:
        """Rows of the map."""
        return self.height * self.width * self.blocks

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape ``(c, h, w)``."""
        return self.channels, self.height, self.width

    @property
    def rect(self) -> Rect:
        """All positions."""
        return Rect(0, self.height, 0, self.width)


@dataclass(frozen=True)
class Task:
    """A layer to be lowered.

    Parameters
    ----------
    index : int
        Index of the layer.
    node : Node
        Operator.
    inputs : tuple of StoredMap
        Maps read.
    output : StoredMap
        Map written.
    lo, hi : int
        Bounds of a result, as codes.
    """

    index: int
    node: Node
    inputs: tuple[StoredMap, ...]
    output: StoredMap
    lo: int
    hi: int

    @property
    def name(self) -> str:
        """Name of the layer."""
        return self.node.name

    def input_rect(self, rect: Rect) -> Rect:
        """Return the positions of the inputs that a rectangle of the output needs."""
        return rect


def _needed(
    start: int, stop: int, stride: int, pad: int, kernel: int, dilation: int, size: int
) -> tuple[int, int]:
    """Return the lines that outputs ``start`` up to ``stop`` need; at least one."""
    first = start * stride - pad
    last = (stop - 1) * stride - pad + (kernel - 1) * dilation
    first, last = min(max(first, 0), size - 1), min(max(last, 0), size - 1)
    return first, last + 1


def window_rect(window: Window, source: StoredMap, rect: Rect) -> Rect:
    """Return the positions of ``source`` under the windows of ``rect``."""
    (r, s), (sy, sx), (dy, dx) = window.kernel, window.strides, window.dilations
    top, left = window.pads[:2]
    return Rect(
        *_needed(rect.y0, rect.y1, sy, top, r, dy, source.height),
        *_needed(rect.x0, rect.x1, sx, left, s, dx, source.width))


@dataclass(frozen=True)
class ConvTask(Task):
    """A convolution; see :class:`Task`.

    Parameters
    ----------
    window : Window
        Geometry over the stored input.
    groups : int
        Groups.
    codes : int64, (k, c / groups, r, s)
        Weight codes, reordered when the input is unrolled.
    bias, shift : int64, (k,)
        Biases and right shifts.
    """

    window: Window
    groups: int
    codes: NDArray[np.int64]
    bias: NDArray[np.int64]
    shift: NDArray[np.int64]

    def input_rect(self, rect: Rect) -> Rect:
        """Return the positions of the input that a rectangle of the output needs."""
        return window_rect(self.window, self.inputs[0], rect)


@dataclass(frozen=True)
class PoolTask(Task):
    """A pooling; see :class:`Task`."""

    pool: Pool

    def input_rect(self, rect: Rect) -> Rect:
        """Return the positions of the input that a rectangle of the output needs."""
        return window_rect(self.pool.window, self.inputs[0], rect)


@dataclass(frozen=True)
class AddTask(Task):
    """A sum of two maps; see :class:`Task`."""


@dataclass(frozen=True)
class Layer:
    """What others want to know about a layer.

    Parameters
    ----------
    index : int
        Index; the counters of the hardware use it.
    name : str
        Name of the node.
    operator : str
        Operator for tables, such as ``Conv 3×3/2 + ReLU``.
    inputs : tuple of str
        Tensors read.
    output : str
        Tensor written.
    input_shape, output_shape : (int, int, int)
        Shapes ``(c, h, w)`` of the first input and of the output.
    macs : int
        Multiply-accumulate operations.
    acc_bits : int
        Bits that the largest possible accumulator needs, sign included.
    weight_size : int
        Bytes of weights and biases without padding.
    """

    index: int
    name: str
    operator: str
    inputs: tuple[str, ...]
    output: str
    input_shape: tuple[int, int, int]
    output_shape: tuple[int, int, int]
    macs: int
    acc_bits: int = 0
    weight_size: int = 0


def _times(pair: tuple[int, int]) -> str:
    return f"{pair[0]}×{pair[1]}"


def _strided(window: Window) -> str:
    if window.strides == (1, 1):
        return ""
    sy, sx = window.strides
    return f"/{sy}" if sy == sx else f"/{_times(window.strides)}"


def operator_text(graph: Graph, node: Node) -> str:
    """Return an operator for tables, such as ``Conv 3×3/2 + ReLU``."""
    match node:
        case Conv(window=window):
            _, height, width = graph.shapes[node.inputs[0]]
            whole = window.kernel == (height, width) and not any(window.pads)
            grouped = node.groups > 1
            depthwise = grouped and node.groups == graph.shapes[node.inputs[0]][0]
            text = (
                "FC" if whole and not grouped
                else f"Conv {_times(window.kernel)}{_strided(window)}"
                + (" dw" if depthwise else f" g{node.groups}" if grouped else "")
                + (f" d{_times(window.dilations)}" if window.dilations != (1, 1) else ""))
        case Pool(kind="max", window=window) if window.kernel == (1, 1):
            text = "Clamp" if node.clamped else "Copy"
        case Pool(kind=kind, window=window):
            text = f"{kind.capitalize()}Pool {_times(window.kernel)}{_strided(window)}"
        case _:
            text = type(node).__name__
    if node.lo == 0:
        text += " + ReLU" if node.hi == np.inf else f" + ReLU{node.hi:g}"
    elif node.clamped:
        text += " + Clip"
    return text


def network_output(graph: Graph) -> str:
    """Return the tensor that the accelerator writes: the output, or what Softmax reads."""
    producer = graph.producer(graph.output)
    tensor = graph.output
    while producer is not None and producer not in graph.accelerated:
        tensor = producer.inputs[0]
        producer = graph.producer(tensor)
    if producer is None:
        raise CompileError(
            f"Network '{graph.name}' has no layer for the accelerator between input and output")
    return tensor


def _check_codes(values: NDArray[np.int64], bits: int, what: str) -> None:
    lo, hi = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    if values.size and not lo <= values.min() <= values.max() <= hi:
        raise CompileError(
            f"{what} must be in {lo}..{hi} ({bits} bits), not {values.min()}..{values.max()}")


def _check_formats(model: QuantizedModel, config: AcceleratorConfig) -> None:
    if model.rounding != config.rounding:
        raise CompileError(
            f"Config '{config.name}' rounds {config.rounding}, the model was quantized for "
            f"{model.rounding}; use a config with that rounding, or quantize again")
    for node in model.graph.accelerated:
        for name in (*node.inputs, node.output):
            bits = model.formats[name].bits
            if bits > config.data_bits:
                raise CompileError(
                    f"Layer '{node.name}': tensor '{name}' has codes of {bits} bits, config "
                    f"'{config.name}' computes with {config.data_bits} (data_bits); quantize "
                    f"with at most {config.data_bits} data bits")
        if isinstance(node, Conv) and model.weights[node.name].bits > config.weight_bits:
            raise CompileError(
                f"Layer '{node.name}': weights have {model.weights[node.name].bits} bits, config "
                f"'{config.name}' multiplies by {config.weight_bits} (weight_bits); quantize "
                f"with at most {config.weight_bits} weight bits")


def _conv_task(
    model: QuantizedModel, node: Conv, common: tuple[int, Node, tuple[StoredMap, ...], StoredMap],
) -> ConvTask:
    weights = model.weights[node.name]
    shift = np.broadcast_to(model.shifts(node), weights.bias.shape)
    _check_codes(weights.codes, weights.bits, f"Layer '{node.name}': weight codes")
    if shift.min() < 0 or shift.max() > 31:
        raise CompileError(
            f"Layer '{node.name}': right shifts must be in 0..31 bits, not "
            f"{shift.min()}..{shift.max()}; choose other formats for its weights or output")
    return ConvTask(
        *common, *model.bounds(node), window=node.window, groups=node.groups,
        codes=weights.codes, bias=weights.bias, shift=shift)


def _task(
    model: QuantizedModel, index: int, node: Node, stored: Callable[[str], StoredMap]
) -> Task:
    common = (index, node, tuple(stored(name) for name in node.inputs), stored(node.output))
    match node:
        case Conv():
            return _conv_task(model, node, common)
        case Pool():
            return PoolTask(*common, *model.bounds(node), pool=node)
        case Add():
            return AddTask(*common, *model.bounds(node))
    raise CompileError(
        f"Layer '{node.name}': {type(node).__name__} cannot run on the accelerator; "
        "Conv, Pool and Add can")


def unrolled(task: ConvTask, unroll: str) -> ConvTask:
    """Return a convolution over an input whose taps the host has put into the lanes.

    Parameters
    ----------
    task : ConvTask
        Convolution over the plain input.
    unroll : str
        ``columns``: the channels of a position are those of all kernel columns, kernel column
        outermost. ``taps``: those of all taps, kernel line outermost.

    Returns
    -------
    ConvTask
        The same results.
    """
    window, source = task.window, task.inputs[0]
    (r, s), (sy, _) = window.kernel, window.strides
    top, _, bottom, _ = window.pads
    k, c = task.codes.shape[:2]
    if unroll == "columns":
        geometry = Window((r, 1), (sy, 1), (top, 0, bottom, 0), (window.dilations[0], 1))
        codes = task.codes.transpose(0, 3, 1, 2).reshape(k, s * c, r, 1)
        shape = (s * c, source.height, task.output.width)
    else:
        geometry = Window()
        codes = task.codes.transpose(0, 2, 3, 1).reshape(k, r * s * c, 1, 1)
        shape = (r * s * c, task.output.height, task.output.width)
    channels, height, width = shape
    plain = replace(source, channels=channels, height=height, width=width)
    return replace(task, window=geometry, codes=codes, inputs=(plain,))


def can_unroll(model: QuantizedModel) -> bool:
    """Return whether the input is read by one ungrouped convolution and nothing else."""
    readers = model.graph.consumers(model.graph.input)
    first = readers[0] if len(readers) == 1 else None
    return (
        isinstance(first, Conv) and first.groups == 1 and first.window.kernel != (1, 1)
        and model.graph.input != network_output(model.graph))


def plan_layers(
    model: QuantizedModel, config: AcceleratorConfig, unroll: str = "none"
) -> list[Task]:
    """Return one task for each layer, in execution order.

    Parameters
    ----------
    model : QuantizedModel
        Network.
    config : AcceleratorConfig
        Accelerator.
    unroll : str
        One of :data:`UNROLLS`.

    Raises
    ------
    CompileError
        If the accelerator cannot run a layer at all.
    """
    graph = model.graph
    _check_formats(model, config)
    nodes = graph.accelerated
    if len(nodes) > config.layer_depth:
        raise CompileError(
            f"Network '{graph.name}' has {len(nodes)} layers, the counters of config "
            f"'{config.name}' tell {config.layer_depth} apart; use a layer_depth of at least "
            f"{1 << (len(nodes) - 1).bit_length()}")

    def stored(name: str) -> StoredMap:
        return StoredMap(name, *graph.shapes[name], config.out_lanes, model.formats[name])

    tasks = [_task(model, index, node, stored) for index, node in enumerate(nodes)]
    if unroll != "none":
        tasks = [
            unrolled(task, unroll)
            if isinstance(task, ConvTask) and graph.input in task.node.inputs else task
            for task in tasks
        ]
    return tasks
