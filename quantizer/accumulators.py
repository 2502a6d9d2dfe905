"""Worst cases of accumulators, and the check that a model stays inside the hardware's limits."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .errors import ModelError
from .graph import Add, Concat, Conv, Graph, Mul, Node, Pad, Pool, PRelu, Resize, Slice, Softmax
from .host import MOST_CHANNELS
from .model import Limits, QuantizedModel


__all__ = (
    "addend_worst_case",
    "check_limits",
    "code_bounds",
    "is_power_of_two",
    "pool_counts",
    "product_bounds",
    "product_worst_case",
    "vector_worst_case",
    "worst_case",
)


def is_power_of_two(value: int) -> bool:
    """Return whether a positive integer is a power of two."""
    return value & (value - 1) == 0


def code_bounds(model: QuantizedModel, tensor: str) -> tuple[int, int]:
    """Return the smallest and largest code that ``tensor`` can hold."""
    producer = model.graph.producer(tensor)
    if producer is None:
        return model.formats[tensor].min, model.formats[tensor].max
    return model.bounds(producer)


def product_bounds(
    codes: NDArray[np.int64], lo: int, hi: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return bounds of every partial sum of products, in any order, for each output channel.

    Parameters
    ----------
    codes : int64, (k, c, r, s)
        Weight codes.
    lo, hi : int
        Smallest and largest data code; padding adds 0.

    Returns
    -------
    int64, (k,), twice
        Lower bounds, at most 0, and upper bounds, at least 0; both are reached by some data.

    Examples
    --------
    >>> import numpy as np
    >>> lower, upper = product_bounds(np.array([[[[3]], [[-2]]]]), 0, 255)
    >>> lower.tolist(), upper.tolist()
    ([-510], [765])
    """
    lo, hi = min(lo, 0), max(hi, 0)
    axes = tuple(range(1, codes.ndim))
    positive = np.maximum(codes, 0).sum(axes)
    negative = np.minimum(codes, 0).sum(axes)
    return positive * lo + negative * hi, positive * hi + negative * lo


def worst_case(
    codes: NDArray[np.int64], bias: NDArray[np.int64], lo: int, hi: int
) -> NDArray[np.int64]:
    """Return ``sum |w| * max |x| + |bias|`` of each output channel, (k,).

    No accumulator can exceed this magnitude, whatever the order of summation.
    """
    axes = tuple(range(1, codes.ndim))
    worst: NDArray[np.int64] = np.abs(codes).sum(axes) * max(-lo, hi) + np.abs(bias)
    return worst


def addend_worst_case(model: QuantizedModel, node: Conv) -> NDArray[np.int64]:
    """Return the largest magnitude that the addend of a convolution has in its sums, (k,)."""
    if node.addend is None:
        return np.zeros(len(model.weights[node.name].bias), np.int64)
    lo, hi = code_bounds(model, node.addend)
    return max(-lo, hi) << model.addend_shifts(node)


def pool_counts(node: Pool, shape: tuple[int, int, int]) -> NDArray[np.int64]:
    """Return the number of positions that each window of a pooling counts.

    Parameters
    ----------
    node : Pool
        Average pooling.
    shape : (c, h, w)
        Shape of its input.

    Returns
    -------
    int64, (output lines, output columns)
        Divisors, at least 1.
    """
    window = node.window
    top, left, bottom, right = window.pads

    def counts(axis: int, size: int, before: int, after: int, outputs: int) -> NDArray[np.int64]:
        start = np.arange(outputs)[:, None] * window.strides[axis] - before
        position = start + np.arange(window.kernel[axis]) * window.dilations[axis]
        first = -before if node.count_pad else 0
        last = size + (after - node.ceil_pads[axis] if node.count_pad else 0)
        counted: NDArray[np.int64] = ((position >= first) & (position < last)).sum(1)
        return counted

    _, height, width = shape
    lines, columns = window.output_size(height, width)
    return np.outer(
        counts(0, height, top, bottom, lines), counts(1, width, left, right, columns))


def vector_worst_case(model: QuantizedModel, node: Add | Pool) -> int:
    """Return the largest magnitude of the aligned sum of an Add or an average pooling."""
    lefts, _ = model.vector_shifts(node)
    size = 1 if isinstance(node, Add) else node.window.kernel[0] * node.window.kernel[1]
    bounds = [code_bounds(model, name) for name in node.inputs]
    return sum(
        size * max(-lo, hi) << left for (lo, hi), left in zip(bounds, lefts, strict=True))


def product_worst_case(model: QuantizedModel, node: Mul | PRelu) -> int:
    """Return the largest magnitude of an accumulator of a Mul or PRelu."""
    lo, hi = code_bounds(model, node.inputs[0])
    if isinstance(node, PRelu):
        slopes = model.slopes[node.name]
        return max(hi << slopes.frac, -lo * int(np.abs(slopes.codes).max()), 0)
    low, high = code_bounds(model, node.inputs[1])
    return max(-lo, hi) * max(-low, high)


