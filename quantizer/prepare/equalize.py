"""Powers of two that make the channels of a network equal, for the least noise."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arch.formats import Format

from ..graph import Concat, Conv, Graph
from ..ranges import format_root, joined_format
from .channels import ChannelClasses
from .noise import gains, rounding_noise, saturation_noise
from .scale import input_columns
from .statistics import ChannelStatistics


__all__ = (
    "Widths",
    "choose_exponents",
)


_SWEEPS = 12
_MOVES = np.arange(-4, 5)  # changes of an exponent tried at once
_GAIN = 1e-3  # share of its noise that a channel must lose to be worth another factor
_WORTH = 1e-4  # share of the noise that a round must win to be followed by another
_LARGEST = 24  # exponent
_STEPS = np.arange(-2, 3)  # changes of a step tried at once, in octaves
_OFFSETS = np.arange(_MOVES[0] + _STEPS[0], _MOVES[-1] + _STEPS[-1] + 1)
_NONE = len(_OFFSETS) // 2
_STAY = len(_STEPS) // 2


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
class _Term:
    """Noise of channels, as far as it depends on their exponents.

    Parameters
    ----------
    members : int64, (channels,)
        Classes.
    sign : int
        By how much a step grows when the exponent does: 1 or -1.
    noise : float64, (offsets, channels)
        With the step moved by each of :data:`_OFFSETS`.
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
            With the step moved by each of :data:`_STEPS`, and the exponent by each of
            :data:`_MOVES`.
        float64, (steps,)
            Sum of the others', whose exponents stay.
        """
        place = local[self.members]
        inside, classes = place >= 0, int(local.max()) + 1
        sums = np.array([
            np.bincount(place[inside], row[inside], classes) for row in self.noise])
        middle = _NONE + _STEPS
        return (sums[middle[:, None] + self.sign * _MOVES],
                self.noise[:, ~inside][middle].sum(1))


class _Data:
    """Noise of the tensors that share a fractional length.

    The channels of all of them lie one after the other.
    """

    def __init__(
        self, names: list[str], classes: ChannelClasses, widths: Widths,
        statistics: dict[str, ChannelStatistics], gain: dict[str, NDArray[np.float64]],
    ) -> None:
        self._parts = [(statistics[name], gain[name]) for name in names]
        self.members = np.concatenate([classes.members[name] for name in names])
        fmt = widths.data(names[0])
        self._range = fmt.bits - int(fmt.signed)
        last = max(part.first + part.over.shape[1] for part, _ in self._parts)
        self.octave: int = last - self._range

    def noise(self, octaves: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the noise of each channel with these steps, (..., channels)."""
        found, start = [], 0
        for statistics, gain in self._parts:
            own = octaves[..., start:start + len(gain)]
            start += len(gain)
            by_channel = np.moveaxis(own, -1, 0)
            excess = np.moveaxis(statistics.excess(by_channel + self._range), 0, -1)
            found.append((rounding_noise(own, statistics.square) + excess) * gain)
        return np.concatenate(found, -1)

    def terms(self, exponents: NDArray[np.int64]) -> list[_Term]:
        """Return the noise of each channel with its step moved by each offset."""
        octaves = self.octave - exponents[self.members] + _OFFSETS[:, None]
        return [_Term(self.members, -1, self.noise(octaves))]

    def settle(self, exponents: NDArray[np.int64]) -> None:
        """Choose the step again."""
        (term,) = self.terms(exponents)
        self.octave += int(_OFFSETS[term.noise.sum(1).argmin()])

    def total(self, exponents: NDArray[np.int64]) -> float:
        """Return the noise of all channels."""
        return float(self.noise(self.octave - exponents[self.members]).sum())


