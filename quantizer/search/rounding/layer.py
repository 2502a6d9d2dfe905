"""Integers of one convolution that keep its output, not its weights, near the float network."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from arch.formats import Format

from ...accumulators import code_bounds, worst_case
from ...errors import ModelError
from ...execute import Maps
from ...graph import Conv
from ...model import QuantizedWeights
from ...overrides import WEIGHTS_SUFFIX
from ..context import Context
from ..stream import Stream
from ..weights import integer_bias
from .descent import descend
from .quadratic import Quadratic, blocks, gather


__all__ = (
    "Forms",
    "Rounder",
    "form_source",
)


_NEAR = (-1, 0, 1)  # fractional lengths tried, relative to what the weights alone ask for


class Forms:
    """The quadratic forms of one convolution, measured when they are asked for.

    The last one is held, so that several roundings of a convolution whose inputs are judged
    together measure it once.

    Parameters
    ----------
    node : Conv
        The convolution.
    coded : int, (n, h, w, c)
        Codes of its input.
    step : float
        What a code stands for.
    exact : float32, (n, c, h, w)
        Its input in the float network.
    """

    def __init__(
        self, node: Conv, coded: NDArray[np.integer], step: float, exact: NDArray[np.float32]
    ) -> None:
        self._node, self._coded, self._step, self._exact = node, coded, step, exact
        self._held: tuple[slice, Quadratic] | None = None

    def __iter__(self) -> Iterator[tuple[slice, Quadratic]]:
        """Yield parts of the kernels' inputs, and their forms."""
        for part in blocks(self._node):
            if self._held is None or self._held[0] != part:
                self._held = None  # before the next one takes as much memory
                self._held = part, gather(
                    self._node, part, self._coded, self._step, _images(self._exact))
            yield self._held


def form_source(context: Context) -> Callable[[Conv, Maps], Forms]:
    """Return a function for the forms of convolutions, which is called in their order.

    It takes a convolution, and maps of all calibration images with the codes of its input.
    """
    stream = Stream(context, list(dict.fromkeys(node.inputs[0] for node in context.convs)))

    def forms(node: Conv, maps: Maps) -> Forms:
        tensor = node.inputs[0]
        return Forms(
            node, maps[tensor], context.model.formats[tensor].step, stream.look(tensor))

    return forms


class _Trial:
    """Codes of a convolution with given fractional lengths, and what they cost.

    Parameters
    ----------
    node : Conv
        The convolution.
    fmt : Format
        Bounds of the codes.
    frac : int64, (k,)
        Fractional lengths.
    learned : bool
        Whether to improve codes that error feedback found.
    """

    def __init__(
        self, node: Conv, fmt: Format, frac: NDArray[np.int64], *, learned: bool
    ) -> None:
        self._groups, self._fmt, self._learned = node.groups, fmt, learned
        self.frac = frac
        self.codes = np.empty((len(frac), node.weight[0].size), np.int64)
        self.errors = np.zeros(len(frac))
        self.correction = np.zeros(len(frac))

    def add(self, form: Quadratic, part: slice) -> None:
        """Round some inputs of the kernels."""
        frac = self.frac.reshape(self._groups, -1, 1)
        target = np.ldexp(form.target, frac)
        codes = form.feedback(target, self._fmt)
        if self._learned:
            codes = descend(form.hessian, target, codes, self._fmt)
        weights = np.ldexp(codes, -frac)
        self.codes[:, part] = codes.reshape(len(self.codes), -1)
        self.errors += form.errors(weights).ravel()
        self.correction += form.mean_error(weights).ravel()


class Rounder:
    """Rounds the weights of one convolution after the other.

    Parameters
    ----------
    context : Context
        The search; its model receives the weights.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._learned = context.options.weight_rounding == "learned"

    def __call__(self, node: Conv, forms: Forms) -> None:
        """Give a convolution its integers.

        Parameters
        ----------
        node : Conv
            The convolution; the model has weights rounded to nearest.
        forms : Forms
            What its output loses, on calibration images.

        Raises
        ------
        ModelError
            If the accumulators can hold no such weights.
        """
        context = self._context
        start = context.model.weights[node.name]
        fracs = self._candidates(node, start)
        while True:
            weights = self._best(node, fracs, forms)
            limit = 1 << (context.limits.acc_bits - 1)
            bounds = code_bounds(context.model, node.inputs[0])
            over = worst_case(weights.codes, weights.bias, *bounds) >= limit
            if not over.any() or self._is_fixed(node):
                break
            if np.any(start.frac - weights.frac > start.bits):
                raise ModelError(
                    f"node '{node.name}': rounded sums of {node.weight[0].size} products could "
                    f"overflow {context.limits.acc_bits}-bit accumulators; use fewer bits for "
                    "data or weights")
            fracs = [self._together(weights.frac - over)]
        context.model.weights[node.name] = weights
        entry = context.log[node.name + WEIGHTS_SUFFIX]
        moved = " and the fractional length" if np.any(weights.frac != start.frac) else ""
        entry["rule"] += f"; {context.options.weight_rounding} rounding chose codes{moved}"

    def _is_fixed(self, node: Conv) -> bool:
        return node.name + WEIGHTS_SUFFIX in self._context.overrides or (
            self._context.options.precision == "static")

    def _together(self, frac: NDArray[np.int64]) -> NDArray[np.int64]:
        per_channel = self._context.options.per_channel
        return frac if per_channel else np.full_like(frac, frac.min())

    def _candidates(self, node: Conv, start: QuantizedWeights) -> list[NDArray[np.int64]]:
        if self._is_fixed(node):
            return [start.frac]
        found: list[NDArray[np.int64]] = []
        for delta in _NEAR:
            frac = self._context.capped(node, start.frac + delta)
            if not any(np.array_equal(frac, other) for other in found):
                found.append(frac)
        return found

    def _best(
        self, node: Conv, fracs: list[NDArray[np.int64]], forms: Forms
    ) -> QuantizedWeights:
        """Return the weights with the least error, of all channels together or of each."""
        tensor, bits = node.inputs[0], self._context.weight_bits(node)
        fmt = self._context.model.formats[tensor]
        trials = [_Trial(node, Format(bits, 0), frac, learned=self._learned) for frac in fracs]
        for part, form in forms:
            for trial in trials:
                trial.add(form, part)
        errors = np.array([trial.errors for trial in trials])
        if not self._context.options.per_channel:
            errors = np.broadcast_to(errors.sum(1, keepdims=True), errors.shape)
        chosen, channels = errors.argmin(0), np.arange(errors.shape[1])
        frac = np.array([trial.frac for trial in trials])[chosen, channels]
        codes = np.array([trial.codes for trial in trials])[chosen, channels]
        correction = np.array([trial.correction for trial in trials])[chosen, channels]
        return QuantizedWeights(
            codes.reshape(node.weight.shape), bits, frac,
            integer_bias(node, frac, fmt.frac, correction), correction)


def _images(exact: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    for image in exact:
        yield image.transpose(1, 2, 0)
