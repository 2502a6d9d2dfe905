"""A model of SDR SDRAM that checks every rule, and benches of the controller in front of it."""

from .model import geometry, plusargs
from .player import Player
from .traffic import Phase, Read, Traffic, Write


__all__ = (
    "Phase",
    "Player",
    "Read",
    "Traffic",
    "Write",
    "geometry",
    "plusargs",
)
