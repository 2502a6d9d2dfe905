"""Where a program lies in the memory of a board, and what that memory holds before a run."""

import struct
import zlib
from dataclasses import dataclass

from arch.isa import Region

from .host import SEGMENT_ALIGNMENT
from .program import Program


__all__ = (
    "HEADER_SIZE",
    "MemoryImage",
    "place",
)


HEADER_SIZE = 64
"""Bytes of the header: a whole beat of the widest bus."""

_ALIGNMENT = 64
_HEADER = struct.Struct("<4sIIIQ16s")
_MAGIC = b"DNXM"
_VERSION = 1


@dataclass(frozen=True)
class MemoryImage:
    """Memory from address 0: header, program, weights, and behind them room for maps.

    The header tells which image memory holds; whoever loads one writes the header last.

    Parameters
    ----------
    header : bytes, HEADER_SIZE
        Magic, version, size and CRC-32 of what follows, config hash, digest of the network.
    body : bytes
        Program and weights, from address HEADER_SIZE.
    program : int
        Address of the program.
    regions : dict from Region to int
        Addresses of the regions.
    size : int
        Bytes of memory that a run needs.
    """

    header: bytes
    body: bytes
    program: int
    regions: dict[Region, int]
    size: int

    @property
    def data(self) -> bytes:
        """Header, program and weights."""
        return self.header + self.body


def _up(address: int, alignment: int) -> int:
    return -(-address // alignment) * alignment


def place(program: Program) -> MemoryImage:
    """Lay out the memory of a board for a program.

    Nothing is wider apart than the longest beat and the fetch of the program want it, for memory
    on chip is dear.

    Parameters
    ----------
    program : Program
        Compiled network.

    Returns
    -------
    MemoryImage
        The same for the same program.
    """
    code = _up(HEADER_SIZE, SEGMENT_ALIGNMENT)
    end = code + len(program.program_image)
    regions = {}
    for region, size in (
        (Region.WEIGHTS, len(program.weight_image)), (Region.INPUT, program.input_size),
        (Region.OUTPUT, program.output_size), (Region.SCRATCH, program.scratch_size),
    ):
        regions[region] = _up(end, _ALIGNMENT)
        end = regions[region] + size
    weights = regions[Region.WEIGHTS]
    body = bytearray(_up(weights + len(program.weight_image), _ALIGNMENT) - HEADER_SIZE)
    for address, data in ((code, program.program_image), (weights, program.weight_image)):
        body[address - HEADER_SIZE:address - HEADER_SIZE + len(data)] = data
    header = _HEADER.pack(
        _MAGIC, _VERSION, len(body), zlib.crc32(body), program.config.hash,
        bytes.fromhex(program.model_hash[:32]))
    return MemoryImage(
        header.ljust(HEADER_SIZE, b"\0"), bytes(body), code, regions, _up(end, _ALIGNMENT))
