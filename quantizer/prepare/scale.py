"""A network whose channels are multiplied by powers of two, and computes the same."""

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..graph import Conv, Graph, Node
from ..ranges import Reference


__all__ = (
    "ScaledReference",
    "input_columns",
    "multiplied",
    "scale_graph",
)


Exponents = Mapping[str, NDArray[np.int64]]


def input_columns(node: Conv) -> NDArray[np.int64]:
    """Return the input channel that each weight of a convolution meets, (k, c / groups)."""
    kernels, per_group = node.weight.shape[:2]
    group = np.arange(kernels) // (kernels // node.groups)
    return np.asarray(group[:, None] * per_group + np.arange(per_group), np.int64)


def _scaled(node: Node, exponents: Exponents) -> Node:
    if not isinstance(node, Conv):
        return node
    before, after = exponents[node.inputs[0]], exponents[node.output]
    shift = after[:, None] - before[input_columns(node)]
    node = replace(
        node, weight=np.ldexp(node.weight, shift[:, :, None, None].astype(np.int32)),
        bias=np.ldexp(node.bias, after.astype(np.int32)))
    if node.hi in (0, np.inf) and not node.upper.size:
        return node
    upper = np.ldexp(node.hi if node.upper.size == 0 else node.upper, after.astype(np.int32))
    same = bool((upper == upper[0]).all())
    return replace(node, hi=float(upper.max()), upper=np.zeros(0) if same else upper)


def scale_graph(graph: Graph, exponents: Exponents) -> Graph:
    """Multiply channels of a network's tensors by powers of two.

    Factors go into weights, biases and upper clamps of the convolutions; all else hands them on.
    In float32 every result is the same number times its factor, unless one over- or underflows.

    Parameters
    ----------
    graph : Graph
        The network.
    exponents : mapping from tensor name to int64 (c,)
        Channel ``c`` is multiplied by ``2 ** exponent``. They must keep to ``ChannelClasses``.

    Returns
    -------
    Graph
        The same network; :attr:`Graph.exponents` says what its tensors are multiplied by.
    """
    total = {
        name: values + graph.exponents.get(name, 0) for name, values in exponents.items()}
    return replace(
        graph, nodes=[_scaled(node, exponents) for node in graph],
        exponents={name: values for name, values in total.items() if values.any()})


class ScaledReference:
    """The float results of a network, multiplied as :func:`scale_graph` does.

    Parameters
    ----------
    reference : Reference
        Results before.
    exponents : mapping from tensor name to int64 (c,)
        Exponents of the factors; tensors that are not named have factor one.
    """

    def __init__(self, reference: Reference, exponents: Exponents) -> None:
        self._reference = reference
        self._exponents = exponents

    def tensors(
        self, inputs: NDArray[np.float32], names: Collection[str] | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Return the float tensors (n, c, h, w) called ``names``, all by default."""
        return {
            name: multiplied(values, self._exponents.get(name))
            for name, values in self._reference.tensors(inputs, names).items()}


def multiplied(
    values: NDArray[np.float32], exponents: NDArray[np.int64] | None
) -> NDArray[np.float32]:
    """Return maps (n, c, h, w) times a power of two for each channel, one where none is given."""
    if exponents is None:
        return values
    factors = np.ldexp(np.float32(1), exponents.astype(np.int32))
    return values * factors[:, None, None]
