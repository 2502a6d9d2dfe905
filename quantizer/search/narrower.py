"""Weights of several widths for one network, whose data stays as it is."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from numpy.typing import ArrayLike

from arch.formats import Format

from ..accumulators import check_limits
from ..errors import ModelError
from ..execute import Maps, forget, input_maps, quantize_input
from ..graph import Conv
from ..model import Limits, QuantizedModel
from ..overrides import WEIGHTS_SUFFIX
from ..ranges import Reference, check_calibration
from .context import Context
from .options import Options, Progress
from .pieces import executed
from .rounding import Rounder, form_source


__all__ = ("narrower_weights",)


def _contexts(
    model: QuantizedModel, widths: Sequence[int], calibration: ArrayLike, reference: Reference,
    options: Options, limits: Limits, fixed: Mapping[str, Format],
) -> dict[int, Context]:
    """Return a search for each width, all with the formats of ``model`` for data."""
    images = check_calibration(calibration, model.graph)
    given = {name + WEIGHTS_SUFFIX: fmt for name, fmt in fixed.items()}
    return {
        bits: Context(
            replace(model, weights=dict(model.weights)), images, reference,
            replace(options, weight_bits=bits), limits, {**model.formats, **given})
        for bits in sorted(widths, reverse=True)}


def narrower_weights(
    model: QuantizedModel, widths: Sequence[int], calibration: ArrayLike, *,
    reference: Reference, options: Options, limits: Limits, fixed: Mapping[str, Format],
    progress: Progress,
) -> dict[int, QuantizedModel]:
    """Round the weights of a network to other widths, all in one pass over the images.

    The weights of a layer are those that suit the codes that ``model`` gives it: all layers before
    it keep their widths.

    Parameters
    ----------
    model : QuantizedModel
        Formats of data, and the graph that was searched.
    widths : sequence of int
        Widths in bits.
    calibration : float, (n, *input_dims)
        Preprocessed images, at least one.
    reference : Reference
        Float results of the model's graph.
    options : Options
        How weights are rounded, and widths of single layers, which stay; other widths are not
        used.
    limits : Limits
        The hardware.
    fixed : mapping from name to Format
        Formats of weights that stay as they are, by name of a convolution.
    progress : callable
        Called with ``"weights"``, the nodes done and all nodes.

    Returns
    -------
    dict from int to QuantizedModel
        For each width, from the widest on, the network in which every layer has it. Where the
        shifter could not bring the results of a layer to their format, it has the next wider one.

    Raises
    ------
    ModelError
        If the accumulators cannot hold the sums of a layer.
    """
    graph = model.graph
    contexts = _contexts(model, widths, calibration, reference, options, limits, fixed)
    if not contexts:
        return {}
    first = next(iter(contexts.values()))
    for each in contexts.values():
        each.means = first.means if options.correct else {}
    rounders = {bits: Rounder(each) for bits, each in contexts.items()}
    measured = None if options.weight_rounding == "nearest" else form_source(first)
    maps: Maps = {graph.input: input_maps(model, quantize_input(model, first.calibration))}
    for index, node in enumerate(graph.accelerated):
        progress("weights", index, len(graph.accelerated))
        if isinstance(node, Conv):
            forms = None if measured is None else measured(node, maps)
            wider = model.weights[node.name]
            for bits, each in contexts.items():
                each.set_weights(node, each.choose_weights(node))
                if forms is not None:
                    rounders[bits](node, forms)
                each.correct(node, maps[node.inputs[0]])
                try:
                    check_limits(each.model, limits, [node])
                except ModelError:
                    each.model.weights[node.name] = wider
                wider = each.model.weights[node.name]
        maps[node.output] = executed(model, node, maps)
        forget(graph, index, maps)
    progress("weights", len(graph.accelerated), len(graph.accelerated))
    return {bits: each.model for bits, each in contexts.items()}
