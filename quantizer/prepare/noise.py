"""A model of the noise that quantization adds, by channel, as far as the network's result."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from ..graph import (
    Activation,
    Add,
    Concat,
    Conv,
    Graph,
    Mul,
    Node,
    Pool,
    PRelu,
    Slice,
)
from .scale import input_columns
from .statistics import ChannelStatistics


__all__ = (
    "gains",
    "rounding_noise",
    "weight_noise",
)


def rounding_noise(
    octave: NDArray[np.float64], square: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the mean square of what rounding to multiples of ``2 ** octave`` adds.

    It is that of a uniform distribution, ``step ** 2 / 12``, but never more than the numbers'
    own, ``square``: small ones become zero.
    """
    return np.minimum(np.exp2(2 * octave) / 12, square)


def weight_noise(
    magnitude: NDArray[np.float32], octave: NDArray[np.float64], bits: int,
    offsets: Iterable[float],
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Yield the noise of weights, summed over their taps, for steps of several sizes.

    Parameters
    ----------
    magnitude : float32, (taps, k, c)
        Magnitudes of the weights.
    octave : float64, (k, c)
        Weights are rounded to multiples of ``2 ** octave``.
    bits : int
        They saturate at ``2 ** (octave + bits)``.
    offsets : iterable of float
        What is added to the octaves.

    Yields
    ------
    float64, (k, c)
        Mean square of what rounding adds, see :func:`rounding_noise`.
    float64, (k, c)
        Square of what saturating takes away.
    """
    exact = magnitude.astype(np.float64)
    square, work = exact * exact, np.empty_like(exact)
    step, bound = np.exp2(2 * octave) / 12, np.exp2(octave + bits)
    for offset in offsets:
        rounded = np.minimum(step * 4.0**offset, square, out=work).sum(0)
        np.subtract(exact, bound * 2.0**offset, out=work)
        np.maximum(work, 0, out=work)
        np.square(work, out=work)
        yield rounded, work.sum(0)


def _slope(node: Activation) -> float:
    """Return the steepest slope of a function of one number, about."""
    return {"sigmoid": 0.25, "hard_sigmoid": node.alpha}.get(node.kind, 1.0)


def _backward(
    node: Node, gain: NDArray[np.float64], statistics: dict[str, ChannelStatistics]
) -> list[NDArray[np.float64]]:
    """Return the gain from each input of a node, behind whose clamp it is ``gain``."""
    if isinstance(node, Conv):
        power = np.square(node.weight, dtype=np.float64).sum((2, 3)) * gain[:, None]
        columns = input_columns(node)
        count = len(statistics[node.inputs[0]].square)
        return [np.bincount(columns.ravel(), power.ravel(), count).astype(np.float64)]
    if isinstance(node, Mul):
        a, b = (statistics[name].square for name in node.inputs)
        return [gain * b, gain * a]
    if isinstance(node, Concat):
        ends = np.cumsum([len(statistics[name].square) for name in node.inputs])
        return np.split(gain, ends[:-1])
    if isinstance(node, Slice):
        result = np.zeros(len(statistics[node.inputs[0]].square))
        result[node.start:node.start + len(gain)] = gain
        return [result]
    if isinstance(node, Pool) and node.kind == "average":
        return [gain / (node.window.kernel[0] * node.window.kernel[1])]
    if isinstance(node, PRelu):
        share = statistics[node.output].active
        return [gain * (share + (1 - share) * np.square(node.slope, dtype=np.float64))]
    if isinstance(node, Activation):
        return [gain * _slope(node) ** 2]
    return [gain] * (2 if isinstance(node, Add) else 1)


def gains(
    graph: Graph, statistics: dict[str, ChannelStatistics]
) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
    """Return what noise in a channel adds to that of the network's result.

    Noise is taken to be independent from element to element and to pass where a clamp does not
    hold.

    Parameters
    ----------
    graph : Graph
        The network.
    statistics : dict from tensor name to ChannelStatistics
        Of every tensor.

    Returns
    -------
    behind : dict from tensor name to float64 (c,)
        Mean square of the noise of the result, for noise of mean square one in the channel.
    before : dict from tensor name to float64 (c,)
        The same for noise before the clamp of the node that makes the tensor.
    """
    behind = {name: np.zeros(shape[0]) for name, shape in graph.shapes.items()}
    before: dict[str, NDArray[np.float64]] = {}
    behind[graph.output] += 1.0
    for node in reversed(graph.nodes):
        gain = behind[node.output]
        if node.clamped and not isinstance(node, PRelu):
            gain = gain * statistics[node.output].active
        before[node.output] = gain
        for name, part in zip(node.inputs, _backward(node, gain, statistics), strict=True):
            behind[name] += part
    return behind, before
