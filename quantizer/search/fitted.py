"""The network that is searched in place of the given one: its input fitted to codes."""

from dataclasses import replace

from ..prepare import TakingReference, choose_intake, fit_input
from .context import Context


__all__ = ("fitted",)


def fitted(context: Context) -> Context:
    """Return a search of the same network with an input that fits its codes.

    Parameters
    ----------
    context : Context
        A search that has not begun.

    Returns
    -------
    Context
        The search to do; the given one where nothing is to be won.
    """
    graph = context.graph
    intake = None if graph.input in context.overrides else choose_intake(
        graph, context.calibration, context.data_format(graph.input, 0))
    if intake is None:
        return context
    graph = fit_input(graph, intake)
    return Context(
        replace(context.model, graph=graph), context.calibration,
        TakingReference(context.reference, graph), context.options, context.limits,
        context.overrides)
