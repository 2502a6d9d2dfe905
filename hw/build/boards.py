"""The boards: what is on them, and which of Amaranth's platforms knows their pins."""

import difflib
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from ..sdram import PARTS, SDRAMPart, slowest
from .devices import DEVICES, Device
from .errors import BuildError


__all__ = (
    "BOARDS",
    "Board",
    "board",
)


@dataclass(frozen=True)
class Board:
    """A board.

    Parameters
    ----------
    name : str
        What ``--board`` calls it.
    title : str
        Its name for people.
    device : Device
        The chip.
    platform : str
        Amaranth's platform, ``module:class``.
    clock : str
        Name of the resource of its oscillator.
    source : Fraction
        Frequency of the oscillator, in MHz.
    usual : Fraction
        Clock of the design when none is asked, in MHz.
    leds : tuple of str
        Resources of lamps, ``name`` or ``name.color``, by number.
    file : str
        Ending of the file that configures the board.
    flash : str
        Command that writes such a file, ``{}`` being its name.
    grade : str
        Speed grade and package, for people.
    memory : SDRAMPart, optional
        The resource ``sdram``, where it is one that :class:`hw.sdram.SDRAMController` serves.
    """

    name: str
    title: str
    device: Device
    platform: str
    clock: str
    source: Fraction
    usual: Fraction
    leds: tuple[str, ...]
    file: str
    flash: str
    grade: str
    memory: SDRAMPart | None = None

    def make_platform(self):
        """Return a platform of Amaranth; each serves one design.

        Raises
        ------
        BuildError
            If ``amaranth-boards`` is missing.
        """
        module, _, name = self.platform.partition(":")
        try:
            return getattr(importlib.import_module(module), name)()
        except ModuleNotFoundError as error:
            raise BuildError(
                f"not found: {error.name}, which knows the pins of the boards. Get it: "
                f"pip install amaranth-boards") from error

    def lamps(self, platform) -> Iterator:
        """Yield the port of each lamp, requested from ``platform``."""
        found: dict[tuple[str, int], object] = {}
        for each in self.leds:
            place, _, color = each.partition(".")
            name, _, number = place.partition(":")
            key = name, int(number or 0)
            if key not in found:
                found[key] = platform.request(*key, dir="-")
            yield getattr(found[key], color) if color else found[key]


def _leds(count: int) -> tuple[str, ...]:
    return tuple(f"led:{number}" for number in range(count))


_OWN = "hw.build.platforms"

BOARDS = {
    each.name: each
    for each in (
        Board("ulx3s", "ULX3S 85F", DEVICES["LFE5U-85F"],
              "amaranth_boards.ulx3s:ULX3S_85F_Platform",
              clock="clk25", source=Fraction(25), usual=Fraction(50), leds=_leds(8), file="bit",
              flash="openFPGALoader --board ulx3s {}", grade="CABGA381, grade 6",
              # Boards have been made with memories of several makers.
              memory=slowest("the memory of ULX3S", *PARTS.values())),
        Board("colorlight-i5", "Colorlight i5", DEVICES["LFE5U-25F"],
              f"{_OWN}:ColorlightI5Platform", clock="clk25", source=Fraction(25),
              usual=Fraction(50), leds=_leds(1), file="bit",
              flash="openFPGALoader --board colorlight-i5 {}", grade="CABGA381, grade 6"),
        Board("ecpix5", "ECPIX-5 85F", DEVICES["LFE5UM5G-85F"],
              "amaranth_boards.ecpix5:ECPIX585Platform", clock="clk100", source=Fraction(100),
              usual=Fraction(50), file="bit",
              leds=tuple(f"rgb_led:{number}.{color}" for number in range(4) for color in "rg"),
              flash="openFPGALoader --board ecpix5_r03 {}", grade="CABGA554, grade 8"),
        Board("icebreaker", "iCEBreaker", DEVICES["iCE40UP5K"],
              "amaranth_boards.icebreaker:ICEBreakerPlatform", clock="clk12", source=Fraction(12),
              usual=Fraction(12), leds=_leds(2), file="bin",
              flash="openFPGALoader --board ice40_generic {}", grade="SG48"),
        Board("tang-nano-9k", "Tang Nano 9K", DEVICES["GW1NR-9C"], f"{_OWN}:Nano9kPlatform",
              clock="clk27", source=Fraction(27), usual=Fraction(27), leds=_leds(6), file="fs",
              flash="openFPGALoader --board tangnano9k --write-flash {}", grade="QN88, C6/I5"),
        Board("tang-nano-20k", "Tang Nano 20K", DEVICES["GW2AR-18C"], f"{_OWN}:Nano20kPlatform",
              clock="clk27", source=Fraction(27), usual=Fraction(27), leds=_leds(6), file="fs",
              flash="openFPGALoader --board tangnano20k --write-flash {}", grade="QN88, C8/I7"),
    )
}
"""Boards by name."""


def board(name: str) -> Board:
    """Return the board called ``name``; ``BuildError`` lists those that there are."""
    if name not in BOARDS:
        near = difflib.get_close_matches(name, BOARDS, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise BuildError(f"--board must be one of {', '.join(BOARDS)}, not {name!r}{hint}")
    return BOARDS[name]
