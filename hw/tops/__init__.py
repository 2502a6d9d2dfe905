"""Whole designs around the accelerator, without knowledge of a board."""

from .block_memory import BlockMemory
from .standalone import StandaloneTop


__all__ = (
    "BlockMemory",
    "StandaloneTop",
)
