"""A compiled network."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from arch.config import AcceleratorConfig
from arch.formats import Format
from arch.isa import Opcode, Products, encode, encode_header

from .cycles import Prediction
from .describe import Layer
from .disassemble import disassemble
from .host import HostStep, Segment, steps_of
from .ir import DramTiming, Instruction, WriteRecord
from .maps import InputLayout, OutputLayout


__all__ = ("Program",)


@dataclass
class Program:
    """Instructions, weights, and what is needed to use them.

    Parameters
    ----------
    name : str
        Name of the network.
    config : AcceleratorConfig
        Accelerator that the program is made for.
    instructions : list of Instruction
        Instructions without END, as fetched; those of all segments.
    weight_image : bytes
        Region 0.
    layers : list of Layer
        Layers, by index.
    input_layout : InputLayout
        How region 1 is made.
    output_layout : OutputLayout
        How region 2 is read.
    input_name, output_name : str
        Tensors in regions 1 and 2.
    input_size : int
        Bytes of region 1.
    scratch_size : int
        Bytes of region 3.
    writes : list of WriteRecord
        Rows that the CALC engine writes, and those that the host writes, in order.
    tensors : dict from tensor name to ((int, int, int), Format)
        Shape and format of every tensor that accelerator or host compute.
    dram : DramTiming
        DRAM that the schedule and the prediction assume.
    compulsory : list of int
        For each layer, DRAM bytes that no schedule can avoid.
    prediction : Prediction
        Cycles and traffic.
    places : dict from tensor name to dict
        Where each map lies: ``feature_row`` on chip; ``region`` and ``address`` in DRAM.
    model_hash : str
        SHA-256 of the quantized integers.
    parts : dict from tensor name to (str, int)
        For each map that is written as a part of a joined one, that map and the first block.
    host_steps : list of HostStep
        Where the program stops, and what the host does then.
    """

    name: str
    config: AcceleratorConfig
    instructions: list[Instruction]
    weight_image: bytes
    layers: list[Layer]
    input_layout: InputLayout
    output_layout: OutputLayout
    input_name: str
    output_name: str
    input_size: int
    scratch_size: int
    writes: list[WriteRecord]
    tensors: dict[str, tuple[tuple[int, int, int], Format]]
    dram: DramTiming
    compulsory: list[int]
    prediction: Prediction
    places: dict[str, dict[str, int]] = field(default_factory=dict)
    model_hash: str = ""
    parts: dict[str, tuple[str, int]] = field(default_factory=dict)
    host_steps: list[HostStep] = field(default_factory=list)

    @property
    def fused(self) -> frozenset[str]:
        """Tensors of the network that never exist, because what comes of them is pooled first."""
        return frozenset(layer.output for layer in self.layers if layer.fused)

    @property
    def output_size(self) -> int:
        """Bytes of region 2."""
        return self.output_layout.size

    @property
    def steps(self) -> list[Segment | HostStep]:
        """What a run consists of, in order: parts of the program, and what the host does."""
        return steps_of(self.host_steps, len(self.instructions))

    @property
    def segments(self) -> list[Segment]:
        """Parts of the program; a single one unless it stops for the host."""
        return [step for step in self.steps if isinstance(step, Segment)]

    @cached_property
    def program_image(self) -> bytes:
        """Header, instructions and END of each segment."""
        image = bytearray()
        for part in self.segments:
            image += bytes(part.offset - len(image))
            body = [item.encode() for item in self.instructions[part.first:part.stop]]
            image += encode_header(
                config_hash=self.config.hash, instruction_count=len(body) + 1)
            image += b"".join([*body, encode(Opcode.END, {})])
        return bytes(image)

    @property
    def compulsory_bytes(self) -> int:
        """DRAM bytes that no schedule can avoid: stored input, output, weights once."""
        return sum(self.compulsory)

    @property
    def roofline(self) -> list[float]:
        """For each layer, the larger of array cycles and compulsory DRAM cycles.

        Array cycles are those of one product of a multiplier per cycle, also where two are made.
        """
        rate = min(
            self.dram.bytes_per_cycle or self.config.dram_width, self.config.dram_width)
        return [
            max(layer.macs / self.config.multipliers, size / rate)
            for layer, size in zip(self.layers, self.compulsory, strict=True)]

    @property
    def products(self) -> list[int]:
        """For each layer, the most products that a multiplier makes for it per cycle."""
        two = {
            item.layer for item in self.instructions
            if item.opcode == Opcode.CONV and Products(item.values["products"]).pairs}
        return [1 + (layer.index in two) for layer in self.layers]

    @property
    def roofline_cycles(self) -> float:
        """Sum of :attr:`roofline`."""
        return sum(self.roofline)

    @property
    def worst_acc_bits(self) -> int:
        """Bits that the largest possible accumulator of any layer needs."""
        return max(layer.acc_bits for layer in self.layers)

    def disassemble(self) -> str:
        """Return the program as text, one line an instruction."""
        return disassemble(self.instructions, self.layers, self.config, self.steps)

    def tensors_from_rows(self, rows: NDArray[np.uint8]) -> dict[str, NDArray[np.int64]]:
        """Return every tensor from the rows that CALC and the host wrote, in order.

        Parameters
        ----------
        rows : uint8, (n, row_size)
            Rows of one run, as bytes.

        Returns
        -------
        dict from tensor name to int64, (c, h, w)
            Codes.
        """
        lanes, size = self.config.out_lanes, self.config.row_size
        expected = sum(record.row_count for record in self.writes)
        if rows.shape != (expected, size):
            raise ValueError(
                f"Rows written must have shape {(expected, size)}, not {rows.shape}")
        words = np.ascontiguousarray(rows).view(f"<u{self.config.code_size}")
        maps = {
            name: np.zeros((h, w, -(-c // lanes), lanes), words.dtype)
            for name, ((c, h, w), _) in self.tensors.items()}
        for name, (whole, block) in self.parts.items():
            maps[name] = maps[whole][:, :, block:block + maps[name].shape[2]]
        position = 0
        for record in self.writes:
            part = words[position:position + record.row_count]
            position += record.row_count
            maps[record.tensor][
                *record.positions, record.block:record.block + record.blocks,
            ] = part.reshape(record.lines, record.columns, record.blocks, lanes)
        found = {}
        for name, ((c, h, w), fmt) in self.tensors.items():
            rows = np.ascontiguousarray(maps[name])
            codes = rows.view(f"<i{self.config.code_size}") if fmt.signed else rows
            found[name] = codes.reshape(h, w, -1)[:, :, :c].transpose(2, 0, 1).astype(np.int64)
        return found
