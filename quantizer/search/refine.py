"""Refinement: coordinate descent over fractional lengths, on the error of the network's output.

The search before chooses each tensor by its own error; what that does to the output, only the
whole network shows. Each fractional length in turn, of data, and of weights that are rounded to
nearest (the others' were chosen together with their codes), is tried one smaller and one larger; a
change stays if the output comes nearer to the float network on one half of the images, and on the
other half too, which no choice is made by alone.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..accumulators import check_limits
from ..errors import ModelError
from ..execute import Maps, execute_node, input_maps, output_name, quantize_input
from ..graph import Conv
from ..model import QuantizedModel
from ..overrides import WEIGHTS_SUFFIX
from ..ranges import format_root, joined_format, snr_db
from ..tiles import code_type
from .context import Context
from .options import Progress
from .variants import with_tensor, with_weights


__all__ = ("refine",)


_PASSES = 3
_IMAGES = 64
_MAPS_SIZE = 1 << 28  # bytes of maps held
_GAIN = 0.998  # least reduction of the squared error that is worth a change


class _Refiner:
    """The model, its maps on some images, and what the float network gives there."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.model = context.model
        graph = self.model.graph
        each = sum(
            int(np.prod(graph.shapes[name])) * code_type(fmt).itemsize
            for name, fmt in self.model.formats.items())
        count = max(1, min(len(context.calibration), _IMAGES, _MAPS_SIZE // each))
        self.images = context.calibration[:count]
        self._output = output_name(graph)
        exact = context.reference.tensors(self.images, [self._output])[self._output]
        self._exact = exact.transpose(0, 2, 3, 1).astype(np.float64)
        self.maps = self._run(self.model, {}, {*self.model.formats})
        self.errors = self._distances(self.model, self.maps)

    @property
    def halves(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Images that choose, and images that must agree; the same one if there is one only."""
        index = np.arange(len(self.images))
        return index[::2], index[1::2] if len(index) > 1 else index

    def decibels(self, errors: NDArray[np.float64], images: NDArray[np.int64]) -> float:
        """Return the signal-to-noise ratio of the output on some images, at most 300 dB."""
        signal = float(np.square(self._exact[images]).sum())
        noise = float(errors[images].sum())
        return float(np.clip(snr_db([signal**0.5, 0.0], [signal**0.5, noise**0.5]), -300, 300))

    def _run(self, model: QuantizedModel, maps: Maps, dirty: set[str]) -> Maps:
        """Return the maps that are others when the tensors ``dirty`` are computed anew."""
        graph, found = model.graph, dict[str, NDArray[np.integer]]()
        if graph.input in dirty:
            found[graph.input] = input_maps(model, quantize_input(model, self.images))
        for node in graph.accelerated:
            if node.output in dirty or any(name in found for name in node.inputs):
                seen = {name: found.get(name, maps.get(name)) for name in node.inputs}
                found[node.output] = execute_node(
                    model, node, {name: each for name, each in seen.items() if each is not None})
        return found

    def _distances(self, model: QuantizedModel, maps: Maps) -> NDArray[np.float64]:
        """Return the squared error of the output on each image, (n,)."""
        values = model.formats[self._output].dequantize(maps[self._output])
        return np.asarray(np.square(values - self._exact).reshape(len(values), -1).sum(1))

    def attempt(self, variant: QuantizedModel) -> bool:
        """Take another model if both halves of the images prefer it; return whether they do."""
        old, graph = self.model, self.model.graph
        dirty = {name for name, fmt in variant.formats.items() if fmt != old.formats[name]}
        dirty |= {
            node.output for node in graph.accelerated
            if variant.weights.get(node.name) is not old.weights.get(node.name)
            or variant.tables.get(node.name) is not old.tables.get(node.name)}
        touched = [
            node for node in graph.accelerated
            if dirty & {node.output, *node.inputs}]
        try:
            check_limits(variant, self.context.limits, touched)
        except ModelError:
            return False
        found = self._run(variant, self.maps, dirty)
        if self._output not in found:
            return False
        errors = self._distances(variant, found)
        chooses, agrees = self.halves
        if errors[chooses].sum() >= _GAIN * self.errors[chooses].sum() or (
                errors[agrees].sum() >= self.errors[agrees].sum()):
            return False
        old.formats.update(variant.formats)
        old.weights.update(variant.weights)
        old.tables.update(variant.tables)
        self.maps.update(found)
        self.errors = errors
        return True


def _tensors(context: Context) -> list[str]:
    """Return the tensors whose fractional length is free, from input to output."""
    graph = context.graph
    names = [graph.input, *(node.output for node in graph.accelerated)]
    free = []
    for name in names:
        whole = joined_format(graph, name)
        joins = whole != name and context.model.formats[whole] == context.model.formats[name]
        if name == format_root(graph, name) and name not in context.overrides and not joins:
            free.append(name)
    return free


def _coordinates(context: Context) -> list[str]:
    """Return the names of all that can be moved, layer by layer, weights before their output."""
    tensors = _tensors(context)
    moves_weights = context.options.weight_rounding == "nearest"
    found = [context.graph.input] if context.graph.input in tensors else []
    for node in context.graph.accelerated:
        name = node.name + WEIGHTS_SUFFIX
        if moves_weights and isinstance(node, Conv) and name not in context.overrides:
            found.append(name)
        if node.output in tensors:
            found.append(node.output)
    return found


def _variants(state: _Refiner, name: str) -> Iterator[tuple[int, QuantizedModel]]:
    """Yield steps, and the model whose fractional length ``name`` is that much larger."""
    convs = {node.name + WEIGHTS_SUFFIX: node for node in state.context.convs}
    for delta in (-1, 1):
        try:
            if name in convs:
                variant = with_weights(state.model, convs[name], delta)
            else:
                variant = with_tensor(state.model, name, state.model.formats[name].frac + delta)
        except ModelError:  # a bias that no accumulator holds
            continue
        yield delta, variant


def refine(context: Context, progress: Progress) -> None:
    """Move fractional lengths while the output comes nearer to float.

    What was gained is in ``context.refined``: ``images``, ``moves`` (by name, the sum of steps)
    and, on the images that choose and on those that must agree, the signal-to-noise ratio of the
    output before and after, in dB.

    Parameters
    ----------
    context : Context
        The search; its model has all formats and weights, and is changed.
    progress : callable
        Called with ``"refine"``, the fractional lengths tried and all of them.
    """
    state, names = _Refiner(context), _coordinates(context)
    before, moves = state.errors, dict[str, int]()
    total = _PASSES * len(names)
    for index in range(_PASSES):
        moved = False
        for place, name in enumerate(names):
            progress("refine", index * len(names) + place, total)
            for delta, variant in _variants(state, name):
                if state.attempt(variant):
                    moves[name] = moves.get(name, 0) + delta
                    moved = True
                    break
        if not moved:
            break
    progress("refine", total, total)
    chooses, agrees = state.halves
    moves = {name: steps for name, steps in moves.items() if steps}
    for name in moves:
        context.log[name] = {**context.log[name], "rule": f"{context.log[name]['rule']}, refined"}
    context.refined = {
        "images": len(state.images), "moves": moves,
        "snr_db": [state.decibels(errors, chooses) for errors in (before, state.errors)],
        "held_out_snr_db": [state.decibels(errors, agrees) for errors in (before, state.errors)],
    }
