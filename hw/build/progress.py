"""How far place and route are, from what nextpnr prints."""

import re
import time


__all__ = (
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
_PASS = re.compile(r"^Info:\s+iter=(\d+) wires=\d+ overused=(\d+)")
_ARCS = re.compile(r"Routing (\d+) arcs")
_REMAINING = re.compile(r"^Info:\s+\d+ \|(?:[\d\s-]+\|){2}\s*(\d+)\|")


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

    def line(self, text: str) -> None:
        """Take a line of the log."""
        if self._part == "pack" and _PLACER.search(text):
            self._next("place")
            self.text = "placing"
        elif self._part != "route" and _ROUTER.match(text):
            self._next("route")
            self.text = "routing"
        elif arcs := _ARCS.search(text):
            self._arcs = int(arcs[1])
        elif self._part == "route" and (step := _PASS.match(text)):
            self.text = f"routing, pass {step[1]}, {step[2]} wires taken twice"
        elif self._part == "place" and (step := _ITERATION.search(text)):
            refine = "refining" if "temp =" in text else "placing"
            self.text = f"{refine}, step {step[1] or step[2]}"
        elif self._part == "route" and (remaining := _REMAINING.match(text)) and self._arcs:
            share = 1 - min(int(remaining[1]) / self._arcs, 1)
            self.text = f"routing, {100 * share:.0f} %"

    def finish(self) -> None:
        """End the last part."""
        self._next("")

    def _next(self, part: str) -> None:
        now = time.monotonic()
        self.seconds[self._part] = now - self._begin
        self._part, self._begin = part, now
