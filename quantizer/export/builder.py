"""An ONNX graph under construction, with the pieces that every operator needs."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from arch.formats import Format, Rounding

from ..tiles import code_type


__all__ = (
    "IR_VERSION",
    "OPSET",
    "Builder",
    "codes_name",
    "float_name",
)


OPSET = 21  # the first with 16-bit codes
IR_VERSION = 10  # what it asks for; newer ones are not read by every onnxruntime


def codes_name(tensor: str) -> str:
    """Return the name that the codes of a tensor have in the exported model."""
    return f"{tensor}.codes"


def float_name(tensor: str) -> str:
    """Return the name that the dequantized map (n, c, h, w) has in the exported model."""
    return f"{tensor}.map"


class Builder:
    """Nodes and initializers of an ONNX graph.

    Parameters
    ----------
    rounding : Rounding
        Rounding rule of :meth:`quantize` and :meth:`quantize_double`.
    """

    def __init__(self, rounding: Rounding) -> None:
        self.rounding = rounding
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self._names = 0

    def constant(self, value: Any, dtype: Any, name: str = "") -> str:
        """Add an initializer; numbers that come again share one."""
        array = np.asarray(value, dtype)
        if not name:
            name = f"qdq.{array.dtype}.{array.tobytes().hex()}.{array.ndim}"
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(array, name)
        return name

    def node(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        self._names += 1
        name = f"qdq.{operator}.{self._names}"
        output = output or name
        self.nodes.append(helper.make_node(
            operator, list(inputs), [output], name, **attributes))
        return output

    def to_double(self, value: str) -> str:
        """Cast to double."""
        return self.node("Cast", value, to=TensorProto.DOUBLE)

    def multiply(self, value: str, factor: float) -> str:
        """Multiply a double by a constant."""
        return value if factor == 1 else self.node(
            "Mul", value, self.constant(factor, np.float64))

    def dequantize(self, codes: str, frac: NDArray[np.int64]) -> str:
        """Turn constant codes into float32, one fractional length for each output channel."""
        scales = np.ldexp(np.float32(1), -frac).astype(np.float32)
        if (frac == frac[0]).all():
            return self.node("DequantizeLinear", codes, self.constant(scales[0], np.float32))
        name = self.constant(scales, np.float32, f"{codes}.scale")
        return self.node("DequantizeLinear", codes, name, axis=0)

    def quantize(
        self, value: str, tensor: str, fmt: Format, lo: int, hi: int | NDArray[np.int64]
    ) -> None:
        """Turn a float32 map into the codes and the dequantized map of ``tensor``.

        The upper bound may be one for each channel, (c,).
        """
        if self.rounding is not Rounding.HALF_EVEN:
            self.quantize_double(self.to_double(value), tensor, fmt, lo, hi)
            return
        # Rounding keeps order and integers: clipping before is clipping after.
        self._to_codes(self._clip(value, tensor, fmt, lo, hi, fmt.step, np.float32), tensor, fmt)

    def quantize_double(
        self, value: str, tensor: str, fmt: Format, lo: int, hi: int | NDArray[np.int64]
    ) -> None:
        """Do the same from a double, rounding before QuantizeLinear, which takes no double."""
        rounded = self._round(self.multiply(value, 1 / fmt.step))
        clipped = self._clip(rounded, tensor, fmt, lo, hi, 1.0, np.float64)
        single = self.node("Cast", self.multiply(clipped, fmt.step), to=TensorProto.FLOAT)
        self._to_codes(single, tensor, fmt)

    def _clip(
        self, value: str, tensor: str, fmt: Format, lo: int, hi: int | NDArray[np.int64],
        step: float, dtype: type[np.floating[Any]],
    ) -> str:
        """Clip a map to codes times ``step``, where QuantizeLinear would not do so."""
        most = int(np.max(hi))
        info = np.iinfo(code_type(fmt))
        if (lo, most) != (info.min, info.max) or dtype is np.float64:
            value = self.node(
                "Clip", value, self.constant(lo * step, dtype), self.constant(most * step, dtype))
        if np.ndim(hi) == 0:
            return value
        upper = self.constant(
            np.multiply(hi, step).reshape(-1, 1, 1), dtype, f"{tensor}.upper")
        return self.node("Min", value, upper)

    def dequantize_codes(self, tensor: str, fmt: Format) -> None:
        """Turn the codes of ``tensor`` into its dequantized map."""
        self.node(
            "DequantizeLinear", codes_name(tensor), self.constant(fmt.step, np.float32),
            self.constant(0, code_type(fmt)), output=float_name(tensor))

    def _round(self, value: str) -> str:
        def half_up(magnitude: str) -> str:
            half = self.constant(0.5, np.float64)
            return self.node("Floor", self.node("Add", magnitude, half))

        match self.rounding:
            case Rounding.HALF_EVEN:
                return self.node("Round", value)
            case Rounding.HALF_UP:
                return half_up(value)
            case Rounding.HALF_AWAY:
                magnitude = half_up(self.node("Abs", value))
                return self.node("Mul", self.node("Sign", value), magnitude)
            case Rounding.FLOOR:
                return self.node("Floor", value)

    def _to_codes(self, value: str, tensor: str, fmt: Format) -> None:
        self.node(
            "QuantizeLinear", value, self.constant(fmt.step, np.float32),
            self.constant(0, code_type(fmt)), output=codes_name(tensor))
        self.dequantize_codes(tensor, fmt)
