"""The device families, and which one a platform means."""

from .ecp5 import Ecp5
from .generic import Generic
from .gowin import Gowin
from .ice40 import Ice40
from .xilinx7 import Xilinx7


__all__ = (
    "FAMILIES",
    "FamilyPlatform",
    "family_of",
)


FAMILIES = {family.name: family for family in (
    Generic(), Ecp5(), Ice40(), Gowin(), Xilinx7())}
"""Families by name."""


class FamilyPlatform:
    """What ``elaborate`` is given when nothing but the device family is known.

    Parameters
    ----------
    family : str
        Name in :data:`FAMILIES`.

    Raises
    ------
    ValueError
        If there is no such family.
    """

    def __init__(self, family):
        if family not in FAMILIES:
            raise ValueError(f"Family must be one of {', '.join(FAMILIES)}, not {family!r}")
        self.family = family


_DEVICES = {
    "LFE5": "ecp5", "iCE40UP": "ice40", "GW1N": "gowin", "GW2A": "gowin", "xc7": "xilinx7"}


def family_of(platform):
    """Return the family of ``platform``, the generic one for none or one that is not known.

    Parameters
    ----------
    platform : object
        ``None``, a :class:`FamilyPlatform`, or a platform of Amaranth, whose device or part tells.
    """
    if isinstance(platform, FamilyPlatform):
        return FAMILIES[platform.family]
    device = getattr(platform, "device", None) or getattr(platform, "part", "")
    return FAMILIES[next(
        (name for prefix, name in _DEVICES.items() if device.startswith(prefix)), "generic")]
