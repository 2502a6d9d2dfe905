"""Which channels of a network must share a factor, and which must keep theirs."""

from collections.abc import Iterable
from itertools import chain, pairwise

import numpy as np

from ..graph import (
    Add,
    Concat,
    Conv,
    Graph,
    Mul,
    Node,
    Pad,
    Pool,
    PRelu,
    Resize,
    Slice,
)


__all__ = ("ChannelClasses",)


class ChannelClasses:
    """Channels of all tensors in classes that can only be scaled together.

    A convolution lets its result have any factors: they go into its weights and biases, and into
    the upper clamp, one for each channel. What moves, adds, joins or takes the maximum or average
    of channels hands factors on; so do PRelu and clamps at zero, as ``f(s * x) = s * f(x)`` for
    them. A product has the factors of its first operand. Everything else is a border, where
    factors are one: the network's input and result, both sides of functions of one number and of
    what the host runs, the second operand of a product, padding with another value than zero, and
    clamps at any number but zero, behind a convolution below.

    Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction",
    ICCV 2019, section 4.1, for a convolution behind another.

    Parameters
    ----------
    graph : Graph
        The network.

    Attributes
    ----------
    count : int
        Classes.
    members : dict from tensor name to int64 (c,)
        Class of each channel.
    fixed : bool, (count,)
        Classes whose factor is one.
    """

    def __init__(self, graph: Graph) -> None:
        starts = np.cumsum([0, *(shape[0] for shape in graph.shapes.values())]).tolist()
        self._own = {
            name: range(start, stop)
            for name, (start, stop) in zip(graph.shapes, pairwise(starts), strict=True)}
        self._parents = list(range(starts[-1]))
        pinned = {graph.input, graph.output}
        for node in graph:
            pinned.update(self._tie(node))
        roots, index = np.unique(
            [self._root(channel) for channel in range(starts[-1])], return_inverse=True)
        self.count = len(roots)
        self.members = {name: index[own.start:own.stop] for name, own in self._own.items()}
        self.fixed = np.zeros(self.count, np.bool_)
        for name in pinned:
            self.fixed[self.members[name]] = True

    def _root(self, channel: int) -> int:
        parents = self._parents
        while parents[channel] != channel:
            parents[channel] = parents[parents[channel]]
            channel = parents[channel]
        return channel

    def _unite(self, first: Iterable[int], second: Iterable[int]) -> None:
        for a, b in zip(first, second, strict=True):
            self._parents[self._root(a)] = self._root(b)

    def _tie(self, node: Node) -> list[str]:
        """Tie the channels of a node; return the tensors that it pins."""
        inputs, result = [self._own[name] for name in node.inputs], self._own[node.output]
        clamps = node.lo not in (0, -np.inf) or (
            node.hi not in (0, np.inf) and not isinstance(node, Conv))
        pinned = [node.output] if clamps else []
        if isinstance(node, Conv):
            return pinned
        if isinstance(node, Add):
            for operand in inputs:
                self._unite(operand, result)
        elif isinstance(node, Mul):
            self._unite(inputs[0], result)
            pinned.append(node.inputs[1])
        elif isinstance(node, Concat):
            self._unite(chain(*inputs), result)
        elif isinstance(node, Slice):
            self._unite(inputs[0][node.start:node.start + len(result)], result)
        elif isinstance(node, Pool | PRelu | Resize | Pad):
            self._unite(inputs[0], result)
            if isinstance(node, Pad) and node.mode == "constant" and node.value != 0:
                pinned.append(node.output)
        else:
            pinned += [*node.inputs, node.output]
        return pinned
