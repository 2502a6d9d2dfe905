"""Running designs with the SDRAM model, without cocotb: the clock is all that they need."""

import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hw.sdram import SDRAMPart

from ..build import Build, build
from ..errors import SimulationError


__all__ = (
    "RTL",
    "build_clocked",
    "geometry",
    "plusargs",
    "run_clocked",
)


RTL = Path(__file__).parent / "rtl"

_TIMES = ("t_rcd", "t_rp", "t_ras", "t_rc", "t_rrd", "t_wr", "t_rfc", "t_mrd", "t_ras_max",
          "t_refresh", "t_power_up")
_COUNTS = ("wr_cycles", "rrd_cycles", "mrd_cycles", "refreshes")


def geometry(part: SDRAMPart) -> dict[str, int]:
    """Return the parameters of ``rtl/sdram.sv`` for a part."""
    return {"BANK_BITS": part.bank_bits, "ROW_BITS": part.row_bits,
            "COLUMN_BITS": part.column_bits, "DATA_BITS": part.data_bits}


def plusargs(part: SDRAMPart, clock: int) -> dict[str, int]:
    """Return the options of ``rtl/sdram.sv`` for a part with a clock in Hz.

    Times are in picoseconds, as the part has them; a CAS latency without a clock period is 0.
    """
    return {
        "khz": clock // 1000,
        **{name: round(getattr(part, name) * 1000) for name in _TIMES},
        **{name: getattr(part, name) for name in _COUNTS},
        **{f"t_ck_{latency}": round(part.clock_periods.get(latency, 0) * 1000)
           for latency in (2, 3)},
    }


def build_clocked(
    top: str, parameters: Mapping[str, int], *, sources: Mapping[str, str] | None = None,
    cache: Path | None = None,
) -> Build:
    """Compile a top module of ``rtl`` whose only port is the clock.

    Parameters
    ----------
    top : str
        Name of the module and of its file.
    parameters : mapping from name to int
        Its parameters.
    sources : mapping from file name to text, optional
        What it needs besides the memory.
    cache : Path, optional
        Folder of compiled simulations.
    """
    names = (f"{top}.sv", "late.sv", "sdram.sv", "clock.cpp")
    texts = {name: (RTL / name).read_text() for name in names}
    return build({**texts, **(sources or {})}, top, parameters=parameters, cache=cache)


def run_clocked(
    build: Build, options: Mapping[str, object], script: str, *, seed: int = 1
) -> list[str]:
    """Run a compiled top on a script.

    Parameters
    ----------
    build : Build
        What :func:`build_clocked` returned.
    options : mapping from name to value
        Options besides ``+script`` and ``+log``.
    script : str
        Contents of the file ``+script``.
    seed : int
        Seed of the random numbers of the simulator, at least 1.

    Returns
    -------
    list of str
        Lines of the file ``+log``.

    Raises
    ------
    SimulationError
        If a rule was broken; the message has every line that tells of one.
    """
    with tempfile.TemporaryDirectory(prefix="dynafix-") as name:
        source, log = Path(name) / "script", Path(name) / "log"
        source.write_text(script)
        done = subprocess.run(
            [build.folder / build.top, f"+verilator+seed+{seed}", f"+script={source}",
             f"+log={log}", *(f"+{key}={value}" for key, value in options.items())],
            capture_output=True, text=True, check=False, cwd=name)
        text = done.stdout + done.stderr
        if done.returncode or "%Error" in text:
            told = [line for line in text.splitlines() if "Error" in line or "Fatal" in line]
            raise SimulationError("\n".join(told) or text or f"exit status {done.returncode}")
        return log.read_text().splitlines()
