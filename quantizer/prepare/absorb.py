"""A network in which biases behind a Relu are moved into the layers that read it."""

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..graph import Conv, ConvTranspose, Graph, Node
from ..ranges import Reference, batches
from .scale import input_columns


__all__ = (
    "ShiftedReference",
    "choose_shifts",
    "less",
    "shift_graph",
)


_DEVIATIONS = 3  # of a channel below its mean, which is where its smallest value is expected

Shifts = Mapping[str, NDArray[np.float64]]


def choose_shifts(
    graph: Graph, reference: Reference, images: NDArray[np.float32]
) -> dict[str, NDArray[np.float64]]:
    """Choose what can be subtracted from channels that a Relu never clamps.

    A channel's shift is its mean less three standard deviations, which leaves room for what other
    images make of it, but at most its smallest value on the calibration images, on which the
    network then stays exact. It is zero where that is not positive, where the upper clamp holds
    the channel all the time, and wherever :func:`shift_graph` could not hand it on: a channel
    must come from a convolution with a Relu, and go to convolutions without padding alone, as
    padding would have to be the shift. Transposed convolutions do not count, as each of their
    results meets other taps.

    Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction",
    ICCV 2019, section 4.1.3, with moments of BatchNormalization in place of images.

    Parameters
    ----------
    graph : Graph
        The network.
    reference : Reference
        Its float results.
    images : float32, (n, *input_dims)
        Calibration images.

    Returns
    -------
    dict from tensor name to float64 (c,)
        Shifts, float32 numbers at least zero; of tensors with one that is not zero.
    """
    nodes = [node for node in graph if isinstance(node, Conv) and _can_shift(graph, node)]
    if not nodes:
        return {}
    names = [node.output for node in nodes]
    moments = {name: _Moments(graph.shapes[name][0]) for name in names}
    for piece in batches(graph, len(images), names):
        for name, values in reference.tensors(images[piece], names).items():
            moments[name].add(values)
    shifts = {node.output: moments[node.output].shift(_upper(node)) for node in nodes}
    return {name: values for name, values in shifts.items() if values.any()}


def _can_shift(graph: Graph, node: Conv) -> bool:
    readers = graph.consumers(node.output)
    return node.lo == 0 and node.output != graph.output and bool(readers) and all(
        isinstance(reader, Conv) and not isinstance(reader, ConvTranspose)
        and reader.addend != node.output and not any(reader.window.pads)
        for reader in readers)


def _upper(node: Conv) -> NDArray[np.float64]:
    """Return the upper clamp of each output channel, (k,)."""
    return np.broadcast_to(node.upper if node.upper.size else node.hi, len(node.weight))


class _Moments:
    """Smallest value, mean and deviation of each channel."""

    def __init__(self, channels: int) -> None:
        self._least = np.full(channels, np.inf)
        self._sums = np.zeros((2, channels))
        self._count = 0

    def add(self, values: NDArray[np.float32]) -> None:
        """Count the elements (n, c, h, w) of some images."""
        self._count += values[:, 0].size
        self._least = np.minimum(self._least, values.min((0, 2, 3)))
        exact = values.astype(np.float64)
        self._sums += [exact.sum((0, 2, 3)), (exact**2).sum((0, 2, 3))]

    def shift(self, upper: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the shift of each channel, (c,), below its upper clamp."""
        mean, square = self._sums / self._count
        low = mean - _DEVIATIONS * np.sqrt(np.maximum(square - mean**2, 0))
        found = np.clip(np.minimum(low, self._least), 0, None)
        found[self._least >= upper] = 0
        return np.asarray(found.astype(np.float32), np.float64)


def shift_graph(graph: Graph, shifts: Shifts) -> Graph:
    """Subtract a number from channels, and add what that takes away where they are read.

    Shifts go into biases and upper clamps of the convolutions that make the channels, and into
    the biases of those that read them. The result of the network is the same wherever a channel
    is at least its shift before the clamp.

    Parameters
    ----------
    graph : Graph
        The network.
    shifts : mapping from tensor name to float64 (c,)
        What is subtracted, as the graph holds its channels; as from :func:`choose_shifts`.

    Returns
    -------
    Graph
        The network; :attr:`Graph.offsets` says what its tensors lack.
    """
    offsets = dict(graph.offsets)
    for name, values in shifts.items():
        exponents = graph.exponents.get(name, np.zeros(len(values)))
        offsets[name] = offsets.get(name, 0) + values * np.exp2(-exponents)
    return replace(graph, nodes=[_shifted(node, shifts) for node in graph], offsets=offsets)


def _shifted(node: Node, shifts: Shifts) -> Node:
    if not isinstance(node, Conv):
        return node
    if node.inputs[0] in shifts:
        taps = node.weight.sum((2, 3), dtype=np.float64)
        lacking = (taps * shifts[node.inputs[0]][input_columns(node)]).sum(1)
        node = replace(node, bias=node.bias + lacking)
    if node.output not in shifts:
        return node
    own = shifts[node.output]
    node = replace(node, bias=node.bias - own)
    if node.hi == np.inf:
        return node
    upper = _upper(node) - own
    same = bool((upper == upper[0]).all())
    return replace(node, hi=float(upper.max()), upper=np.zeros(0) if same else upper)


class ShiftedReference:
    """The float results of a network, less what :func:`shift_graph` subtracts.

    Parameters
    ----------
    reference : Reference
        Results before.
    shifts : mapping from tensor name to float64 (c,)
        What is subtracted; nothing from tensors that are not named.
    """

    def __init__(self, reference: Reference, shifts: Shifts) -> None:
        self._reference = reference
        self._shifts = shifts

    def tensors(
        self, inputs: NDArray[np.float32], names: Collection[str] | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Return the float tensors (n, c, h, w) called ``names``, all by default."""
        return {
            name: less(values, self._shifts.get(name))
            for name, values in self._reference.tensors(inputs, names).items()}


def less(
    values: NDArray[np.float32], shifts: NDArray[np.float64] | None
) -> NDArray[np.float32]:
    """Return maps (n, c, h, w) less a number for each channel, zero where none is given.

    What is below the shift becomes negative, where the network itself has zero.
    """
    if shifts is None:
        return values
    return values - shifts.astype(np.float32)[:, None, None]
