"""The network that is searched in place of the given one: both of its ends fitted to codes."""

from dataclasses import replace

from ..execute import output_name
from ..graph import Graph
from ..prepare import (
    ScaledReference,
    ShiftedReference,
    TakingReference,
    choose_intake,
    choose_result,
    fit_input,
    fit_output,
)
from ..ranges import Reference
from .context import Context


__all__ = (
    "fitted_input",
    "fitted_output",
)


def fitted_input(context: Context) -> Context:
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
    return _search(context, graph, TakingReference(context.reference, graph))


def fitted_output(context: Context) -> Context:
    """Return a search of the same network with a result that fits its codes.

    Parameters
    ----------
    context : Context
        A search that has not begun.

    Returns
    -------
    Context
        The search to do; the given one where the result stays as it is.
    """
    graph = context.graph
    name = output_name(graph)
    known = name in context.overrides or name in graph.exponents
    fmt = context.data_format(name, 0)
    fit = None if known else choose_result(graph, context.reference, context.calibration, fmt)
    if fit is None:
        return context
    fitted = fit_output(graph, fit, fmt)
    return _search(context, fitted, ScaledReference(
        ShiftedReference(context.reference, {name: fitted.offsets[name]}),
        {name: fitted.exponents[name]}))


def _search(context: Context, graph: Graph, reference: Reference) -> Context:
    return Context(
        replace(context.model, graph=graph), context.calibration, reference, context.options,
        context.limits, context.overrides)
