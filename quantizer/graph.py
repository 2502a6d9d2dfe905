"""The float network after import: few operators, every shape known, clamps fused."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .intake import Intake


__all__ = (
    "POSITIVE",
    "Activation",
    "Add",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Graph",
    "Kind",
    "Lrn",
    "Mul",
    "Node",
    "PRelu",
    "Pad",
    "Pool",
    "Resize",
    "Slice",
    "Softmax",
    "Window",
    "is_host",
)


Kind = Literal["sigmoid", "tanh", "hard_sigmoid", "hard_swish", "silu"]
POSITIVE: tuple[Kind, ...] = ("sigmoid", "hard_sigmoid")
"""Activations that are never negative; the others keep the sign."""


@dataclass(frozen=True)
class Window:
    """Geometry of a convolution or pooling.

    Parameters
    ----------
    kernel, strides, dilations : (int, int)
        Rows and columns.
    pads : (int, int, int, int)
        Top, left, bottom, right; ``ceil_mode`` and ``auto_pad`` are resolved into these at import.
    """

    kernel: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the lines and columns of the output for an input of ``height`` x ``width``."""
        (r, s), (sy, sx), (top, left, bottom, right) = self.kernel, self.strides, self.pads
        dy, dx = self.dilations
        return (
            (height + top + bottom - dy * (r - 1) - 1) // sy + 1,
            (width + left + right - dx * (s - 1) - 1) // sx + 1,
        )


@dataclass(frozen=True)
class Node:
    """An operator with one output.

    Parameters
    ----------
    name : str
        Unique name, from the ONNX node (or its output where the node has none).
    inputs : tuple of str
        Names of the tensors read.
    output : str
        Name of the tensor written: the ONNX tensor after the fused clamp.
    lo, hi : float
        Clamp of the result: Relu is (0, inf), Relu6 is (0, 6), none is (-inf, inf).
    sources : tuple of str
        Names of the ONNX nodes that this node stands for.
    """

    name: str
    inputs: tuple[str, ...]
    output: str
    lo: float = -np.inf
    hi: float = np.inf
    sources: tuple[str, ...] = ()

    @property
    def clamped(self) -> bool:
        """Whether the result is clamped."""
        return self.lo > -np.inf or self.hi < np.inf


@dataclass(frozen=True)
class Conv(Node):
    """Convolution, with BatchNormalization folded in; Gemm is one whose kernel is the whole map.

    A second input, the *addend*, is a map of the shape of the output that is added to the sums of
    products, before the clamp; see :mod:`quantizer.addends`.

    Parameters
    ----------
    window : Window
        Geometry.
    groups : int
        Groups.
    weight : float32 or float64, (k, c / groups, r, s)
        Kernels.
    bias : float64, (k,)
        Biases, zeros where the model has none.
    upper : float64, (k,) or (0,)
        Upper clamp of each output channel, at most ``hi``, where they differ.
    """

    window: Window = Window()
    groups: int = 1
    weight: NDArray[np.floating] = field(default_factory=lambda: np.zeros((0, 0, 0, 0)))
    bias: NDArray[np.floating] = field(default_factory=lambda: np.zeros(0))
    upper: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    @property
    def addend(self) -> str | None:
        """Name of the map that is added to the result."""
        return self.inputs[1] if len(self.inputs) > 1 else None


