"""State of a search: what is chosen so far, and what is known of the float network."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arch.formats import Format

from ..accumulators import code_bounds
from ..graph import Activation, Conv, Graph, PRelu
from ..model import Limits, QuantizedModel
from ..overrides import WEIGHTS_SUFFIX
from ..ranges import (
    CANDIDATES,
    Reference,
    format_root,
    input_range,
    natural_frac,
    observe,
    unsigned_tensors,
)
from ..tables import model_table
from .correct import corrected, mean_codes, mean_maps
from .options import Options
from .weights import cap_frac, choose_frac, integer_slopes, integer_weights


__all__ = ("Context",)


class Context:
    """Everything that the phases of a search share.

    Parameters
    ----------
    model : QuantizedModel
        Result; formats and weights are filled in step by step.
    calibration : float32, (n, *input_dims)
        Checked calibration images.
    reference : Reference
        Float results of the network.
    options : Options
        What the user chose.
    limits : Limits
        The hardware.
    overrides : mapping from name to Format
        Formats that are not searched.
    """

    def __init__(
        self, model: QuantizedModel, calibration: NDArray[np.float32], reference: Reference,
        options: Options, limits: Limits, overrides: Mapping[str, Format],
    ) -> None:
        self.model = model
        self.calibration = calibration
        self.reference = reference
        self.options = options
        self.limits = limits
        self.overrides = overrides
        self.log: dict[str, dict[str, Any]] = {}
        self.refined: dict[str, Any] | None = None
        self._unsigned = unsigned_tensors(model.graph, self.input_range[0])
        self._end_convs = {node.name for node in (self.convs[:1] + self.convs[-1:])}
        outputs = [node.output for node in self.graph.accelerated]
        self._end_tensors = {
            format_root(self.graph, name) for name in (self.graph.input, *outputs[-1:])}

    @cached_property
    def input_range(self) -> tuple[float, float]:
        """Smallest and largest number of the input over the calibration images."""
        return input_range(self.graph, self.calibration)

    @cached_property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Smallest and largest value of each tensor over the calibration images."""
        return observe(self.graph, self.reference, self.calibration)

    @cached_property
    def means(self) -> dict[str, NDArray[np.float64]]:
        """Mean over the calibration images of every float map that a convolution reads."""
        return mean_maps(self.graph, self.reference, self.calibration)

    def changed(self, graph: Graph, reference: Reference) -> "Context":
        """Return the search, which must not have begun, of another network in place of this."""
        return Context(
            replace(self.model, graph=graph), self.calibration, reference, self.options,
            self.limits, self.overrides)

    @property
    def graph(self) -> Graph:
        """The network."""
        return self.model.graph

    @property
    def convs(self) -> list[Conv]:
        """Convolutions, in execution order."""
        return [node for node in self.graph if isinstance(node, Conv)]

    def weight_bits(self, node: Conv) -> int:
        """Return the width of a convolution's weights."""
        fixed = self.overrides.get(node.name + WEIGHTS_SUFFIX)
        if fixed is not None:
            return fixed.bits
        own = self.options.first_last_bits
        usual = own if own is not None and node.name in self._end_convs else (
            self.options.weight_bits)
        return self.options.widths.get(node.name + WEIGHTS_SUFFIX, usual)

    def data_format(self, tensor: str, frac: int) -> Format:
        """Return the format that a searched tensor has with a fractional length."""
        own = self.options.first_last_bits
        usual = own if own is not None and tensor in self._end_tensors else self.options.data_bits
        return Format(
            self.options.widths.get(tensor, usual), frac, signed=tensor not in self._unsigned)

    def note(self, name: str, **entry: Any) -> None:
        """Remember how a format was found."""
        given = self.options.widths.get(name)
        self.log[name] = entry if given is None else {**entry, "width": given}

    def natural(self, tensor: str) -> int:
        """Return the largest fractional length that overflows nothing seen in calibration."""
        fmt = self.data_format(tensor, 0)
        return int(natural_frac(*self.ranges[tensor], fmt.bits, signed=fmt.signed))

    def is_known(self, tensor: str) -> bool:
        """Return whether the format of a tensor is chosen, or given by the user."""
        root = format_root(self.graph, tensor)
        return root in self.model.formats or root in self.overrides

    def expected(self, tensor: str) -> int:
        """Return the fractional length that a tensor has, or the least that it may get."""
        root = format_root(self.graph, tensor)
        known = self.model.formats.get(root, self.overrides.get(root))
        return self.natural(root) + CANDIDATES[0] if known is None else known.frac

    def choose_weights(self, node: Conv) -> NDArray[np.int64]:
        """Return the fractional lengths of a convolution's weights, (k,): phase 1."""
        name = node.name + WEIGHTS_SUFFIX
        fixed = self.overrides.get(name)
        if fixed is not None:
            self.log[name] = {"rule": "override"}
            return np.full(len(node.weight), fixed.frac)
        frac, errors = choose_frac(
            node, self.weight_bits(node), self.options.rule,
            per_channel=self.options.per_channel)
        self.note(name, rule="search", errors=errors)
        return frac

    def capped(self, node: Conv, frac: NDArray[np.int64]) -> NDArray[np.int64]:
        """Lower fractional lengths of weights where the hardware demands it, (k,).

        Where the format of the result is known already, they are raised to what the shifter, which
        shifts to the right only, can bring to it; large weights saturate then. They are not where
        that would take more bits than the search itself tries.
        """
        x_frac = self.model.formats[node.inputs[0]].frac
        if self.is_known(node.output):
            least = np.maximum(frac, self.expected(node.output) - x_frac)
            frac = np.where(least - frac <= CANDIDATES[-1], least, frac)
        return cap_frac(
            node, self.weight_bits(node), frac, x_frac=x_frac,
            bounds=code_bounds(self.model, node.inputs[0]),
            highest=self.limits.conv_shift + self.expected(node.output) - x_frac,
            limits=self.limits, per_channel=self.options.per_channel)

    def set_weights(self, node: Conv, frac: NDArray[np.int64]) -> None:
        """Give a convolution its integers; changes ``frac`` where the hardware demands it."""
        name, bits = node.name + WEIGHTS_SUFFIX, self.weight_bits(node)
        x_frac = self.model.formats[node.inputs[0]].frac
        if name not in self.overrides:
            chosen, frac = frac, self.capped(node, frac)
            if np.any(frac != chosen):
                way = "lowered" if np.any(frac < chosen) else "raised"
                self.log[name]["rule"] = f"search, then {way} to fit accumulator and shifter"
        self.model.weights[node.name] = integer_weights(node, bits, frac, x_frac)

    def correct(self, node: Conv, x: NDArray[np.integer]) -> None:
        """Correct the bias of a convolution of codes ``x`` (n, h, w, c), if it is asked for."""
        if self.options.correct:
            self.model.weights[node.name] = corrected(
                self.model, node, self.means[node.inputs[0]], mean_codes(x))

    def set_slopes(self, node: PRelu) -> None:
        """Give a PRelu its integers, which depend on no format of the data."""
        self.model.slopes[node.name] = integer_slopes(node, self.options.data_bits)

    def set_table(self, node: Activation) -> None:
        """Give an activation its integers, between formats that are known."""
        self.model.tables[node.name] = model_table(self.model, node)
