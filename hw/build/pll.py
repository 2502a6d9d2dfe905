"""Phase-locked loops: parameters from two frequencies, and the cells that hold them.

Frequencies are exact fractions of MHz. Each family multiplies the clock of the board by one
integer and divides it by others; an oscillator between them must run within bounds.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from amaranth import *

from .errors import BuildError


__all__ = (
    "Ecp5Pll",
    "GowinPll",
    "Ice40Pll",
    "Pll",
    "PllRules",
    "in_mhz",
)


def in_mhz(frequency: Fraction) -> str:
    """Return a frequency for people.

    Examples
    --------
    >>> in_mhz(Fraction(25)), in_mhz(Fraction(100, 3))
    ('25', '33.333')
    """
    return f"{float(frequency):.3f}".rstrip("0").rstrip(".")


@dataclass(frozen=True)
class Pll:
    """A setting of a PLL.

    Parameters
    ----------
    rules : PllRules
        What made it.
    source, output : Fraction
        Clock of the board, and the clock made of it, in MHz.
    vco : Fraction
        Frequency of the oscillator, in MHz.
    parameters : mapping from str to value
        Parameters of the cell.
    lead : Fraction
        Nanoseconds by which a second output is ahead of the first; 0 if there is none.
    """

    rules: "PllRules"
    source: Fraction
    output: Fraction
    vco: Fraction
    parameters: Mapping[str, Any] = field(hash=False)
    lead: Fraction = Fraction(0)

    def instance(self, clock, output, locked, ahead=None):
        """Return the cell: ``clock`` of the board in, ``output`` and ``locked`` out.

        ``ahead`` is the second output, where there is one.
        """
        second = {} if ahead is None else {"ahead": ahead}
        return self.rules.instance(self, clock, output, locked, **second)


class PllRules(ABC):
    """What the PLL of a family can do.

    Parameters
    ----------
    source, pfd, vco, output : pair of float
        Bounds of the clock in, at the phase detector, of the oscillator and of the clock out, in
        MHz.
    """

    direct = False
    """Whether the cell takes the clock from the pin itself, without a buffer."""

    source = (0.0, math.inf)
    pfd: tuple[float, float]
    vco: tuple[float, float]
    output: tuple[float, float]

    def settings(self, source: Fraction, asked: Fraction | None = None) -> Iterator[Pll]:
        """Yield the settings that keep the bounds.

        Parameters
        ----------
        source : Fraction
            Clock of the board, in MHz.
        asked : Fraction, optional
            Yield only the fastest output that is not above, for each frequency of the detector
            and the oscillator.
        """
        if not self.source[0] <= source <= self.source[1]:
            return
        for divider, multiplier, post, output, vco in self._dividers(source, asked):
            if (self.pfd[0] <= source / divider <= self.pfd[1]
                    and self.vco[0] <= vco <= self.vco[1]
                    and self.output[0] <= output <= self.output[1]
                    and (asked is None or output <= asked)):
                yield Pll(self, source, output, vco,
                          self._parameters(source, divider, multiplier, post))

    def choose(self, source: Fraction, asked: Fraction) -> Pll:
        """Return the setting whose output is closest to ``asked`` MHz without being above.

        Among several the one with the fastest phase detector is taken, for the least jitter, then
        the slowest oscillator, for the least power.

        Raises
        ------
        BuildError
            If there is none.
        """
        settings = list(self.settings(source, asked))
        if not settings:
            slowest = min((each.output for each in self.settings(source)), default=None)
            least = f"at least {in_mhz(slowest)} MHz" if slowest else "made another way"
            raise BuildError(
                f"The clock must be {least} with the PLL of this board ({in_mhz(source)} MHz in), "
                f"not {in_mhz(asked)} MHz")
        return max(settings, key=lambda each: (each.output, self._detector(each), -each.vco))

    def leading(self, pll: Pll, lead: Fraction) -> Pll:
        """Return a setting with a second output that is ahead of the first by ``lead`` ns.

        Raises
        ------
        BuildError
            If the PLL has no such output.
        """
        raise BuildError("The PLL of this board has no second output with a phase of its own")

    def _multipliers(self, detector: Fraction, most: int) -> range:
        """Return the multipliers up to ``most`` that keep the oscillator in its bounds."""
        least = math.ceil(Fraction(self.vco[0]) / detector)
        return range(least, min(most, math.floor(Fraction(self.vco[1]) / detector)) + 1)

    @abstractmethod
    def _dividers(self, source: Fraction, asked: Fraction | None,
                  ) -> Iterator[tuple[int, int, int, Fraction, Fraction]]:
        """Yield divider, multiplier, last divider, output and oscillator, in bounds or not."""

    @abstractmethod
    def _parameters(self, source: Fraction, divider: int, multiplier: int,
                    post: int) -> dict[str, Any]:
        """Return the parameters of the cell."""

    @abstractmethod
    def _detector(self, pll: Pll) -> Fraction:
        """Return the frequency at the phase detector, in MHz."""

    @abstractmethod
    def instance(self, pll: Pll, clock, output, locked):
        """Return the cell of a setting."""


class Ecp5Pll(PllRules):
    """EHXPLLL: ``output = source / CLKI_DIV * CLKOP_DIV / CLKOS_DIV``.

    The first output only feeds back what the phase detector compares; the second one is used. So
    the oscillator may be any multiple of the detector's frequency, and any divider follows it.
    The third one is the second with another phase: CPHASE and FPHASE count whole periods and
    eighths of the oscillator by which an output lags.

    Source: Lattice, ECP5 and ECP5-5G Family Data Sheet, FPGA-DS-02012, sysCLOCK PLL Timing; ECP5
    and ECP5-5G sysCLOCK PLL/DLL Design and Usage Guide, FPGA-TN-02200.
    """

    source = (8, 400)
    pfd = (10, 400)
    vco = (400, 800)
    output = (3.125, 400)

    def _dividers(self, source: Fraction, asked: Fraction | None,
                  ) -> Iterator[tuple[int, int, int, Fraction, Fraction]]:
        for divider in range(1, int(source / Fraction(self.pfd[0])) + 1):
            detector = source / divider
            for multiplier in self._multipliers(detector, 128):
                vco = detector * multiplier
                for post in range(1, 129) if asked is None else (math.ceil(vco / asked),):
                    if post <= 128:
                        yield divider, multiplier, post, vco / post, vco

    def _parameters(self, source: Fraction, divider: int, multiplier: int,
                    post: int) -> dict[str, Any]:
        return {
            "CLKI_DIV": divider, "CLKFB_DIV": 1, "FEEDBK_PATH": "CLKOP",
            "CLKOP_ENABLE": "ENABLED", "CLKOP_DIV": multiplier, "CLKOP_CPHASE": multiplier - 1,
            "CLKOS_ENABLE": "ENABLED", "CLKOS_DIV": post, "CLKOS_CPHASE": post - 1,
            "PLLRST_ENA": "DISABLED", "STDBY_ENABLE": "DISABLED", "INTFB_WAKE": "DISABLED",
            "DPHASE_SOURCE": "DISABLED", "OUTDIVIDER_MUXA": "DIVA", "OUTDIVIDER_MUXB": "DIVB",
        }

    def _detector(self, pll: Pll) -> Fraction:
        return pll.source / pll.parameters["CLKI_DIV"]

    def leading(self, pll: Pll, lead: Fraction) -> Pll:
        """Return a setting with a second output that is ahead of the first by ``lead`` ns.

        Its phase is set in eighths of the oscillator's period; the nearest is taken.
        """
        divider = pll.parameters["CLKOS_DIV"]
        eighths = round(8 * lead * pll.vco / 1000)
        coarse, fine = divmod(8 * pll.parameters["CLKOS_CPHASE"] - eighths, 8)
        if coarse < 0:
            raise BuildError(
                f"A clock of {in_mhz(pll.output)} MHz must be ahead by less than its period, "
                f"not {float(lead):g} ns")
        return replace(pll, lead=Fraction(125 * eighths) / pll.vco, parameters={
            **pll.parameters, "CLKOS2_ENABLE": "ENABLED", "CLKOS2_DIV": divider,
            "CLKOS2_CPHASE": coarse, "CLKOS2_FPHASE": fine})

    def instance(self, pll: Pll, clock, output, locked, ahead=None):
        feedback = Signal()
        second = {} if ahead is None else {"o_CLKOS2": ahead, "i_ENCLKOS2": 0}
        return Instance(
            "EHXPLLL",
            # Settings of the loop filter that prjtrellis uses at every frequency.
            a_ICP_CURRENT="12", a_LPF_RESISTOR="8", a_MFG_ENABLE_FILTEROPAMP="1",
            a_MFG_GMCREF_SEL="2",
            **{f"p_{name}": value for name, value in pll.parameters.items()},
            i_CLKI=clock, i_CLKFB=feedback, i_RST=0, i_STDBY=0, i_PHASESEL0=0, i_PHASESEL1=0,
            i_PHASEDIR=1, i_PHASESTEP=1, i_PHASELOADREG=1, i_PLLWAKESYNC=0, i_ENCLKOP=0,
            o_CLKOP=feedback, o_CLKOS=output, o_LOCK=locked, **second)


class Ice40Pll(PllRules):
    """SB_PLL40_PAD, simple feedback: ``output = source * (DIVF + 1) / (DIVR + 1) / 2 ** DIVQ``.

    Source: Lattice, iCE40 sysCLOCK PLL Design and Usage Guide, FPGA-TN-02052, and iCE40 UltraPlus
    Family Data Sheet, FPGA-DS-02008, sysCLOCK PLL Timing.
    """

    direct = True
    source = (10, 133)
    pfd = (10, 133)
    vco = (533, 1066)
    output = (16, 275)

    FILTERS = (17, 26, 44, 66, 101)
    """Upper bounds of the phase detector's frequency for each range of the loop filter."""

    def _dividers(self, source: Fraction, asked: Fraction | None,
                  ) -> Iterator[tuple[int, int, int, Fraction, Fraction]]:
        for divider in range(1, min(16, int(source / Fraction(self.pfd[0]))) + 1):
            detector = source / divider
            for multiplier in self._multipliers(detector, 128):
                vco = detector * multiplier
                for post in range(1, 7):
                    yield divider, multiplier, post, vco / 2 ** post, vco

    def _parameters(self, source: Fraction, divider: int, multiplier: int,
                    post: int) -> dict[str, Any]:
        detector = source / divider
        return {
            "FEEDBACK_PATH": "SIMPLE", "DIVR": Const(divider - 1, 4),
            "DIVF": Const(multiplier - 1, 7), "DIVQ": Const(post, 3),
            "FILTER_RANGE": Const(1 + sum(detector >= bound for bound in self.FILTERS), 3),
        }

    def _detector(self, pll: Pll) -> Fraction:
        return pll.source / (pll.parameters["DIVR"].value + 1)

    def instance(self, pll: Pll, clock, output, locked):
        return Instance(
            "SB_PLL40_PAD",
            **{f"p_{name}": value for name, value in pll.parameters.items()},
            io_PACKAGEPIN=clock, i_RESETB=1, i_BYPASS=0, o_PLLOUTGLOBAL=output, o_LOCK=locked)


