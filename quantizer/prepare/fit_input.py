"""An input that the host shifts and scales so that it fits its codes."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from arch.formats import Format

from ..graph import Conv, ConvTranspose, Graph, Node
from ..intake import Intake
from ..ranges import Reference
from .scale import input_columns


__all__ = (
    "Fit",
    "TakingReference",
    "choose_intake",
    "fit_input",
)


_OWN = 4096  # numbers of a channel, on all images, from which on it gets a fit of its own
_LOOKED_AT = 1 << 16  # numbers of a channel from which levels and clipping are found
_OFF_GRID = 1e-2  # levels: what a number may differ from one
_CLIPPED = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)  # of a range, on either side of zero


@dataclass(frozen=True)
class Fit:
    """Where codes of a channel begin, and how far they are apart."""

    offset: float
    step: float


def choose_intake(graph: Graph, images: NDArray[np.float32], fmt: Format) -> Intake | None:
    """Choose offset and factor of each input channel so that its numbers fill the codes.

    Where all numbers of a channel lie on a grid of no more levels than there are codes, as bytes
    of a picture do whatever mean and deviation they were normalized with, codes are these levels,
    and rounding loses nothing. Otherwise codes go from the smallest to the largest number, less
    what is better clipped, by squared errors. Channels with few numbers share one fit.

    Parameters
    ----------
    graph : Graph
        The network.
    images : float32, (n, *graph.input_dims)
        Calibration images.
    fmt : Format
        Width of the input's codes; sign and fractional length do not count.

    Returns
    -------
    Intake, optional
        What :func:`fit_input` takes. None where codes are no better for it, or where convolutions
        cannot make up for it: only they may read the input, none transposed, and where there is
        an offset, all with the same padding, which has to be the host's then.
    """
    readers = graph.consumers(graph.input)
    if graph.intake is not None or graph.input == graph.output or not all(
            _can_make_up(graph, node) for node in readers):
        return None
    maps = graph.take(images)
    channels = maps.shape[1]
    most = (1 << fmt.bits) - 1
    if maps[:, 0].size < _OWN:
        fits = [_fit(maps.ravel(), most)] * channels
    else:
        fits = [_fit(maps[:, channel].ravel(), most) for channel in range(channels)]
    offset = np.array([fit.offset for fit in fits], np.float32)
    steps = np.array([fit.step for fit in fits])
    whole = np.exp2(np.floor(np.log2(steps.max())))  # keeps the magnitudes of inputs and weights
    factor = (whole / steps).astype(np.float32)
    if not offset.any():
        return None if (factor == 1).all() else Intake(offset, factor)
    pads = {node.window.pads for node in readers if isinstance(node, Conv)}
    return Intake(offset, factor, *pads) if len(pads) == 1 else None


def _can_make_up(graph: Graph, node: Node) -> bool:
    return (isinstance(node, Conv) and not isinstance(node, ConvTranspose)
            and node.addend != graph.input)


def _fit(values: NDArray[np.float32], most: int) -> Fit:
    """Return the fit of a channel's numbers to codes 0 to ``most``."""
    numbers = values.astype(np.float64)
    lo, hi = float(values.min()), float(values.max())
    if lo == hi:
        lo, hi = min(lo, 0.0), max(hi, 0.0)
    if lo == hi:
        return Fit(0.0, 1.0)
    some = numbers[::-(-len(numbers) // _LOOKED_AT)]
    return _grid(numbers, some, lo, hi, most) or _range(some, lo, hi, most)


def _grid(
    values: NDArray[np.float64], some: NDArray[np.float64], lo: float, hi: float, most: int
) -> Fit | None:
    """Return the fit to numbers that are levels at equal distances, if they are."""
    levels = np.unique(np.append(some, (lo, hi)))
    if len(levels) > most + 1:
        return None
    count = round((hi - lo) / float(np.diff(levels).min()))
    if count > most:
        return None
    step = (hi - lo) / count
    index = (values - lo) / step
    if np.abs(index - np.rint(index)).max() > _OFF_GRID:
        return None
    zero = -lo / step  # where zero is, in levels above the smallest
    if lo >= 0 and count - round(zero) <= most and abs(zero - round(zero)) <= _OFF_GRID:
        return Fit(0.0, step / (most // (count - round(zero))))
    finer = most // count
    before = (most - finer * count) // 2  # codes for levels below what was seen
    return Fit(lo - before * step / finer, step / finer)


def _range(some: NDArray[np.float64], lo: float, hi: float, most: int) -> Fit:
    """Return the fit to numbers of any size, with the least squared error.

    Parameters
    ----------
    some : float64, (n,)
        Numbers.
    lo, hi : float
        Smallest and largest one.
    most : int
        Largest code; the smallest is 0.
    """
    start = lo if lo < 0 or hi < 2 * lo else 0.0

    def error(fit: Fit) -> float:
        codes = np.clip(np.rint((some - fit.offset) / fit.step), 0, most)
        return float(np.square(codes * fit.step + fit.offset - some).sum())

    ends = {
        (low * start if start < 0 else start, high * hi if hi > 0 else hi)
        for low, high in product(_CLIPPED, repeat=2)}
    fits = [Fit(low, (high - low) / most) for low, high in sorted(ends) if high > low]
    return min(fits, key=error)


def fit_input(graph: Graph, intake: Intake) -> Graph:
    """Let the host shift and scale the input; the convolutions that read it make up for that.

    Factors go into their weights, offsets into their biases, and padding becomes the host's, so
    that it is what the file has there. In float, the network gives the same up to rounding.

    Parameters
    ----------
    graph : Graph
        The network.
    intake : Intake
        As from :func:`choose_intake`; without offsets it must not pad.

    Returns
    -------
    Graph
        The network, with :attr:`Graph.intake`.
    """
    shape = intake.padded(graph.shapes[graph.input])
    return replace(
        graph, nodes=[_made_up(graph, node, intake) for node in graph.nodes],
        shapes={**graph.shapes, graph.input: shape}, intake=intake)


def _made_up(graph: Graph, node: Node, intake: Intake) -> Node:
    if not isinstance(node, Conv) or node.inputs[0] != graph.input:
        return node
    columns = input_columns(node)
    factor = intake.factor.astype(np.float64)[columns][:, :, None, None]
    offset = intake.offset.astype(np.float64)[columns]
    added = (node.weight.sum((2, 3), dtype=np.float64) * offset).sum(1)
    window = replace(node.window, pads=(0, 0, 0, 0)) if any(intake.pads) else node.window
    return replace(
        node, weight=(node.weight / factor).astype(node.weight.dtype), bias=node.bias + added,
        window=window)


class TakingReference:
    """The float results of a network, with the input as the host hands it over.

    Parameters
    ----------
    reference : Reference
        Results before.
    graph : Graph
        The network, with :attr:`Graph.intake`.
    """

    def __init__(self, reference: Reference, graph: Graph) -> None:
        self._reference = reference
        self._graph = graph

    def tensors(
        self, inputs: NDArray[np.float32], names: Collection[str] | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Return the float tensors (n, c, h, w) called ``names``, all by default."""
        found = self._reference.tensors(inputs, names)
        if self._graph.input in found:
            found[self._graph.input] = self._graph.take(inputs)
        return found
