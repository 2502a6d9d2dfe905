"""The network that is searched in place of the given one: its channels made equal."""

from dataclasses import replace

from ..prepare import (
    ScaledReference,
    Widths,
    channel_statistics,
    choose_exponents,
    scale_graph,
)
from .context import Context


__all__ = ("equalized",)


def equalized(context: Context) -> Context:
    """Return a search of the same network with its channels equalized.

    Parameters
    ----------
    context : Context
        A search that has not begun.

    Returns
    -------
    Context
        The search to do; its float results are those of the network that it holds.
    """
    graph = context.graph
    names = [graph.input, *(node.output for node in graph.accelerated)]
    statistics = channel_statistics(graph, context.reference, context.calibration, names)
    exponents = choose_exponents(
        graph,
        Widths(lambda name: context.data_format(name, 0), context.weight_bits,
               context.options.per_channel),
        statistics)
    return Context(
        replace(context.model, graph=scale_graph(graph, exponents)), context.calibration,
        ScaledReference(context.reference, exponents), context.options, context.limits,
        context.overrides)
