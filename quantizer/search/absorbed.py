"""The network that is searched in place of the given one: its large biases absorbed."""

from dataclasses import replace

from ..prepare import ShiftedReference, choose_shifts, shift_graph
from .context import Context


__all__ = ("absorbed",)


def absorbed(context: Context) -> Context:
    """Return a search of the same network with biases moved behind the Relus.

    Parameters
    ----------
    context : Context
        A search that has not begun.

    Returns
    -------
    Context
        The search to do; its float results are those of the network that it holds.
    """
    shifts = choose_shifts(context.graph, context.reference, context.calibration)
    return Context(
        replace(context.model, graph=shift_graph(context.graph, shifts)), context.calibration,
        ShiftedReference(context.reference, shifts), context.options, context.limits,
        context.overrides)
