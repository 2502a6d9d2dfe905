"""The network that is searched in place of the given one, which computes the same."""

from ..execute import output_name
from ..prepare import (
    ScaledReference,
    ShiftedReference,
    TakingReference,
    Widths,
    channel_statistics,
    choose_exponents,
    choose_intake,
    choose_result,
    choose_shifts,
    fit_input,
    fit_output,
    scale_graph,
    shift_graph,
)
from .context import Context


__all__ = ("prepared",)


def prepared(context: Context) -> Context:
    """Return a search of the same network, prepared as the options say.

    Parameters
    ----------
    context : Context
        A search that has not begun.

    Returns
    -------
    Context
        The search to do; its float results are those of the network that it holds.
    """
    options = context.options
    if options.fit_ends and options.precision == "dynamic":
        context = _fitted_input(_fitted_output(context))
    if options.absorb:  # before equalization, which then sees the ranges that are left
        context = _absorbed(context)
    return _equalized(context) if options.equalize else context


def _fitted_input(context: Context) -> Context:
    """Let the input fit its codes; nothing changes where nothing is to be won."""
    graph = context.graph
    intake = None if graph.input in context.overrides else choose_intake(
        graph, context.calibration, context.data_format(graph.input, 0))
    if intake is None:
        return context
    graph = fit_input(graph, intake)
    return context.changed(graph, TakingReference(context.reference, graph))


def _fitted_output(context: Context) -> Context:
    """Let the result fit its codes; nothing changes where the result stays as it is."""
    graph = context.graph
    name = output_name(graph)
    known = name in context.overrides or name in graph.exponents
    fmt = context.data_format(name, 0)
    fit = None if known else choose_result(graph, context.reference, context.calibration, fmt)
    if fit is None:
        return context
    fitted = fit_output(graph, fit, fmt)
    return context.changed(fitted, ScaledReference(
        ShiftedReference(context.reference, {name: fitted.offsets[name]}),
        {name: fitted.exponents[name]}))


def _absorbed(context: Context) -> Context:
    """Move biases behind the Relus."""
    shifts = choose_shifts(context.graph, context.reference, context.calibration)
    return context.changed(
        shift_graph(context.graph, shifts), ShiftedReference(context.reference, shifts))


def _equalized(context: Context) -> Context:
    """Make channels equal."""
    graph = context.graph
    names = [graph.input, *(node.output for node in graph.accelerated)]
    exponents = choose_exponents(
        graph,
        Widths(lambda name: context.data_format(name, 0), context.weight_bits,
               context.options.per_channel),
        channel_statistics(graph, context.reference, context.calibration, names))
    return context.changed(
        scale_graph(graph, exponents), ScaledReference(context.reference, exponents))
