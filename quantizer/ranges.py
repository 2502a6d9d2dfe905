"""Ranges of float tensors and the fractional lengths that suit them."""

from collections.abc import Collection, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import ModelError
from .execute import check_inputs
from .graph import (
    POSITIVE,
    Activation,
    Add,
    Concat,
    Graph,
    Lrn,
    Mul,
    Node,
    Pad,
    Pool,
    PRelu,
    Resize,
    Slice,
    Softmax,
)


__all__ = (
    "CANDIDATES",
    "FRAC_LIMIT",
    "Reference",
    "batches",
    "check_calibration",
    "format_root",
    "format_sharers",
    "input_range",
    "joined_format",
    "natural_frac",
    "observe",
    "snr_db",
    "unsigned_tensors",
)


CANDIDATES = range(-1, 5)  # fractional lengths tried, relative to the natural one
FRAC_LIMIT = 60  # keeps every scale, and every product of two, a normal float32

_LARGEST = 2.0**FRAC_LIMIT  # a float32, and so is its square
_BATCH_SIZE = 1 << 24  # bytes of float tensors held at once


class Reference(Protocol):
    """What the search needs of the float network."""

    def tensors(
        self, inputs: NDArray[np.float32], names: Collection[str] | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Return the float tensors (n, c, h, w) called ``names``, all by default."""


def check_calibration(calibration: ArrayLike, graph: Graph) -> NDArray[np.float32]:
    """Return calibration images as float32 (n, *input_dims).

    Raises
    ------
    ModelError
        If there are none, or they have another shape or type, or one is not finite.
    """
    images = check_inputs(calibration, graph, "Calibration images")
    if len(images) == 0:
        raise ModelError("Calibration images must be at least one, not none")
    return images


def batches(
    graph: Graph, count: int, names: Collection[str] | None = None, *, size: int = _BATCH_SIZE
) -> Iterator[slice]:
    """Cut ``count`` images into pieces whose float tensors take at most ``size`` bytes.

    Only the tensors called ``names`` count, if they are given. A piece is at least one image.
    """
    shapes = graph.shapes if names is None else {name: graph.shapes[name] for name in names}
    each = 4 * sum(int(np.prod(shape)) for shape in shapes.values())
    step = max(1, size // each)
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def input_range(graph: Graph, images: NDArray[np.float32]) -> tuple[float, float]:
    """Return the smallest and largest number of the tensor ``input`` on images."""
    ends = [
        (float(maps.min()), float(maps.max())) for maps in (
            graph.take(images[piece]) for piece in batches(graph, len(images), [graph.input]))]
    return min(lo for lo, _ in ends), max(hi for _, hi in ends)


def observe(
    graph: Graph, reference: Reference, calibration: NDArray[np.float32]
) -> dict[str, tuple[float, float]]:
    """Return the smallest and largest value of each tensor over the calibration images.

    Parameters
    ----------
    graph : Graph
        The network.
    reference : Reference
        Its float results.
    calibration : float32, (n, *input_dims)
        Images.

    Returns
    -------
    dict from tensor name to (float, float)
        Ranges.

    Raises
    ------
    ModelError
        If the float network itself gives NaN, infinity or numbers whose squares may overflow.
    """
    names = [node.output for node in graph.accelerated]
    ranges = {graph.input: input_range(graph, calibration)}
    for piece in batches(graph, len(calibration)):
        tensors = reference.tensors(calibration[piece], names)
        for name in names:
            lo, hi = float(tensors[name].min()), float(tensors[name].max())
            if not np.isfinite([lo, hi]).all():
                raise ModelError(
                    f"{graph.name}: tensor '{name}' of the float network is not finite on the "
                    "calibration images; check the weights and the preprocessing")
            if max(-lo, hi) > _LARGEST:
                raise ModelError(
                    f"{graph.name}: tensor '{name}' of the float network must be in "
                    f"±{_LARGEST:.3g} on the calibration images, not {lo:g} … {hi:g}; check the "
                    "weights and the preprocessing")
            before = ranges.get(name, (lo, hi))
            ranges[name] = min(before[0], lo), max(before[1], hi)
    return ranges


def natural_frac(
    lo: ArrayLike, hi: ArrayLike, bits: int, *, signed: bool = True
) -> NDArray[np.int64]:
    """Return the largest fractional length with which nothing between ``lo`` and ``hi`` overflows.

    Parameters
    ----------
    lo, hi : float, same shape
        Ranges. Where both are zero, the format gets the range of one.
    bits : int
        Width of a code.
    signed : bool
        Whether codes are two's complement; if not, ``lo`` does not count.

    Returns
    -------
    int64, shape of ``lo``
        Fractional lengths, within plus or minus :data:`FRAC_LIMIT`.

    Examples
    --------
    >>> natural_frac([-1.0, -0.9, 0.0], [0.5, 0.99, 0.0], 8).tolist()
    [7, 7, 7]
    >>> int(natural_frac(0, 255, 8, signed=False))
    0
    """
    least = -(1 << (bits - 1)) if signed else 0
    most = (1 << (bits - int(signed))) - 1
    lo, hi = np.asarray(lo, np.float64), np.asarray(hi, np.float64)
    fits = np.full(lo.shape, FRAC_LIMIT)
    for frac in range(FRAC_LIMIT, -FRAC_LIMIT - 1, -1):
        over = np.rint(np.ldexp(hi, frac)) > most
        if signed:
            over |= np.rint(np.ldexp(lo, frac)) < least
        fits = np.where(over, frac - 1, fits)
    zero = (hi <= 0) & ((lo >= 0) | (not signed))
    return np.where(zero, bits - int(signed), np.maximum(fits, -FRAC_LIMIT)).astype(np.int64)


def unsigned_tensors(graph: Graph, least: float) -> set[str]:
    """Return the tensors whose codes need no sign.

    These are the input if ``least``, the smallest number of all calibration images, is not
    negative, or if the host brings it to codes from zero on, and results that cannot be negative:
    clamped at zero or above, of a Sigmoid, HardSigmoid or Softmax, or sums, products, averages,
    joins, normalizations and other activations of unsigned tensors. What copies codes is as its
    input, which has a sign where a Pad adds a negative value to it.
    """
    below = {
        format_root(graph, node.output) for node in graph.accelerated
        if isinstance(node, Pad) and node.mode == "constant" and node.value < 0}
    names = {graph.input} if least >= 0 or graph.intake is not None else set()
    names -= below
    for node in graph.accelerated:
        inherits = (
            isinstance(
                node, Activation | Add | Concat | Lrn | Mul | Pool | PRelu | Slice | Resize | Pad)
            and names.issuperset(node.inputs))
        positive = isinstance(node, Softmax) or (
            isinstance(node, Activation) and node.kind in POSITIVE) or (
            node.lo >= 0 and not _copies(node))
        if (inherits or positive) and node.output not in below:
            names.add(node.output)
    return names


def _copies(node: Node | None) -> bool:
    return isinstance(node, Slice | Resize | Pad) or (
        isinstance(node, Pool) and node.kind == "max")


def format_root(graph: Graph, tensor: str) -> str:
    """Return the tensor whose format ``tensor`` has to have, through operators that copy.

    These are maximum pooling, Slice, Resize and Pad.
    """
    producer = graph.producer(tensor)
    while producer is not None and _copies(producer):
        tensor = producer.inputs[0]
        producer = graph.producer(tensor)
    return tensor


def format_sharers(graph: Graph, root: str) -> list[str]:
    """Return ``root`` and the tensors that have to have its format."""
    names = [root]
    for node in graph.accelerated:
        if _copies(node) and node.inputs[0] in names:
            names.append(node.output)
    return names


def joined_format(graph: Graph, tensor: str) -> str:
    """Return the tensor whose format ``tensor`` had best have, so that joining it costs nothing.

    It is the result of the Concat that alone reads ``tensor``, possibly through maximum pooling;
    else ``tensor`` itself.
    """
    while tensor != graph.input and format_root(graph, tensor) == tensor:
        sharers = format_sharers(graph, tensor)
        readers = {
            node.output: node for name in sharers for node in graph.consumers(name)
            if node.output not in sharers}
        if len(readers) != 1 or graph.output in sharers:
            break
        (node,) = readers.values()
        if not isinstance(node, Concat):
            break
        tensor = node.output
    return tensor


def snr_db(reference: ArrayLike, value: ArrayLike) -> float:
    """Return the signal-to-noise ratio of ``value`` against ``reference``, in dB.

    Infinite where they are equal, minus infinity where only the reference is zero.

    Examples
    --------
    >>> round(snr_db([1.0, -1.0], [1.1, -0.9]), 6)
    20.0
    """
    exact = np.asarray(reference, np.float64)
    noise = float(np.sum((exact - np.asarray(value, np.float64)) ** 2))
    signal = float(np.sum(exact**2))
    if noise == 0:
        return float("inf")
    return float(10 * np.log10(signal / noise)) if signal else float("-inf")
