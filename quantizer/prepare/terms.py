"""Noise of rounded data and of rounded weights, as far as it depends on factors and steps."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arch.formats import Format

from ..graph import Conv
from .channels import ChannelClasses
from .noise import rounding_noise, weight_noise
from .scale import input_columns
from .statistics import PARTS, ChannelStatistics


__all__ = (
    "COARSE",
    "FINE",
    "DataNoise",
    "Moves",
    "Noise",
    "State",
    "Term",
    "WeightNoise",
    "Widths",
)


_SATURATION = 10
"""What saturation of data counts, in errors of the same size that come from rounding: it is always
of one sign, and so does not average out as the model has it. Chosen on calibration images that took
no part in the search: output of five networks, per tensor and per channel, 0.3 dB better on average
than 1, and 0.5 dB better than 30.
"""
_BLOCK_SIZE = 1 << 14  # weights that are worked on at once, with all that belongs to them in cache


class Moves:
    """Changes that are tried at once.

    Parameters
    ----------
    exponents : float64, (moves,)
        Of exponents, evenly spaced around zero.
    steps : float64, (steps,)
        Of steps, in whole octaves around zero.

    Attributes
    ----------
    offsets : float64, (offsets,)
        All sums of the two, and what lies between.
    """

    def __init__(self, exponents: NDArray[np.float64], steps: NDArray[np.float64]) -> None:
        self.exponents, self.steps = exponents, steps
        self._unit = float(exponents[1] - exponents[0])
        reach = self.places(exponents)[-1] + self.places(steps)[-1]
        self.offsets = self._unit * np.arange(-reach, reach + 1)
        self.whole = np.flatnonzero(self.offsets % 1 == 0)

    def places(self, changes: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return how far behind the middle of the offsets changes are."""
        return np.rint(changes / self._unit).astype(np.int64)


COARSE = Moves(np.arange(-4.0, 5), np.arange(-2.0, 3))
FINE = Moves(np.arange(-PARTS, PARTS + 1) / PARTS, np.arange(-1.0, 2))


@dataclass(frozen=True)
class Widths:
    """Widths that a search will use.

    Parameters
    ----------
    data : callable
        Returns the format of a tensor; its ``frac`` does not count.
    weights : callable
        Returns the width of a convolution's weights, in bits.
    per_channel : bool
        Whether each output channel has its own fractional length of weights.
    """

    data: Callable[[str], Format]
    weights: Callable[[Conv], int]
    per_channel: bool


