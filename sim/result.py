"""What a simulation returns, and what its failures mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from arch.config import AcceleratorConfig
from arch.registers import ERROR_SOURCES, ERROR_TEXTS, Error

from .errors import SimulationError
from .trace import Event


__all__ = (
    "Dram",
    "DramModel",
    "ImageRun",
    "SimulationResult",
    "raise_for_status",
)


class Dram(Protocol):
    """What :func:`sim.simulate.simulate` needs to know of a DRAM."""

    @property
    def latency(self) -> int:
        """Cycles of a read when nothing else goes on."""

    @property
    def bytes_per_cycle(self) -> float:
        """Bandwidth, in bytes a cycle."""

    @property
    def plusargs(self) -> Mapping[str, int]:
        """Options of the simulation."""

    def sources(self, config: AcceleratorConfig, cache: Path | None = None) -> Mapping[str, str]:
        """Return the files that take the place of ``rtl/dram.sv``, by name."""


@dataclass(frozen=True)
class DramModel:
    """Timing of the simulated DRAM.

    Parameters
    ----------
    latency : int
        Cycles from a read address to its first beat, and from the last beat of a write to its
        response, at least 1.
    bytes_per_cycle : float
        Bandwidth, shared by reads and writes, in bytes; fractions are kept to 1/1024.

    Raises
    ------
    ValueError
        If latency or bandwidth is too small to model.
    """

    latency: int = 30
    bytes_per_cycle: float = 8

    def __post_init__(self) -> None:
        """Check both."""
        if not 1 <= self.latency <= 1_000_000:
            raise ValueError(f"DRAM latency must be in 1..1000000 cycles, not {self.latency!r}")
        if not 1 / 1024 <= self.bytes_per_cycle <= 1024:
            raise ValueError(
                f"DRAM bytes_per_cycle must be in 1/1024..1024, not {self.bytes_per_cycle!r}")

    @property
    def rate(self) -> int:
        """Bandwidth in 1024ths of a byte a cycle."""
        return round(self.bytes_per_cycle * 1024)

    @property
    def plusargs(self) -> dict[str, int]:
        """Options of the simulation."""
        return {"latency": self.latency, "rate": self.rate}

    def sources(self, config: AcceleratorConfig, cache: Path | None = None) -> dict[str, str]:
        """Return what takes the place of ``rtl/dram.sv``: nothing."""
        return {}


@dataclass(frozen=True)
class ImageRun:
    """One image on the accelerator.

    Parameters
    ----------
    cycles : int
        Cycles from start to done, counted by the accelerator; of a program that stops for the
        host, the sum over its segments.
    output : bytes
        Output region.
    rows : uint8, (n, row_size)
        Every row that CALC wrote to feature memory, in the order of writing, and between them
        those that the host wrote to DRAM.
    row_numbers : int64, (n,)
        Where it wrote them; -1 for those of the host.
    counters : dict from (layer, engine) to dict
        ``busy``, ``wait``, ``stall`` and ``beats`` of each layer and engine (``"load"``,
        ``"calc"``, ``"save"``), as counted by the accelerator.
    events : list of (cycle, engine, "start" or "done", layer)
        What the engines did when, in cycles since the start; the time of the host is left out.
    dram_read_bytes, dram_written_bytes : int
        What crossed the bus, program included.
    first_cycle : int
        Cycle of the start, since reset.
    seconds, cpu_seconds : float
        Time that the simulator took: elapsed, and of the processor.
    segment_cycles : list of int
        Cycles of each segment.
    segment_starts : list of int
        Cycle of the start of each, since reset.
    """

    cycles: int
    output: bytes
    rows: NDArray[np.uint8]
    row_numbers: NDArray[np.int64]
    counters: dict[tuple[int, str], dict[str, int]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    dram_read_bytes: int = 0
    dram_written_bytes: int = 0
    first_cycle: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    segment_cycles: list[int] = field(default_factory=list)
    segment_starts: list[int] = field(default_factory=list)

    def since_reset(self, cycle: int) -> int:
        """Return when a cycle of the image was, counted from reset."""
        for start, count in zip(self.segment_starts, self.segment_cycles, strict=True):
            if cycle <= count:
                return start + cycle
            cycle -= count
        return self.first_cycle + cycle


@dataclass(frozen=True)
class SimulationResult:
    """All images of a simulation.

    Parameters
    ----------
    images : list of ImageRun
        In the order of the inputs.
    seconds : float
        Time that the simulator spent between starts and interrupts.
    build_cached : bool
        Whether the compiled simulation was there already.
    """

    images: list[ImageRun]
    seconds: float
    build_cached: bool = False

    @property
    def cpu_seconds(self) -> float:
        """Time of the processor that the simulator took between starts and interrupts."""
        return sum(run.cpu_seconds for run in self.images)

    @property
    def cycles_per_second(self) -> float:
        """Simulated cycles per second of the simulator's time."""
        return sum(run.cycles for run in self.images) / max(self.seconds, 1e-9)


