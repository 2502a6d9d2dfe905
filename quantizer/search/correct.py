"""Biases that take away what rounding adds to a convolution on average."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..execute import Maps, forget, input_maps, quantize_input
from ..graph import Conv, ConvTranspose, Graph
from ..model import QuantizedModel, QuantizedWeights
from ..prepare.scale import input_columns
from ..ranges import Reference, batches
from .pieces import executed
from .weights import integer_bias


__all__ = (
    "correct_biases",
    "corrected",
    "mean_codes",
    "mean_maps",
    "tap_means",
)


def _meeting(size: int, outputs: int, stride: int, offset: int) -> tuple[slice, int]:
    """Return the positions of a line that a tap meets, and how many there are.

    Output ``i`` meets ``i * stride + offset``, where that is one of ``size`` positions.
    """
    first = max(0, -(offset // stride))
    last = min(outputs - 1, (size - 1 - offset) // stride)
    count = max(0, last - first + 1)
    start = first * stride + offset
    return slice(start, start + (count - 1) * stride + 1, stride) if count else slice(0), count


def _spreading(size: int, outputs: int, stride: int, offset: int) -> slice:
    """Return the positions of a line that a tap spreads to one of ``outputs`` positions.

    Input ``i`` meets output ``i * stride + offset``.
    """
    first = max(0, -(offset // stride))
    last = min(size - 1, (outputs - 1 - offset) // stride)
    return slice(first, max(last + 1, first))


def tap_means(node: Conv, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what each tap of a convolution meets on average over all outputs, padding included.

    Parameters
    ----------
    node : Conv
        Geometry.
    x : float64, (c, h, w)
        Input, such as the mean of many.

    Returns
    -------
    float64, (c, r, s)
        Means; the mean of output ``k`` is their sum over the products with its weights, and bias.
    """
    _, height, width = x.shape
    transposed = isinstance(node, ConvTranspose)
    lines, columns = (
        node.output_size(height, width) if isinstance(node, ConvTranspose)
        else node.window.output_size(height, width))
    (sy, sx), (dy, dx), (top, left, _, _) = (
        node.window.strides, node.window.dilations, node.window.pads)
    result = np.zeros((len(x), *node.window.kernel))
    for r, s in np.ndindex(*node.window.kernel):
        if transposed:
            rows = _spreading(height, lines, sy, r * dy - top)
            cols = _spreading(width, columns, sx, s * dx - left)
        else:
            rows, _ = _meeting(height, lines, sy, r * dy - top)
            cols, _ = _meeting(width, columns, sx, s * dx - left)
        result[:, r, s] = x[:, rows, cols].sum((1, 2))
    return result / (lines * columns)


def _mean_output(
    node: Conv, weight: NDArray[np.float64], x: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the mean of each output channel, (k,), without bias."""
    total: NDArray[np.float64] = (
        weight * tap_means(node, x)[input_columns(node)]).sum((1, 2, 3))
    return total


def corrected(
    model: QuantizedModel, node: Conv, exact: NDArray[np.float64], found: NDArray[np.float64]
) -> QuantizedWeights:
    """Return the integers of a convolution with the bias that makes its mean that of float.

    What differs is the weights, which are rounded, and the input, which has met the noise of all
    layers before. Both are linear, so that the means of the inputs say all; they are those before
    the clamp, where a bias can make up for them.

    Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction",
    ICCV 2019, appendix D (empirical bias correction).

    Parameters
    ----------
    model : QuantizedModel
        Format of the input, and integers of the convolution without correction.
    node : Conv
        The convolution.
    exact : float64, (c, h, w)
        Mean of its float input over calibration images.
    found : float64, (c, h, w)
        Mean of the codes of its input over the same images.
    """
    weights, frac = model.weights[node.name], model.formats[node.inputs[0]].frac
    codes = np.ldexp(weights.codes.astype(np.float64), -weights.frac[:, None, None, None])
    error = (_mean_output(node, node.weight.astype(np.float64), exact)
             - _mean_output(node, codes, found * math.ldexp(1.0, -frac)))
    return replace(weights, correction=error, bias=integer_bias(
        node, weights.frac, frac, error))


def mean_maps(
    graph: Graph, reference: Reference, images: NDArray[np.float32]
) -> dict[str, NDArray[np.float64]]:
    """Return the mean over images of every float map that a convolution reads, (c, h, w).

    Parameters
    ----------
    graph : Graph
        The network.
    reference : Reference
        Its float results.
    images : float32, (n, *input_dims)
        Calibration images.
    """
    names = list(dict.fromkeys(
        node.inputs[0] for node in graph if isinstance(node, Conv)))
    totals = {name: np.zeros(graph.shapes[name]) for name in names}
    for piece in batches(graph, len(images), names):
        for name, values in reference.tensors(images[piece], names).items():
            totals[name] += values.sum(0, dtype=np.float64)
    return {name: total / len(images) for name, total in totals.items()}


def correct_biases(
    model: QuantizedModel, images: NDArray[np.float32], means: Mapping[str, NDArray[np.float64]]
) -> None:
    """Give every convolution of a model the bias that :func:`corrected` finds, in order.

    Parameters
    ----------
    model : QuantizedModel
        Formats and integers; biases are replaced.
    images : float32, (n, *input_dims)
        Calibration images.
    means : mapping from tensor name to float64 (c, h, w)
        What :func:`mean_maps` gives for them.
    """
    graph = model.graph
    maps: Maps = {graph.input: input_maps(model, quantize_input(model, images))}
    for index, node in enumerate(graph.accelerated):
        if isinstance(node, Conv):
            model.weights[node.name] = corrected(
                model, node, means[node.inputs[0]], mean_codes(maps[node.inputs[0]]))
        maps[node.output] = executed(model, node, maps)
        forget(graph, index, maps)


def mean_codes(codes: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the mean over images of a map of codes (n, h, w, c), (c, h, w)."""
    means: NDArray[np.float64] = codes.mean(0, dtype=np.float64)
    return means.transpose(2, 0, 1)
