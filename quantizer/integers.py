"""The integers of one layer, for those who write their own hardware or firmware."""

import difflib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arch.formats import Format

from .errors import ModelError
from .graph import Conv, Node
from .layout import pack_params, pack_weights
from .model import QuantizedModel


__all__ = (
    "LayerIntegers",
    "find_node",
    "layer_integers",
)


@dataclass(frozen=True)
class LayerIntegers:
    """A convolution in integers: ``y = clip(round((sum(x * w) + bias) / 2 ** shift), lo, hi)``.

    Parameters
    ----------
    name : str
        Node.
    weights : int64, (k, c / groups, r, s)
        Weight codes.
    weight_bits : int
        Width of a weight code.
    weight_frac : int64, (k,)
        Fractional length of each output channel's weights.
    bias : int64, (k,)
        Bias codes, at the fractional length of the products.
    shift : int64, (k,)
        Right shift of each output channel's accumulator, in bits.
    bounds : (int, int)
        ``lo`` and ``hi``, as codes of the output.
    upper : int64, (k,)
        Upper bound of each output channel, at most ``hi``.
    input_format, output_format : Format
        Formats of the data.
    groups : int
        Groups.
    """

    name: str
    weights: NDArray[np.int64]
    weight_bits: int
    weight_frac: NDArray[np.int64]
    bias: NDArray[np.int64]
    shift: NDArray[np.int64]
    bounds: tuple[int, int]
    upper: NDArray[np.int64]
    input_format: Format
    output_format: Format
    groups: int

    @property
    def code_size(self) -> int:
        """Bytes of a weight code in memory."""
        return 1 if self.weight_bits <= 8 else 2

    def pack_weights(self, in_lanes: int, out_lanes: int) -> bytes:
        """Return the weight tiles in the order of ``quantizer.layout``."""
        return pack_weights(
            self.weights, in_lanes, out_lanes, groups=self.groups, code_size=self.code_size)

    def pack_params(self, out_lanes: int) -> bytes:
        """Return the parameter rows, one for each block of ``out_lanes`` output channels."""
        pad = (0, -len(self.bias) % out_lanes)
        return pack_params(
            np.pad(self.bias, pad).reshape(-1, out_lanes),
            np.pad(self.shift, pad).reshape(-1, out_lanes),
            np.pad(self.upper, pad).reshape(-1, out_lanes))


def find_node(model: QuantizedModel, layer: str) -> Node:
    """Return the node called ``layer``, or that writes the tensor called so.

    Raises
    ------
    ModelError
        If there is none; says which name is near, or lists them.
    """
    nodes = model.graph.accelerated
    for node in nodes:
        if node.name == layer:
            return node
    for node in nodes:
        if layer == node.output or layer in node.sources:
            return node
    known = [name for node in nodes for name in (node.name, node.output)]
    close = difflib.get_close_matches(layer, known, 1)
    raise ModelError(
        f"'{layer}' must be a layer or tensor of '{model.graph.name}'; "
        + (f"did you mean '{close[0]}'?" if close else
           f"layers are {', '.join(node.name for node in nodes)}"))


def layer_integers(model: QuantizedModel, layer: str) -> LayerIntegers:
    """Return the integers of a convolution.

    Parameters
    ----------
    model : QuantizedModel
        The network.
    layer : str
        Name of the node, or of its output.

    Returns
    -------
    LayerIntegers
        Arrays, formats and packing.

    Raises
    ------
    ModelError
        If there is no such layer, or it is no convolution.
    """
    node = find_node(model, layer)
    if not isinstance(node, Conv):
        raise ModelError(
            f"Layer '{layer}' must be a convolution to have weights, not "
            f"{type(node).__name__}")
    weights = model.weights[node.name]
    return LayerIntegers(
        node.name, weights.codes, weights.bits, weights.frac, weights.bias, model.shifts(node),
        model.bounds(node), model.uppers(node), model.formats[node.inputs[0]],
        model.formats[node.output], node.groups)
