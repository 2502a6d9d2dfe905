"""A result that the host shifts and scales back, so that it fits its codes."""

import numpy as np
from numpy.typing import NDArray

from arch.formats import Format

from ..execute import output_name
from ..graph import Conv, Graph, Softmax
from ..ranges import Reference, batches
from .absorb import shift_graph
from .fit_input import Fit
from .scale import scale_graph


__all__ = (
    "choose_result",
    "fit_output",
)


_MARGIN = 0.15
"""Of the range seen in calibration. Chosen on calibration images that took no part in it: signal
to noise, summed over four small networks, is 2.5 dB lower without, and flat from 0.1 to 0.2.
"""


def choose_result(
    graph: Graph, reference: Reference, images: NDArray[np.float32], fmt: Format
) -> Fit | None:
    """Choose offset and step of the result with which its numbers fill the codes.

    Codes reach a little further than the calibration images do, since a result that saturates is
    worse than one that is a little coarser. All channels share them, so that the largest code is
    the largest number.

    Parameters
    ----------
    graph : Graph
        The network.
    reference : Reference
        Its float results.
    images : float32, (n, *graph.input_dims)
        Calibration images.
    fmt : Format
        Width of the result's codes; sign and fractional length do not count.

    Returns
    -------
    Fit, optional
        What :func:`fit_output` takes. None where it is not the result of a convolution without a
        clamp that nothing but a Softmax reads, or where all numbers are the same.
    """
    name = output_name(graph)
    node, readers = graph.producer(name), graph.consumers(name)
    if not isinstance(node, Conv) or node.clamped or node.addend is not None or not all(
            isinstance(reader, Softmax) for reader in readers):
        return None
    found = [
        reference.tensors(images[piece], [name])[name]
        for piece in batches(graph, len(images), [name])]
    lo, hi = float(min(map(np.min, found))), float(max(map(np.max, found)))
    if lo == hi:
        return None
    margin = _MARGIN * (hi - lo)
    return Fit(lo - margin / 2, (hi - lo + margin) / ((1 << fmt.bits) - 1))


def fit_output(graph: Graph, fit: Fit, fmt: Format) -> Graph:
    """Hold the result as what fills its codes.

    The offset goes into the biases of the last convolution, and the factor into its weights, too.
    In float, the network gives the same up to rounding once the host has undone both
    (:meth:`Graph.real`). What it does for that are numbers of float32, so that a file that is
    exported holds them as they are.

    Parameters
    ----------
    graph : Graph
        The network.
    fit : Fit
        As from :func:`choose_result`.
    fmt : Format
        The same; its codes are signed.

    Returns
    -------
    Graph
        The network, with the result in :attr:`Graph.exponents` and :attr:`Graph.offsets`.
    """
    name = output_name(graph)
    channels = graph.shapes[name][0]
    middle = np.float32(fit.offset + fit.step * (1 << (fmt.bits - 1)))
    factor = np.float32(fit.step / np.exp2(np.floor(np.log2(fit.step))))  # to a power of two
    exponent = -np.log2(np.float64(factor))
    free = {other: np.zeros(shape[0]) for other, shape in graph.shapes.items()}
    shifted = shift_graph(graph, {name: np.full(channels, middle)})
    return scale_graph(shifted, {**free, name: np.full(channels, exponent)})
