"""The accelerator: one instruction after the other."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from arch.config import AcceleratorConfig
from arch.isa import (
    INSTRUCTION_SIZE,
    Opcode,
    Region,
    decode,
    decode_header,
)
from compiler.host import HostStep

from ..errors import SimulationError
from .conv import convolve
from .state import POISON, State
from .transfer import transfer
from .vector import combine


__all__ = (
    "FunctionalMachine",
    "run_functional",
)


class ProgramLike(Protocol):
    """What is needed of a program."""

    @property
    def config(self) -> AcceleratorConfig: ...
    @property
    def program_image(self) -> bytes: ...
    @property
    def weight_image(self) -> bytes: ...
    @property
    def output_size(self) -> int: ...
    @property
    def scratch_size(self) -> int: ...
    @property
    def steps(self) -> list[Any]: ...


class FunctionalMachine(State):
    """The memories of an accelerator, and what each instruction does to them."""

    def run(self, opcode: Opcode, fields: dict[str, int]) -> None:
        """Execute one instruction."""
        match opcode:
            case Opcode.LOAD | Opcode.SAVE:
                transfer(self, opcode, fields)
            case Opcode.CONV:
                convolve(self, fields)
            case Opcode.VECTOR:
                combine(self, fields)

    def run_host(self, step: HostStep) -> None:
        """Do a step of the host, on DRAM."""
        def read(region: Region, address: int, size: int) -> bytes:
            return bytes(self.regions[region][address:address + size])

        def write(region: Region, address: int, data: bytes) -> None:
            self.regions[region][address:address + len(data)] = data

        data = step.run(read, write)
        self.written.append(np.frombuffer(data, np.uint8).reshape(-1, self.config.row_size))


def _run_segment(machine: FunctionalMachine, image: bytes) -> None:
    """Run the instructions behind a header, up to END."""
    header = decode_header(image)
    if header["config_hash"] != machine.config.hash:
        raise SimulationError("The program was made for another config")
    for index in range(1, header["instruction_count"] + 1):
        opcode, fields = decode(image[index * INSTRUCTION_SIZE:(index + 1) * INSTRUCTION_SIZE])
        if opcode == Opcode.END:
            return
        machine.run(opcode, fields)
    raise SimulationError("The program has no END")


def run_functional(
    program: ProgramLike, data: bytes
) -> tuple[bytes, NDArray[np.uint8]]:
    """Run a program on one image; where it stops, the host does its step on the bytes in DRAM.

    Parameters
    ----------
    program : Program
        What to run; only its bytes and sizes are used.
    data : bytes
        Packed input.

    Returns
    -------
    bytes
        Packed output.
    uint8, (n, row_size)
        All rows that CONV and VECTOR wrote, and that the host wrote, in order.

    Raises
    ------
    SimulationError
        If the program does something that the hardware cannot do.
    """
    machine = FunctionalMachine(program.config, {
        Region.WEIGHTS: bytearray(program.weight_image),
        Region.INPUT: bytearray(data),
        Region.OUTPUT: bytearray([POISON]) * program.output_size,
        Region.SCRATCH: bytearray([POISON]) * program.scratch_size,
    })
    for step in program.steps:
        if isinstance(step, HostStep):
            machine.run_host(step)
        else:
            _run_segment(machine, program.program_image[step.offset:])
    rows = (
        np.concatenate(machine.written) if machine.written
        else np.zeros((0, program.config.row_size), np.uint8))
    return bytes(machine.regions[Region.OUTPUT]), rows
