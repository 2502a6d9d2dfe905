"""Quantized network to program: memory map, tiles, instructions, images, and a cycle model."""

from .compile import compile_model
from .errors import CompileError
from .ir import DramTiming
from .program import Program


__all__ = (
    "CompileError",
    "DramTiming",
    "Program",
    "compile_model",
)
