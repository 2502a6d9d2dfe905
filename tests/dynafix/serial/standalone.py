"""The simulated stand-alone design that tests share: one build, with room for LeNet."""

from sim.serial import SimulatedPort, build_standalone

from ...sim.configs import BANDS


__all__ = ("CLOCK", "CONFIG", "DIVISOR", "SIZE", "TIMEOUT", "WAIT", "simulated_port")


CONFIG = BANDS
SIZE = 76_000  # bytes, no power of two
DIVISOR = 4
CLOCK = 1_000_000
TIMEOUT = 512
WAIT = 0.002
"""Simulated seconds after which a host gives up: longer than TIMEOUT."""


def simulated_port():
    """Return the host's end of the line of a new simulation."""
    build = build_standalone(CONFIG, size=SIZE, divisor=DIVISOR, clock=CLOCK, timeout=TIMEOUT)
    return SimulatedPort(build, divisor=DIVISOR, clock=CLOCK)
