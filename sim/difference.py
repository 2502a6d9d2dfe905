"""Where two engines first differ: layer, tile, position."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from arch.isa import Engine, Opcode
from compiler.host import Segment
from compiler.ir import WriteRecord


__all__ = (
    "TileDifference",
    "first_difference",
)


@dataclass(frozen=True)
class TileDifference:
    """The first value in which two engines differ, in the order in which the program computes.

    Parameters
    ----------
    layer : str
        Name of the layer.
    index : int
        Its number.
    tensor : str
        Tensor that it computes.
    tile, tile_count : int
        Number of the tile in its layer, from 0, and tiles of the layer.
    instruction : int or None
        Number of the instruction that writes the tile; ``None`` if the host writes it, if it was
        written right and only its copy in the output region is wrong, or if the tensor is pooled
        before it is written.
    channels, lines, columns : (int, int)
        First and last channel, line and column of the tile.
    position : (int, int, int)
        Channel, line and column of the value.
    expected, got : int
        Codes of both engines.
    expected_value, got_value : float
        Real numbers that they stand for.
    wrong_in_tile, tile_size, wrong, size : int
        Values that differ in the tile and in the tensor, and all of them.
    """

    layer: str
    index: int
    tensor: str
    tile: int
    tile_count: int
    instruction: int | None
    channels: tuple[int, int]
    lines: tuple[int, int]
    columns: tuple[int, int]
    position: tuple[int, int, int]
    expected: int
    got: int
    expected_value: float
    got_value: float
    wrong_in_tile: int
    tile_size: int
    wrong: int
    size: int

    def to_json(self) -> dict[str, Any]:
        """Return all fields as plain values."""
        return asdict(self)

    def __str__(self) -> str:
        """Return a sentence with layer, tile, position and both values."""
        k, h, w = self.position
        (k0, k1), (h0, h1), (w0, w1) = self.channels, self.lines, self.columns
        where = "" if self.instruction is None else f", instruction {self.instruction}"
        return (
            f"layer {self.index}, {self.layer!r}, tile {self.tile} of {self.tile_count} "
            f"(k {k0}..{k1}, h {h0}..{h1}, w {w0}..{w1}{where}), position (k={k}, h={h}, w={w}): "
            f"{self.got} ({self.got_value:g}) instead of {self.expected} "
            f"({self.expected_value:g}); {self.wrong_in_tile} of {self.tile_size} values of the "
            f"tile differ, {self.wrong} of {self.size} of the layer")


def _writers(program) -> list[int | None]:
    """Return the numbers of the instructions that write, in the order of ``program.writes``.

    A step of the host has no number.
    """
    found: list[int | None] = []
    for step in program.steps:
        if not isinstance(step, Segment):
            found.append(None)
            continue
        found += [
            number for number in range(step.first, step.stop)
            if (item := program.instructions[number]).engine == Engine.CALC
            and (item.opcode == Opcode.VECTOR or item.values["finish"])]
    return found


def _tiles(program, layer) -> Iterator[tuple[int | None, WriteRecord]]:
    """Yield for each tile of a layer's tensor its instruction and its record, in order.

    Blocks of the records count from the tensor's first one. A tensor that no instruction writes,
    because it is pooled first, is one tile.
    """
    channels, height, width = layer.output_shape
    blocks = -(-channels // program.config.out_lanes)
    if layer.fused:
        yield None, WriteRecord(layer.index, layer.output, 0, height, 0, width, 0, blocks)
        return
    whole, first = program.parts.get(layer.output, (layer.output, 0))
    stop = first + blocks
    for number, record in zip(_writers(program), program.writes, strict=True):
        if record.tensor == whole and record.block < stop and record.block + record.blocks > first:
            yield number, replace(record, block=record.block - first)


def first_difference(
    program, model, expected: Mapping[str, ArrayLike], got: Mapping[str, ArrayLike],
    *, output_only: bool = False,
) -> TileDifference | None:
    """Return the first value in which the tensors of two engines differ.

    Parameters
    ----------
    program : compiler.Program
        Compiled network; gives the order of layers and tiles.
    model : quantizer.QuantizedModel
        The network that was compiled; gives the formats.
    expected, got : mapping from tensor name to int, (c, h, w)
        Codes of one engine and of the other; tensors that one of them has not are skipped.
    output_only : bool
        Whether ``got`` comes from the output region, which no CALC instruction writes.

    Returns
    -------
    TileDifference or None
        ``None`` if all that both have is equal.
    """
    for layer in program.layers:
        if layer.output not in got or layer.output not in expected:
            continue
        want, have = np.asarray(expected[layer.output]), np.asarray(got[layer.output])
        unequal = want != have
        if unequal.any():
            return _in_layer(program, model, layer, want, have, output_only)
    return None


def _in_layer(program, model, layer, want, have, output_only: bool) -> TileDifference:
    """Return the difference in the first tile that has one."""
    unequal = want != have
    lanes = program.config.out_lanes
    step = model.formats[layer.output].step
    tiles = list(_tiles(program, layer))
    for tile, (number, record) in enumerate(tiles):
        k0, h0, w0 = record.block * lanes, record.y0, record.x0
        part = unequal[k0:k0 + record.blocks * lanes, *record.positions]
        if not part.any():
            continue
        # Tiles are written line by line, all channels of a position together.
        h, w, k = (int(axis[0]) for axis in np.nonzero(part.transpose(1, 2, 0)))
        steps = (1, record.y_step, record.x_step)
        position = (k0 + k, h0 + h * record.y_step, w0 + w * record.x_step)
        channels, lines, columns = (
            (first, first + (size - 1) * every)
            for first, size, every in zip((k0, h0, w0), part.shape, steps))
        left, right = int(want[position]), int(have[position])
        return TileDifference(
            layer.name, layer.index, layer.output, tile, len(tiles),
            None if output_only else number, channels, lines, columns, position, left, right,
            left * step, right * step, int(part.sum()), part.size, int(unequal.sum()),
            unequal.size)
    raise AssertionError(f"no instruction writes all of {layer.output!r}")
