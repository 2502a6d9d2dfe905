"""Amaranth platforms of the boards that ``amaranth-boards`` does not have, and Gowin's tools."""

from amaranth.build import Attrs, Clock, Pins, Resource
from amaranth.vendor import GowinPlatform, LatticeECP5Platform
from amaranth_boards.resources import LEDResources, SDRAMResource, UARTResource
from amaranth_boards.tang_nano_9k import TangNano9kPlatform


__all__ = (
    "ColorlightI5Platform",
    "Nano20kPlatform",
    "Nano9kPlatform",
)


_LVCMOS33 = Attrs(IO_TYPE="LVCMOS33")


class ColorlightI5Platform(LatticeECP5Platform):
    """Colorlight i5 v7.0 on its extension board, whose debugger has the serial port.

    Source: github.com/wuxx/Colorlight-FPGA-Projects, i5 v7.0 and extension board pinouts.
    """

    device = "LFE5U-25F"
    package = "BG381"
    speed = "6"
    default_clk = "clk25"
    resources = [
        Resource("clk25", 0, Pins("P3", dir="i"), Clock(25e6), _LVCMOS33),
        *LEDResources(pins="U16", invert=True, attrs=_LVCMOS33),
        UARTResource(0, rx="H18", tx="J17", attrs=_LVCMOS33),
        # Chip select, clock enable and byte masks are wired to constants.
        SDRAMResource(
            0, clk="B9", we_n="A10", ras_n="B10", cas_n="A9", ba="B11 C8",
            a="B13 C14 A16 A17 B16 B15 A14 A13 A12 A11 B12",
            dq="D15 E14 E13 D12 E12 D11 C10 B17 B8 A8 C7 A7 A6 B6 A5 B5 "
               "D5 C5 D6 C6 E7 D7 E8 D8 E9 D9 E11 C11 C12 D13 D14 C15",
            attrs=Attrs(IO_TYPE="LVCMOS33", SLEWRATE="FAST")),
    ]
    connectors = []


class _Himbaechel:
    """Gowin's open tools as they are now: Amaranth 0.5 knows their predecessor, nextpnr-gowin."""

    _apicula_required_tools = ["yosys", "nextpnr-himbaechel", "gowin_pack"]
    _apicula_command_templates = [
        GowinPlatform._apicula_command_templates[0],
        r"""
        {{invoke_tool("nextpnr-himbaechel")}}
            {{quiet("--quiet")}}
            {{get_override("nextpnr_opts")|options}}
            --log {{name}}.tim
            --device {{platform.part}}
            --vopt family={{platform._chipdb_device}}
            --vopt cst={{name}}.cst
            --json {{name}}.syn.json
            --write {{name}}.pnr.json
        """,
        GowinPlatform._apicula_command_templates[2],
    ]


class Nano9kPlatform(_Himbaechel, TangNano9kPlatform):
    """Sipeed Tang Nano 9K."""


class Nano20kPlatform(_Himbaechel, GowinPlatform):
    """Sipeed Tang Nano 20K.

    Source: Sipeed, Tang Nano 20K schematic; the serial port is that of the debugger.
    """

    part = "GW2AR-LV18QN88C8/I7"
    family = "GW2AR-18C"
    _chipdb_device = "GW2A-18C"  # the same die, beside an SDRAM
    default_clk = "clk27"
    resources = [
        Resource("clk27", 0, Pins("4", dir="i"), Clock(27e6), _LVCMOS33),
        *LEDResources(pins="15 16 17 18 19 20", invert=True, attrs=_LVCMOS33),
        Resource("button", 0, Pins("88", dir="i"), _LVCMOS33),
        UARTResource(0, rx="70", tx="69", attrs=Attrs(PULL_MODE="UP", IO_TYPE="LVCMOS33")),
    ]
    connectors = []
