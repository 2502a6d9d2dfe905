"""Durations of whole programs, those that stop for the host included."""

from collections.abc import Iterable, Sequence

from arch.config import AcceleratorConfig

from .host import Segment
from .in_order import run_in_order
from .ir import DramTiming, Instruction
from .machine import Machine, Run


__all__ = ("run_segments",)


def run_segments(
    instructions: Sequence[Instruction], segments: Iterable[Segment], config: AcceleratorConfig,
    dram: DramTiming,
) -> Run:
    """Run a program that stops for the host; the time of the host does not count.

    Parameters
    ----------
    instructions : sequence of Instruction
        Program, without any END, all fields set.
    segments : iterable of Segment
        Its parts, in order.
    config : AcceleratorConfig
        Accelerator.
    dram : DramTiming
        DRAM.

    Returns
    -------
    Run
        Of all instructions, as if one segment began when the one before ends.
    """
    whole = Run(0, [], [], [], [], [], [])
    for part in segments:
        own = instructions[part.first:part.stop]
        run = run_in_order(own, config, dram) if config.in_order else (
            Machine(own, config, dram).run())
        for total, times in (
                (whole.started, run.started), (whole.done, run.done),
                (whole.queued, run.queued), (whole.gated, run.gated)):
            total += [whole.cycles + time for time in times]
        whole.drains += run.drains
        whole.beats += [(whole.cycles + start, whole.cycles + end) for start, end in run.beats]
        whole.cycles += run.cycles
        whole.ends.append(whole.cycles)
    return whole
