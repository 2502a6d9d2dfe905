"""The netlist that goes to place and route, as one file that Verilator can build."""

import re
from collections.abc import Mapping
from pathlib import Path

from .errors import SimulationError


__all__ = (
    "CELLS",
    "netlist_verilog",
)


CELLS = Path(__file__).parent / "cells"
"""Folder of our models of vendors' cells."""

_MODULE = re.compile(
    r"^(module|package) (\S+?)[ \t\n]*[(#;].*?^end\1\n", re.MULTILINE | re.DOTALL)
_PACKAGE = re.compile(r"\b(\w+)::")
_INSTANCE = re.compile(r"^\s+([A-Z]\w+) (?:#\(|[\w$\\][^\n=]* \()", re.MULTILINE)
_PIN = re.compile(r'\bTRELLIS_IO #\(\s*\.DIR\("(\w+)"\)\s*\)')
_ATTRIBUTE = re.compile(r"\(\*(?!\)).*?\*\)", re.DOTALL)
_SPECIFY = re.compile(r"^\s*specify\n.*?^\s*endspecify\n", re.MULTILINE | re.DOTALL)
_DIRECTIVE = re.compile(r"^`.*\n", re.MULTILINE)

# What Yosys' text and its models of cells may warn about, besides what generated Verilog may.
_ACCEPTED = ("PINMISSING", "UNUSEDPARAM", "UNDRIVEN", "UNOPTFLAT", "INITIALDLY", "VARHIDDEN")


def netlist_verilog(netlist: str, *, cells: str = "") -> str:
    """Return a netlist with the models of all its cells.

    A pin of ECP5 (``TRELLIS_IO``) becomes one of its direction, as nothing has to be tri-state
    then: for a netlist of this size Verilator takes too long over that.

    Parameters
    ----------
    netlist : str
        What ``write_verilog`` of Yosys wrote.
    cells : str
        Models of further cells than those in :data:`CELLS`: those of Yosys, preprocessed. Where
        both have one, ours is taken.

    Raises
    ------
    SimulationError
        If there is no model of a cell.

    Examples
    --------
    >>> text = netlist_verilog('''
    ... module top(input a, output y);
    ...   LUT2 #(
    ...     .INIT(4'h2)
    ...   ) name (
    ...     .A(a), .Z(y));
    ... endmodule
    ... ''', cells='''
    ... module LUT2(input A, B, output Z); parameter INIT = 0;
    ... endmodule
    ... module LUT4(input A, B, C, D, output Z);
    ... endmodule
    ... ''')
    >>> "module LUT2(" in text, "module LUT4(" in text
    (True, False)
    """
    ours = "".join(path.read_text() for path in sorted(CELLS.glob("*.v")))
    models = {**_modules(_plain(cells)), **_modules(ours)}
    netlist = _PIN.sub(r"TRELLIS_\1", netlist)
    own = _modules(netlist).keys()
    needed: dict[str, str] = {}
    waiting = [netlist]
    while waiting:
        text = waiting.pop()
        used = {*_INSTANCE.findall(text), *_PACKAGE.findall(text)}
        for name in sorted(used - needed.keys() - own):
            if name not in models:
                raise SimulationError(f"No model of cell {name} is known")
            needed[name] = models[name]
            waiting.append(models[name])
    off = "".join(f"// verilator lint_off {name}\n" for name in _ACCEPTED)
    packages_first = sorted(needed.values(), key=lambda text: not text.startswith("package"))
    return "\n".join((off, *packages_first, netlist))


def _modules(text: str) -> Mapping[str, str]:
    """Return the text of each module and package by name."""
    return {found[2]: found[0] for found in _MODULE.finditer(text)}


def _plain(text: str) -> str:
    """Return models without what only synthesis and timing need."""
    return _DIRECTIVE.sub("", _SPECIFY.sub("", _ATTRIBUTE.sub("", text)))
