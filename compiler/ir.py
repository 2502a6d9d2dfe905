"""What the compiler's passes hand to each other: spans of memory, instructions, write records."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from arch.isa import LEVELS, Engine, Memory, Opcode, Region, encode


__all__ = (
    "DramTiming",
    "Instruction",
    "Loop",
    "Space",
    "Span",
    "WriteRecord",
    "calc_fields",
)


class Space(enum.IntEnum):
    """Memories in which instructions can disturb each other; DRAM regions by :meth:`dram`."""

    FEATURE = 0
    WEIGHT = 1
    PARAM = 2
    TABLE = 3
    DRAM_WEIGHTS = 4
    DRAM_INPUT = 5
    DRAM_OUTPUT = 6
    DRAM_SCRATCH = 7

    @classmethod
    def on_chip(cls, memory: Memory) -> "Space":
        """Return the space of an on-chip memory; its unit is a row."""
        return cls(int(memory))

    @classmethod
    def dram(cls, region: Region) -> "Space":
        """Return the space of a DRAM region; its unit is a row of feature memory."""
        return cls(int(region) + 4)


@dataclass(frozen=True)
class Span:
    """Every ``step``-th unit of a space from ``start`` up to, not including, ``stop``."""

    space: Space
    start: int
    stop: int
    step: int = 1


@dataclass
class Instruction:
    """One instruction and what it touches.

    Parameters
    ----------
    opcode : Opcode
        What to do.
    values : dict
        Fields; ``layer``, ``wait``, ``post`` and ``fence`` come from later passes.
    layer : int
        Index of the layer it works for.
    note : str
        Remark for the disassembly.
    reads, writes : tuple of Span
        Units read and written.
    """

    opcode: Opcode
    values: dict[str, int]
    layer: int
    note: str = ""
    reads: tuple[Span, ...] = ()
    writes: tuple[Span, ...] = ()

    @cached_property
    def engine(self) -> Engine:
        """Engine that runs the instruction."""
        engine = self.opcode.engine
        assert engine is not None
        return engine

    def encode(self) -> bytes:
        """Return the instruction as bytes; ``ValueError`` if a field is out of range."""
        return encode(self.opcode, {"layer": self.layer, **self.values})


@dataclass(frozen=True)
class WriteRecord:
    """Rows that one CALC instruction writes, in order ``y, x, block``.

    Parameters
    ----------
    layer : int
        Index of the layer.
    tensor : str
        Name of the tensor written; of the joined one, for a part of it.
    y0, lines, x0, columns, block, blocks : int
        Rectangle of positions and range of channel blocks.
    y_step, x_step : int
        Lines and columns from one that is written to the next.
    """

    layer: int
    tensor: str
    y0: int
    lines: int
    x0: int
    columns: int
    block: int
    blocks: int
    y_step: int = 1
    x_step: int = 1

    @property
    def row_count(self) -> int:
        """Rows written."""
        return self.lines * self.columns * self.blocks

    @property
    def positions(self) -> tuple[slice, slice]:
        """Lines and columns."""
        return (
            slice(self.y0, self.y0 + self.lines * self.y_step, self.y_step),
            slice(self.x0, self.x0 + self.columns * self.x_step, self.x_step))


@dataclass(frozen=True)
class DramTiming:
    """Timing of the DRAM.

    Parameters
    ----------
    latency : int
        Cycles from a read request to its first beat.
    bytes_per_cycle : float, optional
        Bandwidth, read and written together; that of the bus when left out.
    """

    latency: int = 30
    bytes_per_cycle: float | None = None


@dataclass(frozen=True)
class Loop:
    """One loop of a CALC instruction: what its index adds to the position.

    Parameters
    ----------
    count : int
        Iterations.
    word, y, x : int
        Words, lines and columns from one iteration to the next.
    """

    count: int = 1
    word: int = 0
    y: int = 0
    x: int = 0


@dataclass
class _Undo:
    word: int = 0
    y: int = 0
    x: int = 0


@dataclass(frozen=True)
class Position:
    """Where the loops of a CALC instruction start, and the map they walk over."""

    word: int
    y: int = 0
    x: int = 0
    height: int = 1
    width: int = 1


def calc_fields(
    start: Position, loops: Sequence[Loop], feature_words: int
) -> dict[str, int]:
    """Return the position and loop fields of a CALC instruction.

    Parameters
    ----------
    start : Position
        First step; its word may lie before the map when the step is padding.
    loops : sequence of Loop
        Innermost first, at most :data:`arch.isa.LEVELS`.
    feature_words : int
        Words of feature memory; word numbers are taken modulo it.

    Returns
    -------
    dict
        Fields. The hardware adds one delta when a loop advances, so each delta also undoes the
        loops inside.
    """
    fields = {
        "word": start.word % feature_words, "y": start.y, "x": start.x,
        "height": start.height, "width": start.width,
    }
    undo = _Undo()
    padded = [*loops, *[Loop()] * (LEVELS - len(loops))]
    for level, loop in enumerate(padded):
        fields[f"count_{level}"] = loop.count
        used = loop.count > 1
        fields[f"word_{level}"] = loop.word - undo.word if used else 0
        fields[f"y_{level}"] = loop.y - undo.y if used else 0
        fields[f"x_{level}"] = loop.x - undo.x if used else 0
        undo.word += (loop.count - 1) * loop.word
        undo.y += (loop.count - 1) * loop.y
        undo.x += (loop.count - 1) * loop.x
    return fields
