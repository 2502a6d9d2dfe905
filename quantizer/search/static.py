"""Static precision: one fractional length for all data and one for all weights."""

import numpy as np
from numpy.typing import NDArray

from arch.formats import Format

from ..accumulators import check_limits
from ..errors import ModelError
from ..execute import (
    Maps,
    execute,
    execute_node,
    forget,
    input_maps,
    quantize_input,
)
from ..graph import Activation, Conv, PRelu
from ..model import QuantizedModel
from ..overrides import WEIGHTS_SUFFIX
from ..ranges import CANDIDATES, batches, format_root, joined_format
from ..tables import model_table
from .context import Context
from .correct import correct_biases
from .data import float_errors, natural_data_frac, weigher
from .options import Progress
from .rules import Tally, divergences
from .score import distance, signal
from .stream import Stream
from .weights import channel_errors, integer_weights, natural_weight_frac


__all__ = ("search_static",)


def _weight_errors(
    context: Context, node: Conv, fracs: range
) -> NDArray[np.float64]:
    """Return the errors of a convolution's weights with each fractional length."""
    rule, bits = context.options.rule, context.weight_bits(node)
    if rule.kind == "entropy":
        natural = int(natural_weight_frac(node, bits, rule, per_channel=False)[0])
        found = divergences(node.weight, natural, bits)
        worst = max(found.values())
        return np.array([found[natural] if frac < natural else found.get(frac, worst)
                         for frac in fracs])
    return np.array([
        channel_errors(node, bits, np.full(len(node.weight), frac), rule.norm).sum()
        for frac in fracs])


def _weight_frac(context: Context) -> tuple[int, dict[int, float]]:
    """Return the fractional length with the least error over all weights, and all errors."""
    rule = context.options.rule
    convs = [
        node for node in context.convs if node.name + WEIGHTS_SUFFIX not in context.overrides]
    naturals = [
        int(natural_weight_frac(node, context.weight_bits(node), rule, per_channel=False)[0])
        for node in convs]
    least = min(max(min(naturals, default=0) + rule.candidates[0], 0), context.limits.conv_shift)
    if len(rule.candidates) == 1:
        return least, {least: float(np.ldexp(1.0, -least))}
    most = max(
        min(max(naturals, default=0) + rule.candidates[-1], context.limits.conv_shift), least)
    fracs = range(least, most + 1)
    errors = np.zeros(len(fracs))
    for node in convs:
        errors += _weight_errors(context, node, fracs)
    totals = dict(zip(fracs, errors.tolist(), strict=True))
    return min(totals, key=lambda key: (totals[key], key)), totals


def _model(context: Context, frac: int, weight_frac: int) -> QuantizedModel:
    """Return the network with one fractional length for data and one for weights."""
    graph, overrides = context.graph, context.overrides
    formats: dict[str, Format] = {}
    for tensor in [graph.input, *(node.output for node in graph.accelerated)]:
        root = format_root(graph, tensor)
        whole = joined_format(graph, tensor)
        if tensor in context.options.widths:
            whole = tensor
        free = overrides.get(whole, context.data_format(whole, frac))
        formats[tensor] = overrides.get(tensor, formats[root] if root != tensor else free)
    weights = {}
    for node in context.convs:
        fixed = overrides.get(node.name + WEIGHTS_SUFFIX)
        weights[node.name] = integer_weights(
            node, context.weight_bits(node),
            np.full(len(node.weight), weight_frac if fixed is None else fixed.frac),
            formats[node.inputs[0]].frac)
    model = QuantizedModel(
        graph, formats, weights, context.model.rounding, slopes=context.model.slopes)
    model.tables = {
        node.name: model_table(model, node) for node in graph if isinstance(node, Activation)}
    return model


def _models(context: Context, weight_frac: int) -> dict[int, QuantizedModel]:
    """Return every candidate that the hardware can run, by fractional length of the data."""
    naturals = [
        context.natural(name) for name in context.ranges
        if format_root(context.graph, name) == name]
    models: dict[int, QuantizedModel] = {}
    reason = ""
    for frac in range(min(naturals) + CANDIDATES[0], max(naturals) + CANDIDATES[-1] + 1):
        model = _model(context, frac, weight_frac)
        try:
            check_limits(model, context.limits)
        except ModelError as error:
            reason = reason or str(error)
        else:
            models[frac] = model
    if not models:
        raise ModelError(f"No static fractional length of the data can be aligned: {reason}")
    return models


