"""The best of several drafts."""

from arch.config import AcceleratorConfig
from arch.isa import INSTRUCTION_SIZE, Engine
from quantizer.model import QuantizedModel

from .draft import Draft, input_size_of, layerwise_draft, steps_of, unrolling_of, written_draft
from .errors import CompileError
from .fusion import fuse_layers, single_layers
from .ir import DramTiming
from .machine import transfer_size
from .memory_map import plan_memory
from .plan import UNROLLS, can_unroll, network_output
from .tiling import Costs


__all__ = (
    "best_draft",
    "fastest",
    "fused_drafts",
    "pooling_drafts",
)


_COMPARED = 2000
"""Instructions that are enough to compare programs."""

_BEATS_FOR_A_CYCLE = 8
"""Beats of traffic less that are worth a cycle more."""


def best_draft(
    model: QuantizedModel, config: AcceleratorConfig, dram: DramTiming, optimize: bool,
    fuse: bool, input_cycles: float,
) -> Draft:
    """Return the draft with the best way to unroll the input: fast, and with little traffic.

    Of a long program only the first layers are compared; behind them it makes no difference.
    """
    drafts = [layerwise_draft(model, config, dram, UNROLLS[0], optimize, fuse)]
    if not optimize or not can_unroll(model):
        return drafts[0]
    for unroll in UNROLLS[1:]:
        try:
            drafts.append(layerwise_draft(model, config, dram, unroll, optimize, fuse))
        except CompileError:
            continue
    last = len(drafts[0].layers) - 1
    compared = min((
        layer for layer in range(last) if len(drafts[0].prefix(layer)) >= _COMPARED),
        default=last)

    def cost(draft: Draft) -> float:
        beats = sum(
            INSTRUCTION_SIZE if item.engine == Engine.CALC else
            INSTRUCTION_SIZE + transfer_size(item, config)
            for item in draft.prefix(compared)) / config.dram_width
        return (draft.cycles(config, dram, compared) + beats / _BEATS_FOR_A_CYCLE
                + input_cycles * input_size_of(model, config, draft))

    return min(drafts, key=cost)


def fastest(
    drafts: list[Draft], model: QuantizedModel, config: AcceleratorConfig, dram: DramTiming,
    input_cycles: float,
) -> Draft:
    """Return the draft with the shortest run, input included, of equal ones the first."""
    if len(drafts) == 1:
        return drafts[0]
    return min(drafts, key=lambda draft: (
        draft.cycles(config, dram) + input_cycles * input_size_of(model, config, draft)))


def fused_drafts(
    model: QuantizedModel, config: AcceleratorConfig, dram: DramTiming, draft: Draft
) -> list[Draft]:
    """Return the drafts with layers that take turns by lines, by channel blocks, and by both."""
    ends = model.graph.input, network_output(model.graph)
    costs = Costs(config, dram, unrolling_of(model, config, draft.unroll))
    plain, cut = (steps_of(draft.tasks, config, by_turns=turns) for turns in (False, True))
    memories = [fuse_layers(plain, *ends, costs, stops=draft.stops)]
    if len(cut) > len(plain):
        try:
            memories += [
                plan_memory(single_layers(cut), *ends, costs, stops=draft.stops),
                fuse_layers(cut, *ends, costs, stops=draft.stops)]
        except CompileError:
            pass
    drafts = []
    for memory in memories:
        if memory is None:
            continue
        try:
            drafts.append(written_draft(
                model, config, draft.unroll, draft.tasks, draft.layers, memory, True))
        except CompileError:
            # Some maps move between the layers' turns, for which not every config has a unit.
            continue
    return drafts


def pooling_drafts(
    model: QuantizedModel, config: AcceleratorConfig, dram: DramTiming, input_cycles: float
) -> list[Draft]:
    """Return the draft in which convolutions pool their results, if it fits."""
    try:
        return [best_draft(model, config, dram, True, True, input_cycles)]
    except CompileError:
        return []