def raise_for_status(
    record: Mapping[str, Any], *, image: int, program, events: Sequence[Event], max_cycles: int
) -> None:
    """Check what the accelerator reported at the end of an image.

    Parameters
    ----------
    record : mapping
        ``reason`` the run ended, ``status``, ``error``, ``error_index`` and ``error_done``;
        ``segment`` that ran then, of a program of several.
    image : int
        Number of the image, for the message.
    program : compiler.Program
        Compiled network.
    events : sequence of (cycle, engine, "start" or "done", layer)
        What the engines did.
    max_cycles : int
        Limit of the run, for the message.

    Raises
    ------
    SimulationError
        If the accelerator reported an error or did not finish.
    """
    before = program.segments[record["segment"]].first if record.get("segment") else 0
    index = before + record["error_index"]
    if record["error"]:
        code, engine = record["error"] & 0xFF, record["error"] >> 8 & 0xF
        known = code in set(Error)
        name = Error(code).name if known else f"code {code}"
        text = ERROR_TEXTS[Error(code)] if known else "unknown error"
        source = ERROR_SOURCES[engine] if engine < len(ERROR_SOURCES) else f"engine {engine}"
        where = f"after {index} instructions{_instruction(program, index)}"
        failed = _failed(program, before, engine, record["error_done"])
        if failed is not None:
            entry = program.instructions[failed]
            where = f"in instruction {failed} ({entry.opcode.name}{_layer(program, entry.layer)})"
        raise SimulationError(
            f"Image {image}: the accelerator stopped with error {name} from {source} {where}: "
            f"{text}")
    if record["reason"] != "interrupt":
        raise SimulationError(
            f"Image {image}: the accelerator did not finish in {max_cycles} cycles; "
            f"{_busy(program, events)}")


def _failed(program, before: int, engine: int, done: int) -> int | None:
    """Return the number of the instruction that follows those an engine had done."""
    own = [number for number, instruction in enumerate(program.instructions)
           if number >= before and instruction.opcode.engine == engine]
    return own[done] if done < len(own) else None


def _instruction(program, index: int) -> str:
    """Name the last instruction fetched."""
    if not 0 < index <= len(program.instructions):
        return ""
    instruction = program.instructions[index - 1]
    return f" (last fetched: {instruction.opcode.name}{_layer(program, instruction.layer)})"


def _layer(program, index: int) -> str:
    names = {layer.index: layer.name for layer in program.layers}
    return f" of layer {index}" + (f", {names[index]}" if index in names else "")


def _busy(program, events: Sequence[Event]) -> str:
    """Say which instructions never became done; every engine ends them in order."""
    running: dict[str, list[tuple[int, int]]] = {}
    for cycle, engine, kind, layer in events:
        if kind == "start":
            running.setdefault(engine, []).append((cycle, layer))
        else:
            running[engine].pop(0)
    busy = [
        f"{engine.upper()} has worked on an instruction{_layer(program, layer)} since cycle {cycle}"
        for engine, pending in running.items() for cycle, layer in pending
    ]
    return "; ".join(busy) or "no engine is running (is a token never posted?)"
