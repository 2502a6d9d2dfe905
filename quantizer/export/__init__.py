"""Export to ONNX, in the QuantizeLinear / DequantizeLinear form, with the same bits.

Every scale is a power of two and every zero point is 0. A float32 sum is exact as long as no
partial sum, counted in steps of the products, leaves 24 bits. Where the worst case of the actual
weights and formats could, the convolution is written as several, over parts of the input channels
and, above 8 bits, over the upper and lower 8 bits of data and weights; their exact results are
added in double, and rounded there. Average pooling is an exact sum, divided and rounded in double.
An activation is its own operator where that gives its table, for all codes, with room to spare;
else a Gather from the table.
"""

from .qdq import codes_name, export_qdq
from .qonnx import export_float, export_qonnx
from .session import QdqSession, ort_tensors


__all__ = (
    "QdqSession",
    "codes_name",
    "export_float",
    "export_qdq",
    "export_qonnx",
    "ort_tensors",
)
