"""The register map of the AXI4-Lite control port."""

import enum
from dataclasses import dataclass


__all__ = (
    "COUNTERS",
    "ERROR_SOURCES",
    "ERROR_TEXTS",
    "Error",
    "REGISTERS",
    "Register",
    "RegisterField",
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


ERROR_TEXTS = {
    Error.NONE: "no error",
    Error.MAGIC: "no program at the program address",
    Error.VERSION: "the program has another version of the instruction set",
    Error.CONFIG: "the program was compiled for another config than the accelerator's",
    Error.OPCODE: "unknown opcode, or no END",
    Error.READ: "DRAM refused a read (is the address outside the memory?)",
    Error.WRITE: "DRAM refused a write (is the address outside output and scratch?)",
    Error.FIELD: "a LOAD or SAVE of no rows",
    Error.TIMEOUT: "the run took more cycles than LIMIT allows (is a token never posted?)",
}
"""What an error means."""

ERROR_SOURCES = ("LOAD", "CALC", "SAVE", "the instruction fetch")
"""Where an error was seen, by the engine in the ERROR register."""


@dataclass(frozen=True)
class RegisterField:
    """Some bits of a register.

    Parameters
    ----------
    name : str
        Name in capitals.
    first : int
        Lowest bit.
    width : int
        Bits.
    text : str
        Meaning, for the manual.
    """

    name: str
    first: int
    width: int
    text: str

    @property
    def mask(self) -> int:
        """The bits, in place."""
        return ((1 << self.width) - 1) << self.first

    @property
    def bits(self) -> str:
        """Which bits they are, in words."""
        last = self.first + self.width - 1
        return f"bits {last}..{self.first}" if self.width > 1 else f"bit {self.first}"


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
        Meaning, for the manual; that of :attr:`fields` comes before it.
    fields : tuple of RegisterField
        Parts, where the register has any.
    """

    name: str
    offset: int
    access: str
    text: str = ""
    fields: tuple[RegisterField, ...] = ()

    @property
    def meaning(self) -> str:
        """What the whole register means."""
        parts = [f"{field.bits}: {field.text}" for field in self.fields]
        return "; ".join([*parts, *filter(None, [self.text])])


COUNTERS = ("busy", "wait", "stall", "beats")

REGISTERS = (
    Register("ID", 0x00, "ro", "0x584E5944, the bytes `DYNX`"),
    Register("VERSION", 0x04, "ro", "version of the instruction set"),
    Register("HASH_LO", 0x08, "ro", "config hash, bits 31..0"),
    Register("HASH_HI", 0x0C, "ro", "config hash, bits 63..32"),
    Register("CONTROL", 0x10, "rw", fields=(
        RegisterField("START", 0, 1, "write 1 to start"),
        RegisterField("INTERRUPT", 1, 1, "interrupt enable"))),
    Register("STATUS", 0x14, "rw", "write 1 to bit 1 to clear done, error and the interrupt", (
        RegisterField("BUSY", 0, 1, "busy"), RegisterField("DONE", 1, 1, "done"),
        RegisterField("ERROR", 2, 1, "error"))),
    Register("ERROR", 0x18, "ro", fields=(
        RegisterField("CODE", 0, 8, "error code"),
        RegisterField("ENGINE", 8, 4, "engine (0 LOAD, 1 CALC, 2 SAVE, 3 fetch)"))),
    Register("ERROR_INDEX", 0x1C, "ro", "instructions fetched when the error was seen"),
    Register("PROGRAM", 0x20, "rw", "byte address of the program's header"),
    Register("REGION_0", 0x24, "rw", "byte address of region 0, weights"),
    Register("REGION_1", 0x28, "rw", "byte address of region 1, input"),
    Register("REGION_2", 0x2C, "rw", "byte address of region 2, output"),
    Register("REGION_3", 0x30, "rw", "byte address of region 3, scratch"),
    Register("CYCLES_LO", 0x34, "ro", "cycles from start to done, bits 31..0"),
    Register("CYCLES_HI", 0x38, "ro", "cycles from start to done, bits 63..32"),
    Register("SELECT", 0x3C, "rw", fields=(
        RegisterField("LAYER", 0, 12, "layer"),
        RegisterField("ENGINE", 12, 2, "engine, for the counters"))),
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
