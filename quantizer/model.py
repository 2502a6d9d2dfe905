"""The quantized model: a graph of integers and their formats."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arch.formats import Format, Rounding

from .graph import Add, Concat, Conv, Graph, Mul, Node, Pad, Pool, PRelu


__all__ = (
    "ActivationTable",
    "Limits",
    "QuantizedModel",
    "QuantizedSlopes",
    "QuantizedWeights",
)


@dataclass(frozen=True)
class Limits:
    """What the accelerator's shifters can align; the format search stays inside.

    Parameters
    ----------
    conv_shift : int
        Largest right shift after a convolution, in bits; the smallest is 0.
    vector_left : int
        Largest left shift of an operand of Add or pooling, in bits.
    vector_right : int
        Largest right shift after Add or pooling, in bits.
    divide_left : int
        Largest left shift before a division by a window size that is no power of two, in bits.
    acc_bits : int
        Width of an accumulator, in bits.
    concat_left : int
        Largest left shift of an input of Concat, in bits; the largest right shift is
        ``conv_shift``.
    bias_bits : int
        Width of a bias, in bits.
    addend_left : int
        Largest left shift of what a convolution adds to its sums, in bits; the smallest is 0.
    """

    conv_shift: int = 31
    vector_left: int = 15
    vector_right: int = 29
    divide_left: int = 4
    acc_bits: int = 32
    concat_left: int = 6
    bias_bits: int = 40
    addend_left: int = 14


@dataclass(frozen=True)
class QuantizedWeights:
    """Integers of one convolution.

    Parameters
    ----------
    codes : int64, (k, c / groups, r, s)
        Weight codes.
    bits : int
        Width of a weight code, in bits.
    frac : int64, (k,)
        Fractional length of each output channel's weights; all the same when per tensor.
    bias : int64, (k,)
        Bias codes at ``frac of the input + frac``.
    correction : float64, (k,)
        What ``bias`` has besides the float network's, as real numbers.
    """

    codes: NDArray[np.int64]
    bits: int
    frac: NDArray[np.int64]
    bias: NDArray[np.int64]
    correction: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        """Take no correction as one of zeros."""
        if self.correction.size == 0:
            object.__setattr__(self, "correction", np.zeros(len(self.bias)))


@dataclass(frozen=True)
class QuantizedSlopes:
    """Integers of one PRelu.

    Parameters
    ----------
    codes : int64, (c,)
        Slope of each channel.
    bits : int
        Width of a slope code, signed, in bits: 8 or 16, as the data's.
    frac : int
        Fractional length of all slopes, 0 to 15.
    """

    codes: NDArray[np.int64]
    bits: int
    frac: int


@dataclass(frozen=True)
class ActivationTable:
    """A function of one code as integers, see ``quantizer.tables``.

    Parameters
    ----------
    base : int64, (256,)
        Results; with data of more than 8 bits those at the start of each segment of 256 codes.
    delta : int64, (256,)
        What is added over a segment; zeros with data of at most 8 bits.
    """

    base: NDArray[np.int64]
    delta: NDArray[np.int64]


@dataclass
class QuantizedModel:
    """A network in dynamic fixed point.

    Parameters
    ----------
    graph : Graph
        The network; its float weights stay for reference.
    formats : dict from tensor name to Format
        Format of every tensor on the accelerator, the input included. The output of a maximum
        pooling, or of a Slice, Resize or Pad, has its input's format.
    weights : dict from node name to QuantizedWeights
        Integers of every convolution.
    rounding : Rounding
        Rounding rule everywhere.
    preprocess : dict
        How an image becomes the float input, as stored with the model.
    provenance : dict
        Options, hashes and versions that made the model.
    slopes : dict from node name to QuantizedSlopes
        Integers of every PRelu.
    tables : dict from node name to ActivationTable
        Integers of every Activation.
    """

    graph: Graph
    formats: dict[str, Format]
    weights: dict[str, QuantizedWeights]
    rounding: Rounding = Rounding.HALF_EVEN
    preprocess: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    slopes: dict[str, QuantizedSlopes] = field(default_factory=dict)
    tables: dict[str, ActivationTable] = field(default_factory=dict)

    def bounds(self, node: Node) -> tuple[int, int]:
        """Return ``lo, hi``: saturation and clamp of a node's result, as codes of its format."""
        fmt = self.formats[node.output]
        lo, hi = fmt.quantize([max(node.lo, fmt.min * fmt.step), min(node.hi, fmt.max * fmt.step)])
        return int(lo), int(hi)

    def uppers(self, node: Conv) -> NDArray[np.int64]:
        """Return the upper bound of each output channel of a convolution, (k,), as codes."""
        return np.broadcast_to(self.channel_bounds(node)[1], len(node.weight))

    def channel_bounds(self, node: Node) -> tuple[int, int | NDArray[np.int64]]:
        """Return :meth:`bounds`, the upper one for each channel, (c,), where these differ."""
        lo, hi = self.bounds(node)
        if not isinstance(node, Conv) or node.upper.size == 0:
            return lo, hi
        fmt = self.formats[node.output]
        return lo, fmt.quantize(np.minimum(node.upper, fmt.max * fmt.step))

    def real(self, tensor: str, codes: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return what codes (n, c, h, w) of a tensor are in the units of the ONNX file."""
        return self.graph.real(tensor, self.formats[tensor].dequantize(codes))

    def fill(self, node: Pad) -> int:
        """Return the code of a padding value, within the bounds of the result."""
        lo, hi = self.bounds(node)
        return min(max(int(self.formats[node.output].quantize([node.value])[0]), lo), hi)

    def shifts(self, node: Conv) -> NDArray[np.int64]:
        """Return the right shift after each output channel of a convolution, (k,), in bits."""
        return (
            self.formats[node.inputs[0]].frac + self.weights[node.name].frac
            - self.formats[node.output].frac
        )

    def addend_shifts(self, node: Conv) -> NDArray[np.int64]:
        """Return the left shift of the addend for each output channel, (k,), in bits."""
        assert node.addend is not None
        return (
            self.formats[node.inputs[0]].frac + self.weights[node.name].frac
            - self.formats[node.addend].frac)

    def vector_shifts(self, node: Add | Pool) -> tuple[tuple[int, ...], int]:
        """Return the left shift of each operand and the right shift of the result, in bits.

        The operands are aligned at the largest fractional length of operands and result, which
        loses nothing. A division by the window size is not included.
        """
        fracs = [self.formats[name].frac for name in node.inputs]
        out = self.formats[node.output].frac
        common = max(*fracs, out)
        return tuple(common - frac for frac in fracs), common - out

    def factor_fracs(self, node: Node) -> tuple[int, int, int] | None:
        """Return the width of a node's weights or slopes, and their least and largest frac.

        ``None`` where a node has neither.
        """
        if node.name in self.slopes:
            slopes = self.slopes[node.name]
            return slopes.bits, slopes.frac, slopes.frac
        if node.name in self.weights:
            weights = self.weights[node.name]
            return weights.bits, int(weights.frac.min()), int(weights.frac.max())
        return None

    def product_shift(self, node: Mul | PRelu) -> int:
        """Return the right shift after the product of a Mul or PRelu, in bits."""
        factor = (self.slopes[node.name].frac if isinstance(node, PRelu)
                  else self.formats[node.inputs[1]].frac)
        return self.formats[node.inputs[0]].frac + factor - self.formats[node.output].frac

    def concat_shifts(self, node: Concat) -> tuple[tuple[int, int], ...]:
        """Return the left and the right shift of each input of a Concat, in bits; one is 0."""
        out = self.formats[node.output].frac
        fracs = [self.formats[name].frac for name in node.inputs]
        return tuple((max(out - frac, 0), max(frac - out, 0)) for frac in fracs)
