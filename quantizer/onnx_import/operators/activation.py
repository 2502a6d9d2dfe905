"""PRelu and functions of one number."""

import numpy as np
from numpy.typing import NDArray

from ...graph import Activation, Kind, PRelu
from ..context import Context, Map
from ..node import OnnxNode
from .elementwise import emit_clamp


__all__ = (
    "convert_hard_sigmoid",
    "convert_hard_swish",
    "convert_leaky_relu",
    "convert_prelu",
    "convert_sigmoid",
    "convert_tanh",
)


def convert_leaky_relu(context: Context, node: OnnxNode) -> None:
    """``x`` where it is at least zero, ``alpha * x`` elsewhere."""
    value = context.stream(node)
    alpha = float(node.attribute("alpha", 0.01))
    if not np.isfinite(alpha):
        raise node.error(f"alpha must be a finite number, not {alpha}")
    _emit_prelu(context, node, value, np.full(context.shapes[value.base][0], alpha))


def convert_prelu(context: Context, node: OnnxNode) -> None:
    """``x`` where it is at least zero, ``slope * x`` elsewhere, one slope for each channel."""
    value = context.stream(node)
    slope = context.numbers(node, 1, "slope")
    assert slope is not None, "an input that ONNX demands"
    _emit_prelu(context, node, value, context.per_channel(node, value, slope))


def convert_sigmoid(context: Context, node: OnnxNode) -> None:
    """``1 / (1 + exp(-x))``."""
    _emit_activation(context, node, "sigmoid")


def convert_tanh(context: Context, node: OnnxNode) -> None:
    """Hyperbolic tangent."""
    _emit_activation(context, node, "tanh")


def convert_hard_sigmoid(context: Context, node: OnnxNode) -> None:
    """``min(max(alpha * x + beta, 0), 1)``."""
    alpha, beta = (
        float(node.attribute(name, default)) for name, default in (("alpha", 0.2), ("beta", 0.5)))
    if not np.isfinite([alpha, beta]).all():
        raise node.error(f"alpha and beta must be finite numbers, not {alpha} and {beta}")
    _emit_activation(context, node, "hard_sigmoid", alpha, beta)


def convert_hard_swish(context: Context, node: OnnxNode) -> None:
    """``x * min(max(x / 6 + 0.5, 0), 1)``."""
    _emit_activation(context, node, "hard_swish", 1 / 6, 0.5)


def _emit_prelu(
    context: Context, node: OnnxNode, value: Map, slope: NDArray[np.float64]
) -> None:
    """Add a PRelu; without any slope it is a clamp."""
    if not slope.any():
        emit_clamp(context, node, 0.0, np.inf)
        return
    context.emit(
        PRelu(node.label, (value.base,), node.output, sources=(node.label,), slope=slope),
        context.shapes[value.base], value.shape)


def _emit_activation(
    context: Context, node: OnnxNode, kind: Kind, alpha: float = 0.0, beta: float = 0.0
) -> None:
    """Add a function of one number."""
    value = context.stream(node)
    context.emit(
        Activation(node.label, (value.base,), node.output, sources=(node.label,), kind=kind,
                   alpha=alpha, beta=beta),
        context.shapes[value.base], value.shape)
