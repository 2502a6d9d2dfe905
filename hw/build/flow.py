"""The tools of one build: synthesis, places and routes, packing.

Amaranth's build system writes the files and the command of each tool; here they are run one by
one, several seeds at once, and what they give is kept by content.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .board_top import BoardTop
from .cache import digest, entry, kept, used
from .clock import Clocked
from .devices import Device
from .errors import BuildError, StalledError, StoppedError
from .netlist import PREPARATION, prepare_netlist
from .pll import in_mhz
from .progress import PlaceProgress, Progress
from .report import Report, parse_report
from .synthesis import (
    HIDE_ELEMENTS,
    STAT_FILE,
    WRITE_STAT,
    pass_name,
    total_cells,
    without_collisions,
)
from .tools import Processes, help_of, placers, timing_option


__all__ = (
    "TOP",
    "Flow",
    "Placed",
)


TOP = "top"
"""Name of the top module, and of all files."""


def _plan(design, clocked: Clocked):
    """Return the files and commands of Amaranth's build system."""
    plan = clocked.board.make_platform().prepare(
        BoardTop(clocked.board, clocked.pll, design), TOP, emit_src=False, verbose=True,
        debug_verilog=False, synth_opts=clocked.board.device.synthesis,
        nextpnr_opts=clocked.board.device.placement, script_after_read=HIDE_ELEMENTS,
        script_after_synth=WRITE_STAT)
    name = f"{TOP}.il"
    plan.files[name] = without_collisions(plan.files[name])
    return plan


@dataclass(frozen=True)
class Placed:
    """A placement: the folder of its files, its report, seconds that its parts took."""

    folder: Path
    report: Report
    seconds: Mapping[str, float]


