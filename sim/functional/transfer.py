"""LOAD and SAVE."""

import numpy as np
from numpy.typing import NDArray

from arch.config import CHUNK_BEATS
from arch.isa import Memory, Opcode, Region

from ..errors import SimulationError
from .state import State


__all__ = ("transfer",)


def transfer(state: State, opcode: Opcode, fields: dict[str, int]) -> None:
    """Run a LOAD or SAVE."""
    memory = {
        Memory.FEATURE: state.feature, Memory.WEIGHT: state.weight, Memory.PARAM: state.param,
        Memory.TABLE: state.table,
    }[Memory(fields["memory"])]
    dram = np.frombuffer(state.regions[Region(fields["region"])], np.uint8)
    bits = fields.get("weight_bits", 0)
    if bits and (
            bits < 2 or fields["memory"] != Memory.WEIGHT or state.config.weight_bits != 8):
        raise SimulationError(f"Codes of {bits} bits are for weight memory, 2 to 7: {fields}")
    pairs = fields.get("pairs", 0)
    if pairs and (fields["memory"] != Memory.WEIGHT or bits not in (0, 4, 6)
                  or not state.config.dual_products):
        raise SimulationError(f"Pairs are for weight memory, 4, 6 or 8 bits: {fields}")
    columns = fields.get("columns", 0)
    step = state.config.weight_columns if bits else 1
    if columns and (fields["memory"] != Memory.WEIGHT or columns % step
                    or columns * state.config.dram_width > memory.shape[1]):
        raise SimulationError(f"There are no {columns} columns to fill: {fields}")
    row_size = columns * state.config.dram_width or memory.shape[1]
    size = fields["row_count"] * row_size
    stored = _packed_size(state, size, bits) if bits else size
    if fields.get("kernel_lines"):
        _unroll(state, fields, memory, dram)
        return
    if fields.get("line_beats", 0) * state.config.dram_width not in (
            (stored,) if columns else (0, stored)):
        raise SimulationError(f"A line has {stored} bytes in DRAM: {fields}")
    if fields["address"] % state.config.dram_width or (
            fields["line_stride"] % state.config.dram_width):
        raise SimulationError(f"{opcode.name} is not aligned to the bus: {fields}")
    for line in range(fields["line_count"]):
        address = fields["address"] + line * fields["line_stride"]
        row = fields["row"] + line * fields["row_stride"]
        stop = address + stored
        if stop > len(dram) or row + fields["row_count"] > len(memory):
            raise SimulationError(f"{opcode.name} goes past the end of a memory: {fields}")
        rows = memory[row:row + fields["row_count"]]
        if opcode == Opcode.LOAD:
            codes = dram[address:stop]
            if bits:
                codes = _unpacked(
                    codes, size, bits, CHUNK_BEATS * state.config.dram_width, pairs)
            elif pairs:
                codes = codes ^ 8
            rows[:, :row_size] = codes.reshape(-1, row_size)
            if fields["memory"] == Memory.WEIGHT:
                state.lanes[row:row + len(rows)] = (
                    row_size * state.config.out_lanes // memory.shape[1])
        else:
            dram[address:stop] = rows.ravel()


def _unroll(
    state: State, fields: dict[str, int], memory: NDArray[np.uint8], dram: NDArray[np.uint8]
) -> None:
    """Write rows of the bytes under a kernel, position by position."""
    width, lines = fields["map_beats"] * state.config.dram_width, fields["map_lines"]
    size = lines * width
    stop = fields["address"] + size
    row, count = fields["row"], fields["row_count"]
    if fields["kernel_lines"] * width > state.config.unroll_size:
        raise SimulationError(f"LOAD has no room for the lines of a kernel: {fields}")
    if stop > len(dram) or row + count > len(memory):
        raise SimulationError(f"LOAD goes past the end of a memory: {fields}")
    if size != fields["line_beats"] * state.config.dram_width or (
            fields["line_count"] != 1 or fields["memory"] != Memory.FEATURE):
        raise SimulationError(f"LOAD unrolls one line of {size} bytes: {fields}")
    source = dram[fields["address"]:stop].reshape(lines, width)
    taps = fields["kernel_lines"] * fields["segment"] + fields["fill"]
    height = count * memory.shape[1] // (taps * fields["positions"])
    y = (np.arange(height)[:, None] * fields["stride_lines"] - fields["lines_above"]
         + np.arange(fields["kernel_lines"]))[:, None, :, None]
    x = (np.arange(fields["positions"])[:, None] * fields["advance"] - fields["before"]
         + np.arange(fields["segment"]))[None, :, None, :]
    inside = (y >= 0) & (y < lines) & (x >= 0) & (x < width)
    found = np.where(inside, source[np.clip(y, 0, lines - 1), np.clip(x, 0, width - 1)], 0)
    found = found.reshape(height, fields["positions"], -1)
    rows = np.pad(found, ((0, 0), (0, 0), (0, fields["fill"])))
    memory[row:row + count] = rows.reshape(count, -1)


def _packed_size(state: State, count: int, bits: int) -> int:
    """Return the bytes in DRAM of ``count`` weights of ``bits`` bits: chunks, then beats."""
    beat = state.config.dram_width
    chunk = CHUNK_BEATS * beat
    return -(-(-(-count // chunk) * chunk * bits) // (8 * beat)) * beat


def _unpacked(
    packed: NDArray[np.uint8], count: int, bits: int, chunk: int, pairs: int
) -> NDArray[np.uint8]:
    """Return narrow codes as bytes, from planes of ``chunk`` bits.

    Of pairs the byte is 16 times the second plus the first plus 8.
    """
    chunks = -(-count // chunk)
    planes = np.unpackbits(packed, bitorder="little")[:chunks * chunk * bits]
    planes = planes.reshape(chunks, bits, chunk).astype(np.int8)
    if pairs:
        second, first = (_number(planes[:, which::2]) for which in range(2))
        codes = 16 * second + first + 8
    else:
        if bits % 2:
            planes[1::2] = planes[1::2, [*range(1, bits), 0]]
        codes = _number(planes)
    return codes.ravel()[:count].view(np.uint8)


def _number(planes: NDArray[np.int8]) -> NDArray[np.int8]:
    """Return the two's complement numbers of bits along the second axis, the highest first."""
    total = -planes[:, 0]
    for number in range(1, planes.shape[1]):
        total = 2 * total + planes[:, number]
    return total