@dataclass(frozen=True)
class ConvTranspose(Conv):
    """Transposed convolution: every input adds its kernels, scaled, to the output.

    Input (i, j) meets output (i * stride + r * dilation - top, ...) through tap (r, s). Weights are
    those of a convolution, (k, c / groups, r, s); ``window`` has the strides, dilations and pads
    of the ONNX operator, where pads cut the output.

    Parameters
    ----------
    output_padding : (int, int)
        Lines below and columns to the right that the output has besides.
    """

    output_padding: tuple[int, int] = (0, 0)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the lines and columns of the output for an input of ``height`` x ``width``."""
        (r, s), (sy, sx), (top, left, bottom, right) = (
            self.window.kernel, self.window.strides, self.window.pads)
        (dy, dx), (below, beside) = self.window.dilations, self.output_padding
        return (
            (height - 1) * sy + dy * (r - 1) + 1 + below - top - bottom,
            (width - 1) * sx + dx * (s - 1) + 1 + beside - left - right)


@dataclass(frozen=True)
class Pool(Node):
    """Pooling over a window; a lone clamp or identity is a maximum over 1 x 1.

    Parameters
    ----------
    kind : "max" or "average"
        What is taken of a window. Maximum ignores padding.
    window : Window
        Geometry; the pads may extend past what ONNX calls pads by ``ceil_pads``.
    count_pad : bool
        Average: whether padding positions are counted (as zeros); never those of ``ceil_pads``.
    ceil_pads : (int, int)
        Lines below and columns to the right that exist only because of ``ceil_mode``; they are
        included in ``window.pads``.
    """

    kind: Literal["max", "average"] = "max"
    window: Window = Window()
    count_pad: bool = False
    ceil_pads: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Add(Node):
    """Sum of two maps of the same shape, or of a map and a channel vector, (c, 1, 1).

    The vector is the second input; it is added at every position.
    """


@dataclass(frozen=True)
class Mul(Node):
    """Product of two maps of the same shape, or of a map and a channel vector, (c, 1, 1).

    The vector is the second input; it is a factor at every position.
    """


@dataclass(frozen=True)
class PRelu(Node):
    """A map where it is at least zero, ``slope`` times it elsewhere.

    Parameters
    ----------
    slope : float64, (c,)
        Factor of each channel; LeakyRelu has the same for all.
    """

    slope: NDArray[np.floating] = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class Activation(Node):
    """A function of one number, at every element of a map.

    Parameters
    ----------
    kind : str
        ``sigmoid``, ``tanh``, ``hard_sigmoid``: ``clip(alpha * x + beta, 0, 1)``, ``hard_swish``:
        ``x`` times that, ``silu``: ``x * sigmoid(x)``.
    alpha, beta : float
        Slope and offset of ``hard_sigmoid`` and ``hard_swish``.
    """

    kind: Kind = "sigmoid"
    alpha: float = 0.0
    beta: float = 0.0


@dataclass(frozen=True)
class Concat(Node):
    """Maps of the same lines and columns, one after the other along channels; never clamped."""


@dataclass(frozen=True)
class Slice(Node):
    """Channels ``start`` onward of a map, as many as the result has; never clamped.

    Parameters
    ----------
    start : int
        First channel.
    """

    start: int = 0


@dataclass(frozen=True)
class Resize(Node):
    """Nearest neighbor: output line ``y`` is input line ``offset + y // repeat * step``.

    Parameters
    ----------
    repeats : (int, int)
        How many times in a row every line and column is taken: 2 doubles a map.
    steps : (int, int)
        Lines and columns from one that is taken to the next: 2 halves a map.
    offsets : (int, int)
        First line and column that are taken.
    """

    repeats: tuple[int, int] = (1, 1)
    steps: tuple[int, int] = (1, 1)
    offsets: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Pad(Node):
    """Lines and columns around a map; ones that are cut off where a pad is negative.

    Parameters
    ----------
    pads : (int, int, int, int)
        Top, left, bottom, right; not negative unless the mode is ``constant``.
    value : float
        What they hold in mode ``constant``; in fixed point it saturates in the format of the map.
    mode : "constant", "edge" or "reflect"
        One value, the nearest position of the map, or the map mirrored at its outermost positions.
    """

    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    value: float = 0.0
    mode: Literal["constant", "edge", "reflect"] = "constant"


@dataclass(frozen=True)
class Lrn(Node):
    """Local response normalization across channels, on the host.

    ``y = x / (bias + alpha / size * s) ** beta``, where ``s`` is the sum of the squares of
    ``size`` channels, ``(size - 1) // 2`` of them before its own.

    Parameters
    ----------
    size : int
        Channels of a sum.
    alpha, beta, bias : float
        Constants; ``bias`` is positive and ``alpha`` is not negative.
    """

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    bias: float = 1.0


@dataclass(frozen=True)
class Softmax(Node):
    """Softmax over channels, on the host: from codes to codes, in float at the very end."""


def is_host(node: Node) -> bool:
    """Return whether a node runs on the host."""
    return isinstance(node, Lrn | Softmax)


@dataclass
class Graph:
    """A network with one input and one output.

    Parameters
    ----------
    name : str
        Name for messages and titles.
    input : str
        Name of the input tensor.
    output : str
        Name of the output tensor.
    nodes : list of Node
        In execution order.
    shapes : dict from tensor name to (c, h, w)
        Shape of every tensor, without batch; a vector is (c, 1, 1).
    input_dims : tuple of int
        Shape of the ONNX input without batch, such as (3, 32, 32) or (640,).
    output_dims : tuple of int
        Shape of the ONNX output without batch.
    metadata : dict
        The ONNX file's ``metadata_props``.
    source : str
        Path of the ONNX file, empty where there is none.
    exponents : dict from tensor name to float64 (c,)
        Where channels are held at other magnitudes than in the ONNX file (``quantizer.prepare``):
        channel ``c`` is ``2 ** exponent`` times what it is there. Never the input; what the
        accelerator hands to the host has the same one for all channels.
    offsets : dict from tensor name to float64 (c,)
        What channels lack against the ONNX file, in its units, where not all lack nothing:
        channel ``c`` is held as ``(value - offset) * 2 ** exponent``. Never the input; what the
        accelerator hands to the host has the same one for all channels.
    intake : Intake, optional
        What the host does to an input before it rounds it, where that is something; ``shapes`` has
        the input as it is afterwards.
    """

    name: str
    input: str
    output: str
    nodes: list[Node]
    shapes: dict[str, tuple[int, int, int]]
    input_dims: tuple[int, ...]
    output_dims: tuple[int, ...]
    metadata: dict[str, str] = field(default_factory=dict)
    source: str = ""
    exponents: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    offsets: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    intake: Intake | None = None

    @property
    def bare_shape(self) -> tuple[int, int, int]:
        """Shape ``(c, h, w)`` of the input without what the host pads it with."""
        shape = self.shapes[self.input]
        return shape if self.intake is None else self.intake.bare(shape)

    def take(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return inputs (n, *input_dims) as maps (n, c, h, w) of the tensor ``input``."""
        maps = inputs.reshape(len(inputs), *self.bare_shape)
        return maps if self.intake is None else self.intake.apply(maps)

    def unfitted(self) -> "Graph":
        """Return a graph for float results in the units of the ONNX file; weights stay."""
        shapes = {**self.shapes, self.input: self.bare_shape}
        return replace(self, shapes=shapes, exponents={}, offsets={}, intake=None)

    def real(self, tensor: str, values: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return what a tensor (n, c, h, w) is held as in the units of the ONNX file."""
        found = values.astype(np.float64)
        if tensor == self.input and self.intake is not None:
            return self.intake.undone(found)
        if tensor in self.exponents:
            found *= np.exp2(-self.exponents[tensor])[:, None, None]
        if tensor in self.offsets:
            found += self.offsets[tensor][:, None, None]
        return found

    def consumers(self, tensor: str) -> list[Node]:
        """Return the nodes that read ``tensor``."""
        return [node for node in self.nodes if tensor in node.inputs]

    def producer(self, tensor: str) -> Node | None:
        """Return the node that writes ``tensor``, ``None`` for the input."""
        return next((node for node in self.nodes if node.output == tensor), None)

    def node(self, name: str) -> Node:
        """Return the node called ``name``; ``KeyError`` if there is none."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    @property
    def accelerated(self) -> list[Node]:
        """Nodes whose results are codes: all but a Softmax at the end; see also :attr:`hosted`."""
        return [
            node for node in self.nodes
            if not (isinstance(node, Softmax) and node.output == self.output)]

    @property
    def hosted(self) -> list[Node]:
        """Those of :attr:`accelerated` for which the accelerator stops: the host runs them."""
        return [node for node in self.accelerated if is_host(node)]

    def macs(self, node: Node) -> int:
        """Return the multiply-accumulate operations of a node for one image."""
        if not isinstance(node, Conv):
            return 0
        tensor = node.inputs[0] if isinstance(node, ConvTranspose) else node.output
        _, height, width = self.shapes[tensor]
        return height * width * node.weight.size

    def __iter__(self) -> Iterator[Node]:
        """Iterate over the nodes in execution order."""
        return iter(self.nodes)
