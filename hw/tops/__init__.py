"""Whole designs around the accelerator, without knowledge of a board."""

from .block_memory import BlockMemory
from .standalone import StandaloneTop
from .verilog import STANDALONE_NAME, standalone_verilog


__all__ = (
    "BlockMemory",
    "STANDALONE_NAME",
    "StandaloneTop",
    "standalone_verilog",
)
