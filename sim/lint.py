"""Verilator's opinion of the generated Verilog."""

import re
import subprocess
import tempfile
from pathlib import Path

from .toolchain import ACCEPTED_WARNINGS, check_tools, verilator_command


__all__ = (
    "lint",
)


def lint(verilog: str, top: str) -> list[str]:
    """Lint Verilog with every check of Verilator.

    Parameters
    ----------
    verilog : str
        Text of one file.
    top : str
        Name of the top module.

    Returns
    -------
    list of str
        Warnings and errors; those of :data:`sim.toolchain.ACCEPTED_WARNINGS` are left out.

    Raises
    ------
    SimulationError
        If a tool is missing.
    """
    check_tools()
    with tempfile.TemporaryDirectory(prefix="dynafix-") as name:
        path = Path(name) / f"{top}.v"
        path.write_text(verilog)
        done = subprocess.run(
            [verilator_command(), "--lint-only", "-Wall", "--no-timing", "--top-module", top,
             *(f"-Wno-{name}" for name in ACCEPTED_WARNINGS), str(path)],
            capture_output=True, text=True, check=False)
    found = re.findall(r"^%(?:Warning|Error).*$", done.stderr, re.MULTILINE)
    return [line.replace(name + "/", "") for line in found if "Exiting due to" not in line]
