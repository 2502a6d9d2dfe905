"""Designs with a serial line, simulated bit by bit."""

from .port import SimulatedPort, build_pins, build_standalone


__all__ = (
    "SimulatedPort",
    "build_pins",
    "build_standalone",
)