@dataclass(frozen=True)
class Term:
    """Noise of channels, as far as it depends on their exponents.

    Parameters
    ----------
    members : int64, (channels,)
        Classes.
    sign : int
        By how much a step grows when the exponent does: 1 or -1.
    noise : float64, (offsets, channels)
        With the step moved by each of the offsets.
    moves : Moves
        What they belong to.
    """

    members: NDArray[np.int64]
    sign: int
    noise: NDArray[np.float64]
    moves: Moves

    def within(self, local: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the noise of some classes, and that of all others.

        Parameters
        ----------
        local : int64, (count,)
            Place of each class among those asked for, -1 for the others.

        Returns
        -------
        float64, (steps, moves, classes)
            With the step, and the exponent, moved by each change.
        float64, (steps,)
            Sum of the others', whose exponents stay.
        """
        place = local[self.members]
        inside, classes = place >= 0, int(local.max()) + 1
        sums = np.array([
            np.bincount(place[inside], row[inside], classes) for row in self.noise])
        middle = len(self.noise) // 2 + self.moves.places(self.moves.steps)
        return (sums[middle[:, None] + self.sign * self.moves.places(self.moves.exponents)],
                self.noise[:, ~inside][middle].sum(1))

    @property
    def total(self) -> float:
        """Noise of all channels, where nothing moves."""
        return float(self.noise[len(self.noise) // 2].sum())


@dataclass(frozen=True)
class State:
    """Steps, as whole octaves, one or one for each output channel, and the noise with them."""

    octave: NDArray[np.float64]
    terms: tuple[Term, ...]

    @property
    def total(self) -> float:
        """All noise; every term tells all of it."""
        return self.terms[0].total


class Noise(ABC):
    """Noise of what is rounded to steps that can be chosen.

    Parameters
    ----------
    members : int64, (channels,)
        Classes that it depends on.
    octave : float64, (steps,)
        Steps to begin with.
    shared : bool
        Whether all steps must be the same.

    Attributes
    ----------
    moves : Moves
        Changes to try.
    state : State
        What :meth:`settle` found; may be put back after it.
    """

    def __init__(
        self, members: NDArray[np.int64], octave: NDArray[np.float64], *, shared: bool
    ) -> None:
        self.members = members
        self.moves = COARSE
        self.state = State(octave, ())
        self._shared = shared

    @abstractmethod
    def _terms(
        self, octave: NDArray[np.float64], exponents: NDArray[np.float64]
    ) -> tuple[Term, ...]:
        """Return the noise with these steps; the channels of the first term are those of steps."""

    def settle(self, exponents: NDArray[np.float64], step: float = 0) -> None:
        """Choose the steps again, near those that are ``step`` octaves further.

        Parameters
        ----------
        exponents : float64, (count,)
            Of all classes.
        step : float
            Where to begin.
        """
        octave, whole = self.state.octave + step, self.moves.whole
        terms = self._terms(octave, exponents)
        totals = terms[0].noise[whole]
        if self._shared:
            totals = np.broadcast_to(totals.sum(1, keepdims=True), (len(totals), len(octave)))
        change = self.moves.offsets[whole][totals.argmin(0)]
        if change.any():
            octave = octave + change
            terms = self._terms(octave, exponents)
        self.state = State(octave, terms)


class DataNoise(Noise):
    """Noise of the tensors that share a fractional length.

    The channels of all of them lie one after the other.

    Parameters
    ----------
    names : list of str
        The tensors.
    classes : ChannelClasses
        Classes of their channels.
    widths : Widths
        Widths of the codes.
    statistics : dict from tensor name to ChannelStatistics
        What their channels hold.
    gain : dict from tensor name to float64 (c,)
        What noise in a channel adds to that of the network's result.
    """

    def __init__(
        self, names: list[str], classes: ChannelClasses, widths: Widths,
        statistics: dict[str, ChannelStatistics], gain: dict[str, NDArray[np.float64]],
    ) -> None:
        self._parts = [(statistics[name], gain[name]) for name in names]
        fmt = widths.data(names[0])
        self._range = fmt.bits - int(fmt.signed)
        last = max(part.last for part, _ in self._parts)
        super().__init__(
            np.concatenate([classes.members[name] for name in names]),
            np.array([last - self._range], np.float64), shared=True)

    def _terms(self, octave: NDArray[np.float64], exponents: NDArray[np.float64]) -> tuple[Term]:
        octaves = octave - exponents[self.members] + self.moves.offsets[:, None]
        found, start = [], 0
        for statistics, gain in self._parts:
            own = octaves[:, start:start + len(gain)]
            start += len(gain)
            excess = statistics.excess(own.T + self._range).T
            found.append((rounding_noise(own, statistics.square) + _SATURATION * excess) * gain)
        return (Term(self.members, -1, np.concatenate(found, 1), self.moves),)


class WeightNoise(Noise):
    """Noise that rounding the weights of a convolution adds.

    Its terms are those of its output and of its input channels.

    Parameters
    ----------
    node : Conv
        The convolution.
    classes : ChannelClasses
        Classes of its channels.
    widths : Widths
        Widths of the weights.
    statistics : dict from tensor name to ChannelStatistics
        What the channels of its input hold.
    gain : dict from tensor name to float64 (c,)
        What noise before its clamp adds to that of the network's result.
    """

    def __init__(
        self, node: Conv, classes: ChannelClasses, widths: Widths,
        statistics: dict[str, ChannelStatistics], gain: dict[str, NDArray[np.float64]],
    ) -> None:
        self._rows, self._columns = classes.members[node.output], classes.members[node.inputs[0]]
        self._dense = node.groups == 1
        self._column = input_columns(node)
        self._power = statistics[node.inputs[0]].square[self._column] * gain[node.output][:, None]
        taps = node.weight.reshape(*self._column.shape, -1)
        self._weight = np.ascontiguousarray(np.abs(taps).transpose(2, 0, 1))
        self._range = widths.weights(node) - 1
        largest = np.frexp(self._weight.max((0, 2)))[1].astype(np.float64)
        octave = largest if widths.per_channel else np.full(len(largest), largest.max())
        super().__init__(
            np.concatenate([self._rows, self._columns]), octave - self._range,
            shared=not widths.per_channel)

    def _terms(
        self, octave: NDArray[np.float64], exponents: NDArray[np.float64]
    ) -> tuple[Term, Term]:
        count = len(self.moves.offsets)
        rows = np.empty((count, len(self._rows)))
        columns = np.zeros((count, len(self._columns)))
        for own, index, noise in self._blocks(octave, exponents):
            rows[index, own] = noise.sum(1)
            columns[index] += noise.sum(0) if self._dense else np.bincount(
                self._column[own].ravel(), noise.ravel(), len(self._columns))
        return (Term(self._rows, -1, rows, self.moves),
                Term(self._columns, 1, columns, self.moves))

    def _blocks(
        self, octave: NDArray[np.float64], exponents: NDArray[np.float64]
    ) -> Iterator[tuple[slice, int, NDArray[np.float64]]]:
        """Yield output channels, and for each offset the noise of each weight, (k, c / groups).

        The search of formats does not know how much a weight matters, and spares none that is
        large: where one saturates, it counts at least as much as all weights do on average.
        """
        before, after = exponents[self._columns], exponents[self._rows]
        change = after[:, None] - before[self._column]  # of what each weight is multiplied by
        average = (self._power * np.exp2(-2 * change)).mean()
        step = max(1, _BLOCK_SIZE // (self._weight.shape[0] * self._weight.shape[2]))
        for start in range(0, len(octave), step):
            rows = slice(start, start + step)
            power = self._power[rows]
            least = np.maximum(power, average * np.exp2(2 * change[rows]))
            steps = octave[rows, None] - change[rows]
            noises = weight_noise(self._weight[:, rows], steps, self._range, self.moves.offsets)
            for index, (rounded, saturated) in enumerate(noises):
                rounded *= power
                saturated *= least
                rounded += saturated
                yield rows, index, rounded
