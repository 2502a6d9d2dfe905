"""A board that runs compiled networks."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arch.isa import ISA_VERSION, Region
from arch.registers import ERROR_SOURCES, ERROR_TEXTS, Error, register
from arch.serial import INFO_SIZE, PAGE_SIZE, REGISTER_SIZE, Command, decode_info
from compiler.host import HostStep
from compiler.memory_image import HEADER_SIZE, MemoryImage, place
from compiler.program import Program

from .errors import RunError, SerialError, TransmissionError
from .ports import Port, open_port
from .requests import REPETITIONS, Requester


__all__ = (
    "Board",
    "BoardInfo",
    "BoardRun",
    "DEFAULT_BAUD",
)


DEFAULT_BAUD = 1_000_000
"""Bits in a second; divides the usual clocks, and every USB adapter of today can do it."""

_START, _BUSY, _DONE, _ERROR = 1, 1, 2, 4
_LEAST_WAIT = 1.0

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class BoardInfo:
    """What a board is.

    Parameters
    ----------
    protocol : int
        Version of the serial protocol.
    isa_version : int
        Version of the instruction set.
    config_hash : int
        Hash of the accelerator's config.
    beat : int
        Bytes of a beat of memory.
    block : int
        Bytes that are read or written at once.
    memory : int
        Bytes of memory.
    clock : int
        Clock of the accelerator in Hz; 0 if the board does not say.
    """

    protocol: int
    isa_version: int
    config_hash: int
    beat: int
    block: int
    memory: int
    clock: int


@dataclass(frozen=True)
class BoardRun:
    """One image on a board.

    Parameters
    ----------
    output : int64, (c, h, w)
        Codes of the network's output.
    cycles : int
        Cycles that the accelerator counted, over all parts of the program.
    seconds : float
        Time from the first byte of the input to the last of the output, host included.
    """

    output: NDArray[np.int64]
    cycles: int
    seconds: float


class Board:
    """Accelerator and memory at the other end of a serial line.

    Parameters
    ----------
    port : Port or str
        An open port, or the name of one.
    baud : int
        Bits in a second, where the port is not open yet.
    timeout : float
        Seconds without a byte after which an answer is given up.
    now : callable
        Seconds since some time in the past; those of a simulation, where the board is one.

    Attributes
    ----------
    name : str
        Name of the port.

    Raises
    ------
    SerialError
        If the port cannot be opened. Every method raises it if the board cannot be reached or
        refuses.
    """

    def __init__(
        self, port: Port | str, *, baud: int = DEFAULT_BAUD, timeout: float = _LEAST_WAIT,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.name = port if isinstance(port, str) else getattr(port, "name", None) or "the port"
        self._port = open_port(port, baud=baud) if isinstance(port, str) else port
        self._requests = Requester(self._port, self.name, timeout=timeout)
        self._now = now
        self._info: BoardInfo | None = None
        self._loaded: tuple[Program, MemoryImage] | None = None

    def __enter__(self) -> Self:
        """Return the board."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the port."""
        self.close()

    def close(self) -> None:
        """Close the port."""
        self._port.close()

    @property
    def repeated(self) -> int:
        """Requests that had to be sent again so far."""
        return self._requests.repeated

    def info(self) -> BoardInfo:
        """Return what the board is; asked once."""
        if self._info is None:
            found = decode_info(self._requests.ask(Command.INFO, 0, length=INFO_SIZE))
            magic, version, low, high = self._read_words("ID", 4)
            if magic.to_bytes(4, "little") != b"DYNX":
                raise SerialError(
                    f"{self.name}: register ID must be the bytes 'DYNX', not {magic:#010x}: "
                    "behind the link is no accelerator")
            self._info = BoardInfo(
                found["version"], version, low | high << 32, found["beat"], found["block"],
                found["memory"], found["clock"])
        return self._info

    def read_register(self, name: str) -> int:
        """Return the value of a register of :data:`arch.registers.REGISTERS`."""
        return self._read_words(name, 1)[0]

    def write_register(self, name: str, value: int) -> None:
        """Write a register."""
        self._write_register(name, value, REPETITIONS)

    def _write_register(self, name: str, value: int, repetitions: int) -> None:
        self._requests.ask(
            Command.WRITE_REGISTER, register(name).offset,
            payload=value.to_bytes(REGISTER_SIZE, "little"), repetitions=repetitions)

    def _read_words(self, first: str, count: int) -> list[int]:
        """Return the values of registers that follow each other."""
        data = self._requests.ask(
            Command.READ_REGISTERS, register(first).offset, length=count * REGISTER_SIZE)
        return [int(word) for word in np.frombuffer(data, "<u4")]

    def read_memory(self, address: int, size: int, *, progress: Progress | None = None) -> bytes:
        """Return bytes of memory; address and size are multiples of a beat.

        Parameters
        ----------
        address, size : int
            Where, and how many.
        progress : callable, optional
            Called with the bytes read and those in all.
        """
        found = bytearray()
        for first, length in self._blocks(address, size):
            found += self._requests.ask(Command.READ_MEMORY, first, length=length)
            if progress:
                progress(len(found), size)
        return bytes(found)

    def write_memory(
        self, address: int, data: bytes, *, progress: Progress | None = None
    ) -> None:
        """Write bytes to memory; address and size are multiples of a beat.

        Parameters
        ----------
        address : int
            Where.
        data : bytes
            What.
        progress : callable, optional
            Called with the bytes written and those in all.
        """
        for first, length in self._blocks(address, len(data)):
            start = first - address
            self._requests.ask(
                Command.WRITE_MEMORY, first, payload=data[start:start + length])
            if progress:
                progress(start + length, len(data))

    def _blocks(self, address: int, size: int) -> list[tuple[int, int]]:
        """Cut a piece of memory into blocks that a request may have."""
        info = self.info()
        if address % info.beat or size % info.beat:
            raise ValueError(
                f"Address and size must be multiples of {info.beat} bytes, not {address:#x} and "
                f"{size}")
        blocks = []
        end = address + size
        while address < end:
            length = min(info.block, end - address, PAGE_SIZE - address % PAGE_SIZE)
            blocks.append((address, length))
            address += length
        return blocks

    def load(
        self, program: Program, *, force: bool = False, progress: Progress | None = None
    ) -> bool:
        """Make a program ready to run; its image is sent unless memory holds it.

        Parameters
        ----------
        program : Program
            Compiled network.
        force : bool
            Send the image in any case.
        progress : callable, optional
            Called with the bytes sent and those in all.

        Returns
        -------
        bool
            Whether the image was sent.

        Raises
        ------
        SerialError
            If the program is for another accelerator, or memory is too small.
        """
        image = place(program)
        self._check(program, image)
        self._loaded = None
        present = self.read_memory(0, HEADER_SIZE) == image.header
        if force or not present:
            # Without its header the image does not count, should this break off.
            self.write_memory(0, bytes(HEADER_SIZE))
            self.write_memory(HEADER_SIZE, image.body, progress=progress)
            self.write_memory(0, image.header)
        for region, address in image.regions.items():
            self.write_register(f"REGION_{int(region)}", address)
        self._loaded = program, image
        return force or not present

    def _check(self, program: Program, image: MemoryImage) -> None:
        """Refuse a program that the board cannot run."""
        info = self.info()
        if info.isa_version != ISA_VERSION:
            raise SerialError(
                f"{self.name}: the board has version {info.isa_version} of the instruction set, "
                f"programs have version {ISA_VERSION}; build the board anew")
        if info.config_hash != program.config.hash:
            raise SerialError(
                f"{self.name}: the board has an accelerator with config hash "
                f"{info.config_hash:#018x}, the program was compiled for "
                f"{program.config.hash:#018x} ({program.config.name}); compile for the board's "
                "config, or build the board anew")
        if info.memory < image.size:
            raise SerialError(
                f"{self.name}: the board has {info.memory} bytes of memory, {program.name} needs "
                f"{image.size}; build the board anew with that much, or use one with more memory")

    def run(self, codes: ArrayLike) -> BoardRun:
        """Run the program that was loaded for one image.

        Parameters
        ----------
        codes : int, (c, h, w)
            Codes of the input.

        Raises
        ------
        RunError
            If the accelerator stops with an error.
        ValueError
            If nothing is loaded, or the codes do not suit the input.
        """
        if self._loaded is None:
            raise ValueError("Board must have loaded a program before it runs one")
        program, image = self._loaded
        regions = image.regions
        begin = self._now()
        self.write_memory(regions[Region.INPUT], program.input_layout.pack(codes))
        cycles = 0
        for step in program.steps:
            if isinstance(step, HostStep):
                source, result = step.source, step.result
                self.write_memory(
                    regions[result.region] + result.address, step.compute(self.read_memory(
                        regions[source.region] + source.address, step.size(source))))
            else:
                cycles += self._segment(image.program + step.offset, program)
        output = program.output_layout.unpack(
            self.read_memory(regions[Region.OUTPUT], program.output_size))
        return BoardRun(output, cycles, self._now() - begin)

    def _segment(self, address: int, program: Program) -> int:
        """Run a part of the program; return its cycles."""
        self.write_register("PROGRAM", address)
        self.write_register("STATUS", _DONE)
        self._start()
        status = self._wait(program)
        _, _, error, index = self._read_words("CONTROL", 4)
        if status & _ERROR:
            code, source = error & 0xFF, error >> 8 & 0xF
            known = code in set(Error)
            text = f"{Error(code).name}: {ERROR_TEXTS[Error(code)]}" if known else f"code {code}"
            where = ERROR_SOURCES[source] if source < len(ERROR_SOURCES) else f"engine {source}"
            raise RunError(
                f"{self.name}: {program.name} stopped with an error from {where} after {index} "
                f"instructions: {text}")
        low, high = self._read_words("CYCLES_LO", 2)
        return low | high << 32

    def _start(self) -> None:
        """Start, once: a program that has run twice may have overwritten what it reads."""
        for attempt in range(REPETITIONS):
            try:
                self._write_register("CONTROL", _START, 1)
                return
            except TransmissionError:
                if self.read_register("STATUS") & (_BUSY | _DONE):
                    return
                if attempt == REPETITIONS - 1:
                    raise

    def _wait(self, program: Program) -> int:
        """Wait for the end of a run; return the status."""
        clock = self.info().clock
        wait = _LEAST_WAIT + (100 * program.prediction.cycles / clock if clock else 60)
        deadline = self._now() + wait
        while True:
            status = self.read_register("STATUS")
            if not status & _BUSY:
                return status
            if self._now() > deadline:
                raise RunError(
                    f"{self.name}: {program.name} did not end within {wait:.0f} s, far longer than "
                    "predicted; register LIMIT gives a run an end")
