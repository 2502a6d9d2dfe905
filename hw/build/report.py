"""What nextpnr reports: clocks, places taken, the critical path in words."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .components import component
from .errors import BuildError


__all__ = (
    "CriticalPath",
    "Report",
    "parse_report",
    "signal_name",
)


_MADE_UP = re.compile(
    r"_(?:SB_|TRELLIS_|LUT[1-8]|CCU2C|PFUMX|L6MUX21|DFF[A-Z]*|ALU|MUX2|DP16KD|PDPW16KD|MULT|SDP"
    r"|DPR16|RAM16|INV|IBUF|OBUF|BB_).*$")
_PACKED = re.compile(r"(?:\$[A-Za-z_0-9]+\$?|\$\d+)$")
MOST_SIGNALS = 40
"""Characters of a signal's name in a sentence."""


def signal_name(cell: str) -> str:
    """Return the signal of the design that a cell's made-up name starts with.

    Examples
    --------
    >>> signal_name("design.accelerator.calc.requantizer.shift_LUT4_Z_1_B_CCU2C_S0")
    'design.accelerator.calc.requantizer.shift'
    """
    name = _MADE_UP.sub("", cell)
    return _PACKED.sub("", name) or cell


@dataclass(frozen=True)
class CriticalPath:
    """The slowest path from register to register of a clock.

    Parameters
    ----------
    clock : str
        Name of the clock.
    delay_ns : float
        Its delay.
    levels : int
        Cells between the two registers.
    routing_share : float
        Part of the delay that is wires, 0 to 1.
    components : tuple of str
        Components that it goes through, in order.
    source, target : str
        Signals of the first and the last register.
    """

    clock: str
    delay_ns: float
    levels: int
    routing_share: float
    components: tuple[str, ...]
    source: str
    target: str

    @property
    def text(self) -> str:
        """Return the path in words."""
        through = " → ".join(self.components)
        ends = f"{_short(self.source)} → {_short(self.target)}"
        plural = "" if self.levels == 1 else "s"
        return (f"{through}: {ends} ({self.levels} level{plural}, {self.delay_ns:.1f} ns, "
                f"{self.routing_share:.0%} routing)").replace("%", " %")

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        return {"text": self.text, **asdict(self), "components": list(self.components)}


def _short(signal: str) -> str:
    """Return a signal's path below the accelerator, or below the design, cut where it is long."""
    name = signal.removeprefix("design.").removeprefix("accelerator.")
    return name if len(name) <= MOST_SIGNALS else f"…{name[1 - MOST_SIGNALS:]}"


@dataclass(frozen=True)
class Report:
    """A placed and routed design.

    Parameters
    ----------
    fmax_mhz, asked_mhz : mapping from str to float
        For each clock, the highest frequency, and what the design was placed for.
    used : mapping from str to int
        Places taken, by nextpnr's types.
    path : CriticalPath or None
        That of the clock that is met least; ``None`` if no register drives another.
    """

    fmax_mhz: Mapping[str, float]
    asked_mhz: Mapping[str, float]
    used: Mapping[str, int]
    path: CriticalPath | None

    @property
    def slack(self) -> float:
        """Lowest ratio of a clock's highest frequency to the one that was asked."""
        return min((fmax / self.asked_mhz[clock] for clock, fmax in self.fmax_mhz.items()
                    if self.asked_mhz[clock]), default=float("inf"))

    @property
    def met(self) -> bool:
        """Whether every clock is met."""
        return self.slack >= 1


def parse_report(text: str, *, domain: str = "sync") -> Report:
    """Read the file that ``nextpnr --report`` writes.

    Parameters
    ----------
    text : str
        The file.
    domain : str
        Name of the only clock. Several have the names of their domains, by which Amaranth calls
        them: ``clk`` of ``sync``, ``memory_clk`` of ``memory``; others those of their nets.

    Raises
    ------
    BuildError
        If it is something else.
    """
    try:
        found = json.loads(text)
        names = _clock_names(found["fmax"], domain)
        fmax = {names[net]: float(each["achieved"]) for net, each in found["fmax"].items()}
        asked = {names[net]: float(each["constraint"]) for net, each in found["fmax"].items()}
        used = {name: int(each["used"]) for name, each in found["utilization"].items()}
        paths = [_path(each, names) for each in found["critical_paths"]
                 if each["from"] == each["to"] and _clock(each["from"]) in names]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BuildError(f"nextpnr wrote no report that can be read: {error!r}") from error
    worst = min(paths, default=None, key=lambda path: fmax[path.clock] / (asked[path.clock] or 1))
    return Report(fmax, asked, used, worst)


def _clock_names(nets: Mapping[str, Any], domain: str) -> dict[str, str]:
    """Return a name for each net of a clock."""
    if len(nets) == 1:
        return dict.fromkeys(nets, domain)
    names = {net: _domain(net) for net in nets}
    return names if len(set(names.values())) == len(names) else {net: net for net in nets}


def _domain(net: str) -> str:
    """Return the domain of a clock by the name of its net, or the latter if it is no domain's."""
    name = net.removeprefix("$glbnet$")
    clock = name.rpartition(".")[2]
    return "sync" if clock == "clk" else clock.removesuffix("_clk") if (
        clock.endswith("_clk")) else name


def _clock(event: str) -> str:
    return event.partition(" ")[2]


def _path(found: Mapping[str, Any], names: Mapping[str, str]) -> CriticalPath:
    steps: Sequence[Mapping[str, Any]] = found["path"]
    delay = sum(float(step["delay"]) for step in steps)
    routing = sum(float(step["delay"]) for step in steps if step["type"] == "routing")
    cells = [steps[0]["from"]["cell"], *(step["to"]["cell"] for step in steps)]
    return CriticalPath(
        clock=names[_clock(found["from"])], delay_ns=delay,
        levels=sum(step["type"] == "logic" for step in steps),
        routing_share=routing / delay if delay else 0.0,
        components=tuple(_without_repeats(map(component, cells))),
        source=signal_name(cells[0]), target=signal_name(cells[-1]))


def _without_repeats(names) -> list[str]:
    found: list[str] = []
    for name in names:
        if not found or found[-1] != name:
            found.append(name)
    return found
