"""Pins of an SDR SDRAM, its commands, and its mode register."""

from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out


__all__ = (
    "PRECHARGE_ALL",
    "SDRAMCommand",
    "SDRAMSignature",
    "mode_register",
)


PRECHARGE_ALL = 1 << 10
"""Address bit that makes PRECHARGE close every bank."""


class SDRAMCommand(enum.Enum, shape=3):
    """``we_n``, ``cas_n`` and ``ras_n``, from bit 0 on, with the chip selected.

    Source: JEDEC 21-C, section 3.11.5.1, SDRAM truth table.
    """

    NOP       = 0b111
    ACTIVE    = 0b011
    READ      = 0b101
    WRITE     = 0b100
    PRECHARGE = 0b010
    REFRESH   = 0b001
    LOAD_MODE = 0b000


def mode_register(*, burst_length: int, cas_latency: int) -> int:
    """Return the mode register for sequential bursts of reads and writes."""
    return cas_latency << 4 | burst_length.bit_length() - 1


class SDRAMSignature(wiring.Signature):
    """Pins of the memory, seen from the controller, but for the clock.

    ``dq_o`` is driven while ``dq_oe`` is 1: a board joins ``dq_o``, ``dq_oe`` and ``dq_i`` to
    bidirectional pins.

    Parameters
    ----------
    part : SDRAMPart
        The memory.
    """

    def __init__(self, part):
        self._part = part
        super().__init__({
            "cke": Out(1),
            "cs_n": Out(1),
            "ras_n": Out(1),
            "cas_n": Out(1),
            "we_n": Out(1),
            "ba": Out(part.bank_bits),
            "a": Out(part.row_bits),
            "dqm": Out(part.data_bits // 8),
            "dq_o": Out(part.data_bits),
            "dq_oe": Out(1),
            "dq_i": In(part.data_bits),
        })

    @property
    def part(self):
        """The memory."""
        return self._part

    def __eq__(self, other):
        return isinstance(other, SDRAMSignature) and self.part == other.part

    def __repr__(self):
        return f"SDRAMSignature({self.part!r})"