def _accumulator_error(node: Node, worst: int, limits: Limits) -> str | None:
    if worst < 1 << (limits.acc_bits - 1):
        return None
    return (
        f"node '{node.name}': accumulator could need {worst.bit_length() + 1} bits, "
        f"and has {limits.acc_bits}; use fewer bits for data or weights")


def _shift_error(node: Node, what: str, shift: int, least: int, most: int) -> str | None:
    if least <= shift <= most:
        return None
    return (
        f"node '{node.name}': {what} must be in {least}..{most} bits, not {shift}; "
        f"choose other fractional lengths for {', '.join([*node.inputs, node.output])}"
        + (f" or {node.name}.weights" if isinstance(node, Conv) else ""))


def _conv_errors(model: QuantizedModel, node: Conv, limits: Limits) -> Iterator[str | None]:
    shifts = model.shifts(node)
    for shift in (int(shifts.min()), int(shifts.max())):
        yield _shift_error(node, "right shift", shift, 0, limits.conv_shift)
    if node.addend is not None:
        lefts = model.addend_shifts(node)
        for left in (int(lefts.min()), int(lefts.max())):
            yield _shift_error(node, "left shift of the addend", left, 0, limits.addend_left)
    weights = model.weights[node.name]
    worst = worst_case(weights.codes, weights.bias, *code_bounds(model, node.inputs[0]))
    worst = worst + addend_worst_case(model, node)
    yield _accumulator_error(node, int(worst.max()), limits)
    bias = int(np.abs(weights.bias).max())
    if bias >= 1 << (limits.bias_bits - 1):
        yield (f"node '{node.name}': bias could need {bias.bit_length() + 1} bits, and has "
               f"{limits.bias_bits}; use fewer bits for data or weights")


def _vector_errors(
    model: QuantizedModel, node: Add | Pool, limits: Limits
) -> Iterator[str | None]:
    lefts, right = model.vector_shifts(node)
    left_limit = limits.vector_left
    if isinstance(node, Pool):
        counts = pool_counts(node, model.graph.shapes[node.inputs[0]])
        count = int(counts.max())
        if (counts == count).all() and is_power_of_two(count):
            right += count.bit_length() - 1
        else:
            left_limit = limits.divide_left
    for left in lefts:
        yield _shift_error(node, "left shift of an operand", left, 0, left_limit)
    yield _shift_error(node, "right shift", right, 0, limits.vector_right)
    yield _accumulator_error(node, vector_worst_case(model, node), limits)


def _product_errors(
    model: QuantizedModel, node: Mul | PRelu, limits: Limits
) -> Iterator[str | None]:
    yield _shift_error(node, "right shift", model.product_shift(node), 0, limits.vector_right)
    yield _accumulator_error(node, product_worst_case(model, node), limits)


def _concat_errors(
    model: QuantizedModel, node: Concat, limits: Limits
) -> Iterator[str | None]:
    for left, right in model.concat_shifts(node):
        yield _shift_error(node, "left shift of an input", left, 0, limits.concat_left)
        yield _shift_error(node, "right shift of an input", right, 0, limits.conv_shift)


def _errors(model: QuantizedModel, node: Node, limits: Limits) -> Iterator[str | None]:
    if isinstance(node, Conv):
        yield from _conv_errors(model, node, limits)
    elif isinstance(node, Slice | Resize | Pad) or (
            isinstance(node, Pool) and node.kind == "max"):
        before, after = model.formats[node.inputs[0]], model.formats[node.output]
        what = "maximum pooling" if isinstance(node, Pool) else type(node).__name__
        if before != after:
            yield (f"node '{node.name}': {what} must keep the format of its input "
                   f"({before}), not {after}; set that of {node.inputs[0]} instead")
    elif isinstance(node, Concat):
        yield from _concat_errors(model, node, limits)
    elif isinstance(node, Mul | PRelu):
        yield from _product_errors(model, node, limits)
    elif isinstance(node, Add | Pool):
        yield from _vector_errors(model, node, limits)
    elif isinstance(node, Softmax):
        channels = model.graph.shapes[node.output][0]
        if channels > MOST_CHANNELS:
            yield (f"node '{node.name}': Softmax between layers must be over at most "
                   f"{MOST_CHANNELS} channels, not {channels}")


def check_limits(
    model: QuantizedModel, limits: Limits, nodes: list[Node] | None = None
) -> None:
    """Check that shifters can align every format and that no accumulator can overflow.

    Parameters
    ----------
    model : QuantizedModel
        Model with formats and weights of ``nodes`` and their inputs.
    limits : Limits
        The hardware.
    nodes : list of Node, optional
        Nodes to check; all that run on the accelerator by default.

    Raises
    ------
    ModelError
        Names the first node that breaks a rule, and the rule.
    """
    graph: Graph = model.graph
    for node in graph.accelerated if nodes is None else nodes:
        for error in _errors(model, node, limits):
            if error is not None:
                raise ModelError(error)
