"""A model of SDR SDRAM that checks every rule, and benches of the controller in front of it."""

from .external import external_port
from .memory import SdramMemory
from .model import geometry, plusargs
from .player import Player
from .traffic import Phase, Read, Traffic, Write


__all__ = (
    "Phase",
    "Player",
    "Read",
    "SdramMemory",
    "Traffic",
    "Write",
    "external_port",
    "geometry",
    "plusargs",
)
