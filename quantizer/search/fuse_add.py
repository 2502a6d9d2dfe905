"""Add as a part of the convolution before it, with one rounding for both.

The map that is added meets the sums of products in the accumulators, shifted left to their
fractional length::

    acc = sum(x * w) + bias + (a << (frac_x + frac_w - frac_a))

That saves the rounding of the result of the convolution, its saturation, and the pass of the
vector unit that adds two maps.
"""

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..accumulators import check_limits
from ..addends import fused_graph, fusible_convs
from ..errors import ModelError
from ..graph import Add, Conv
from ..model import Limits, QuantizedModel


__all__ = ("fuse_adds",)


_FINER = 2
"""Bits by which a result may be finer than an addend for which weights are lowered."""


def _with_fused(model: QuantizedModel, conv: Conv, add: Add, other: str) -> QuantizedModel:
    """Return the model in which a convolution stands in the place of an Add."""
    formats = {name: fmt for name, fmt in model.formats.items() if name != conv.output}
    return replace(model, graph=fused_graph(model.graph, conv, add, other), formats=formats)


def _lowered(model: QuantizedModel, conv: Conv, limits: Limits) -> QuantizedModel:
    """Return the model with fractional lengths of weights that the addend can be shifted to.

    A channel above that has such small weights that a step of their products is a tiny part of one
    of the addend, and of the result: what it loses disappears in the rounding. Where the result is
    much finer than the addend, nothing is lowered.
    """
    weights = model.weights[conv.name]
    excess = np.maximum(model.addend_shifts(conv) - limits.addend_left, 0)
    left = (model.shifts(conv) - excess)[excess > 0]
    if left.min(initial=limits.addend_left) < limits.addend_left - _FINER or not len(left):
        return model
    lowered = replace(
        weights, codes=_halved(weights.codes, excess[:, None, None, None]),
        frac=weights.frac - excess, bias=_halved(weights.bias, excess))
    return replace(model, weights={**model.weights, conv.name: lowered})


def _halved(codes: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.rint(np.ldexp(codes.astype(np.float64), -times)).astype(np.int64)


def fuse_adds(
    model: QuantizedModel, limits: Limits, *, fixed: Collection[str] = ()
) -> QuantizedModel:
    """Let convolutions do the Adds behind them where shifters and accumulators allow it.

    All formats but those of the maps that no longer exist stay as they are, and those of weights
    that are too fine for the shifter. A convolution keeps its name.

    Parameters
    ----------
    model : QuantizedModel
        Network with all formats and integers.
    limits : Limits
        The hardware.
    fixed : collection of str
        Convolutions whose weights stay as they are.

    Returns
    -------
    QuantizedModel
        The same network; ``provenance["fused_adds"]`` has the name of the convolution that does an
        Add, by the name of the Add.
    """
    done: dict[str, str] = {}
    for add in [node for node in model.graph if isinstance(node, Add)]:
        for conv, other in fusible_convs(model.graph, add):
            fused = _with_fused(model, conv, add, other)
            node = fused.graph.node(conv.name)
            assert isinstance(node, Conv)
            if conv.name not in fixed:
                fused = _lowered(fused, node, limits)
            try:
                check_limits(fused, limits, [node])
            except ModelError:
                continue
            model, done[add.name] = fused, conv.name
            break
    return replace(model, provenance={**model.provenance, "fused_adds": done})
