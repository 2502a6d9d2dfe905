"""Phase 2: fractional lengths of the data, greedily from input to output."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from arch.formats import Rounding

from ..accumulators import check_limits
from ..errors import ModelError
from ..execute import (
    Maps,
    Prepared,
    accumulate,
    activate,
    forget,
    input_maps,
    prepare,
    quantize_input,
)
from ..graph import Activation, Add, Concat, Conv, Mul, Node, Pool, PRelu
from ..model import QuantizedModel
from ..parallel import in_threads
from ..ranges import (
    FRAC_LIMIT,
    format_root,
    format_sharers,
    joined_format,
    natural_frac,
)
from ..tables import model_table
from ..tiles import Tile
from .context import Context
from .options import Progress
from .pieces import executed, part, pieces
from .rounding import Rounder, form_source
from .rules import Norm, Tally, clipped_range, divergences
from .score import candidate_errors, distance, signal
from .stream import Piece, Stream


__all__ = (
    "float_errors",
    "natural_data_frac",
    "search_data",
    "weigher",
)


_FURTHEST = 2 * FRAC_LIMIT


def _tally(
    context: Context, candidates: list[int], floats: Iterable[Piece],
    errors: Callable[[slice, NDArray[np.float32]], dict[int, NDArray[np.float64]]],
) -> Tally:
    """Count the errors of candidates and the signal, over pieces of the images, in threads.

    Parameters
    ----------
    context : Context
        The search.
    candidates : list of int
        Fractional lengths.
    floats : iterable of (slice, float32 (n, c, h, w))
        Images, and what the float network has there.
    errors : callable
        Takes images and float values (n, h, w, c); returns errors of each candidate, (n,).
    """
    rule = context.options.rule

    def work(
        piece: Piece
    ) -> tuple[slice, dict[int, NDArray[np.float64]], NDArray[np.float64]]:
        images, values = piece
        exact = np.ascontiguousarray(values.transpose(0, 2, 3, 1))
        return images, errors(images, exact), signal(exact, rule.norm)

    tally = Tally(rule, candidates, len(context.calibration))
    for images, found, strength in in_threads(work, floats):
        for frac, error in found.items():
            tally.add(frac, images, error)
        tally.add_signal(images, strength)
    return tally


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


def _candidates(
    context: Context, node: Node | None, tensor: str, natural: int
) -> list[int]:
    """Return the fractional lengths to try: near ``natural``, all within the limits.

    Where none of these is, the nearest below them that is, since that loses resolution only.
    """
    tried = context.options.rule.candidates
    least, most = _window(context, tensor)
    near = [
        frac for frac in (natural + delta for delta in tried)
        if least <= frac <= most and _obstacle(context, node, tensor, frac) is None]
    if near:
        return near
    start = min(natural + tried[0], most)
    for frac in range(start, max(least, start - _FURTHEST) - 1, -1):
        if _obstacle(context, node, tensor, frac) is None:
            return [frac]
    reason = _obstacle(context, node, tensor, natural)
    raise ModelError(
        f"tensor '{tensor}': no fractional length near {natural} can be aligned: "
        + (reason or f"what it meets asks for {least}..{most} bits"))


def natural_data_frac(context: Context, tensor: str, stream: Stream) -> int:
    """Return the largest fractional length that overflows nothing in the rule's range."""
    rule = context.options.rule
    if rule.kind != "percentile":
        return context.natural(tensor)
    fmt = context.data_format(tensor, 0)
    return int(natural_frac(
        *clipped_range(rule, stream.look(tensor)), fmt.bits, signed=fmt.signed))


def float_errors(
    context: Context, tensor: str, candidates: list[int], stream: Stream
) -> dict[int, float]:
    """Return the errors of candidates that the float values alone decide on.

    They are divergences, or the steps of the formats where no value in range overflows.
    """
    if context.options.rule.kind != "entropy":
        return {frac: math.ldexp(1.0, -frac) for frac in candidates}
    fmt = context.data_format(tensor, 0)
    natural = context.natural(tensor)
    found = divergences(stream.look(tensor), natural, fmt.bits, signed=fmt.signed)
    worst = max(found.values())
    return {
        frac: found[natural] if frac < natural else found.get(frac, worst)
        for frac in candidates}


def _settle(context: Context, tensor: str, frac: int, errors: dict[int, float]) -> None:
    """Give ``tensor`` the fractional length that was found."""
    context.model.formats[tensor] = context.data_format(tensor, frac)
    context.note(tensor, rule="search", natural=context.natural(tensor), errors=errors)


def _choose_by_floats(
    context: Context, node: Node | None, tensor: str, stream: Stream
) -> bool:
    """Give ``tensor`` the format that its float values ask for, if the rule is such a one."""
    if not context.options.rule.looks_at_floats:
        return False
    candidates = _candidates(context, node, tensor, natural_data_frac(context, tensor, stream))
    errors = float_errors(context, tensor, candidates, stream)
    _settle(context, tensor, min(errors, key=lambda frac: (errors[frac], frac)), errors)
    return True


def _choose_joined(context: Context, whole: str, stream: Stream) -> None:
    """Choose the format of the result of a Concat, from its float values, before its inputs."""
    if whole in context.model.formats:
        return
    if whole in context.overrides:
        context.model.formats[whole] = context.overrides[whole]
        return
    if _choose_by_floats(context, None, whole, stream):
        return
    _choose_by_values(context, whole, stream.take(whole), Rounding.HALF_EVEN)


