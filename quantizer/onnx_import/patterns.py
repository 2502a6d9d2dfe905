"""Functions of one number that a file spells out in several operators.

The import writes arithmetic with constants as 1 x 1 convolutions of each channel alone (here
*scalings*) and clamps as maxima over 1 x 1. With ``gate(x) = clip(s * x + t, 0, h)``:

================================  ==============
``gate(x) / h``                   hard_sigmoid
``x * hard_sigmoid(x)``           hard_swish
``x * gate(x)``, where ``h = 1``  hard_swish
``x * gate(x) / h``               hard_swish
``(x / h) * gate(x)``             hard_swish
``x * sigmoid(x)``                silu
================================  ==============

Source: none; these are what frameworks write for networks like MobileNet v3.
"""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from ..graph import Activation, Conv, Graph, Kind, Mul, Node, Pool, Window


__all__ = ("match_activations",)


_NEAR = 1e-5  # 1/6 is written with 4 to 9 digits


@dataclass(frozen=True)
class _Gate:
    """``clip(scale * x + shift, 0, top)``, and the nodes that compute it."""

    x: str
    scale: float
    shift: float
    top: float
    nodes: tuple[Node, ...]


def match_activations(graph: Graph) -> Graph:
    """Return the graph in which an activation is one node; the results stay the same."""
    matcher = _Matcher(graph)
    for node in graph.nodes:
        matcher.add(node)
    return replace(graph, nodes=list(matcher.nodes.values()))


class _Matcher:
    """The nodes so far, with activations in place of what spelled them."""

    def __init__(self, graph: Graph) -> None:
        self.nodes: dict[str, Node] = {}
        self._uses = Counter(name for node in graph.nodes for name in node.inputs)
        self._uses[graph.output] += 1

    def add(self, node: Node) -> None:
        """Add a node, or the activation that ends with it."""
        for last in (self._with_factor(node), self._with_argument(node)):
            if last is not None:
                activation, used = last
                for other in used:
                    del self.nodes[other.output]
                node = activation
                break
        self.nodes[node.output] = node

    def _with_factor(self, node: Node) -> tuple[Activation, tuple[Node, ...]] | None:
        """Match ``gate(x) / h`` and ``x * gate(x) / h``."""
        factor = _uniform(node)
        if factor is None or factor[1] != 0:
            return None
        gate = self._gate(node.inputs[0])
        if gate is not None:
            return _activation(node, "hard_sigmoid", gate, factor[0], gate.nodes)
        product = self._sole(node.inputs[0])
        if isinstance(product, Mul) and not product.clamped:
            for x, other in (product.inputs, product.inputs[::-1]):
                gate = self._gate(other)
                if gate is not None and gate.x == x:
                    return _activation(
                        node, "hard_swish", gate, factor[0], (*gate.nodes, product))
        return None

    def _with_argument(self, node: Node) -> tuple[Activation, tuple[Node, ...]] | None:
        """Match products of ``x``, or of a part of it, and a function of it."""
        if not isinstance(node, Mul):
            return None
        for name, other in (node.inputs, node.inputs[::-1]):
            inner = self._sole(other)
            if (isinstance(inner, Activation) and not inner.clamped and inner.inputs == (name,)
                    and inner.kind in ("sigmoid", "hard_sigmoid")):
                kind: Kind = "silu" if inner.kind == "sigmoid" else "hard_swish"
                return replace(
                    inner, name=node.name, output=node.output, kind=kind,
                    sources=inner.sources + node.sources), (inner,)
            gate, scaling = self._gate(other), self._sole(name)
            if gate is not None and gate.x == name:
                return _activation(node, "hard_swish", gate, 1.0, gate.nodes)
            factor = None if scaling is None else _uniform(scaling)
            if (gate is not None and scaling is not None and factor is not None
                    and factor[1] == 0 and scaling.inputs == (gate.x,)):
                return _activation(node, "hard_swish", gate, factor[0], (*gate.nodes, scaling))
        return None

    def _sole(self, tensor: str) -> Node | None:
        """Return the node that writes ``tensor`` if one node alone reads it."""
        return self.nodes.get(tensor) if self._uses[tensor] == 1 else None

    def _gate(self, tensor: str) -> _Gate | None:
        clamp = self._sole(tensor)
        if not (isinstance(clamp, Pool) and clamp.kind == "max" and clamp.window == Window()
                and clamp.lo == 0 and 0 < clamp.hi < np.inf):
            return None
        x, scale, shift = clamp.inputs[0], 1.0, 0.0
        nodes: tuple[Node, ...] = (clamp,)
        while (scaling := self._sole(x)) is not None:
            factors = _uniform(scaling)
            if factors is None:
                break
            scale, shift = scale * factors[0], scale * factors[1] + shift
            x, nodes = scaling.inputs[0], (scaling, *nodes)
        return _Gate(x, scale, shift, clamp.hi, nodes) if len(nodes) > 1 else None


def _uniform(node: Node) -> tuple[float, float] | None:
    """Return scale and shift of a scaling that is the same for all channels."""
    if not (isinstance(node, Conv) and not node.clamped and node.window == Window()
            and node.groups == len(node.weight) and node.weight.shape[1] == 1):
        return None
    scale, shift = node.weight.reshape(-1), node.bias
    if np.any(scale != scale[0]) or np.any(shift != shift[0]):
        return None
    return float(scale[0]), float(shift[0])


def _activation(
    node: Node, kind: Kind, gate: _Gate, factor: float, used: tuple[Node, ...]
) -> tuple[Activation, tuple[Node, ...]] | None:
    """Return the activation that ends with ``node``, if ``factor`` brings the gate to 1."""
    if abs(factor * gate.top - 1) > _NEAR:
        return None
    sources = tuple(name for other in (*used, node) for name in other.sources)
    return Activation(
        node.name, (gate.x,), node.output, sources=sources, kind=kind,
        alpha=gate.scale / gate.top, beta=gate.shift / gate.top), used
