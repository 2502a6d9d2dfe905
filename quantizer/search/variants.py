"""Models that differ from another in one fractional length."""

from dataclasses import replace

from ..graph import Activation, Conv
from ..model import QuantizedModel
from ..ranges import format_root, format_sharers, joined_format
from ..tables import model_table
from .weights import integer_bias, integer_weights


__all__ = (
    "with_tensor",
    "with_weights",
)


def with_tensor(model: QuantizedModel, tensor: str, frac: int) -> QuantizedModel:
    """Return the model in which a tensor, and all that share its format, have another frac.

    The inputs of a Concat that have its format are moved with it. Codes of weights stay, and so
    does what biases are corrected by.
    """
    root = format_root(model.graph, tensor)
    sharers = format_sharers(model.graph, root)
    for node in model.graph.accelerated:
        joins = joined_format(model.graph, node.output) == root
        if joins and model.formats[node.output] == model.formats[root]:
            sharers += format_sharers(model.graph, node.output)
    formats = {
        name: replace(fmt, frac=frac) if name in sharers else fmt
        for name, fmt in model.formats.items()}
    weights = dict(model.weights)
    for node in model.graph:
        if isinstance(node, Conv) and node.inputs[0] in sharers:
            old = weights[node.name]
            weights[node.name] = replace(
                old, bias=integer_bias(node, old.frac, frac, old.correction))
    moved = replace(model, formats=formats, weights=weights, tables=dict(model.tables))
    for node in model.graph:
        if isinstance(node, Activation) and {node.inputs[0], node.output} & set(sharers):
            moved.tables[node.name] = model_table(moved, node)
    return moved


def with_weights(model: QuantizedModel, node: Conv, delta: int) -> QuantizedModel:
    """Return the model in which the weights of a convolution are rounded with other fracs.

    To the nearest: how the model's own were rounded, only its search knows.
    """
    x_frac = model.formats[node.inputs[0]].frac
    old = model.weights[node.name]
    new = integer_weights(node, old.bits, old.frac + delta, x_frac, old.correction)
    return replace(model, weights={**model.weights, node.name: new})
