"""Synthesis: what Yosys is told, what it says."""

import json
import re
from collections import Counter

from .errors import BuildError


__all__ = (
    "STAT_FILE",
    "WRITE_STAT",
    "parse_stat",
    "pass_name",
    "total_cells",
)


STAT_FILE = "stat.json"

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
