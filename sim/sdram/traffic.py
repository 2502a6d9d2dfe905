"""AXI4 bursts against the controller in front of the SDRAM model."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hw.axi import BURST_INCR
from hw.sdram import SDRAMController, SDRAMPart, controller_verilog

from ..build import Build, generated_verilog
from .model import build_clocked, geometry, plusargs, run_clocked


__all__ = (
    "Beat",
    "Phase",
    "PhaseResult",
    "Read",
    "Traffic",
    "Write",
    "cached_controller",
)


@dataclass(frozen=True)
class Read:
    """A read burst.

    Parameters
    ----------
    address : int
        First byte.
    beats : int
        Beats, at least 1.
    id : int
        Identifier.
    size : int, optional
        Bytes of a beat as a power of two; those of the bus if not given.
    burst : int
        Kind of burst.
    """

    address: int
    beats: int
    id: int = 0
    size: int | None = None
    burst: int = BURST_INCR


@dataclass(frozen=True)
class Write:
    """A write burst.

    Parameters
    ----------
    address : int
        First byte.
    data : sequence of int
        Value of each beat.
    strobes : sequence of int, optional
        Bytes to write of each beat; all if not given.
    id, size, burst
        As for :class:`Read`.
    """

    address: int
    data: Sequence[int]
    strobes: Sequence[int] | None = None
    id: int = 0
    size: int | None = None
    burst: int = BURST_INCR

    @property
    def beats(self) -> int:
        """Beats."""
        return len(self.data)


@dataclass(frozen=True)
class Phase:
    """Bursts that are offered at once, and how often each channel moves.

    Parameters
    ----------
    bursts : sequence of Read or Write
        Each direction in this order; there is none between reads and writes.
    chances : tuple of int
        Chances in 256 that the master offers AW, W, AR, and takes R, B in a cycle, at least 1.
    """

    bursts: Sequence[Read | Write]
    chances: tuple[int, int, int, int, int] = (256, 256, 256, 256, 256)


@dataclass(frozen=True)
class Beat:
    """A beat that was read."""

    id: int
    data: int
    resp: int
    last: int


@dataclass
class PhaseResult:
    """What came back.

    Parameters
    ----------
    beats : list of Beat
        Beats read, in order.
    responses : list of tuple of int
        Identifier and ``resp`` of each write, in order.
    cycles : int
        From the first offer to the last answer.
    """

    beats: list[Beat] = field(default_factory=list)
    responses: list[tuple[int, int]] = field(default_factory=list)
    cycles: int = 0


def cached_controller(
    part: SDRAMPart, *, clock: int, data_width: int, id_width: int, read_delay: int = 0,
    cache: Path | None = None,
) -> str:
    """Return the Verilog of a controller, generated only if it changed."""
    controller = SDRAMController(
        part, clock=clock, data_width=data_width, id_width=id_width, read_delay=read_delay)
    return generated_verilog(
        "sdram_controller",
        {"part": dataclasses.asdict(part), "clock": clock, "data_width": data_width,
         "id_width": id_width, "read_delay": read_delay},
        lambda: controller_verilog(controller), cache=cache)


class Traffic:
    """A compiled controller with its memory, to run phases of bursts on.

    Parameters
    ----------
    part : SDRAMPart
        The memory.
    clock : int
        Clock, in Hz.
    data_width : int
        Bits of a beat.
    read_delay : int
        As :class:`hw.sdram.SDRAMController` takes it; the data do come so much later.
    cache : Path, optional
        Folder of compiled simulations.
    """

    id_width = 2

    def __init__(self, part: SDRAMPart, clock: int, data_width: int, *, read_delay: int = 0,
                 cache: Path | None = None) -> None:
        self.part = part
        self.clock = clock
        self.size = data_width // 8
        verilog = cached_controller(
            part, clock=clock, data_width=data_width, id_width=self.id_width,
            read_delay=read_delay, cache=cache)
        self._build: Build = build_clocked(
            "traffic",
            {**geometry(part), "BYTES": self.size, "ID_BITS": self.id_width,
             "READ_DELAY": read_delay},
            sources={"sdram_controller.v": verilog}, cache=cache)

    def run(self, phases: Sequence[Phase], *, seed: int = 1) -> list[PhaseResult]:
        """Power the memory up and run phases, one after the other.

        Raises
        ------
        SimulationError
            If a rule of the memory or of the bus is broken.
        """
        script = "".join(line + "\n" for phase in phases for line in self._lines(phase))
        results = [PhaseResult()]
        for line in run_clocked(
                self._build, plusargs(self.part, self.clock), script, seed=seed):
            kind, *values = line.split()
            if kind == "r":
                results[-1].beats.append(Beat(*(int(value, 16) for value in values)))
            elif kind == "b":
                ident, resp = (int(value, 16) for value in values)
                results[-1].responses.append((ident, resp))
            else:
                results[-1].cycles = int(values[0])
                results.append(PhaseResult())
        return results[:-1]

    def _lines(self, phase: Phase):
        yield "p " + " ".join(f"{chance:x}" for chance in phase.chances)
        for burst in phase.bursts:
            size = (self.size - 1).bit_length() if burst.size is None else burst.size
            kind = "r" if isinstance(burst, Read) else "w"
            yield (f"{kind} {burst.id:x} {burst.address:x} {burst.beats - 1:x} {size:x} "
                   f"{burst.burst:x}")
            if isinstance(burst, Write):
                strobes = burst.strobes or [(1 << self.size) - 1] * burst.beats
                for value, strobe in zip(burst.data, strobes, strict=True):
                    yield f"d {value:x} {strobe:x}"