class Flow:
    """The tools of one build."""

    def __init__(self, cache: Path, commands: Mapping[str, list[str]], tools: Mapping[str, str],
                 processes: Processes, progress: Progress):
        self.cache = cache
        self.tools = tools
        self._commands = commands
        self._processes = processes
        self._progress = progress

    def elaborate(self, make_design: Callable[[], Any], clocked: Clocked):
        """Return the files and commands of Amaranth's build system."""
        begin = time.monotonic()
        self._progress.begin("elaborate", clocked.board.title)
        plan = _plan(make_design(), clocked)
        self._progress.end("elaborate", f"{clocked.board.title}, {in_mhz(clocked.frequency)} MHz, "
                                        f"{time.monotonic() - begin:.0f} s")
        return plan

    def _command(self, plan, place: int) -> tuple[str, list[str]]:
        """Return name and command of one of the plan's tools."""
        tool, *arguments = json.loads(plan.files[f"build_{TOP}.json"])["commands"][place]
        return tool, [*self._commands[tool], *arguments]

    def _key(self, plan, place: int, *parts: object) -> str:
        tool, *arguments = json.loads(plan.files[f"build_{TOP}.json"])["commands"][place]
        return digest(tool, self.tools[tool], arguments, *parts)

    def _run(self, tool: str, command: Sequence[str], folder: Path, line=lambda text: None) -> None:
        """Run a tool; the log of one that fails is kept beside the entries."""
        log = folder / f"{tool}.log"
        try:
            self._processes.run(tool, command, folder=folder, log=log, line=line)
        except (StalledError, StoppedError):
            raise
        except BuildError as error:
            saved = self.cache / f"failed-{tool}.log"
            log.replace(saved)
            raise BuildError(str(error).replace(str(log), str(saved))) from error

    def synthesize(
        self, plan, device: Device, lanes: int,
    ) -> tuple[Path, Mapping[str, int], Mapping[str, float]]:
        """Return the folder of the netlist, Yosys' cells by type, and how long it took."""
        tool, command = self._command(plan, 0)
        inputs = {file: text for file, text in plan.files.items()
                  if file in (f"{TOP}.il", f"{TOP}.ys")}
        planned = lanes, repr(device.grid), PREPARATION
        folder = self.cache / f"netlist-{self._key(plan, 0, inputs, *planned)}"

        def line(text: str) -> None:
            if name := pass_name(text):
                self._progress.tell(f"{name}, {time.monotonic() - begin:.0f} s")

        def make(work: Path) -> None:
            for file, text in inputs.items():
                (work / file).write_text(text, "utf-8")
            self._run(tool, command, work, line)
            for netlist in work.glob(f"{TOP}*.json"):
                prepare_netlist(netlist, device, lanes)
            for file in (f"{TOP}.rpt", *inputs):
                (work / file).unlink(missing_ok=True)
            _write_seconds(work, {"synthesize": time.monotonic() - begin})

        begin = time.monotonic()
        self._progress.begin("synthesize", tool)
        cached = kept(folder, "seconds.json", make)
        cells = total_cells((folder / STAT_FILE).read_text("utf-8"))
        seconds = _read_seconds(folder)
        self._progress.end("synthesize", f"{sum(cells.values()):,} cells, ".replace(",", " ", 1)
                           + ("cached" if cached else f"{seconds['synthesize']:.0f} s"))
        return folder, cells, seconds

    def write_verilog(self, plan, netlist: Path, file: Path) -> None:
        """Write a netlist as Verilog."""
        tool, _ = self._command(plan, 0)
        source, = netlist.glob(f"{TOP}*.json")
        with TemporaryDirectory() as work:
            _share(source, Path(work) / source.name)
            # Names of the design can clash with those that Yosys makes up, so they are hidden.
            script = f"read_json {source.name}; rename -hide; write_verilog -noattr {TOP}.v"
            self._run(tool, [*self._commands[tool], "-p", script], Path(work))
            shutil.copyfile(Path(work) / f"{TOP}.v", file)

    def place(self, plan, netlist: Path, clocked: Clocked, seeds: Sequence[int], jobs: int,
              ) -> tuple[dict[int, Placed], dict[int, str]]:
        """Return the placements by seed, and why others failed; raise if all did."""
        states = {seed: PlaceProgress() for seed in seeds}
        begin = time.monotonic()
        self._progress.begin("place", clocked.board.title)
        tool, _ = self._command(plan, 1)
        device = clocked.board.device
        known = help_of(self._commands[tool], self._processes)
        chosen = ["--placer", device.placer] if device.placer in placers(known) else []
        timing = timing_option(known) if device.reroute else ""
        placed: dict[int, Placed] = {}
        failed: dict[int, BuildError] = {}
        with ThreadPoolExecutor(min(jobs, len(seeds))) as pool:
            try:
                waiting = {
                    pool.submit(
                        self._place_one, plan, netlist, clocked, seed, chosen, timing,
                        states[seed]): seed
                    for seed in seeds}
                while waiting:
                    done, _ = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                    for each in done:
                        seed = waiting.pop(each)
                        try:
                            placed[seed] = each.result()
                        except BuildError as error:
                            failed[seed] = error
                    self._progress.tell(_states(states, placed, failed, len(seeds))
                                        + f", {time.monotonic() - begin:.0f} s")
            except BaseException:
                self._processes.stop()
                raise
        if not placed:
            raise failed[seeds[0]]
        self._progress.end("place", _outcome(placed, failed, time.monotonic() - begin))
        return placed, {seed: str(error) for seed, error in failed.items()}

    def _place_one(self, plan, netlist: Path, clocked: Clocked, seed: int, chosen: Sequence[str],
                   timing: str, state: PlaceProgress) -> Placed:
        tool, command = self._command(plan, 1)
        asked = f"{float(clocked.frequency):.6f}"
        options = ["--seed", str(seed), "--report", "report.json", "--timing-allow-fail",
                   "--freq", asked, *chosen]
        texts = {file: text for file, text in plan.files.items()
                 if file.endswith((".lpf", ".pcf", ".cst"))}
        folder = self.cache / f"placed-{self._key(plan, 1, netlist.name, texts, options, timing)}"

        def make(work: Path) -> None:
            state.__init__()
            for file, text in texts.items():
                (work / file).write_text(text, "utf-8")
            netlists = [path.name for path in netlist.glob(f"{TOP}*.json")]
            for file in netlists:
                _share(netlist / file, work / file)
            try:
                self._run(tool, [*command, *options, *filter(None, [timing])], work, state.line)
            except StalledError:
                state.__init__()
                self._run(tool, [*command, *options], work, state.line)
            state.finish()
            for file in (*netlists, *texts, f"{TOP}.tim"):
                (work / file).unlink(missing_ok=True)
            _write_seconds(work, state.seconds)

        kept(folder, "seconds.json", make)
        report = parse_report((folder / "report.json").read_text("utf-8"))
        return Placed(folder, report, _read_seconds(folder))

    def pack(self, plan, placed: Path, ending: str) -> bytes:
        """Return the file that configures the board."""
        tool, command = self._command(plan, 2)
        file = f"{TOP}.{ending}"
        folder = self.cache / f"packed-{self._key(plan, 2, placed.name)}"
        begin = time.monotonic()
        self._progress.begin("pack", tool)
        if not used(folder / file):
            with entry(folder) as work:
                inputs = [path for path in placed.iterdir() if path.name.startswith(f"{TOP}.")]
                for path in inputs:
                    _share(path, work / path.name)
                self._run(tool, command, work)
                for path in work.iterdir():
                    if path.name != file:
                        path.unlink()
        content = (folder / file).read_bytes()
        self._progress.end("pack", f"{len(content):,} bytes, ".replace(",", " ")
                           + f"{time.monotonic() - begin:.0f} s")
        return content


def _states(states: Mapping[int, PlaceProgress], placed: Mapping[int, Any],
            failed: Mapping[int, Any], count: int) -> str:
    running = {seed: state.text for seed, state in states.items()
               if seed not in placed and seed not in failed}
    if count == 1:
        return next(iter(running.values()), "done")
    parts = [f"seed {seed} {text}" for seed, text in list(running.items())[:2]]
    return "; ".join([f"{len(placed)} of {count} seeds", *parts])


def _outcome(placed: Mapping[int, Placed], failed: Mapping[int, Any], seconds: float) -> str:
    best = max(placed, key=lambda seed: placed[seed].report.slack)
    report = placed[best].report
    clocks = ", ".join(f"{clock} {fmax:.1f} MHz of {report.asked_mhz[clock]:.1f}"
                       for clock, fmax in report.fmax_mhz.items())
    which = f"seed {best} of {len(placed) + len(failed)}: " if len(placed) + len(failed) > 1 else ""
    lost = f", {len(failed)} failed" if failed else ""
    return f"{which}{clocks}{lost}, {seconds:.0f} s"


def _share(source: Path, target: Path) -> None:
    """Give a file, which nobody changes, a second name; copy it where that cannot be."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _write_seconds(folder: Path, seconds: Mapping[str, float]) -> None:
    rounded = {name: round(value, 1) for name, value in seconds.items()}
    (folder / "seconds.json").write_text(json.dumps(rounded), "utf-8")


def _read_seconds(folder: Path) -> dict[str, float]:
    return json.loads((folder / "seconds.json").read_text("utf-8"))
