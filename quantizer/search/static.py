"""Static precision: one fractional length for all data and one for all weights."""

import numpy as np
from numpy.typing import NDArray

from arch.formats import Format

from ..accumulators import check_limits
from ..errors import ModelError
from ..execute import execute, quantize_input
from ..graph import Activation, PRelu
from ..model import QuantizedModel
from ..overrides import WEIGHTS_SUFFIX
from ..ranges import CANDIDATES, batches, format_root, joined_format
from ..tables import model_table
from .context import Context
from .data import best_frac, distance, signal
from .options import Progress
from .weights import channel_errors, integer_weights, natural_weight_frac


__all__ = ("search_static",)


def _weight_frac(context: Context) -> tuple[int, dict[int, float]]:
    """Return the fractional length with the least error over all weights, and all errors."""
    convs = [
        node for node in context.convs if node.name + WEIGHTS_SUFFIX not in context.overrides]
    naturals = [
        int(natural_weight_frac(node, context.weight_bits(node), per_channel=False)[0])
        for node in convs]
    least = min(max(min(naturals, default=0) + CANDIDATES[0], 0), context.limits.conv_shift)
    most = max(min(max(naturals, default=0) + CANDIDATES[-1], context.limits.conv_shift), least)
    errors = {
        frac: sum(
            float(channel_errors(
                node, context.weight_bits(node), np.full(len(node.weight), frac),
                context.options.norm).sum())
            for node in convs)
        for frac in range(least, most + 1)}
    return min(errors, key=lambda key: (errors[key], key)), errors


def _model(context: Context, frac: int, weight_frac: int) -> QuantizedModel:
    """Return the network with one fractional length for data and one for weights."""
    graph, overrides = context.graph, context.overrides
    formats: dict[str, Format] = {}
    for tensor in [graph.input, *(node.output for node in graph.accelerated)]:
        root = format_root(graph, tensor)
        whole = joined_format(graph, tensor)
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


def _errors(
    context: Context, models: dict[int, QuantizedModel], images: NDArray[np.float32]
) -> tuple[dict[int, float], float]:
    """Return the error of each candidate over all tensors, and their signal."""
    names = [node.output for node in context.graph.accelerated]
    exact = context.reference.tensors(images, names)
    exact[context.graph.input] = images.reshape(
        len(images), *context.graph.shapes[context.graph.input])
    errors = {
        frac: sum(
            distance(codes, model.formats[name].step, exact[name], context.options.norm)
            for name, codes in execute(model, quantize_input(model, images)).items())
        for frac, model in models.items()}
    return errors, sum(signal(tensor, context.options.norm) for tensor in exact.values())


def search_static(context: Context, progress: Progress) -> None:
    """Choose one fractional length for all data and one for all weights.

    The weights' is that with the least error summed over all weights. The data's is that with
    which the network, all tensors at once in fixed point, is nearest to the float network,
    summed over all tensors. Tensors keep their own width and sign. Overrides stay as they are.

    Parameters
    ----------
    context : Context
        The search; its model receives formats and weights.
    progress : callable
        Called with ``"data"``, the images done and all images.

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
    totals = dict.fromkeys(models, 0.0)
    count, total = len(context.calibration), 0.0
    for piece in batches(context.graph, count):
        progress("data", piece.start, count)
        errors, part = _errors(context, models, context.calibration[piece])
        total += part
        for frac, error in errors.items():
            totals[frac] += error
    progress("data", count, count)
    best = models[best_frac(totals, total, context.options.norm)]
    context.model.formats.update(best.formats)
    context.model.weights.update(best.weights)
    context.model.tables.update(best.tables)
    for name in best.formats:
        rule = "override" if name in context.overrides else "static"
        context.log[name] = {"rule": rule, "errors": totals}
    for node in context.convs:
        name = node.name + WEIGHTS_SUFFIX
        rule = "override" if name in context.overrides else "static"
        context.log[name] = {"rule": rule, "errors": weight_errors}