def _count(
    context: Context, models: dict[int, QuantizedModel], piece: slice, tally: Tally
) -> None:
    """Count the error of each candidate on some images, over all tensors, and their signal."""
    names = [node.output for node in context.graph.accelerated]
    images, norm = context.calibration[piece], context.options.rule.norm
    exact = context.reference.tensors(images, names)
    exact[context.graph.input] = context.graph.take(images)
    for tensor in exact.values():
        tally.add_signal(piece, signal(tensor, norm))
    for frac, model in models.items():
        for name, codes in execute(model, quantize_input(model, images)).items():
            tally.add(frac, piece, distance(codes, model.formats[name].step, exact[name], norm))


def _by_codes(
    context: Context, models: dict[int, QuantizedModel], progress: Progress
) -> tuple[int, dict[int, float]]:
    """Return the best candidate, all tensors at once in fixed point, and all errors."""
    count = len(context.calibration)
    tally = Tally(context.options.rule, models, count)
    for piece in batches(context.graph, count):
        progress("data", piece.start, count)
        _count(context, models, piece, tally)
    progress("data", count, count)
    return tally.best(), tally.totals


def _by_floats(
    context: Context, models: dict[int, QuantizedModel], progress: Progress
) -> tuple[int, dict[int, float]]:
    """Return the best candidate by the float values of all tensors, and all errors."""
    names = [name for name in context.ranges if format_root(context.graph, name) == name]
    stream, rule = Stream(context, names), context.options.rule
    totals = dict.fromkeys(models, 0.0)
    targets = []
    for index, name in enumerate(names):
        progress("data", index, len(names))
        targets.append(natural_data_frac(context, name, stream))
        if rule.kind == "entropy":
            for frac, error in float_errors(context, name, list(models), stream).items():
                totals[frac] += error
    progress("data", len(names), len(names))
    if rule.kind == "entropy":
        return min(totals, key=lambda frac: (totals[frac], frac)), totals
    best = max((frac for frac in models if frac <= min(targets)), default=min(models))
    return best, {best: float(np.ldexp(1.0, -best))}


def _round_weights(context: Context, progress: Progress) -> None:
    """Round the weights anew, from input to output, with all formats as they are."""
    model, graph, weigh = context.model, context.graph, weigher(context)
    maps: Maps = {graph.input: input_maps(model, quantize_input(model, context.calibration))}
    for index, node in enumerate(graph.accelerated):
        progress("rounding", index, len(graph.accelerated))
        if isinstance(node, Conv):
            weigh(node, maps)
        maps[node.output] = execute_node(model, node, maps)
        forget(graph, index, maps)
    progress("rounding", len(graph.accelerated), len(graph.accelerated))


def search_static(context: Context, progress: Progress) -> None:
    """Choose one fractional length for all data and one for all weights.

    The weights' is that with the least error summed over all weights. The data's is that with
    which the network, all tensors at once in fixed point, is nearest to the float network,
    summed over all tensors; or, where the rule looks at float values alone, that with the least
    divergence summed over all tensors, or the largest with which none of them overflows in its
    range. Tensors keep their own width and sign. Overrides stay as they are.

    Parameters
    ----------
    context : Context
        The search; its model receives formats and weights.
    progress : callable
        Called with ``"data"``, the images or tensors done and all of them.

    Raises
    ------
    ModelError
        If the limits leave no fractional length.
    """
    for node in context.graph:
        if isinstance(node, PRelu):
            context.set_slopes(node)
    weight_frac, weight_errors = _weight_frac(context)
    models = _models(context, weight_frac)
    choose = _by_floats if context.options.rule.looks_at_floats else _by_codes
    frac, totals = choose(context, models, progress)
    best = models[frac]
    context.model.formats.update(best.formats)
    context.model.weights.update(best.weights)
    context.model.tables.update(best.tables)
    if context.options.correct:
        correct_biases(context.model, context.calibration, context.means)
    for name in best.formats:
        rule = "override" if name in context.overrides else "static"
        context.note(name, rule=rule, errors=totals)
    for node in context.convs:
        name = node.name + WEIGHTS_SUFFIX
        rule = "override" if name in context.overrides else "static"
        context.note(name, rule=rule, errors=weight_errors)
    if context.options.weight_rounding != "nearest":
        _round_weights(context, progress)
    if context.options.correct:
        correct_biases(context.model, context.calibration, context.means)
    check_limits(context.model, context.limits)
