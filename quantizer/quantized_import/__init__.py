"""Import of ONNX files that are quantized already, bit for bit."""

from .load import import_quantized


__all__ = ("import_quantized",)
