"""Whole designs around the accelerator, without knowledge of a board."""

from .block_memory import BlockMemory
from .external import ExternalTop
from .standalone import StandaloneTop
from .verilog import EXTERNAL_NAME, STANDALONE_NAME, external_verilog, standalone_verilog


__all__ = (
    "BlockMemory",
    "EXTERNAL_NAME",
    "ExternalTop",
    "STANDALONE_NAME",
    "StandaloneTop",
    "external_verilog",
    "standalone_verilog",
)
