"""Controller for SDR SDRAM behind an AXI4 port."""

from .controller import SDRAMController, checked_timing, controller_verilog
from .parts import PARTS, SDRAMPart, SDRAMTiming, slowest
from .pins import SDRAMSignature


__all__ = (
    "PARTS",
    "SDRAMController",
    "SDRAMPart",
    "SDRAMSignature",
    "SDRAMTiming",
    "checked_timing",
    "controller_verilog",
    "slowest",
)
