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
_LEADING = 8  # bits of a mantissa that tell the part of its octave
_PART = np.floor(PARTS * np.log2(1 + np.arange(1 << _LEADING) / (1 << _LEADING))).astype(np.int64)
_BIN = (PARTS * np.arange(256)[:, None] + _PART).ravel()  # by leading bits
_BLOCK_SIZE = 1 << 15  # elements that are worked on at once, with all that belongs to them in cache


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
    """Sums over the elements of each channel and part of an octave.

    Parts are counted from the largest number down; what is smaller than the last of them is
    summed up with it.
    """

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._top = 0  # bin of the last column
        self._sums = np.zeros((3, channels, _COLUMNS + 2))
        self._active = np.zeros(channels)
        self._count = 0

    def add(self, values: NDArray[np.float32], lo: float, hi: float) -> None:
        """Count the elements (n, c, h, w) of some images."""
        flat = values.reshape(*values.shape[:2], -1)
        self._count += len(flat) * flat.shape[2]
        largest = np.abs(np.float32(max(-values.min(), values.max())))  # of zeros it is -0
        self._raise(int(_BIN[largest.view(np.uint32) >> np.uint32(23 - _LEADING)]))
        step = max(1, _BLOCK_SIZE // flat.shape[2])
        for image in flat:
            for start in range(0, self._channels, step):
                rows = slice(start, start + step)
                self._active[rows] += ((image[rows] > lo) & (image[rows] < hi)).sum(1)
                self._add(rows, np.abs(image[rows]))

    def _raise(self, top: int) -> None:
        """Let the last column be that of a larger number."""
        shift = min(top - self._top, self._sums.shape[2] - 1)
        if shift > 0:
            self._top = top
            below = self._sums[..., :shift + 1].sum(2)
            self._sums[..., :-shift] = self._sums[..., shift:]
            self._sums[..., 0] = below
            self._sums[..., -shift:] = 0

    def _add(self, rows: slice, magnitude: NDArray[np.float32]) -> None:
        """Count magnitudes (channels, elements)."""
        channels, columns = len(magnitude), self._sums.shape[2]
        leading = magnitude.view(np.uint32) >> np.uint32(23 - _LEADING)
        index = np.maximum(_BIN - (self._top - columns + 1), 0)[leading]
        index += columns * np.arange(channels)[:, None]
        exact = magnitude.astype(np.float64)
        for total, weights in zip(self._sums, (None, exact, exact * exact), strict=True):
            total[rows] += np.bincount(
                index.ravel(), None if weights is None else weights.ravel(),
                columns * channels).reshape(channels, columns)

    def result(self) -> ChannelStatistics:
        """Return the means."""
        count, total, square = self._sums / self._count
        first = max(self._top - _COLUMNS, 0) + 1
        bins = np.arange(first, self._top + 2)

        def above(sums: NDArray[np.float64]) -> NDArray[np.float64]:
            tail = sums[:, ::-1].cumsum(1)[:, ::-1]
            return np.concatenate([tail, np.zeros((len(sums), 1))], 1)[:, -len(bins):]

        bound = np.exp2((bins - _BIAS) / PARTS)
        over = above(square) - 2 * bound * above(total) + bound**2 * above(count)
        return ChannelStatistics(
            square.sum(1), self._active / self._count, first - _BIAS, np.maximum(over, 0))


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
