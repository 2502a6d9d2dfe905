"""The whole way: elaborate, synthesize, check the fit, place and route, pack."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .cache import cache_folder, prune
from .clock import Clocked
from .errors import BuildError
from .fit import check_fit
from .flow import Flow
from .progress import Progress
from .report import Report
from .tools import TOOLS, Processes, find_tools, tool_version


__all__ = (
    "CACHE_SIZE",
    "Built",
    "build",
    "default_cache",
    "write_netlist",
)


CACHE_SIZE = 2 << 30
"""Bytes that the cache may hold after a build; what was not used for longest is removed."""


def default_cache() -> Path:
    """Return the folder of kept results: ``dynafix/bitstreams`` in the user's cache."""
    return cache_folder("bitstreams")


@dataclass(frozen=True)
class Built:
    """A file that configures a board, and what is known of it.

    Parameters
    ----------
    clocked : Clocked
        Board and clock.
    bitstream : bytes
        The file.
    report : Report
        Clocks, places and critical path of the best seed.
    used : mapping from str to int
        Resources taken.
    seed : int
        The seed.
    seeds : mapping from int to mapping or str
        For each seed its highest frequencies in MHz, or why it failed.
    seconds : mapping from str to float
        Duration of the tools, when they ran.
    tools : mapping from str to str
        Versions.
    """

    clocked: Clocked
    bitstream: bytes = field(repr=False)
    report: Report
    used: Mapping[str, int]
    seed: int
    seeds: Mapping[int, Mapping[str, float] | str]
    seconds: Mapping[str, float]
    tools: Mapping[str, str]


def build(
    make_design: Callable[[], Any], clocked: Clocked, *, name: str, lanes: int = 0,
    seeds: Sequence[int] = (1,), force: bool = False, smaller: str = "make it smaller",
    cache: Path | None = None, jobs: int | None = None, progress: Progress | None = None,
) -> Built:
    """Make the file that configures a board with a design.

    Parameters
    ----------
    make_design : callable
        Returns the design, see :class:`hw.build.board_top.BoardTop`.
    clocked : Clocked
        Board and clock.
    name : str
        Name of the design, for messages.
    lanes : int
        Output lanes of its accelerator, for :func:`hw.build.floorplan.bels`; 0 without one.
    seeds : sequence of int
        Starting points of the placement; the one that leaves the clock the most room is taken.
    force : bool
        Whether to return a file whose clock is not met.
    smaller : str
        What makes the design smaller, for the message where it does not fit.
    cache : Path, optional
        Folder of kept results; :func:`default_cache` if not given.
    jobs : int, optional
        Most placements at a time; one for each processor by default.
    progress : Progress, optional
        Is told how far it is.

    Raises
    ------
    FitError
        If the design does not fit.
    BuildError
        If a tool is missing or fails, or the clock is not met.
    """
    board = clocked.board
    platform = board.make_platform()
    names = [tool for tool in platform.required_tools if tool in TOOLS]
    with _flow(names, cache, progress) as flow:
        plan = flow.elaborate(make_design, clocked)
        netlist, cells, times = flow.synthesize(plan, board.device, lanes)
        counts = board.device.technology.count(cells)
        check_fit(
            counts, board, name, memory=bool(clocked.pll and clocked.pll.lead), smaller=smaller)
        placed, failed = flow.place(
            plan, netlist, clocked, seeds, jobs or os.cpu_count() or 1)
        best = max(placed, key=lambda seed: placed[seed].report.slack)
        report = placed[best].report
        if not report.met and not force:
            raise BuildError(_unmet(name, clocked, report, len(seeds)))
        bitstream = flow.pack(plan, placed[best].folder, board.file)
        with suppress(OSError):
            prune(flow.cache, CACHE_SIZE)
        return Built(
            clocked, bitstream, report, board.device.technology.count_used(cells, report.used),
            best, {**{seed: placed[seed].report.fmax_mhz for seed in placed}, **failed},
            {**times, **placed[best].seconds}, flow.tools)


def write_netlist(
    make_design: Callable[[], Any], clocked: Clocked, file: Path, *, lanes: int = 0,
    cache: Path | None = None, progress: Progress | None = None,
) -> None:
    """Write the netlist that :func:`build` of the same places and routes, as Verilog.

    The top module is :data:`hw.build.flow.TOP`; its ports are the pins. Names inside are made up.

    Parameters
    ----------
    make_design, clocked, lanes, cache, progress
        As :func:`build` takes them.
    file : Path
        Where to write it.

    Raises
    ------
    BuildError
        If a tool is missing or fails.
    """
    with _flow(["yosys"], cache, progress) as flow:
        plan = flow.elaborate(make_design, clocked)
        netlist, _, _ = flow.synthesize(plan, clocked.board.device, lanes)
        flow.write_verilog(plan, netlist, file)


@contextmanager
def _flow(
    names: Sequence[str], cache: Path | None, progress: Progress | None
) -> Iterator[Flow]:
    """Yield the tools of these names."""
    commands = find_tools(names)
    tools = {tool: tool_version(tool, command) for tool, command in commands.items()}
    with Processes() as processes:
        yield Flow((cache or default_cache()).resolve(), commands, tools, processes,
                    progress or Progress())


def _unmet(name: str, clocked: Clocked, report: Report, seeds: int) -> str:
    clock, fmax = min(report.fmax_mhz.items(),
                      key=lambda each: each[1] / report.asked_mhz[each[0]])
    path = f" Critical path: {report.path.text}." if report.path else ""
    more = "" if seeds > 1 else ", or try several placements (--seeds 4)"
    return (f"{name} on {clocked.board.title} reaches {fmax:.1f} MHz on clock {clock}, not the "
            f"{report.asked_mhz[clock]:.1f} MHz asked.{path} Ask for less (--freq "
            f"{int(fmax)}){more}, or take the file all the same (--force)")


