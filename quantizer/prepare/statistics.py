"""What calibration images tell of each channel of each tensor."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..graph import Graph, PRelu
from ..ranges import Reference, batches


__all__ = (
    "ChannelStatistics",
    "channel_statistics",
)


_IMAGES = 32  # enough for moments of channels
_OCTAVES = 16  # below the largest value of a tensor; what is smaller is counted with these
_EXPONENT_BIAS = 126  # of float32: exponent field 126 is [0.5, 1)


@dataclass(frozen=True)
class ChannelStatistics:
    """Moments of the channels of a tensor.

    Parameters
    ----------
    square : float64, (c,)
        Mean square.
    active : float64, (c,)
        Share of elements inside the clamp of the node that makes the tensor; of a PRelu those that
        are not negative.
    first : int
        Octave of the first column of ``over``.
    over : float64, (c, octaves)
        Mean square of what exceeds ``2 ** (first + column)`` in magnitude; zero further on.
    """

    square: NDArray[np.float64]
    active: NDArray[np.float64]
    first: int
    over: NDArray[np.float64]

    def excess(self, octave: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the mean square of what exceeds ``2 ** octave`` in magnitude.

        Parameters
        ----------
        octave : int64, (c, ...)
            Bound of each channel.
        """
        column = octave - self.first
        inside = np.clip(column, 0, self.over.shape[1] - 1)
        channel = np.arange(len(self.over)).reshape(-1, *(1,) * (octave.ndim - 1))
        found = np.where(column < self.over.shape[1], self.over[channel, inside], 0.0)
        return np.where(column < 0, self.square[channel], found)


class _Moments:
    """Sums over the elements of each channel and octave."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._sums = np.zeros((3, channels, 256))
        self._active = np.zeros(channels)
        self._count = 0

    def add(self, values: NDArray[np.float32], lo: float, hi: float) -> None:
        """Count the elements (n, c, h, w) of some images."""
        channels = self._channels
        flat = np.ascontiguousarray(values.transpose(1, 0, 2, 3)).reshape(channels, -1)
        self._count += flat.shape[1]
        self._active += ((flat > lo) & (flat < hi)).sum(1)
        magnitude = np.abs(flat)
        octave = magnitude.view(np.uint32) >> np.uint32(23)
        index = (octave + 256 * np.arange(channels, dtype=np.uint32)[:, None]).ravel()
        for power, total in enumerate(self._sums):
            weights = None if power == 0 else (magnitude**power).ravel()
            total += np.bincount(index, weights, 256 * channels).reshape(channels, 256)

    def result(self) -> ChannelStatistics:
        """Return the means."""
        count, total, square = self._sums / self._count
        used = np.flatnonzero(square.any(0))
        last = int(used[-1]) if len(used) else _EXPONENT_BIAS
        octaves = np.arange(max(last - _OCTAVES, 0), last + 1)

        def above(sums: NDArray[np.float64]) -> NDArray[np.float64]:
            tail = sums[:, ::-1].cumsum(1)[:, ::-1]
            return np.concatenate([tail, np.zeros((len(sums), 1))], 1)[:, octaves + 1]

        bound = np.ldexp(1.0, octaves - _EXPONENT_BIAS)
        over = above(square) - 2 * bound * above(total) + bound**2 * above(count)
        return ChannelStatistics(
            square.sum(1), self._active / self._count, int(octaves[0]) - _EXPONENT_BIAS,
            np.maximum(over, 0))


def channel_statistics(
    graph: Graph, reference: Reference, images: NDArray[np.float32], names: Iterable[str]
) -> dict[str, ChannelStatistics]:
    """Run the float network on some of the images and return the moments of its channels.

    Parameters
    ----------
    graph : Graph
        The network.
    reference : Reference
        Its float results.
    images : float32, (n, *input_dims)
        Calibration images; of many, 32 at equal distances are taken.
    names : iterable of str
        Tensors.
    """
    names = list(names)
    images = images[np.linspace(0, len(images) - 1, min(len(images), _IMAGES)).round().astype(int)]
    clamps = {
        node.output: (0.0, np.inf) if isinstance(node, PRelu) else (node.lo, node.hi)
        for node in graph}
    clamps[graph.input] = (-np.inf, np.inf)
    moments = {name: _Moments(graph.shapes[name][0]) for name in names}
    for piece in batches(graph, len(images), names):
        for name, values in reference.tensors(images[piece], names).items():
            moments[name].add(values, *clamps[name])
    return {name: moment.result() for name, moment in moments.items()}
