"""Gemm and MatMul: convolutions whose kernel is the whole map."""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...graph import Conv, Window
from ..context import Context, Map
from ..node import OnnxNode
from .layout import transpose


__all__ = (
    "convert_gemm",
    "convert_matmul",
)


def convert_gemm(context: Context, node: OnnxNode) -> None:
    """``alpha * A * B + beta * C`` with constant ``B`` and ``C``."""
    value = context.map(node)
    matrix = context.numbers(node, 1, "B")
    if matrix is None or matrix.ndim != 2:
        raise node.error("B must be a constant matrix")
    if node.attribute("transA", 0):
        value = transpose(value, (1, 0))
    weight = matrix if node.attribute("transB", 0) else matrix.T
    alpha, beta = node.attribute("alpha", 1.0), node.attribute("beta", 1.0)
    if alpha != 1:
        weight = weight.astype(np.float64) * alpha
    bias = np.zeros(len(weight))
    addend = context.numbers(node, 2, "C")
    if addend is not None and beta != 0:
        try:
            full = np.broadcast_to(addend, (context.batch, len(weight)))
        except ValueError:
            raise node.error(f"C of shape {addend.shape} must be broadcast to the output "
                             f"{(context.batch, len(weight))}") from None
        if np.any(full != full[0]):
            raise node.error("C must be the same for all images of a batch")
        bias = full[0].astype(np.float64) * beta
    _emit(context, node, value, weight, bias)


def convert_matmul(context: Context, node: OnnxNode) -> None:
    """Product with a constant matrix."""
    matrix = context.numbers(node, 1, "the second operand")
    if matrix is None or matrix.ndim < 2 or prod(matrix.shape[:-2]) != 1:
        shape = None if matrix is None else matrix.shape
        raise node.error(f"the second operand must be one constant matrix, not of shape {shape}")
    weight = matrix.reshape(matrix.shape[-2:]).T
    _emit(context, node, context.map(node), weight, np.zeros(len(weight)))


def _emit(
    context: Context, node: OnnxNode, value: Map,
    weight: NDArray[Any], bias: NDArray[np.float64],
) -> None:
    """Add the convolution with the matrix ``weight``, (outputs, elements of an image)."""
    order = context.vector(node, value)
    elements = prod(value.shape) // context.batch
    if 0 in weight.shape or weight.shape[1] != elements:
        raise node.error(f"a matrix of {weight.shape[1]} rows must fit the {elements} elements of "
                         f"the input")
    if order is not None:
        moved = np.empty_like(weight)
        moved[:, order] = weight
        weight = moved
    shape = context.inferred(node)
    channels, height, width = context.shapes[value.base]
    context.emit(
        Conv(node.label, (value.base,), node.output, sources=(node.label,),
             window=Window(kernel=(height, width)),
             weight=weight.reshape(-1, channels, height, width), bias=bias),
        (len(weight), 1, 1), shape)
