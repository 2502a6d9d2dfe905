"""The register map of the AXI4-Lite control port."""

import enum
from dataclasses import dataclass


__all__ = (
    "COUNTERS",
    "Error",
    "REGISTERS",
    "Register",
    "register",
)


class Error(enum.IntEnum):
    """Error codes of the ERROR register."""

    NONE = 0
    MAGIC = 1
    VERSION = 2
    CONFIG = 3
    OPCODE = 4
    READ = 5
    WRITE = 6
    FIELD = 7
    TIMEOUT = 8


@dataclass(frozen=True)
class Register:
    """One 32-bit register.

    Parameters
    ----------
    name : str
        Name in capitals.
    offset : int
        Byte offset.
    access : str
        ``ro`` or ``rw``.
    text : str
        Meaning, for the manual.
    """

    name: str
    offset: int
    access: str
    text: str


COUNTERS = ("busy", "wait", "stall", "beats")

REGISTERS = (
    Register("ID", 0x00, "ro", "0x584E5944, the bytes `DYNX`"),
    Register("VERSION", 0x04, "ro", "version of the instruction set"),
    Register("HASH_LO", 0x08, "ro", "config hash, bits 31..0"),
    Register("HASH_HI", 0x0C, "ro", "config hash, bits 63..32"),
    Register("CONTROL", 0x10, "rw", "bit 0: write 1 to start; bit 1: interrupt enable"),
    Register("STATUS", 0x14, "rw", "bit 0: busy; bit 1: done; bit 2: error; write 1 to bit 1 to "
             "clear done, error and the interrupt"),
    Register("ERROR", 0x18, "ro", "bits 7..0: error code; bits 11..8: engine (0 LOAD, 1 CALC, "
             "2 SAVE, 3 fetch)"),
    Register("ERROR_INDEX", 0x1C, "ro", "instructions fetched when the error was seen"),
    Register("PROGRAM", 0x20, "rw", "byte address of the program's header"),
    Register("REGION_0", 0x24, "rw", "byte address of region 0, weights"),
    Register("REGION_1", 0x28, "rw", "byte address of region 1, input"),
    Register("REGION_2", 0x2C, "rw", "byte address of region 2, output"),
    Register("REGION_3", 0x30, "rw", "byte address of region 3, scratch"),
    Register("CYCLES_LO", 0x34, "ro", "cycles from start to done, bits 31..0"),
    Register("CYCLES_HI", 0x38, "ro", "cycles from start to done, bits 63..32"),
    Register("SELECT", 0x3C, "rw", "bits 11..0: layer; bits 13..12: engine, for the counters"),
    Register("COUNT_BUSY", 0x40, "ro", "cycles in which the engine ran the layer"),
    Register("COUNT_WAIT", 0x44, "ro", "idle cycles in which its next instruction waited for "
             "tokens"),
    Register("COUNT_STALL", 0x48, "ro", "busy cycles in which nothing moved"),
    Register("COUNT_BEATS", 0x4C, "ro", "LOAD, SAVE: bus beats; CALC: words read"),
    Register("LIMIT", 0x50, "rw", "cycles after which a run ends with error TIMEOUT; 0: none; "
             "4294967295 after reset"),
    Register("ERROR_DONE", 0x54, "ro", "instructions that the engine in ERROR had done: its next "
             "one failed"),
)


def register(name: str) -> Register:
    """Return the register called ``name``."""
    return next(entry for entry in REGISTERS if entry.name == name)
