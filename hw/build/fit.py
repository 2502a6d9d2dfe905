"""Whether a design fits a chip, known from the netlist before minutes of placing."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from arch.config import AcceleratorConfig

from .boards import BOARDS, Board
from .devices import RESOURCES, Device, Technology
from .errors import FitError


__all__ = (
    "LARGE_RAM_BITS",
    "Shortage",
    "check_fit",
    "fitting_boards",
    "image_block_ram",
    "least_block_ram",
    "shortages",
)


LARGE_RAM_BITS = 256 * 1024
"""Bits of a large RAM of iCE40 UltraPlus."""


@dataclass(frozen=True)
class Shortage:
    """A resource of which a design takes more than there is.

    Parameters
    ----------
    resource : str
        Name in :data:`hw.build.devices.RESOURCES`.
    needed, available : int
        What the design takes, what the chip has.
    """

    resource: str
    needed: int
    available: int

    def __str__(self) -> str:
        """Return it in words."""
        return (f"{self.needed - self.available:,} {RESOURCES[self.resource]} too many "
                f"({self.needed:,} of {self.available:,})").replace(",", " ")


def shortages(counts: Mapping[str, int], device: Device) -> list[Shortage]:
    """Return the resources of which ``counts`` takes more than a device has."""
    return [Shortage(name, needed, device.resources.get(name, 0))
            for name, needed in counts.items() if needed > device.resources.get(name, 0)]


def _counts_elsewhere(counts: Mapping[str, int], source: Technology,
                      target: Technology) -> dict[str, int]:
    """Estimate what a design of one technology takes in another: memory by its bits."""
    if source is target:
        return dict(counts)
    found = {name: counts.get(name, 0) for name in ("lut4", "ff", "multipliers")}
    large = counts.get("large_ram", 0)
    if "large_ram" in target.cells:
        found["large_ram"], large = large, 0
    bits = counts["block_ram"] * source.block_ram_bits + large * LARGE_RAM_BITS
    found["block_ram"] = math.ceil(bits / target.block_ram_bits)
    return found


def fitting_boards(
    counts: Mapping[str, int], technology: Technology, *, memory: bool = False
) -> list[Board]:
    """Return the boards that have what a netlist of ``technology`` takes.

    For other technologies it is an estimate. With ``memory`` they have an SDRAM, too.
    """
    return [
        board for board in BOARDS.values()
        if (board.memory or not memory) and not shortages(
            _counts_elsewhere(counts, technology, board.device.technology), board.device)]


def check_fit(
    counts: Mapping[str, int], board: Board, what: str, *, memory: bool = False,
    smaller: str = "make it smaller",
) -> None:
    """Refuse a netlist that does not fit.

    Parameters
    ----------
    counts : mapping from str to int
        What it takes, by :meth:`hw.build.devices.Technology.count`.
    board : Board
        The board.
    what : str
        Name of the design.
    memory : bool
        Whether the design uses the board's SDRAM.
    smaller : str
        What makes it smaller, for the message.

    Raises
    ------
    FitError
        If it does not fit; the message says by how much, and which boards would do.
    """
    short = shortages(counts, board.device)
    if not short:
        return
    others = ", ".join(
        each.name for each in fitting_boards(counts, board.device.technology, memory=memory))
    raise FitError(
        f"{what} does not fit {board.title} ({board.device.name}): "
        f"{'; '.join(map(str, short))}. "
        + (f"Boards that have it: {others}" if others else "No board here has it")
        + f"; or {smaller}", {each.resource for each in short})


def image_block_ram(size: int, technology: Technology) -> int:
    """Return how many block RAMs hold ``size`` bytes that are written byte by byte."""
    return math.ceil(8 * size / (technology.block_ram_bits * 8 // 9))


def least_block_ram(config: AcceleratorConfig, technology: Technology) -> int:
    """Return how many block RAMs the large memories of an accelerator take at least.

    It takes more: what is wider or deeper than a block RAM does not fill the last one, and small
    memories count for nothing here.
    """
    sizes = (config.feature_depth * config.row_size, config.weight_depth * config.weight_row_size)
    return sum(math.ceil(8 * size / technology.block_ram_bits) for size in sizes)