class _Weights:
    """Noise that rounding the weights of a convolution adds."""

    def __init__(
        self, node: Conv, classes: ChannelClasses, widths: Widths,
        statistics: dict[str, ChannelStatistics], gain: dict[str, NDArray[np.float64]],
    ) -> None:
        columns = input_columns(node)
        self.rows, self.columns = classes.members[node.output], classes.members[node.inputs[0]]
        self._column = columns
        self._power = statistics[node.inputs[0]].square[columns] * gain[node.output][:, None]
        self._weight = np.abs(
            node.weight.reshape(*node.weight.shape[:2], -1)).astype(np.float64)
        self._square = self._weight**2
        self._range = widths.weights(node) - 1
        self._per_channel = widths.per_channel
        self._average = 0.0
        largest = np.frexp(self._weight.max((1, 2)))[1].astype(np.int64)
        self.octave = (largest if self._per_channel else
                       np.full(len(largest), largest.max())) - self._range

    def noise(self, exponents: NDArray[np.int64], move: int = 0) -> NDArray[np.float64]:
        """Return the noise of each weight's channels, (k, c / groups), with a step moved.

        The search of formats does not know how much a weight matters, and spares none that is
        large: where one saturates, it counts at least as much as all weights do on average.
        """
        change = self._change(exponents)
        octave = (self.octave[:, None] + move - change)[..., None]
        rounded = rounding_noise(octave, self._square).sum(-1)
        saturated = saturation_noise(self._weight, octave + self._range).sum(-1)
        least = np.ldexp(self._average, 2 * change.astype(np.int32))
        total: NDArray[np.float64] = (
            rounded * self._power + saturated * np.maximum(self._power, least))
        return total

    def _change(self, exponents: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the exponent of what each weight is multiplied by, (k, c / groups)."""
        return exponents[self.rows][:, None] - exponents[self.columns][self._column]

    def terms(self, exponents: NDArray[np.int64]) -> list[_Term]:
        """Return the noise of each output and each input channel with the step moved."""
        noise = [self.noise(exponents, int(offset)) for offset in _OFFSETS]
        rows = np.array([each.sum(1) for each in noise])
        columns = np.array([
            np.bincount(self._column.ravel(), each.ravel(), len(self.columns)) for each in noise])
        return [_Term(self.rows, -1, rows), _Term(self.columns, 1, columns)]

    def settle(self, exponents: NDArray[np.int64]) -> None:
        """Choose the steps again, and what a weight matters on average."""
        scaled = np.ldexp(self._power, -2 * self._change(exponents).astype(np.int32))
        self._average = float(scaled.mean())
        totals = self.terms(exponents)[0].noise
        if not self._per_channel:
            totals = np.broadcast_to(totals.sum(1, keepdims=True), totals.shape)
        self.octave = self.octave + _OFFSETS[totals.argmin(0)]

    def total(self, exponents: NDArray[np.int64]) -> float:
        """Return the noise of all weights."""
        return float(self.noise(exponents).sum())


@dataclass(frozen=True)
class _State:
    """What is restored when a change was no good."""

    exponents: NDArray[np.int64]
    octaves: list[Any]
    total: float


class _Network:
    """All noise of a network, as far as it depends on the exponents of its channels."""

    def __init__(
        self, graph: Graph, classes: ChannelClasses, widths: Widths,
        statistics: dict[str, ChannelStatistics],
    ) -> None:
        behind, before = gains(graph, statistics)
        self._classes = classes
        self._data = [
            _Data(names, classes, widths, statistics, behind)
            for names in _sharing(graph, statistics)]
        self._weights = [
            _Weights(node, classes, widths, statistics, before)
            for node in graph if isinstance(node, Conv)]
        self.exponents = np.zeros(classes.count, np.int64)

    def components(self) -> list[NDArray[np.int64]]:
        """Return the classes that meet in a format, from one format to the next."""
        seen = self._classes.fixed.copy()
        found = []
        for data in self._data:
            own = np.unique(data.members)
            own = own[~seen[own]]
            seen[own] = True
            if len(own):
                found.append(own)
        return found

    def _touching(self, classes: NDArray[np.int64]) -> Iterator[_Data | _Weights]:
        chosen = np.zeros(self._classes.count, np.bool_)
        chosen[classes] = True
        for data in self._data:
            if chosen[data.members].any():
                yield data
        for weights in self._weights:
            if chosen[weights.rows].any() or chosen[weights.columns].any():
                yield weights

    def improve(self, classes: NDArray[np.int64]) -> bool:
        """Move the exponents of classes, each to where it has the least noise.

        Steps that depend on them are tried together with the exponents: where one channel alone
        keeps a step coarse, it has nothing to win by a move without the step.
        """
        local = np.full(self._classes.count, -1)
        local[classes] = np.arange(len(classes))
        touching = list(self._touching(classes))
        before = self._state(touching)
        curves, others = [], []
        for part in touching:
            found = [term.within(local) for term in part.terms(self.exponents)
                     if (local[term.members] >= 0).any()]
            curves.append(np.sum([curve for curve, _ in found], 0))
            others.append(np.sum([other for _, other in found], 0))
        total = np.sum([curve[_STAY] for curve in curves], 0)
        for part, curve, other in zip(touching, curves, others, strict=True):
            rest = total - curve[_STAY]
            best = int(((rest + curve).min(1).sum(1) + other).argmin())
            total = rest + curve[best]
            part.octave = part.octave + _STEPS[best]
        self.exponents[classes] += _best_moves(total)
        np.clip(self.exponents, -_LARGEST, _LARGEST, out=self.exponents)
        for part in touching:
            part.settle(self.exponents)
        if self._total(touching) < before.total * (1 - _WORTH):
            return True
        self.exponents = before.exponents
        for part, octave in zip(touching, before.octaves, strict=True):
            part.octave = octave
        return False

    def _state(self, parts: list[_Data | _Weights]) -> _State:
        return _State(
            self.exponents.copy(), [part.octave for part in parts], self._total(parts))

    def _total(self, parts: list[_Data | _Weights]) -> float:
        return sum(part.total(self.exponents) for part in parts)

    def settle(self) -> None:
        """Choose every step again."""
        for data in self._data:
            data.settle(self.exponents)
        for weights in self._weights:
            weights.settle(self.exponents)


def _best_moves(total: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the best move of each class, (classes,), none where little is won."""
    worth = total.min(0) < total[_MOVES == 0][0] * (1 - _GAIN)
    return np.where(worth, _MOVES[total.argmin(0)], 0)


def _sharing(graph: Graph, names: dict[str, ChannelStatistics]) -> list[list[str]]:
    """Return the tensors that are rounded, those together that share a format."""
    groups: dict[str, list[str]] = {}
    for name in names:
        if format_root(graph, name) != name:
            continue
        whole = joined_format(graph, name)
        producer = graph.producer(name)
        if isinstance(producer, Concat) and all(
                joined_format(graph, format_root(graph, part)) == whole
                for part in producer.inputs):
            continue  # copies of codes that were rounded before
        groups.setdefault(whole, []).append(name)
    return list(groups.values())


def choose_exponents(
    graph: Graph, widths: Widths, statistics: dict[str, ChannelStatistics]
) -> dict[str, NDArray[np.int64]]:
    """Choose a power of two for each channel so that quantization adds the least noise.

    The noise is that of the network's result, in a model of it: all data is rounded to the step
    of its tensor and saturates at its end, by channel, seen in calibration; all weights are
    rounded and saturate likewise; what that adds is taken to the result through the squares of
    the weights. Exponents are found by coordinate descent, over the channels of one format at a
    time, and steps after each.

    Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction",
    ICCV 2019, section 4.1, which equalizes the ranges of weights; the model of noise and the
    descent are this project's own.

    Parameters
    ----------
    graph : Graph
        The network.
    widths : Widths
        Widths of data and weights.
    statistics : dict from tensor name to ChannelStatistics
        Of the input and of every tensor that is quantized.

    Returns
    -------
    dict from tensor name to int64 (c,)
        Exponents; those that :func:`scale_graph` takes.
    """
    classes = ChannelClasses(graph)
    network = _Network(graph, classes, widths, statistics)
    network.settle()
    components = network.components()
    for _ in range(_SWEEPS):
        improved = [network.improve(component) for component in components]
        if not any(improved):
            break
    return {name: network.exponents[own] for name, own in classes.members.items()}
