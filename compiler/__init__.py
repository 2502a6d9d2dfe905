"""Quantized network to program: memory map, tiles, instructions, images, and a cycle model."""

from .compile import compile_model
from .cycles import LayerPrediction, Prediction
from .describe import Layer
from .errors import CompileError
from .images import load, save
from .ir import DramTiming
from .program import Program


__all__ = (
    "CompileError",
    "DramTiming",
    "Layer",
    "LayerPrediction",
    "Prediction",
    "Program",
    "compile_model",
    "load",
    "save",
)
