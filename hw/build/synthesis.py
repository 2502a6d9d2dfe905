"""Synthesis: what Yosys is told, what it says."""

import json
import re
from collections import Counter

from .errors import BuildError


__all__ = (
    "HIDE_ELEMENTS",
    "STAT_FILE",
    "WRITE_STAT",
    "parse_stat",
    "pass_name",
    "total_cells",
    "without_collisions",
)


STAT_FILE = "stat.json"

HIDE_ELEMENTS = r"rename -hide w:*\[*"
"""Command of Yosys that hides the names of elements.

Its technology mapping takes element 3 of an array, ``name[3]``, for bit 3 of the array, and then
gives one bit two drivers.
"""

WRITE_STAT = f"tee -q -o {STAT_FILE} stat -json"
"""Command of Yosys that writes :data:`STAT_FILE`."""

_PASS = re.compile(r"^(?:\d+\.)+ Executing (\w+) (?:pass|frontend|backend)")


def parse_stat(text: str) -> dict[str, Counter[str]]:
    """Return the cells of each module by type, from what ``stat -json`` prints.

    Raises
    ------
    BuildError
        If it is something else.
    """
    try:
        modules = json.loads(text)["modules"]
        return {
            name.removeprefix("\\"): Counter(module["num_cells_by_type"])
            for name, module in modules.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BuildError(f"Yosys printed no statistics that can be read: {error!r}") from error


def total_cells(text: str) -> Counter[str]:
    """Return the cells of all modules together, from what ``stat -json`` prints."""
    return sum(parse_stat(text).values(), Counter())


def pass_name(line: str) -> str | None:
    """Return the pass of Yosys that a line of its log starts, if it does.

    Examples
    --------
    >>> pass_name("2.18.1. Executing OPT_MERGE pass (detect identical cells).")
    'OPT_MERGE'
    >>> pass_name("Creating register for signal")
    """
    found = _PASS.match(line)
    return found and found[1]


_MEMORY = re.compile(r"^  attribute \\no_rw_check 1\n  memory .*(\\\S+)$", re.MULTILINE)
_READ_PORT = re.compile(
    r"^  cell \$memrd_v2 \S+\n    parameter \\MEMID \"(?P<name>.*)\"\n(?:    .*\n)*?"
    r"    parameter \\COLLISION_X_MASK \d+'(?P<mask>0+)$", re.MULTILINE)


def without_collisions(rtlil: str) -> str:
    """Say at each read port of a memory with ``no_rw_check`` that collisions do not matter.

    Yosys heeds the attribute where it finds the register of a read port itself. RTLIL of Amaranth
    has the register in the port, and around block RAM that gives anything on a collision there
    would be registers and multiplexers for what nobody reads.

    Parameters
    ----------
    rtlil : str
        Modules.

    Returns
    -------
    str
        The same modules with other masks.
    """
    return "\nend\n".join(_unchecked(module) for module in rtlil.split("\nend\n"))


def _unchecked(module: str) -> str:
    names = {name.replace("\\", "\\\\") for name in _MEMORY.findall(module)}

    def mask(port: re.Match[str]) -> str:
        if port["name"] not in names:
            return port[0]
        return port[0][:-len(port["mask"])] + "1" * len(port["mask"])

    return _READ_PORT.sub(mask, module) if names else module
