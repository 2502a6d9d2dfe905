"""Factors that make the channels of a network equal, for the least noise."""

import numpy as np
from numpy.typing import NDArray

from ..graph import Concat, Conv, Graph
from ..ranges import format_root, joined_format
from .channels import ChannelClasses
from .noise import gains
from .statistics import ChannelStatistics
from .terms import COARSE, FINE, DataNoise, Moves, Noise, WeightNoise, Widths


__all__ = ("choose_exponents",)


_SWEEPS = 12
_FINE_SWEEPS = 6
_GAIN = 1e-3  # share of its noise that a channel must lose to be worth another factor
_WORTH = 1e-4  # share of the noise that a round must win to be followed by another
_LARGEST = 24  # exponent


class _Component:
    """Classes whose exponents are moved at once, and the noise that depends on them."""

    def __init__(self, classes: NDArray[np.int64], count: int, noises: list[Noise]) -> None:
        self.classes = classes
        self.local = np.full(count, -1)
        self.local[classes] = np.arange(len(classes))
        self.touching = [
            noise for noise in noises if (self.local[noise.members] >= 0).any()]
        self.stale = True

    @property
    def total(self) -> float:
        """All noise that depends on the classes."""
        return sum(noise.state.total for noise in self.touching)


class _Network:
    """All noise of a network, as far as it depends on the exponents of its channels."""

    def __init__(
        self, graph: Graph, classes: ChannelClasses, widths: Widths,
        statistics: dict[str, ChannelStatistics],
    ) -> None:
        behind, before = gains(graph, statistics)
        data = [
            DataNoise(names, classes, widths, statistics, behind)
            for names in _sharing(graph, statistics)]
        weights = [
            WeightNoise(node, classes, widths, statistics, before)
            for node in graph if isinstance(node, Conv)]
        self.exponents = np.zeros(classes.count)
        self._noises: list[Noise] = [*data, *weights]
        self._components = []
        seen = classes.fixed.copy()
        for each in data:  # from one format to the next
            own = np.unique(each.members)
            own = own[~seen[own]]
            seen[own] = True
            if len(own):
                self._components.append(_Component(own, classes.count, self._noises))
        self.moves = COARSE

    def try_all(self, moves: Moves) -> None:
        """Let every component try these changes from now on."""
        self.moves = moves
        for noise in self._noises:
            noise.moves = moves
            noise.settle(self.exponents)
        for component in self._components:
            component.stale = True

    def sweep(self) -> bool:
        """Improve the components one after the other; return whether there is more to try.

        One that found nothing waits until something that it depends on has changed.
        """
        for component in self._components:
            if component.stale:
                component.stale = False
                if self._improve(component):
                    for other in self._components:
                        other.stale |= any(
                            noise in component.touching for noise in other.touching)
        return any(component.stale for component in self._components)

    def _improve(self, component: _Component) -> bool:
        """Move the exponents of classes, each to where it has the least noise.

        Steps that depend on them are tried together with the exponents: where one channel alone
        keeps a step coarse, it has nothing to win by a move without the step.
        """
        touching, local = component.touching, component.local
        exponents, states = self.exponents, [noise.state for noise in touching]
        before = component.total
        curves, others = [], []
        for state in states:
            found = [term.within(local) for term in state.terms
                     if (local[term.members] >= 0).any()]
            curves.append(np.sum([curve for curve, _ in found], 0))
            others.append(np.sum([other for _, other in found], 0))
        moves, stay = self.moves, len(self.moves.steps) // 2
        total = np.sum([curve[stay] for curve in curves], 0)
        steps = []
        for curve, other in zip(curves, others, strict=True):
            rest = total - curve[stay]
            best = int(((rest + curve).min(1).sum(1) + other).argmin())
            total = rest + curve[best]
            steps.append(float(moves.steps[best]))
        self.exponents = exponents.copy()
        self.exponents[component.classes] += _best_moves(total, moves.exponents)
        np.clip(self.exponents, -_LARGEST, _LARGEST, out=self.exponents)
        for noise, step in zip(touching, steps, strict=True):
            noise.settle(self.exponents, step)
        if component.total < before * (1 - _WORTH):
            return True
        self.exponents = exponents
        for noise, state in zip(touching, states, strict=True):
            noise.state = state
        return False


def _best_moves(
    total: NDArray[np.float64], moves: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the best move of each class, (classes,), none where little is won."""
    worth = total.min(0) < total[moves == 0][0] * (1 - _GAIN)
    return np.where(worth, moves[total.argmin(0)], 0.0)


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
) -> dict[str, NDArray[np.float64]]:
    """Choose a factor for each channel so that quantization adds the least noise.

    The noise is that of the network's result, in a model of it: all data is rounded to the step
    of its tensor and saturates at its end, by channel, seen in calibration; all weights are
    rounded and saturate likewise; what that adds is taken to the result through the squares of
    the weights. Factors are powers of two with exponents found by coordinate descent, over the
    channels of one format at a time, and steps after each: first in whole octaves, then, as steps
    have to be powers of two and only factors can fill what lies between, in parts of one.

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
    dict from tensor name to float64 (c,)
        Exponents; those that :func:`scale_graph` takes.
    """
    classes = ChannelClasses(graph)
    network = _Network(graph, classes, widths, statistics)
    for moves, sweeps in ((COARSE, _SWEEPS), (FINE, _FINE_SWEEPS)):
        network.try_all(moves)
        for _ in range(sweeps):
            if not network.sweep():
                break
    return {name: network.exponents[own] for name, own in classes.members.items()}
