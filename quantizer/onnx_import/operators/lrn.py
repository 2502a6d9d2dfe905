"""LRN: local response normalization across channels."""

import math

from ...graph import Lrn
from ..context import Context
from ..node import OnnxNode


__all__ = ("convert_lrn",)


def convert_lrn(context: Context, node: OnnxNode) -> None:
    """Divide by a power of the sum of squares of neighbouring channels."""
    value, chw = context.image(node)
    size = int(node.attribute("size", 0))
    if size < 1 or size % 2 == 0:
        raise node.error(f"size must be odd and positive, because onnxruntime refuses others, "
                         f"not {size}")
    numbers = {
        name: float(node.attribute(name, default))
        for name, default in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0))}
    if not all(map(math.isfinite, numbers.values())):
        raise node.error(f"alpha, beta and bias must be finite, not {numbers}")
    if numbers["bias"] <= 0 or numbers["alpha"] < 0:
        raise node.error("bias must be positive and alpha not negative, or the power of a sum is "
                         f"no number; they are {numbers['bias']:g} and {numbers['alpha']:g}")
    context.emit(
        Lrn(node.label, (value.base,), node.output, sources=(node.label,), size=size, **numbers),
        chw, context.inferred(node))
