"""Designs with a serial line, simulated bit by bit."""

from .port import SimulatedPort, build_standalone


__all__ = (
    "SimulatedPort",
    "build_standalone",
)
