"""The accelerator in Amaranth, and its Verilog."""

from .accelerator import Accelerator
from .verilog import MODULE_NAME, verilog


__all__ = (
    "MODULE_NAME",
    "Accelerator",
    "verilog",
)
