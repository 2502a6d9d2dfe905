"""Memory and multiplier with declared latency, made of the cells of a device family."""

from .bulk_memory import BulkMemory
from .families import FAMILIES, FamilyPlatform, family_of
from .generic import MULTIPLIER_LATENCY, NO_COLLISIONS, Generic
from .multiplier import multiply
from .row_memory import RowMemory


__all__ = (
    "FAMILIES",
    "MULTIPLIER_LATENCY",
    "NO_COLLISIONS",
    "BulkMemory",
    "FamilyPlatform",
    "Generic",
    "RowMemory",
    "family_of",
    "multiply",
)
