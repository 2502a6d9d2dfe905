"""QONNX: Quant nodes in a float network.

Source: https://github.com/fastmachinelearning/qonnx, docs/qonnx-custom-ops, Quant.
"""

import numpy as np
import onnx
from numpy.typing import NDArray

from arch.formats import Rounding

from ..export.qonnx import ROUNDING_MODES
from ..onnx_import.node import OnnxNode
from .plain import Plain, Rewriter
from .quantizer import Quantizer, fracs


__all__ = (
    "OPERATORS",
    "plain_of_qonnx",
)


OPERATORS = ("IntQuant", "Quant")
"""Names of the quantizer; the other ones of QONNX are not supported."""

_MODES = {mode: rounding for rounding, mode in ROUNDING_MODES.items()} | {
    "HALF_EVEN": Rounding.HALF_EVEN}
_WIDTHS = range(2, 33)


def plain_of_qonnx(model: onnx.ModelProto, file: str) -> Plain:
    """Return a network of QONNX as a float one and its quantizers.

    Parameters
    ----------
    model : ModelProto
        The network.
    file : str
        Its file, for messages.

    Raises
    ------
    NodeError
        If a quantizer has a scale that is not a power of two, a zero point other than 0, or a
        rounding mode that we do not have.
    """
    rewriter = Rewriter(model, file)

    def convert(node: OnnxNode) -> bool:
        if node.standard or node.proto.op_type not in OPERATORS:
            return False
        value = node.proto.input[0]
        if value in rewriter.constants:
            quantizer = _quantizer(rewriter, node, np.ndim(rewriter.constants[value]))
            rewriter.quantize_constant(
                node.output, rewriter.codes(node, value, quantizer), quantizer)
        else:
            rewriter.quantize_data(
                node, value, node.output, _quantizer(rewriter, node, 0), name_of=node.output)
        return True

    return rewriter.walk(convert)


def _quantizer(rewriter: Rewriter, node: OnnxNode, axes: int) -> Quantizer:
    """Return what a node does to a constant with ``axes`` axes, or to data."""
    scale, zero, width = (
        np.asarray(rewriter.constant(node, index, what), np.float64)
        for index, what in enumerate(("scale", "zero point", "bit width"), 1))
    if np.any(zero != 0):
        raise node.error(f"zero point must be 0, not {float(zero[zero != 0].flat[0]):g}",
                         "quantize symmetrically, with unsigned codes only for what is never "
                         "negative")
    bits = float(width.flat[0])
    if np.any(width != bits) or bits not in _WIDTHS:
        raise node.error(f"bit width must be one whole number in {_WIDTHS[0]}..{_WIDTHS[-1]}, not "
                         f"{width.tolist()}")
    signed, narrow = bool(node.attribute("signed", 1)), bool(node.attribute("narrow", 0))
    mode = str(node.attribute("rounding_mode", "ROUND")).upper()
    if mode not in _MODES:
        raise node.error(f"rounding mode must be {' or '.join(_MODES)}, not {mode}",
                         "quantize with rounding mode ROUND")
    size = 1 << int(bits)
    lo = -size // 2 + narrow if signed else 0
    hi = size // 2 - 1 if signed else size - 1 - narrow
    return Quantizer(node.error("").place, fracs(node, scale), _axis(node, scale, axes),
                     int(bits), signed, lo, hi, _MODES[mode])


def _axis(node: OnnxNode, scale: NDArray[np.float64], axes: int) -> int:
    """Return the axis along which scales differ, 0 where there is one."""
    wide = [axis for axis, size in enumerate(scale.shape, max(axes - scale.ndim, 0)) if size > 1]
    if len(wide) > 1:
        raise node.error(f"scales must be one, or one for each channel, not of shape {scale.shape}",
                         "quantize per tensor or per output channel")
    return wide[0] if wide else 0
