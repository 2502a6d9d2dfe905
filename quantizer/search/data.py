"""Phase 2: fractional lengths of the data, greedily from input to output."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arch.formats import Rounding

from ..accumulators import check_limits
from ..errors import ModelError
from ..execute import (
    Maps,
    accumulate,
    activate,
    execute_node,
    forget,
    input_maps,
    quantize_input,
)
from ..graph import Activation, Add, Concat, Conv, Mul, Node, Pool, PRelu
from ..kernels import Tile, rescale
from ..model import QuantizedModel
from ..ranges import (
    CANDIDATES,
    FRAC_LIMIT,
    batches,
    format_root,
    format_sharers,
    joined_format,
)
from ..tables import model_table
from .context import Context
from .options import Norm, Progress


__all__ = (
    "best_frac",
    "distance",
    "search_data",
    "signal",
)


_STREAM_SIZE = 1 << 29  # bytes of float tensors held at once
_NEGLIGIBLE = 2.0**-10  # error, relative to the signal, that leaves nothing to improve
_FURTHEST = 2 * FRAC_LIMIT


def distance(
    codes: NDArray[Any], step: float, exact: NDArray[np.float32], norm: Norm
) -> float:
    """Return the sum of absolute or squared differences between ``codes * step`` and ``exact``."""
    difference = np.multiply(codes, step, dtype=np.result_type(codes, np.float32))
    difference -= exact
    np.abs(difference, out=difference) if norm == "l1" else np.square(difference, out=difference)
    return float(difference.sum(dtype=np.float64))


def signal(exact: NDArray[np.float32], norm: Norm) -> float:
    """Return the sum of absolute or squared values."""
    return distance(np.zeros_like(exact), 1.0, exact, norm)


def best_frac(errors: Mapping[int, float], total: float, norm: Norm) -> int:
    """Return the fractional length with the least error; the smaller one of equals.

    Errors below 60 dB count as equal: there, the room that a smaller fractional length leaves for
    values that calibration has not seen is worth more.

    Parameters
    ----------
    errors : mapping from int to float
        Error of each fractional length.
    total : float
        :func:`signal` of the same numbers.
    norm : "l1" or "l2"
        How both were summed.
    """
    least = total * (_NEGLIGIBLE if norm == "l1" else _NEGLIGIBLE**2)
    return min(errors, key=lambda frac: (max(errors[frac], least), frac))


class _Stream:
    """Float tensors in the order of the nodes, computed for several nodes at once."""

    def __init__(self, context: Context, names: list[str]) -> None:
        self._context = context
        self._names = names
        self._held: dict[str, NDArray[np.float32]] = {}

    def take(self, name: str) -> NDArray[np.float32]:
        """Return a tensor as (n, h, w, c), and forget it."""
        if name not in self._held:
            context = self._context
            self._held = context.reference.tensors(context.calibration, self._group(name))
        return np.ascontiguousarray(self._held.pop(name).transpose(0, 2, 3, 1))

    def _group(self, name: str) -> list[str]:
        """Return ``name`` and as many of the next names as fit the memory."""
        group: list[str] = []
        count = len(self._context.calibration)
        first = self._names.index(name) if name in self._names else len(self._names)
        for other in self._names[first:] or [name]:
            pieces = batches(
                self._context.graph, count, [*group, other], size=_STREAM_SIZE)
            if group and next(pieces).stop < count:
                break
            group.append(other)
        return group


def _window(context: Context, tensor: str) -> tuple[int, int]:
    """Return the fractional lengths that later shifters can align with their other operands."""
    graph, limits = context.graph, context.limits
    sharers = format_sharers(graph, tensor)
    least, most = -FRAC_LIMIT, FRAC_LIMIT
    producer = graph.producer(tensor)
    for name in producer.inputs if isinstance(producer, Concat) else ():
        if context.is_known(name):
            frac = context.expected(name)
            least, most = max(least, frac - limits.conv_shift), min(most, frac + limits.concat_left)
    for node in (node for name in sharers for node in graph.consumers(name)):
        if isinstance(node, Add):
            most = min(most, context.expected(node.output) + limits.vector_right)
            for other in set(node.inputs) - set(sharers):
                most = min(most, context.expected(other) + limits.vector_left)
                if format_root(graph, other) in context.model.formats:
                    least = max(least, context.expected(other) - limits.vector_left)
        elif isinstance(node, Concat):
            whole = context.expected(node.output)
            least = max(least, whole - limits.concat_left)
            most = min(most, whole + limits.conv_shift)
        elif isinstance(node, Mul):
            factors = [name for name in node.inputs if name not in sharers]
            room = context.expected(node.output) + limits.vector_right
            most = min(most, room - context.expected(factors[0]) if factors else room // 2)
        elif isinstance(node, PRelu):
            slopes = context.model.slopes[node.name]
            most = min(most, context.expected(node.output) + limits.vector_right - slopes.frac)
        elif isinstance(node, Pool) and node.kind == "average":
            size = node.window.kernel[0] * node.window.kernel[1]
            most = min(
                most, context.expected(node.output) + limits.vector_right - size.bit_length())
    return least, most


def _with_frac(context: Context, tensor: str, frac: int) -> QuantizedModel:
    """Return the model so far in which ``tensor`` has a fractional length."""
    formats = {**context.model.formats, tensor: context.data_format(tensor, frac)}
    return replace(context.model, formats=formats)


def _obstacle(context: Context, node: Node | None, tensor: str, frac: int) -> str | None:
    """Return why the accelerator cannot compute ``tensor`` with ``frac``, if so."""
    try:
        if node is not None:
            check_limits(_with_frac(context, tensor, frac), context.limits, [node])
    except ModelError as error:
        return str(error)
    return None


def _candidates(context: Context, node: Node | None, tensor: str) -> list[int]:
    """Return the fractional lengths to try: near the natural one, all within the limits.

    Where none of these is, the nearest below them that is, since that loses resolution only.
    """
    natural = context.natural(tensor)
    least, most = _window(context, tensor)
    near = [
        frac for frac in (natural + delta for delta in CANDIDATES)
        if least <= frac <= most and _obstacle(context, node, tensor, frac) is None]
    if near:
        return near
    start = min(natural + CANDIDATES[0], most)
    for frac in range(start, max(least, start - _FURTHEST) - 1, -1):
        if _obstacle(context, node, tensor, frac) is None:
            return [frac]
    reason = _obstacle(context, node, tensor, natural)
    raise ModelError(
        f"tensor '{tensor}': no fractional length near {natural} can be aligned: "
        + (reason or f"what it meets asks for {least}..{most} bits"))


def _settle(context: Context, tensor: str, errors: dict[int, float], total: float) -> None:
    """Give ``tensor`` the best candidate."""
    frac = best_frac(errors, total, context.options.norm)
    context.model.formats[tensor] = context.data_format(tensor, frac)
    context.log[tensor] = {
        "rule": "search", "natural": context.natural(tensor), "errors": errors}


def _choose_joined(context: Context, whole: str, stream: _Stream) -> None:
    """Choose the format of the result of a Concat, from its float values, before its inputs."""
    if whole in context.model.formats:
        return
    if whole in context.overrides:
        context.model.formats[whole] = context.overrides[whole]
        return
    candidates, exact = _candidates(context, None, whole), stream.take(whole)
    errors = dict.fromkeys(candidates, 0.0)
    for index in range(len(exact)):
        image = exact[index:index + 1]
        tile = Tile(slice(index, index + 1), slice(None), image, 0)
        for frac in candidates:
            fmt = context.data_format(whole, frac)
            codes = rescale(tile, frac, fmt.min, fmt.max, Rounding.HALF_EVEN, keep=True)
            errors[frac] += distance(codes, fmt.step, image, context.options.norm)
    _settle(context, whole, errors, signal(exact, context.options.norm))


def _joins(context: Context, node: Node, stream: _Stream) -> bool:
    """Give an input of a Concat the format of the whole; return whether that is possible."""
    whole = joined_format(context.graph, node.output)
    if whole == node.output:
        return False
    _choose_joined(context, whole, stream)
    fmt = context.model.formats[whole]
    least, most = _window(context, node.output)
    formats = {**context.model.formats, node.output: fmt}
    try:
        check_limits(replace(context.model, formats=formats), context.limits, [node])
    except ModelError:
        return False
    if not least <= fmt.frac <= most:
        return False
    context.model.formats[node.output] = fmt
    context.log[node.output] = {"rule": "an input of a Concat has the format of its result"}
    return True


def _given(context: Context, tensor: str) -> bool:
    """Set the format of a tensor that is not to be searched; return whether it is one."""
    if tensor in context.overrides:
        context.model.formats[tensor] = context.overrides[tensor]
        context.log[tensor] = {"rule": "override"}
        return True
    root = format_root(context.graph, tensor)
    if root != tensor:
        context.model.formats[tensor] = context.model.formats[root]
        producer = context.graph.producer(tensor)
        what = "maximum pooling" if isinstance(producer, Pool) else type(producer).__name__
        context.log[tensor] = {"rule": f"{what} keeps the format of its input"}
        return True
    return False


def _choose_input(context: Context) -> None:
    tensor = context.graph.input
    if _given(context, tensor):
        return
    errors = {}
    for frac in _candidates(context, None, tensor):
        fmt = context.data_format(tensor, frac)
        errors[frac] = sum(
            distance(
                fmt.quantize(image, context.model.rounding), fmt.step, image,
                context.options.norm)
            for image in context.calibration)
    _settle(context, tensor, errors, signal(context.calibration, context.options.norm))


def _table_error(
    context: Context, model: QuantizedModel, node: Activation, maps: Maps,
    exact: NDArray[np.float32],
) -> float:
    """Return the error of an activation with the formats of ``model``."""
    table, x = model_table(model, node), maps[node.inputs[0]]
    return sum(
        distance(codes, model.formats[node.output].step, exact[images, lines],
                 context.options.norm)
        for images, lines, codes in activate(model, node, table, x, model.bounds(node)))


def _choose_output(
    context: Context, node: Node, maps: Maps, stream: _Stream
) -> None:
    if node.output in context.model.formats and node.output not in context.overrides:
        return  # chosen before its inputs
    if _given(context, node.output) or _joins(context, node, stream):
        return
    model = context.model
    candidates = _candidates(context, node, node.output)
    bounds = {
        frac: _with_frac(context, node.output, frac).bounds(node) for frac in candidates}
    exact = stream.take(node.output)
    if isinstance(node, Activation):
        errors = {
            frac: _table_error(context, _with_frac(context, node.output, frac), node, maps, exact)
            for frac in candidates}
        _settle(context, node.output, errors, signal(exact, context.options.norm))
        return
    errors = dict.fromkeys(candidates, 0.0)
    for tile in accumulate(model, node, maps):
        part = exact[tile.images, tile.lines]
        for frac in candidates:
            codes = rescale(tile, frac, *bounds[frac], model.rounding, keep=True)
            errors[frac] += distance(
                codes, math.ldexp(1.0, -frac), part, context.options.norm)
    _settle(context, node.output, errors, signal(exact, context.options.norm))


def _searched(context: Context) -> Iterable[str]:
    """Return the tensors that are searched, in order: the result of a Concat with its inputs."""
    graph = context.graph
    roots = [
        node.output for node in graph.accelerated
        if node.output not in context.overrides and format_root(graph, node.output) == node.output]
    wholes = dict.fromkeys(joined_format(graph, name) for name in roots)
    return [name for name in wholes if name not in context.overrides]


def search_data(
    context: Context, weight_fracs: dict[str, NDArray[np.int64]], progress: Progress
) -> None:
    """Choose the format of every tensor, and make the integers of every convolution.

    Parameters
    ----------
    context : Context
        The search; its model receives formats and weights.
    weight_fracs : dict from node name to int64 (k,)
        What phase 1 chose.
    progress : callable
        Called with ``"data"``, the nodes done and all nodes.

    Raises
    ------
    ModelError
        If the limits leave a tensor without a format.
    """
    model, graph = context.model, context.graph
    stream = _Stream(context, list(_searched(context)))
    for node in graph:
        if isinstance(node, PRelu):
            context.set_slopes(node)
    _choose_input(context)
    maps: Maps = {graph.input: input_maps(model, quantize_input(model, context.calibration))}
    for index, node in enumerate(graph.accelerated):
        progress("data", index, len(graph.accelerated))
        if isinstance(node, Conv):
            context.set_weights(node, weight_fracs[node.name])
        _choose_output(context, node, maps, stream)
        if isinstance(node, Activation):
            context.set_table(node)
        check_limits(model, context.limits, [node])
        maps[node.output] = execute_node(model, node, maps)
        forget(graph, index, maps)
    progress("data", len(graph.accelerated), len(graph.accelerated))
