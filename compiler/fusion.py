"""Which layers run together, so that the maps between them need not leave the chip."""

from collections.abc import Sequence

from .chains import Chain, Group
from .errors import CompileError
from .host import Stops
from .layers import Task
from .memory_map import KnownPlans, MemoryMap, plan_memory
from .tiling import Costs


__all__ = ("fuse_layers", "single_layers")


def single_layers(tasks: Sequence[Task]) -> list[Group]:
    """Return groups of one layer each."""
    return [Group((task,)) for task in tasks]


def _merged(groups: Sequence[Group], index: int, stops: Stops) -> list[Group] | None:
    """Return the groups with one and the next made one; ``None`` where that cannot be."""
    first, second = groups[index:index + 2]
    name = first.output.output.name
    readers = {
        number for number, group in enumerate(groups) for task in group.tasks
        if name in (stored.name for stored in task.inputs)}
    if name in stops.departures or readers != {index + 1} or _is_joined(groups, name):
        return None
    if stops.between(first.output.index, second.output.index):
        return None
    return [*groups[:index], Group(first.tasks + second.tasks), *groups[index + 2:]]


def _is_joined(groups: Sequence[Group], name: str) -> bool:
    """Return whether a map is a part of another, or has parts: only whole maps have windows."""
    maps = (
        stored for group in groups for task in group.tasks
        for stored in (*task.inputs, task.output))
    return any(
        stored.home is not None and name in (stored.name, stored.home.name) for stored in maps)


def _duration(memory: MemoryMap) -> float:
    return sum(plan.cycles for plan in memory.plans)


def fuse_layers(
    tasks: Sequence[Task], graph_input: str, output: str, costs: Costs,
    *, stops: Stops | None = None,
) -> MemoryMap | None:
    """Join layers whose maps would go through DRAM, as long as the estimate gets better.

    Parameters
    ----------
    tasks : sequence of Task
        Layers.
    graph_input, output : str
        Tensors that come from and go to DRAM.
    costs : Costs
        Config and durations.
    stops : Stops, optional
        Steps of the host: no chain reaches over one.

    Returns
    -------
    MemoryMap, or None
        With at least one chain; ``None`` if no chain is of use.
    """
    known: KnownPlans = {}
    groups = single_layers(tasks)
    stops = stops or Stops((), graph_input, output)
    best = plan_memory(groups, graph_input, output, costs, known, stops=stops)
    index = 0
    while index < len(groups) - 1:
        merged = None
        if groups[index].output.output.name in best.dram:
            merged = _merged(groups, index, stops)
        if merged and Chain(merged[index], costs.config).holds_weights:
            try:
                memory = plan_memory(merged, graph_input, output, costs, known, stops=stops)
            except CompileError:
                memory = best
            if _duration(memory) < _duration(best):
                groups, best = merged, memory
                continue
        index += 1
    return best if len(groups) < len(tasks) else None
