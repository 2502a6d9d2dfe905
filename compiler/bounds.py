"""What bounds each layer, and by how much: every predicted cycle has one cause."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from arch.config import AcceleratorConfig
from arch.isa import Engine, Opcode

from .host import Segment
from .ir import Instruction
from .machine import Run, group_cycles


if TYPE_CHECKING:
    from .program import Program


__all__ = (
    "BOUNDS",
    "CAUSES",
    "LayerBound",
    "attribute",
    "bounds",
    "whole",
)


CAUSES = ("array", "vector", "DRAM", "waiting", "overhead")
"""Where a cycle of CALC goes.

``array``, ``vector``: it works, gaps between groups included. ``DRAM``: it waits for a token while
beats move on the bus. ``waiting``: it waits for a token while none move (latency, buffers that are
not free), or for its own earlier results. ``overhead``: it waits for the fetch, or starts or ends.
"""

BOUNDS = ("multipliers", "idle lanes", *CAUSES[1:])
"""The same for people: what the array spends on MACs, and what it spends besides."""


@dataclass(frozen=True)
class LayerBound:
    """What bounds one layer.

    Parameters
    ----------
    index : int
        Index of the layer.
    name, operator : str
        Its name, and its operator for tables.
    cycles : int
        Predicted cycles.
    roofline : float
        The larger of array cycles and compulsory DRAM cycles.
    parts : dict from bound to int
        Cycles by :data:`BOUNDS`; their sum is ``cycles``.
    """

    index: int
    name: str
    operator: str
    cycles: int
    roofline: float
    parts: dict[str, int]

    @property
    def bound_by(self) -> str:
        """What takes most of the cycles."""
        return max(BOUNDS, key=lambda bound: self.parts[bound])

    @property
    def share(self) -> float:
        """Share of the cycles that :attr:`bound_by` takes."""
        return self.parts[self.bound_by] / max(1, self.cycles)

    def to_json(self) -> dict[str, Any]:
        """Return all fields as plain values."""
        return {
            "index": self.index, "name": self.name, "operator": self.operator,
            "cycles": self.cycles, "roofline_cycles": self.roofline, "parts": self.parts,
            "bound_by": self.bound_by, "share": self.share}


class _Busy:
    """Cycles in which the bus moves beats, for any stretch of time."""

    def __init__(self, beats: Sequence[tuple[float, float]]) -> None:
        starts, ends = [0.0], [0.0]
        for start, end in sorted(beats):
            if start > ends[-1]:
                starts.append(start)
                ends.append(end)
            else:
                ends[-1] = max(ends[-1], end)
        self._times = np.array([starts, ends]).T.reshape(-1)
        steps = np.diff(self._times, prepend=0.0)
        steps[::2] = 0.0
        self._sums = np.cumsum(steps)

    def between(self, start: float, stop: float) -> float:
        """Return the busy cycles of a stretch."""
        if stop <= start:
            return 0.0
        low, high = np.interp((start, stop), self._times, self._sums)
        return float(high - low)


def _idle(run: Run, index: int, since: float, busy: _Busy) -> dict[str, float]:
    """Return where the cycles from ``since`` to the start of a CALC instruction go."""
    queued, gated, started = (
        max(since, times[index]) for times in (run.queued, run.gated, run.started))
    moving = busy.between(queued, gated)
    late = started - max(queued, gated)
    return {
        "DRAM": moving,
        "waiting": max(0.0, gated - queued) - moving + (late if run.drains[index] else 0.0),
        "overhead": queued - since + (0.0 if run.drains[index] else late),
    }


def attribute(
    instructions: Sequence[Instruction], run: Run, config: AcceleratorConfig, layer_count: int,
    segments: Sequence[Segment] = (),
) -> list[dict[str, float]]:
    """Return for each layer where its cycles go, by :data:`CAUSES`.

    A layer has the cycles from the last result before its first to its own last; the last layer
    also those until the interrupt, and so has the last one of each segment. Over all layers they
    sum to ``run.cycles``.

    Parameters
    ----------
    instructions : sequence of Instruction
        Program, without END.
    run : Run
        What the machine made of it.
    config : AcceleratorConfig
        Accelerator.
    layer_count : int
        Layers.
    segments : sequence of Segment
        Parts of the program between which it stops for the host; none for a program of one part.
    """
    busy = _Busy(run.beats)
    parts = [dict.fromkeys(CAUSES, 0.0) for _ in range(layer_count)]
    since = result = 0.0
    stops = {part.stop: end for part, end in zip(segments[:-1], run.ends, strict=False)}
    last = 0
    for index, instruction in enumerate(instructions):
        if index in stops:
            _finish(parts[last], busy, result, stops[index])
            since = result = stops[index]
        if instruction.engine != Engine.CALC:
            continue
        last = instruction.layer
        part = parts[instruction.layer]
        work = group_cycles(instruction, config) - instruction.values["gap"]
        for cause, cycles in _idle(run, index, since, busy).items():
            part[cause] += cycles
        part["vector" if instruction.opcode == Opcode.VECTOR else "array"] += work
        # What is neither idle nor work: this pipeline is longer, or shorter, than the one before.
        longer = run.done[index] - result - (run.started[index] - since) - work
        part["waiting" if run.drains[index] else "overhead"] += longer
        result, since = run.done[index], run.started[index] + work
    _finish(parts[last if segments else -1], busy, result, run.cycles)
    return parts


def _finish(part: dict[str, float], busy: _Busy, result: float, end: float) -> None:
    """Count the cycles from the last result to an interrupt."""
    moving = busy.between(result, end)
    part["DRAM"] += moving
    part["overhead"] += end - result - moving


def whole(parts: Mapping[str, float], cycles: int) -> dict[str, int]:
    """Return parts as integers that sum to ``cycles``."""
    values = np.maximum(list(parts.values()), 0.0)
    values[-1] += not values.any()
    ends = np.rint(np.cumsum(values) * (cycles / values.sum()))
    return dict(zip(parts, np.diff(ends, prepend=0).astype(int).tolist(), strict=True))


def bounds(program: "Program") -> list[LayerBound]:
    """Return what bounds each layer of a program, from its prediction.

    Parameters
    ----------
    program : Program
        Compiled network.

    Returns
    -------
    list of LayerBound
        By layer.
    """
    result = []
    for layer, predicted, roofline, products in zip(
            program.layers, program.prediction.layers, program.roofline, program.products,
            strict=True):
        causes = dict(predicted.causes)
        array = causes.pop("array")
        useful = min(array, round(layer.macs / program.config.multipliers / products))
        result.append(LayerBound(
            layer.index, layer.name, layer.operator, predicted.cycles, roofline,
            {"multipliers": useful, "idle lanes": array - useful, **causes}))
    return result
