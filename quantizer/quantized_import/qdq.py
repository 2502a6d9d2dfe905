"""QuantizeLinear and DequantizeLinear."""

import numpy as np
import onnx
from numpy.typing import NDArray

from arch.formats import Rounding

from ..onnx_import.node import OnnxNode
from .plain import Plain, Rewriter
from .quantizer import Quantizer, fracs


__all__ = ("plain_of_qdq",)


_DOMAINS = ("", "com.microsoft")  # onnxruntime's own has 16-bit codes before opset 21
_WIDTHS: dict[int, tuple[int, bool]] = {
    onnx.TensorProto.INT4: (4, True), onnx.TensorProto.UINT4: (4, False),
    onnx.TensorProto.INT8: (8, True), onnx.TensorProto.UINT8: (8, False),
    onnx.TensorProto.INT16: (16, True), onnx.TensorProto.UINT16: (16, False),
    onnx.TensorProto.INT32: (32, True)}
_INTEGER_OPERATORS = ("ConvInteger", "MatMulInteger", "DynamicQuantizeLinear")


def plain_of_qdq(model: onnx.ModelProto, file: str) -> Plain:
    """Return a network in QDQ form as a float one and its quantizers.

    Parameters
    ----------
    model : ModelProto
        The network.
    file : str
        Its file, for messages.

    Raises
    ------
    NodeError
        If a quantizer has a scale that is not a power of two or a zero point other than 0, or an
        operator computes with codes.
    """
    return _Walk(model, file).plain()


class _Walk:
    """The state of one conversion."""

    def __init__(self, model: onnx.ModelProto, file: str) -> None:
        self._rewriter = Rewriter(model, file)
        self._types = {
            tensor.name: tensor.data_type for tensor in model.graph.initializer}
        self._pending: dict[str, tuple[str, Quantizer]] = {}

    def plain(self) -> Plain:
        """Return the float network."""
        return self._rewriter.walk(self._convert)

    def _convert(self, node: OnnxNode) -> bool:
        operator = node.proto.op_type
        if node.proto.domain in _DOMAINS and operator == "QuantizeLinear":
            self._quantize(node)
        elif node.proto.domain in _DOMAINS and operator == "DequantizeLinear":
            self._dequantize(node)
        elif operator.startswith("QLinear") or operator in _INTEGER_OPERATORS:
            raise node.error("computes with codes",
                             "export in QDQ form (onnxruntime: quant_format=QuantFormat.QDQ)")
        else:
            for name in node.proto.input:
                if name in self._pending:
                    raise node.error(
                        f"reads the codes {name!r}", "put it behind the DequantizeLinear, and a "
                        "QuantizeLinear and DequantizeLinear behind it")
            return False
        return True

    def _quantize(self, node: OnnxNode) -> None:
        value = node.proto.input[0]
        quantizer = self._quantizer(node, default=onnx.TensorProto.UINT8)
        constants = self._rewriter.constants
        if value in constants:
            constants[node.output] = self._rewriter.codes(node, value, quantizer)
        self._pending[node.output] = (value, quantizer)

    def _dequantize(self, node: OnnxNode) -> None:
        codes, constants = node.proto.input[0], self._rewriter.constants
        value, before = self._pending.get(codes, (codes, None))
        if before is None and codes not in constants:
            raise node.error(f"reads {codes!r}, which no QuantizeLinear writes",
                             "quantize with QuantizeLinear right before it")
        kind = self._types.get(codes) or onnx.TensorProto.INT8
        if before is None and codes not in self._types:
            kind = helper_type(np.asarray(constants[codes]))
        quantizer = self._quantizer(node, default=kind, codes=before)
        if codes in constants:
            zero = 0 if before is not None else self._zero(node)
            self._rewriter.quantize_constant(
                node.output, np.asarray(constants[codes], np.int64) - zero, quantizer)
            return
        assert before is not None
        if not before.does_the_same(quantizer):
            raise node.error(
                f"must have scale and zero point of {before.place}, whose codes it reads",
                "quantize again in one step")
        self._rewriter.quantize_data(node, value, node.output, before, name_of=value)

    def _quantizer(
        self, node: OnnxNode, *, default: int, codes: Quantizer | None = None
    ) -> Quantizer:
        """Return what a node does; ``default`` is the type of codes without zero point."""
        rewriter, inputs = self._rewriter, node.proto.input
        if node.attribute("block_size", 0):
            raise node.error("block_size must be 0: a scale for each tensor or channel")
        scale = np.asarray(rewriter.constant(node, 1, "scale"), np.float64)
        kind = node.attribute("output_dtype", 0) or default
        if len(inputs) > 2 and inputs[2]:
            zero = rewriter.constant(node, 2, "zero point")
            kind = self._types.get(inputs[2]) or helper_type(np.asarray(zero))
        if codes is not None and not (len(inputs) > 2 and inputs[2]):
            bits, signed = codes.bits, codes.signed
        elif kind in _WIDTHS:
            bits, signed = _WIDTHS[kind]
        else:
            raise node.error(f"codes must be integers of 4 to 32 bits, not "
                             f"{onnx.TensorProto.DataType.Name(kind)}")
        lo = -(1 << (bits - 1)) if signed else 0
        if self._zero(node):
            lo = self._shifted(node, lo, bits)
            signed = lo < 0
        return Quantizer(
            node.error("").place, fracs(node, scale), int(node.attribute("axis", 1)), bits, signed,
            lo, lo + (1 << bits) - 1, Rounding.HALF_EVEN)

    def _zero(self, node: OnnxNode) -> int:
        """Return the zero point of a node, the first one where it is not 0."""
        inputs = node.proto.input
        if len(inputs) < 3 or not inputs[2]:
            return 0
        values = np.asarray(self._rewriter.constant(node, 2, "zero point")).reshape(-1)
        others = values[values != 0]
        return int(others[0]) if len(others) else 0

    def _shifted(self, node: OnnxNode, lo: int, bits: int) -> int:
        """Return the least code behind a zero point, with which unsigned is signed or reverse."""
        zero, half = self._zero(node), 1 << (bits - 1)
        values = np.asarray(self._rewriter.constant(node, 2, "zero point"), np.int64)
        if np.any(values != zero) or lo - zero not in (0, -half):
            raise node.error(
                f"zero point must be 0, or {-half if lo else half} with which codes are "
                f"{'un' if lo else ''}signed, not {zero}",
                "quantize symmetrically (onnxruntime: extra_options ActivationSymmetric and "
                "WeightSymmetric), with unsigned codes only for what is never negative")
        return lo - zero


def helper_type(array: NDArray[np.generic]) -> int:
    """Return the ONNX type of an array."""
    return int(onnx.helper.np_dtype_to_tensor_dtype(array.dtype))