class GowinPll(PllRules):
    """The rPLL: ``output = source * (FBDIV_SEL + 1) / (IDIV_SEL + 1)``.

    Source: Gowin, GW1NR Data Sheet, DS117E, and GW2AR Data Sheet, DS226E, PLL parameters; Gowin
    Clock User Guide, UG286E.

    Parameters
    ----------
    device : str
        Name of the device, for the cell.
    pfd, vco, output : pair of float
        Bounds in MHz.
    """

    POSTS = (2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128)

    def __init__(self, device: str, *, pfd: tuple[float, float], vco: tuple[float, float],
                 output: tuple[float, float]):
        self.device = device
        self.pfd = pfd
        self.vco = vco
        self.output = output

    def _dividers(self, source: Fraction, asked: Fraction | None,
                  ) -> Iterator[tuple[int, int, int, Fraction, Fraction]]:
        for divider in range(1, min(64, int(source / Fraction(self.pfd[0]))) + 1):
            detector = source / divider
            for multiplier in range(1, 65) if asked is None else (int(asked / detector),):
                if 1 <= multiplier <= 64:
                    output = detector * multiplier
                    for post in self.POSTS:
                        yield divider, multiplier, post, output, output * post

    def _parameters(self, source: Fraction, divider: int, multiplier: int,
                    post: int) -> dict[str, Any]:
        return {
            "FCLKIN": in_mhz(source), "DEVICE": self.device, "IDIV_SEL": divider - 1,
            "FBDIV_SEL": multiplier - 1, "ODIV_SEL": post, "DYN_IDIV_SEL": "false",
            "DYN_FBDIV_SEL": "false", "DYN_ODIV_SEL": "false", "CLKFB_SEL": "internal",
        }

    def _detector(self, pll: Pll) -> Fraction:
        return pll.source / (pll.parameters["IDIV_SEL"] + 1)

    def instance(self, pll: Pll, clock, output, locked):
        zeros = {f"i_{name}": Const(0, width) for name, width in (
            ("RESET", 1), ("RESET_P", 1), ("CLKFB", 1), ("FBDSEL", 6), ("IDSEL", 6),
            ("ODSEL", 6), ("PSDA", 4), ("DUTYDA", 4), ("FDLY", 4))}
        return Instance(
            "rPLL", **{f"p_{name}": value for name, value in pll.parameters.items()}, **zeros,
            i_CLKIN=clock, o_CLKOUT=output, o_LOCK=locked)
