"""What calibration images tell of each channel of each tensor."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..graph import Graph, PRelu
from ..ranges import Reference, batches


__all__ = (
    "PARTS",
    "ChannelStatistics",
    "channel_statistics",
)


PARTS = 4
"""Of an octave: exponents are multiples of one."""

_IMAGES = 32  # enough for moments of channels; more, for the largest numbers, while they are cheap
_NUMBERS = 1 << 26  # of all tensors and images
_COLUMNS = 16 * PARTS  # below the largest value of a tensor; what is smaller is counted with these
_BIAS = 127 * PARTS  # of float32: exponent field 127 is [1, 2)
_BINS = 256 * PARTS
_LEADING = 8  # bits of a mantissa that tell the part of its octave
_PART = np.floor(PARTS * np.log2(1 + np.arange(1 << _LEADING) / (1 << _LEADING))).astype(np.uint32)
_BIN = (PARTS * np.arange(256, dtype=np.uint32)[:, None] + _PART).ravel()  # by leading bits


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
        What the first column of ``over`` exceeds, in parts of an octave.
    over : float64, (c, columns)
        Mean square of what exceeds ``2 ** ((first + column) / PARTS)`` in magnitude; zero further
        on.
    """

    square: NDArray[np.float64]
    active: NDArray[np.float64]
    first: int
    over: NDArray[np.float64]

    @property
    def last(self) -> int:
        """Octave that nothing exceeds."""
        return -int(-(self.first + self.over.shape[1]) // PARTS)

    def excess(self, octave: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean square of what exceeds ``2 ** octave`` in magnitude.

        Parameters
        ----------
        octave : float64, (c, ...)
            Bound of each channel, a multiple of a part.
        """
        column = np.rint(octave * PARTS).astype(np.int64) - self.first
        inside = np.clip(column, 0, self.over.shape[1] - 1)
        channel = np.arange(len(self.over)).reshape(-1, *(1,) * (octave.ndim - 1))
        found = np.where(column < self.over.shape[1], self.over[channel, inside], 0.0)
        return np.where(column < 0, self.square[channel], found)


class _Moments:
    """Sums over the elements of each channel and part of an octave."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._sums = np.zeros((3, channels, _BINS))
        self._active = np.zeros(channels)
        self._count = 0

    def add(self, values: NDArray[np.float32], lo: float, hi: float) -> None:
        """Count the elements (n, c, h, w) of some images."""
        channels = self._channels
        flat = np.ascontiguousarray(values.transpose(1, 0, 2, 3)).reshape(channels, -1)
        self._count += flat.shape[1]
        self._active += ((flat > lo) & (flat < hi)).sum(1)
        magnitude = np.abs(flat)
        leading = magnitude.view(np.uint32) >> np.uint32(23 - _LEADING)
        index = (_BIN[leading] + _BINS * np.arange(channels, dtype=np.uint32)[:, None]).ravel()
        for power, total in enumerate(self._sums):
            weights = None if power == 0 else (magnitude**power).ravel()
            total += np.bincount(index, weights, _BINS * channels).reshape(channels, _BINS)

    def result(self) -> ChannelStatistics:
        """Return the means."""
        count, total, square = self._sums / self._count
        used = np.flatnonzero(square.any(0))
        last = int(used[-1]) if len(used) else _BIAS
        bins = np.arange(max(last - _COLUMNS, 0), last + 1)

        def above(sums: NDArray[np.float64]) -> NDArray[np.float64]:
            tail = sums[:, ::-1].cumsum(1)[:, ::-1]
            return np.concatenate([tail, np.zeros((len(sums), 1))], 1)[:, bins + 1]

        bound = np.exp2((bins + 1 - _BIAS) / PARTS)
        over = above(square) - 2 * bound * above(total) + bound**2 * above(count)
        return ChannelStatistics(
            square.sum(1), self._active / self._count, int(bins[0]) + 1 - _BIAS,
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
        Calibration images; of many, some at equal distances are taken, at least 32.
    names : iterable of str
        Tensors.
    """
    names = list(names)
    size = sum(int(np.prod(graph.shapes[name])) for name in names)
    count = min(len(images), max(_IMAGES, _NUMBERS // size))
    images = images[np.linspace(0, len(images) - 1, count).round().astype(int)]
    clamps = {
        node.output: (0.0, np.inf) if isinstance(node, PRelu) else (node.lo, node.hi)
        for node in graph}
    clamps[graph.input] = (-np.inf, np.inf)
    moments = {name: _Moments(graph.shapes[name][0]) for name in names}
    for piece in batches(graph, len(images), names):
        for name, values in reference.tensors(images[piece], names).items():
            moments[name].add(values, *clamps[name])
    return {name: moment.result() for name, moment in moments.items()}
