"""What can stand around the accelerator on a board, and which of it suits a network."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from compiler.memory_image import place
from compiler.program import Program

from ..errors import UsageError
from ..text import grouped


__all__ = (
    "EXTERNAL",
    "STANDALONE",
    "TOPS",
    "Top",
    "check_top",
    "choose_top",
    "memory_advice",
)


STANDALONE = "standalone"
"""Program, weights and maps are in memory on chip."""

EXTERNAL = "external"
"""They are in the SDRAM of the board."""


@dataclass(frozen=True)
class Top:
    """A design around the accelerator.

    Parameters
    ----------
    make : callable
        Returns the design for a program, a :class:`hw.build.clock.Clocked` and the cycles of a bit
        of the serial line.
    lead : callable
        Returns what :func:`hw.build.clock.clocked_board` takes.
    """

    make: Callable[[Program, Any, int], Any]
    lead: Callable[[], Fraction | None]


def choose_top(program: Program, board: Any) -> tuple[str, str]:
    """Return the design that suits a network on a board, and why.

    Standalone, unless the network cannot fit on the chip beside the accelerator and the board has
    an SDRAM. That it can is no promise: synthesis tells.

    Parameters
    ----------
    program : Program
        Compiled network.
    board : Board
        The board.
    """
    from hw.build.fit import image_block_ram, least_block_ram

    technology, size = board.device.technology, place(program).size
    image, least = image_block_ram(size, technology), least_block_ram(program.config, technology)
    there = board.device.resources["block_ram"]
    if board.memory is None or image + least <= there:
        return STANDALONE, f"{grouped(size)} bytes of network in memory on chip"
    return EXTERNAL, (
        f"the network in the board's SDRAM: {grouped(size)} bytes are {grouped(image)} block RAM, "
        f"the accelerator takes {grouped(least)} at least, {board.device.name} has "
        f"{grouped(there)}")


def check_top(name: str, program: Program, board: Any, clock: int) -> None:
    """Refuse a design that a board does not have the memory for.

    Parameters
    ----------
    name : str
        One of :data:`TOPS`.
    program : Program
        Compiled network.
    board : Board
        The board.
    clock : int
        Clock in Hz.

    Raises
    ------
    UsageError
        If the board has no SDRAM, or none for this accelerator, clock or network.
    """
    from hw.build.boards import BOARDS
    from hw.build.sdram import PAD_REGISTERS
    from hw.sdram import checked_timing

    if name != EXTERNAL:
        return
    if board.memory is None:
        others = ", ".join(each.name for each in BOARDS.values() if each.memory)
        raise UsageError(f"--top {name} needs a board with an SDRAM that is supported ({others}), "
                         f"not {board.name}")
    size = place(program).size
    if size > board.memory.size:
        raise UsageError(f"--top {name}: {program.name} needs {grouped(size)} bytes of memory, "
                         f"{board.title} has {grouped(board.memory.size)}")
    try:
        checked_timing(board.memory, clock=clock, data_width=program.config.dram_width * 8,
                       read_delay=PAD_REGISTERS)
    except ValueError as error:
        raise UsageError(f"--top {name}: {error}") from error


def memory_advice(name: str, program: Program, board: Any) -> str | None:
    """Return what to do where a program was compiled for a faster memory than a design has."""
    if name != EXTERNAL:
        return None
    width = board.memory.data_bits // 8
    if program.dram.bytes_per_cycle <= width:
        return None
    return (f"the SDRAM moves {width} bytes a cycle, the program was compiled for "
            f"{program.dram.bytes_per_cycle:g}; compiled with --dram-bytes-per-cycle {width} it "
            "may be faster")


def _standalone(program: Program, clocked: Any, divisor: int) -> Any:
    """Return the accelerator with the network in on-chip memory."""
    from hw.tops import StandaloneTop

    image = place(program)
    starts_empty = clocked.board.device.technology.starts_empty
    beat = program.config.dram_width
    return StandaloneTop(
        program.config, None if starts_empty else image.data, size=-(-image.size // beat) * beat,
        divisor=divisor, clock=round(clocked.frequency * 1_000_000))


def _external(program: Program, clocked: Any, divisor: int) -> Any:
    """Return the accelerator with the SDRAM of a board."""
    from hw.build.sdram import PAD_REGISTERS
    from hw.tops import ExternalTop

    return ExternalTop(
        program.config, clocked.board.memory, divisor=divisor,
        clock=round(clocked.frequency * 1_000_000), read_delay=PAD_REGISTERS)


def _memory_lead() -> Fraction:
    from hw.build.sdram import CLOCK_LEAD

    return CLOCK_LEAD


TOPS = {
    STANDALONE: Top(_standalone, lambda: None),
    EXTERNAL: Top(_external, _memory_lead),
}
"""What can stand around the accelerator."""