def _choose_by_values(
    context: Context, tensor: str, floats: Iterable[Piece], rounding: Rounding
) -> None:
    """Choose the format that is nearest to the float values themselves."""
    candidates = _candidates(context, None, tensor, context.natural(tensor))
    formats = {frac: context.data_format(tensor, frac) for frac in candidates}
    bounds = {frac: (fmt.min, fmt.max) for frac, fmt in formats.items()}

    def errors(images: slice, exact: NDArray[np.float32]) -> dict[int, NDArray[np.float64]]:
        tile = Tile(images, slice(None), exact, 0, real=True)
        return candidate_errors(tile, exact, bounds, rounding, context.options.rule.norm)

    tally = _tally(context, candidates, floats, errors)
    _settle(context, tensor, tally.best(), tally.totals)


def _joins(context: Context, node: Node, stream: Stream) -> bool:
    """Give an input of a Concat the format of the whole; return whether that is possible."""
    whole = joined_format(context.graph, node.output)
    if whole == node.output:
        return False
    _choose_joined(context, whole, stream)
    fmt = context.model.formats[whole]
    if context.options.widths.get(node.output, fmt.bits) != fmt.bits:
        return False
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


def _choose_input(context: Context, stream: Stream) -> None:
    tensor = context.graph.input
    if _given(context, tensor) or _choose_by_floats(context, None, tensor, stream):
        return
    floats = (
        (piece, context.graph.take(context.calibration[piece]))
        for piece in pieces(context.graph, len(context.calibration), [tensor]))
    _choose_by_values(context, tensor, floats, context.model.rounding)


def _table_errors(
    model: QuantizedModel, node: Activation, x: NDArray[np.integer], exact: NDArray[np.float32],
    norm: Norm,
) -> NDArray[np.float64]:
    """Return the errors, (n,), of an activation of codes ``x`` with the formats of ``model``."""
    table, step = model_table(model, node), model.formats[node.output].step
    totals = np.zeros(len(x))
    for images, lines, codes in activate(model, node, table, x, model.bounds(node)):
        totals[images] += distance(codes, step, exact[images, lines], norm)
    return totals


def _choose_output(
    context: Context, node: Node, maps: Maps, stream: Stream, prepared: Prepared
) -> None:
    if node.output in context.model.formats and node.output not in context.overrides:
        return  # chosen before its inputs
    if _given(context, node.output) or _joins(context, node, stream):
        return
    if _choose_by_floats(context, node, node.output, stream):
        return
    model, norm = context.model, context.options.rule.norm
    candidates = _candidates(context, node, node.output, context.natural(node.output))
    models = {frac: _with_frac(context, node.output, frac) for frac in candidates}
    bounds = {frac: other.channel_bounds(node) for frac, other in models.items()}

    def errors(images: slice, exact: NDArray[np.float32]) -> dict[int, NDArray[np.float64]]:
        own = part(node, maps, images)
        if isinstance(node, Activation):
            x = own[node.inputs[0]]
            return {
                frac: _table_errors(other, node, x, exact, norm) for frac, other in models.items()}
        totals = {frac: np.zeros(len(exact)) for frac in bounds}
        for tile in accumulate(model, node, own, prepared):
            found = candidate_errors(
                tile, exact[tile.images, tile.lines], bounds, model.rounding, norm)
            for frac, error in found.items():
                totals[frac][tile.images] += error
        return totals

    tally = _tally(context, candidates, stream.take(node.output), errors)
    _settle(context, node.output, tally.best(), tally.totals)


def _searched(context: Context) -> Iterable[str]:
    """Return the tensors that are searched, in order: the result of a Concat with its inputs."""
    graph = context.graph
    roots = [
        node.output for node in graph.accelerated
        if node.output not in context.overrides and format_root(graph, node.output) == node.output]
    wholes = dict.fromkeys(joined_format(graph, name) for name in roots)
    return [name for name in wholes if name not in context.overrides]


def weigher(context: Context) -> Callable[[Conv, Maps], None]:
    """Return what rounds the weights of a convolution anew, given the codes of its input.

    It does nothing where weights are rounded to nearest, which they are already.
    """
    if context.options.weight_rounding == "nearest":
        return lambda node, maps: None
    forms, rounder = form_source(context), Rounder(context)
    return lambda node, maps: rounder(node, forms(node, maps))


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
    stream = Stream(context, list(_searched(context)))
    for node in graph:
        if isinstance(node, PRelu):
            context.set_slopes(node)
    _choose_input(context, stream)
    maps: Maps = {graph.input: input_maps(model, quantize_input(model, context.calibration))}
    weigh = weigher(context)
    for index, node in enumerate(graph.accelerated):
        progress("data", index, len(graph.accelerated))
        if isinstance(node, Conv):
            context.set_weights(node, weight_fracs[node.name])
            weigh(node, maps)
            context.correct(node, maps[node.inputs[0]])
        prepared = prepare(model, [node])
        _choose_output(context, node, maps, stream, prepared)
        if isinstance(node, Activation):
            context.set_table(node)
        check_limits(model, context.limits, [node])
        maps[node.output] = executed(model, node, maps, prepared)
        forget(graph, index, maps)
    progress("data", len(graph.accelerated), len(graph.accelerated))
