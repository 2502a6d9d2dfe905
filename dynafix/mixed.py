"""Widths of weights, layer by layer, for a budget: what they cost and what they lose."""

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from arch.config import AcceleratorConfig
from compiler import DramTiming, Program, compile_model
from quantizer.budget import Choice, Point, best_within, pareto_front
from quantizer.execute import execute, output_name, quantize_input
from quantizer.graph import Conv
from quantizer.model import Limits, QuantizedModel, QuantizedWeights
from quantizer.reference import FloatReference
from quantizer.search.fuse_add import fuse_adds
from quantizer.sensitivity import output_noise

from .costs import METRICS, Measured, Metric
from .steps import Steps


__all__ = ("Mixer",)


_TINY = float(np.finfo(np.float64).tiny)
_SAMPLES = 12  # points of the front that are looked at, unless the budget takes more


def _layer_costs(program: Program) -> dict[str, dict[Metric, int]]:
    return {
        layer.name: {
            "cycles": predicted.cycles, "bytes": predicted.bytes, "size": layer.stored_size}
        for layer, predicted in zip(program.layers, program.prediction.layers, strict=True)}


class Mixer:
    """Networks that mix the weights of several, and what each costs on an accelerator.

    Parameters
    ----------
    networks : mapping from int to QuantizedModel
        The same network with weights of that many bits, at least two; a layer that cannot have
        so few has more. All have the same formats for data.
    config : AcceleratorConfig
        The accelerator.
    dram : DramTiming
        Its DRAM.
    inputs : float32 (n, *input_dims)
        Images to measure losses with; calibration images, not those of the evaluation.
    steps : Steps
        Is told the progress.
    limits : Limits, optional
        Those of the accelerator; if given, convolutions do the Adds behind them where they can.
    fixed : collection of str
        Convolutions whose weights stay as they are where they do so.

    Attributes
    ----------
    uniform : list of Measured
        The networks themselves, from the widest on.
    """

    def __init__(
        self, networks: Mapping[int, QuantizedModel], config: AcceleratorConfig, dram: DramTiming,
        inputs: NDArray[np.float32], steps: Steps, *, limits: Limits | None = None,
        fixed: Collection[str] = (),
    ) -> None:
        self._networks, self._steps = dict(sorted(networks.items(), reverse=True)), steps
        self._config, self._dram, self._inputs = config, dram, inputs
        self._limits, self._fixed = limits, fixed
        self._widest = next(iter(self._networks.values()))
        graph = self._widest.graph
        self._convs = [node.name for node in graph.accelerated if isinstance(node, Conv)]
        name = output_name(graph)
        self._exact = graph.real(name, FloatReference(graph).tensors(inputs, [name])[name])
        self._weights: dict[str, dict[int, QuantizedWeights]] = {
            name: {model.weights[name].bits: model.weights[name]
                   for model in self._networks.values()}
            for name in self._convs}
        self._costs: dict[str, dict[int, dict[Metric, int]]] = {name: {} for name in self._convs}
        self.uniform: list[Measured] = []
        for index, model in enumerate(self._networks.values()):
            steps.progress("costs", index, len(self._networks), "networks")
            found, program = self._measured("uniform", model)
            self.uniform.append(found)
            costs = _layer_costs(program)
            for name, bits in found.bits.items():
                self._costs[name].setdefault(bits, costs[name])
        steps.progress("costs", len(self._networks), len(self._networks), "networks")

    def _measured(self, kind: str, model: QuantizedModel) -> tuple[Measured, Program]:
        if self._limits:
            model = fuse_adds(model, self._limits, fixed=self._fixed)
        program = compile_model(model, self._config, dram=self._dram)
        return Measured(
            kind, {name: model.weights[name].bits for name in self._convs},
            program.prediction.cycles, program.prediction.bytes,
            sum(layer.stored_size for layer in program.layers), self._noise(model)), program

    def _noise(self, model: QuantizedModel) -> float:
        name = output_name(model.graph)
        error = 0.0
        for index in range(len(self._inputs)):
            part = slice(index, index + 1)
            codes = execute(model, quantize_input(model, self._inputs[part]), names={name})[name]
            error += float(np.square(
                model.real(name, codes) - self._exact[part]).sum())
        return error / max(float(np.square(self._exact, dtype=np.float64).sum()), _TINY)

    def choices(self, metric: Metric) -> dict[str, list[Choice]]:
        """Return what may be chosen for each layer, with its cost and its noise."""
        noise = output_noise(
            self._widest, {bits: model for bits, model in self._networks.items()
                           if model is not self._widest}, self._inputs,
            lambda _, done, total: self._steps.progress("noise", done, total, "layers"))
        return {
            name: [
                Choice(bits, self._costs[name][bits][metric], noise[name].get(bits, 0.0))
                for bits in self._weights[name]]
            for name in self._convs}

    def mixed(self, bits: Mapping[str, int]) -> QuantizedModel:
        """Return the network in which each layer has the weights of a width."""
        weights = {name: self._weights[name][width] for name, width in bits.items()}
        return replace(self._widest, weights=weights)

    def front(self, metric: Metric, budget: float) -> tuple[list[Measured], Measured]:
        """Return measured points of the Pareto front, and the best network within a budget.

        Points are ordered by sums over the layers; those of the search for the budget, and some
        more, are compiled and run, since layers are not independent. The best network is one of
        them, or one with the same width in every layer.

        Parameters
        ----------
        metric : "cycles", "bytes" or "size"
            What is limited.
        budget : float
            Largest cost.

        Raises
        ------
        ModelError
            If all of them cost more; tells the smallest budget that can be met.
        """
        points = pareto_front(self.choices(metric))
        known = [(each.bits, each) for each in self.uniform]
        found: dict[int, Measured] = {}

        def measure(index: int) -> Measured:
            if index not in found:
                bits = points[index].bits
                found[index] = next((each for same, each in known if same == bits), None) or (
                    self._measured("mixed", self.mixed(bits))[0])
                self._steps.progress("front", len(found), _SAMPLES, "networks")
            return found[index]

        below, within = -1, len(points) - 1
        measure(within)
        while within - below > 1:
            middle = (below + within) // 2
            if measure(middle).cost(metric) <= budget:
                within = middle
            else:
                below = middle
        more = max(0, _SAMPLES - len(found))
        for index in np.linspace(0, len(points) - 1, more + 2).round().astype(int)[1:-1].tolist():
            measure(index)
        self._steps.progress("front", len(found), len(found), "networks")
        seen = [found[index] for index in sorted(found)]
        every = [*self.uniform, *seen]
        best = best_within(
            [Point(each.bits, each.cost(metric), each.noise) for each in every], budget,
            METRICS[metric])
        return seen, next(each for each in every if each.bits == best.bits)
