"""The chips on the boards: what they hold, and what synthesis calls it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .floorplan import LFE5U_85F, Grid
from .pll import Ecp5Pll, GowinPll, Ice40Pll, PllRules


__all__ = (
    "DEVICES",
    "RESOURCES",
    "Device",
    "Technology",
)


RESOURCES = {
    "lut4": "LUT4",
    "ff": "FF",
    "block_ram": "block RAM",
    "multipliers": "multipliers",
    "large_ram": "large RAM",
}
"""Names of resources for people, by those of ``build.json``."""


@dataclass(frozen=True)
class Technology:
    """A family of devices, as the tools see it.

    Parameters
    ----------
    name : str
        Name of the family.
    cells : mapping from str to mapping from str to float
        For each resource, the types of cells in Yosys' netlist that take it, and how much of it.
    used : mapping from str to mapping from str to float
        The same in the report of nextpnr; what it does not count stays as Yosys counted it.
    block_ram_bits : int
        Bits of one block RAM, parity included.
    """

    name: str
    cells: Mapping[str, Mapping[str, float]]
    used: Mapping[str, Mapping[str, float]]
    block_ram_bits: int

    def count(self, cells: Mapping[str, int]) -> dict[str, int]:
        """Return what a netlist takes of each resource, from its cells by type.

        It is the least: what cannot share a place adds to it.
        """
        return {resource: _weighted(kinds, cells) for resource, kinds in self.cells.items()}

    def count_used(self, cells: Mapping[str, int], report: Mapping[str, int]) -> dict[str, int]:
        """Return what a placed design takes of each resource.

        Parameters
        ----------
        cells : mapping from str to int
            Cells of Yosys' netlist by type.
        report : mapping from str to int
            Places that nextpnr used, by type.
        """
        return {**self.count(cells), **{
            resource: _weighted(kinds, report) for resource, kinds in self.used.items()}}

    @property
    def starts_empty(self) -> bool:
        """Whether a large memory is made of large RAM, which starts with no content."""
        return "large_ram" in self.cells


def _weighted(kinds: Mapping[str, float], amounts: Mapping[str, int]) -> int:
    return math.ceil(sum(each * amounts.get(name, 0) for name, each in kinds.items()))


ECP5 = Technology(
    "ECP5",
    cells={
        # A carry cell takes the places of two LUTs, a distributed RAM of four and its write port
        # of two more. Wider functions are made of LUTs.
        "lut4": {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6},
        "ff": {"TRELLIS_FF": 1},
        "block_ram": {"DP16KD": 1, "PDPW16KD": 1},
        "multipliers": {"MULT18X18D": 1},
    },
    used={
        "lut4": {"TRELLIS_COMB": 1}, "ff": {"TRELLIS_FF": 1}, "block_ram": {"DP16KD": 1},
        "multipliers": {"MULT18X18D": 1},
    },
    block_ram_bits=18 * 1024)

ICE40 = Technology(
    "iCE40",
    cells={
        # A carry cell lies beside the LUT that it belongs to.
        "lut4": {"SB_LUT4": 1},
        "ff": {f"SB_DFF{kind}": 1 for kind in (
            "", "E", "SR", "R", "SS", "S", "ESR", "ER", "ESS", "ES")},
        "block_ram": {"SB_RAM40_4K": 1},
        "multipliers": {"SB_MAC16": 1},
        "large_ram": {"SB_SPRAM256KA": 1},
    },
    used={
        "lut4": {"ICESTORM_LC": 1}, "block_ram": {"ICESTORM_RAM": 1},
        "multipliers": {"ICESTORM_DSP": 1}, "large_ram": {"ICESTORM_SPRAM": 1},
    },
    block_ram_bits=4 * 1024)

_GOWIN_FLIP_FLOPS = {
    f"DFF{edge}{kind}": 1 for edge in ("", "N")
    for kind in ("", "E", "S", "SE", "R", "RE", "P", "PE", "C", "CE")}

# In multipliers of 18 x 18 bits.
_GOWIN_MULTIPLIERS = {
    "MULT9X9": 0.5, "MULT18X18": 1, "MULTALU18X18": 1, "MULT36X36": 4, "MULTADDALU18X18": 2,
    "MULTALU36X18": 2}

GOWIN = Technology(
    "Gowin",
    cells={
        "lut4": {"LUT1": 1, "LUT2": 1, "LUT3": 1, "LUT4": 1, "ALU": 1, "RAM16SDP1": 1,
                 "RAM16SDP2": 2, "RAM16SDP4": 4, "RAM16S1": 1, "RAM16S2": 2, "RAM16S4": 4},
        "ff": _GOWIN_FLIP_FLOPS,
        "block_ram": dict.fromkeys(
            ("SDPB", "SDPX9B", "DPB", "DPX9B", "SP", "SPX9", "pROM", "pROMX9"), 1),
        "multipliers": _GOWIN_MULTIPLIERS,
    },
    used={
        "lut4": {"LUT4": 1, "ALU": 1, "RAM16SDP4": 4}, "ff": {"DFF": 1},
        "block_ram": {"BSRAM": 1}, "multipliers": _GOWIN_MULTIPLIERS,
    },
    block_ram_bits=18 * 1024)


@dataclass(frozen=True)
class Device:
    """A chip.

    Parameters
    ----------
    name : str
        Its name.
    technology : Technology
        Family.
    resources : mapping from str to int
        How much of each resource it has.
    pll : PllRules
        What its PLL can do.
    synthesis, placement : str
        Options of Yosys' synthesis command, and of nextpnr.
    placer : str
        Algorithm that nextpnr is to place with, where it has it.
    reroute : bool
        Whether nextpnr is to route late wires again, where it can.
    grid : Grid, optional
        Where its multipliers and block RAM are, for large arrays.
    """

    name: str
    technology: Technology
    resources: Mapping[str, int] = field(hash=False)
    pll: PllRules
    synthesis: str = ""
    placement: str = ""
    placer: str = ""
    reroute: bool = False
    grid: Grid | None = field(default=None, hash=False)


def _device(name: str, technology: Technology, pll: PllRules, *amounts: int,
            **options: Any) -> Device:
    resources = dict(zip(technology.cells, amounts, strict=True))
    return Device(name, technology, resources, pll, **options)


# The first router rips up the long wires between columns of block RAM and multipliers again and
# again: hours for a full LFE5U-85F.
_ROUTER = "--router router2"

# It spreads cells by density: 8 x 16 lanes were 352 000 tiles of wire on an LFE5U-85F, instead of
# 505 000 with the usual one.
_PLACER = "static"


DEVICES = {
    device.name: device
    for device in (
        # Source: Lattice, ECP5 and ECP5-5G Family Data Sheet, FPGA-DS-02012, table 1.1.
        _device("LFE5U-25F", ECP5, Ecp5Pll(), 24_288, 24_288, 56, 28,
                placement=_ROUTER, placer=_PLACER, reroute=True),
        _device("LFE5U-85F", ECP5, Ecp5Pll(), 83_640, 83_640, 208, 156,
                placement=_ROUTER, placer=_PLACER, reroute=True, grid=LFE5U_85F),
        _device("LFE5UM5G-85F", ECP5, Ecp5Pll(), 83_640, 83_640, 208, 156,
                placement=_ROUTER, placer=_PLACER, reroute=True, grid=LFE5U_85F),
        # Source: Lattice, iCE40 UltraPlus Family Data Sheet, FPGA-DS-02008, table 1.1.
        _device("iCE40UP5K", ICE40, Ice40Pll(), 5_280, 5_280, 30, 8, 4,
                synthesis="-device u"),
        # Source: Gowin, GW1NR Data Sheet, DS117E, and GW2AR Data Sheet, DS226E, product resources.
        _device("GW1NR-9C", GOWIN, GowinPll("GW1NR-9C", pfd=(3, 400), vco=(400, 1200),
                                            output=(3.125, 600)), 8_640, 6_480, 26, 20,
                synthesis="-family gw1n"),
        _device("GW2AR-18C", GOWIN, GowinPll("GW2AR-18C", pfd=(3, 500), vco=(500, 1250),
                                             output=(3.90625, 625)), 20_736, 15_552, 46, 48,
                synthesis="-family gw2a"),
    )
}
"""Devices by name."""
