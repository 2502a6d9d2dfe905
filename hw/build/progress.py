"""How far place and route are, from what nextpnr prints."""

import math
import re
import time

from .errors import StalledError


__all__ = (
    "MOST_PASSES",
    "PlaceProgress",
    "Progress",
)


class Progress:
    """Listener to a build; this one is silent."""

    def begin(self, phase: str, text: str) -> None:
        """Tell that a phase begins: elaborate, synthesize, place, pack."""

    def tell(self, text: str) -> None:
        """Tell how far the phase is."""

    def end(self, phase: str, text: str) -> None:
        """Tell the outcome of a phase."""


_PLACER = re.compile(r"analytic placement for|Running Static placer")
_ROUTER = re.compile(r"^Info: (Routing\.\.|Running router2)")
_ITERATION = re.compile(r"at iteration #(\d+)|iter=(\d+) steplen=")
_PASS = re.compile(r"^Info:\s+iter=(\d+) wires=\d+ overused=(\d+) overuse=\d+(?: tmgfail=(\d+))?")
_ARCS = re.compile(r"Routing (\d+) arcs")
_REMAINING = re.compile(r"^Info:\s+\d+ \|(?:[\d\s-]+\|){2}\s*(\d+)\|")


MOST_PASSES = 100
"""Passes of a router without a better one; it would go on for ever."""


class PlaceProgress:
    """One run of nextpnr, line by line.

    Attributes
    ----------
    text : str
        What it does.
    seconds : dict from str to float
        Duration of its parts so far: pack, place, route.
    """

    def __init__(self) -> None:
        self.text = "packing"
        self.seconds: dict[str, float] = {}
        self._part = "pack"
        self._begin = time.monotonic()
        self._arcs = 0
        self._best, self._waited = math.inf, 0

    def line(self, text: str) -> None:
        """Take a line of the log.

        Raises
        ------
        StalledError
            If the router has all wires, but some late ones, and makes these no earlier.
        """
        if self._part == "pack" and _PLACER.search(text):
            self._next("place")
            self.text = "placing"
        elif self._part != "route" and _ROUTER.match(text):
            self._next("route")
            self.text = "routing"
        elif arcs := _ARCS.search(text):
            self._arcs = int(arcs[1])
        elif self._part == "route" and (step := _PASS.match(text)):
            self._take_pass(*(int(number or 0) for number in step.groups()))
        elif self._part == "place" and (step := _ITERATION.search(text)):
            refine = "refining" if "temp =" in text else "placing"
            self.text = f"{refine}, step {step[1] or step[2]}"
        elif self._part == "route" and (remaining := _REMAINING.match(text)) and self._arcs:
            share = 1 - min(int(remaining[1]) / self._arcs, 1)
            self.text = f"routing, {100 * share:.0f} %"

    def _take_pass(self, number: int, twice: int, late: int) -> None:
        self.text = f"routing, pass {number}, {twice} wires taken twice"
        if late:
            self.text += f", {late} late"
        if twice + late < self._best:
            self._best, self._waited = twice + late, 0
        self._waited += 1
        if late and self._waited > MOST_PASSES:
            raise StalledError(f"nextpnr leaves {late} wires late, pass after pass")

    def finish(self) -> None:
        """End the last part."""
        self._next("")

    def _next(self, part: str) -> None:
        now = time.monotonic()
        self.seconds[self._part] = now - self._begin
        self._part, self._begin = part, now
