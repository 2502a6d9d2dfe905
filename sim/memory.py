"""Where program, weights and images lie in DRAM."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arch.isa import Region
from compiler.host import Segment

from .errors import SimulationError


__all__ = (
    "MemoryMap",
    "bench_job",
    "job_steps",
    "memory_image",
    "memory_map",
)


_ALIGNMENT = 4096
_LIMIT = 1 << 32


@dataclass(frozen=True)
class MemoryMap:
    """Byte addresses of everything that a run needs.

    Parameters
    ----------
    program, weights, scratch : int
        Addresses of the program, region 0 and region 3.
    inputs, outputs : tuple of int
        Addresses of regions 1 and 2 for each image.
    writable : int
        First byte that the accelerator may write.
    size : int
        Bytes of memory.
    """

    program: int
    weights: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    scratch: int
    writable: int
    size: int

    def regions(self, image: int) -> dict[Region, int]:
        """Return the base address of every region for an image."""
        return {
            Region.WEIGHTS: self.weights, Region.INPUT: self.inputs[image],
            Region.OUTPUT: self.outputs[image], Region.SCRATCH: self.scratch,
        }


def memory_map(program, count: int) -> MemoryMap:
    """Lay out memory for ``count`` images: what is only read first, each part on a page of its own.

    Parameters
    ----------
    program : compiler.Program
        Compiled network.
    count : int
        Images.

    Raises
    ------
    SimulationError
        If an address needs more than 32 bits.
    """
    end = _ALIGNMENT

    def take(size: int) -> int:
        nonlocal end
        address, end = end, -(-(end + max(size, 1)) // _ALIGNMENT) * _ALIGNMENT
        return address

    code, weights = take(len(program.program_image)), take(len(program.weight_image))
    inputs = tuple(take(program.input_size) for _ in range(count))
    writable = end
    outputs = tuple(take(program.output_size) for _ in range(count))
    scratch = take(program.scratch_size)
    if end > _LIMIT:
        raise SimulationError(
            f"{count} images need {end} bytes of DRAM, but addresses have 32 bits; "
            f"simulate fewer images at once")
    return MemoryMap(code, weights, inputs, outputs, scratch, writable, end)


def memory_image(program, inputs: Sequence[bytes], layout: MemoryMap) -> NDArray[np.uint8]:
    """Return the contents of memory before the first run.

    Bytes that nobody wrote are noise, always the same, so that a program which relies on them
    gives wrong results.

    Parameters
    ----------
    program : compiler.Program
        Compiled network.
    inputs : sequence of bytes
        Input region of each image.
    layout : MemoryMap
        Addresses.

    Raises
    ------
    SimulationError
        If an input has another size than the program's.
    """
    memory = np.frombuffer(np.random.default_rng(1).bytes(layout.size), np.uint8).copy()
    for image, data in enumerate(inputs):
        if len(data) != program.input_size:
            raise SimulationError(
                f"Input of image {image} must be {program.input_size} bytes, not {len(data)}")
    parts = [(layout.program, program.program_image), (layout.weights, program.weight_image)]
    parts += zip(layout.inputs, inputs, strict=True)
    for address, data in parts:
        memory[address:address + len(data)] = np.frombuffer(data, np.uint8)
    return memory


def job_steps(program) -> list[dict[str, Any]]:
    """Return what a run of a program consists of, as plain values for :mod:`sim.host`."""
    return [
        {"segment": step.offset} if isinstance(step, Segment) else {"host": step.to_json()}
        for step in program.steps]


def bench_job(program, layout: MemoryMap) -> dict[str, Any]:
    """Return what a bench must know of addresses and layers, as plain values for JSON."""
    return {
        "program": layout.program,
        "regions": [
            [address for _, address in sorted(layout.regions(image).items())]
            for image in range(len(layout.inputs))],
        "layers": [layer.index for layer in program.layers],
        "steps": job_steps(program),
    }
