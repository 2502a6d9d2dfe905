"""Tokens and fences: what orders the engines, derived from what the instructions touch."""

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from arch.isa import Engine

from .clock import CalcClock
from .ir import Instruction, Space, Span


__all__ = (
    "Needs",
    "assign_tokens",
    "find_needs",
)


_FAR = 200
"""Instructions of one engine after which a token is posted late rather than held for long."""


@dataclass
class Needs:
    """What must be done before an instruction starts.

    Parameters
    ----------
    others : dict from Engine to int
        For each other engine, index of the last instruction that must be done.
    own : int
        Index of the last instruction of the same engine whose results are read, -1 if none.
    """

    others: dict[Engine, int] = field(default_factory=dict)
    own: int = -1


class _Tracker:
    """Last instruction of each engine that read and wrote each unit of a space."""

    def __init__(self, size: int) -> None:
        self.read: NDArray[np.int32] = np.full((len(Engine), size), -1, np.int32)
        self.written: NDArray[np.int32] = np.full((len(Engine), size), -1, np.int32)


def _slice(span: Span) -> slice:
    return slice(span.start, span.stop, span.step)


def find_needs(
    instructions: Sequence[Instruction], sizes: Mapping[Space, int]
) -> list[Needs]:
    """Return what each instruction must wait for, if the list is run in order.

    Parameters
    ----------
    instructions : sequence of Instruction
        Instructions, in order.
    sizes : mapping from Space to int
        Units of every space that is written; others order nothing.
    """
    trackers = {space: _Tracker(size) for space, size in sizes.items()}
    found = []
    for index, instruction in enumerate(instructions):
        needs = Needs()
        last = np.full(len(Engine), -1, np.int64)
        reads = [span for span in instruction.reads if span.space in trackers]
        for span in reads:
            writers = trackers[span.space].written[:, _slice(span)].max(axis=1)
            last = np.maximum(last, writers)
            needs.own = max(needs.own, int(writers[instruction.engine]))
        for span in instruction.writes:
            tracker = trackers[span.space]
            last = np.maximum(last, tracker.written[:, _slice(span)].max(axis=1))
            last = np.maximum(last, tracker.read[:, _slice(span)].max(axis=1))
        needs.others = {
            engine: int(last[engine]) for engine in Engine
            if engine != instruction.engine and last[engine] >= 0}
        for span in reads:
            trackers[span.space].read[instruction.engine, _slice(span)] = index
        for span in instruction.writes:
            trackers[span.space].written[instruction.engine, _slice(span)] = index
        found.append(needs)
    return found


def _late(index: int, engine: Engine, before: int, by_engine: Mapping[Engine, list[int]]) -> int:
    """Return the instruction that posts: ``index``, or a later one if that is far away.

    Few tokens are then held at any time, so that no counter overflows.
    """
    own = by_engine[engine]
    earlier = bisect.bisect_left(own, before)
    if earlier - bisect.bisect_left(own, index) <= _FAR:
        return index
    return own[earlier - _FAR]


def assign_tokens(
    instructions: Sequence[Instruction], needs: Sequence[Needs], times: CalcClock | None = None
) -> None:
    """Set ``wait``, ``post`` and ``fence`` of every instruction.

    An engine runs its instructions in order, so a token for instruction ``i`` also says that
    all before it are done, and all that ``i`` itself waited for. Needs that are implied by
    earlier tokens get none; the k-th post for a pair of engines meets its k-th wait.

    Parameters
    ----------
    instructions : sequence of Instruction
        Instructions, in order; changed in place.
    needs : sequence of Needs
        From :func:`find_needs`, for the same order.
    times : CalcClock, optional
        Tells which fences need not be; without it, none.
    """
    by_engine = {
        engine: [n for n, item in enumerate(instructions) if item.engine == engine]
        for engine in Engine}
    clocks = {engine: [-1] * len(Engine) for engine in Engine}
    done: list[list[int]] = []
    fenced = 0
    for index, (instruction, need) in enumerate(zip(instructions, needs, strict=True)):
        me = instruction.engine
        instruction.values.update(layer=instruction.layer, wait=0, post=0, fence=0)
        clock = clocks[me]
        for engine, last in sorted(need.others.items(), key=lambda item: -item[1]):
            if clock[engine] >= last:
                continue
            poster = _late(last, engine, index, by_engine)
            instructions[poster].values["post"] |= 1 << me
            instruction.values["wait"] |= 1 << engine
            clock = [max(a, b) for a, b in zip(clock, done[poster], strict=True)]
        if me == Engine.CALC:
            if need.own >= fenced and not (times and times.in_time(instruction)):
                instruction.values["fence"] = 1
                fenced = index
            if times:
                times.run(instruction)
        clocks[me] = clock
        finished = list(clock)
        finished[me] = index
        done.append(finished)
