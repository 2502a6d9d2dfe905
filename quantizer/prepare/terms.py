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
from .statistics import ChannelStatistics


__all__ = (
    "MOVES",
    "STEPS",
    "DataNoise",
    "Noise",
    "State",
    "Term",
    "WeightNoise",
    "Widths",
)


MOVES = np.arange(-4, 5)  # changes of an exponent tried at once
STEPS = np.arange(-2, 3)  # changes of a step tried at once, in octaves

_OFFSETS = np.arange(MOVES[0] + STEPS[0], MOVES[-1] + STEPS[-1] + 1)
_NONE = len(_OFFSETS) // 2
_BLOCK_SIZE = 1 << 14  # weights that are worked on at once, with all that belongs to them in cache


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
        With the step moved by any sum of one of :data:`MOVES` and one of :data:`STEPS`.
    """

    members: NDArray[np.int64]
    sign: int
    noise: NDArray[np.float64]

    def within(self, local: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the noise of some classes, and that of all others.

        Parameters
        ----------
        local : int64, (count,)
            Place of each class among those asked for, -1 for the others.

        Returns
        -------
        float64, (steps, moves, classes)
            With the step moved by each of :data:`STEPS`, and the exponent by each of
            :data:`MOVES`.
        float64, (steps,)
            Sum of the others', whose exponents stay.
        """
        place = local[self.members]
        inside, classes = place >= 0, int(local.max()) + 1
        sums = np.array([
            np.bincount(place[inside], row[inside], classes) for row in self.noise])
        middle = _NONE + STEPS
        return (sums[middle[:, None] + self.sign * MOVES],
                self.noise[:, ~inside][middle].sum(1))


@dataclass(frozen=True)
class State:
    """Steps, as octaves, one or one for each output channel, and the noise with them."""

    octave: NDArray[np.int64]
    terms: tuple[Term, ...]

    @property
    def total(self) -> float:
        """All noise; every term tells all of it."""
        return float(self.terms[0].noise[_NONE].sum())


class Noise(ABC):
    """Noise of what is rounded to steps that can be chosen.

    Parameters
    ----------
    members : int64, (channels,)
        Classes that it depends on.
    octave : int64, (steps,)
        Steps to begin with.
    shared : bool
        Whether all steps must be the same.

    Attributes
    ----------
    state : State
        What :meth:`settle` found; may be put back after it.
    """

    def __init__(
        self, members: NDArray[np.int64], octave: NDArray[np.int64], *, shared: bool
    ) -> None:
        self.members = members
        self.state = State(octave, ())
        self._shared = shared

    @abstractmethod
    def _terms(
        self, octave: NDArray[np.int64], exponents: NDArray[np.int64]
    ) -> tuple[Term, ...]:
        """Return the noise with these steps; the channels of the first term are those of steps."""

    def settle(self, exponents: NDArray[np.int64], step: int = 0) -> None:
        """Choose the steps again, near those that are ``step`` octaves further.

        Parameters
        ----------
        exponents : int64, (count,)
            Of all classes.
        step : int
            Where to begin.
        """
        octave = self.state.octave + step
        terms = self._terms(octave, exponents)
        totals = terms[0].noise
        if self._shared:
            totals = np.broadcast_to(totals.sum(1, keepdims=True), (len(totals), len(octave)))
        best = totals.argmin(0)
        if np.any(best != _NONE):
            octave = octave + _OFFSETS[best]
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
        last = max(part.first + part.over.shape[1] for part, _ in self._parts)
        super().__init__(
            np.concatenate([classes.members[name] for name in names]),
            np.array([last - self._range]), shared=True)

    def _terms(self, octave: NDArray[np.int64], exponents: NDArray[np.int64]) -> tuple[Term]:
        octaves = octave - exponents[self.members] + _OFFSETS[:, None]
        found, start = [], 0
        for statistics, gain in self._parts:
            own = octaves[:, start:start + len(gain)]
            start += len(gain)
            excess = statistics.excess(own.T + self._range).T
            found.append((rounding_noise(own, statistics.square) + excess) * gain)
        return (Term(self.members, -1, np.concatenate(found, 1)),)


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
        largest = np.frexp(self._weight.max((0, 2)))[1].astype(np.int64)
        octave = largest if widths.per_channel else np.full(len(largest), largest.max())
        super().__init__(
            np.concatenate([self._rows, self._columns]), octave - self._range,
            shared=not widths.per_channel)

    def _terms(
        self, octave: NDArray[np.int64], exponents: NDArray[np.int64]
    ) -> tuple[Term, Term]:
        rows = np.empty((len(_OFFSETS), len(self._rows)))
        columns = np.zeros((len(_OFFSETS), len(self._columns)))
        for own, index, noise in self._blocks(octave, exponents):
            rows[index, own] = noise.sum(1)
            columns[index] += noise.sum(0) if self._dense else np.bincount(
                self._column[own].ravel(), noise.ravel(), len(self._columns))
        return Term(self._rows, -1, rows), Term(self._columns, 1, columns)

    def _blocks(
        self, octave: NDArray[np.int64], exponents: NDArray[np.int64]
    ) -> Iterator[tuple[slice, int, NDArray[np.float64]]]:
        """Yield output channels, and for each offset the noise of each weight, (k, c / groups).

        The search of formats does not know how much a weight matters, and spares none that is
        large: where one saturates, it counts at least as much as all weights do on average.
        """
        before, after = (exponents[each].astype(np.int32) for each in (self._columns, self._rows))
        change = after[:, None] - before[self._column]  # of what each weight is multiplied by
        average = np.ldexp(self._power, -2 * change).mean()
        step = max(1, _BLOCK_SIZE // (self._weight.shape[0] * self._weight.shape[2]))
        for start in range(0, len(octave), step):
            rows = slice(start, start + step)
            power = self._power[rows]
            least = np.maximum(power, np.ldexp(average, 2 * change[rows]))
            steps = octave[rows, None].astype(np.int32) - change[rows]
            noises = weight_noise(self._weight[:, rows], steps, self._range, _OFFSETS.tolist())
            for index, (rounded, saturated) in enumerate(noises):
                rounded *= power
                saturated *= least
                rounded += saturated
                yield rows, index, rounded
