"""Merging of nodes that the accelerator computes in one step; the results stay the same.

The import writes BatchNormalization and arithmetic with constants as 1 x 1 convolutions with a
group for each channel, and clamps as maxima over 1 x 1. What cannot be merged runs so.
"""

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..graph import (
    POSITIVE,
    Activation,
    Add,
    Concat,
    Conv,
    ConvTranspose,
    Graph,
    Mul,
    Node,
    Pad,
    Pool,
    PRelu,
    Resize,
    Slice,
    Window,
)
from .patterns import match_activations
from .windows import has_empty_window


__all__ = (
    "LOWEST",
    "fuse",
    "merge_bounds",
)


LOWEST = float(np.finfo(np.float32).min)
"""Padding of at most this is none at all for a maximum."""

Merge = Callable[[Graph, Node, Node], Node | None]


def fuse(graph: Graph, kept: Collection[str] = ()) -> Graph:
    """Return the graph with scalings, clamps and padding merged into their neighbors.

    Activations that are spelled out become one node. Nothing that reads a tensor in ``kept`` is
    merged into the node that writes it.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is not merged
        graph = _into_producers(match_activations(graph), _with_what_follows, kept)
        graph = _into_consumers(graph, _with_padding, shared=True)
        graph = _into_consumers(graph, _with_scaling, shared=False)
    used = {graph.input, *(node.output for node in graph.nodes)}
    return replace(graph, shapes={k: v for k, v in graph.shapes.items() if k in used})


def merge_bounds(graph: Graph, kept: Collection[str] = ()) -> Graph:
    """Return the graph with upper bounds for each channel merged into the convolutions before.

    Those that read a tensor in ``kept`` stay.
    """
    graph = _into_producers(graph, _bounded, kept)
    used = {graph.input, *(node.output for node in graph.nodes)}
    return replace(graph, shapes={k: v for k, v in graph.shapes.items() if k in used})


def _into_producers(
    graph: Graph, merge: Callable[[Node, Node], Node | None], kept: Collection[str] = (),
) -> Graph:
    """Merge nodes into the node before, where nothing else reads its result and it is not kept."""
    uses = _uses(graph)
    done: dict[str, Node] = {}
    for node in graph.nodes:
        producer = done.get(node.inputs[0]) if len(node.inputs) == 1 else None
        merged = None
        if producer is not None and uses[producer.output] == 1 and producer.output not in kept:
            merged = merge(producer, node)
        if producer is None or merged is None:
            done[node.output] = node
        else:  # at the place of the producer, under the new name
            done = {merged.output if key == producer.output else key:
                    merged if key == producer.output else value for key, value in done.items()}
    return replace(graph, nodes=list(done.values()))


def _into_consumers(graph: Graph, merge: Merge, *, shared: bool) -> Graph:
    """Merge nodes into those that read them; ``shared`` ones into each reader that can."""
    uses = _uses(graph)
    done: dict[str, Node] = {}
    for node in graph.nodes:
        producer = done.get(node.inputs[0]) if len(node.inputs) == 1 else None
        if producer is not None and (shared or uses[producer.output] == 1):
            node = merge(graph, producer, node) or node
        done[node.output] = node
    left = replace(graph, nodes=list(done.values()))
    still = _uses(left)
    merged = {name for name in uses if not still[name]}
    return replace(left, nodes=[node for node in left.nodes if node.output not in merged])


def _uses(graph: Graph) -> Counter[str]:
    """Count the readers of every tensor; the world is one of the output."""
    uses = Counter(name for node in graph.nodes for name in node.inputs)
    uses[graph.output] += 1
    return uses


def _is_pointwise(window: Window) -> bool:
    """Return whether every output is computed from the input at the same position."""
    return window.kernel == (1, 1) and window.strides == (1, 1) and not any(window.pads)


def _is_per_channel(node: Node) -> bool:
    """Return whether a node is a convolution 1 x 1 of each channel alone."""
    return (isinstance(node, Conv) and not isinstance(node, ConvTranspose)
            and node.window.kernel == (1, 1)
            and node.window.strides == (1, 1) and node.groups == len(node.weight)
            and node.weight.shape[1] == 1)


def _with_what_follows(producer: Node, node: Node) -> Node | None:
    """Return ``producer`` with the bounds, scaling or clamp ``node`` behind it."""
    return (_bounded(producer, node) or _scaled(producer, node)
            or _clamped(producer, node) or _hardened(producer, node))


def _bounded(producer: Node, node: Node) -> Node | None:
    """Return a convolution with the bounds of ``node`` behind it, which only copies and clamps.

    A lower bound is one for all channels: ``None`` where ``node`` bounds a channel below it.
    """
    if not (isinstance(producer, Conv) and isinstance(node, Conv) and node.upper.size
            and _is_per_channel(node) and _is_pointwise(node.window)
            and np.all(node.weight == 1) and not np.any(node.bias)):
        return None
    lo = max(producer.lo, node.lo)
    if np.any(node.upper < lo):
        return None
    before = producer.upper if producer.upper.size else producer.hi
    upper = np.maximum(np.minimum(before, node.upper), node.lo)
    return replace(producer, output=node.output, lo=lo, hi=float(upper.max()), upper=upper,
                   sources=producer.sources + node.sources)


def _scaled(producer: Node, node: Node) -> Node | None:
    """Return a convolution with the scaling ``node`` behind it."""
    if not (isinstance(producer, Conv) and not producer.clamped and isinstance(node, Conv)
            and _is_per_channel(node) and _is_pointwise(node.window)):
        return None
    return _rescaled(producer, node, node.weight.reshape(-1), node.bias, node.lo, node.hi,
                     node.upper)


def _hardened(producer: Node, node: Node) -> Node | None:
    """Return a convolution with the HardSigmoid ``node`` behind it: a scaling and a clamp."""
    if not (isinstance(producer, Conv) and not producer.clamped and isinstance(node, Activation)
            and node.kind == "hard_sigmoid"):
        return None
    lo, hi = np.clip((0.0, 1.0), node.lo, node.hi)
    count = len(producer.weight)
    return _rescaled(
        producer, node, np.full(count, node.alpha), np.full(count, node.beta), float(lo),
        float(hi), np.zeros(0))


def _rescaled(
    producer: Conv, node: Node, scale: NDArray[np.floating], shift: NDArray[np.floating],
    lo: float, hi: float, upper: NDArray[np.float64],
) -> Node | None:
    """Return a convolution that does what ``node`` behind it does; ``None`` where it overflows."""
    if np.all(scale == 1):
        weight = producer.weight
    else:
        weight = producer.weight.astype(np.float64) * scale[:, None, None, None]
    bias = producer.bias * scale + shift
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        return None
    return replace(producer, output=node.output, weight=weight, bias=bias, lo=lo, hi=hi,
                   upper=upper, sources=producer.sources + node.sources)


def _clamped(producer: Node, node: Node) -> Node | None:
    """Return ``producer`` with the clamp ``node`` behind it."""
    if not (isinstance(producer, Conv | Pool | Add | Mul | PRelu | Activation | Resize | Pad)
            and isinstance(node, Pool)
            and node.kind == "max" and _is_pointwise(node.window)):
        return None
    lo, hi = np.clip((producer.lo, producer.hi), node.lo, node.hi)
    merged = replace(producer, output=node.output, lo=float(lo), hi=float(hi),
                     sources=producer.sources + node.sources)
    if isinstance(merged, Conv):
        return replace(merged, upper=np.clip(merged.upper, node.lo, node.hi))
    return merged


def _with_padding(graph: Graph, producer: Node, node: Node) -> Node | None:
    """Return ``node`` with the padding ``producer`` in its own pads."""
    if not (isinstance(producer, Pad) and producer.mode == "constant" and not producer.clamped
            and min(producer.pads) >= 0 and isinstance(node, Conv | Pool)
            and not isinstance(node, ConvTranspose)):
        return None
    pads = [a + b for a, b in zip(producer.pads, node.window.pads, strict=True)]
    window = replace(node.window, pads=(pads[0], pads[1], pads[2], pads[3]))
    sources = producer.sources + node.sources
    if isinstance(node, Conv):
        if producer.value != 0:
            return None
        return replace(node, inputs=producer.inputs, window=window, sources=sources)
    if any(pad >= size for pad, size in zip(pads, node.window.kernel * 2, strict=True)):
        return None  # no pooling of ONNX that onnxruntime would run
    if node.kind == "max":
        _, height, width = graph.shapes[producer.inputs[0]]
        if has_empty_window(window, (height, width)) or not (
                producer.value <= LOWEST
                or (producer.value <= 0 and _is_nonnegative(graph, producer.inputs[0]))):
            return None
    elif producer.value != 0 or (
            node.window.pads != (0, 0, *node.ceil_pads) and not node.count_pad):
        return None
    return replace(node, inputs=producer.inputs, window=window,
                   count_pad=node.kind == "average", sources=sources)


def _is_nonnegative(graph: Graph, tensor: str) -> bool:
    """Return whether no element of a tensor is below zero, whatever the input."""
    node = graph.producer(tensor)
    if node is None:
        return False
    if node.lo >= 0:
        return True
    if isinstance(node, Activation) and node.kind in POSITIVE:
        return node.hi >= 0
    if isinstance(node, Pad) and node.mode == "constant" and node.value < 0:
        return False
    return (isinstance(
                node, Activation | Pool | Add | Concat | Mul | PRelu | Slice | Resize | Pad)
            and node.hi >= 0 and all(_is_nonnegative(graph, name) for name in node.inputs))


def _with_scaling(graph: Graph, producer: Node, node: Node) -> Node | None:
    """Return the convolution ``node`` with the scaling ``producer`` before it."""
    if not (isinstance(producer, Conv) and isinstance(node, Conv) and not producer.clamped
            and _is_per_channel(producer) and _is_pointwise(producer.window)):
        return None
    partly = any(node.window.pads) or isinstance(node, ConvTranspose)
    if np.any(producer.bias) and partly:
        return None  # the padding of ``node`` is zero behind the scaling, not before it
    outputs, inputs = node.weight.shape[:2]
    channel = np.arange(outputs)[:, None] // (outputs // node.groups) * inputs + np.arange(inputs)
    scale = producer.weight.reshape(-1)[channel]
    weight = node.weight.astype(np.float64)
    bias = node.bias + (weight.sum(axis=(2, 3)) * producer.bias[channel]).sum(axis=1)
    weight = weight * scale[:, :, None, None]
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        return None
    return replace(node, inputs=producer.inputs, weight=weight, bias=bias,
                   sources=producer.sources + node.sources)
