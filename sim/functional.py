"""Run a program in numpy, one instruction after the other, from its bytes alone.

What an instruction does is written here a second time, from the manual and not from the compiler:
a program that gives the right bytes here does so because its instructions say so. Tokens and
fences have no meaning in a sequential run.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from arch.config import CHUNK_BEATS, TABLES, AcceleratorConfig
from arch.formats import requantize, shift_round
from arch.isa import (
    INSTRUCTION_SIZE,
    LEVELS,
    Memory,
    Opcode,
    Products,
    Region,
    VectorOp,
    conv_results,
    decode,
    decode_header,
    group_steps,
)
from compiler.host import HostStep
from quantizer.layout import unpack_params

from .errors import SimulationError


__all__ = (
    "FunctionalMachine",
    "run_functional",
)


_CHUNK = 1 << 22
"""Codes gathered at a time."""

_POISON = 0x55
"""What memory holds before anything is written."""


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


def _ramp(fields: dict[str, int], axis: str) -> list[int]:
    """Return what each loop index adds to a position, from the deltas.

    A delta is added when its loop advances, and the inner loops stand at their ends then.
    """
    coefficients: list[int] = []
    moved = 0
    for level in range(LEVELS):
        coefficient = fields[f"{axis}_{level}"] + moved
        coefficients.append(coefficient)
        moved += (fields[f"count_{level}"] - 1) * coefficient
    return coefficients


@dataclass(frozen=True)
class _Steps:
    """Steps of a CALC instruction by group and step in the group, (groups, steps)."""

    word: NDArray[np.int64]
    y: NDArray[np.int64]
    x: NDArray[np.int64]
    inside: NDArray[np.bool_]


def _axis(fields: dict[str, int], axis: str, levels: range) -> NDArray[np.int64]:
    """Return what some loops add to a position, outermost loop slowest."""
    coefficients = _ramp(fields, axis)
    total = np.zeros(1, np.int64)
    for level in reversed(levels):
        steps = np.arange(fields[f"count_{level}"], dtype=np.int64) * coefficients[level]
        total = (total[:, None] + steps[None, :]).ravel()
    return total


def _steps(fields: dict[str, int], first: int, stop: int) -> _Steps:
    """Return the steps of the groups from ``first`` up to ``stop``."""
    word, y, x = (
        fields[axis] + _axis(fields, axis, range(2, LEVELS))[first:stop, None]
        + _axis(fields, axis, range(2))[None, :] for axis in ("word", "y", "x"))
    inside = (y >= 0) & (y < fields["height"]) & (x >= 0) & (x < fields["width"])
    return _Steps(word, y, x, inside)


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


def _maxima(
    codes: NDArray[np.int64], held: NDArray[np.int64] | None, kernel: int, stride: int,
    phase: int, flush: bool | int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the maxima of the windows that end along the first axis, and that of the last one.

    ``held`` is the maximum of the window so far, ``None`` at its start. Of windows that overlap
    the first position ends one and starts the next.
    """
    found = []
    for number, code in enumerate(codes):
        shared = kernel > stride and phase == 0
        ends = (shared and held is not None) or (kernel <= stride and phase == kernel - 1)
        whole = code if held is None or (phase == 0 and not shared) else np.maximum(held, code)
        if ends or (flush and number == len(codes) - 1):
            found.append(whole)
        held = code if phase == 0 else whole
        phase = (phase + 1) % stride
    assert held is not None
    return np.array(found).reshape(-1, *codes.shape[1:]), held
class FunctionalMachine:
    """The memories of an accelerator, and what each instruction does to them.

    Parameters
    ----------
    config : AcceleratorConfig
        Accelerator.
    regions : mapping from Region to bytearray
        DRAM.
    """

    def __init__(self, config: AcceleratorConfig, regions: dict[Region, bytearray]) -> None:
        self.config = config
        self.regions = regions
        self.feature = np.full((config.feature_depth, config.row_size), _POISON, np.uint8)
        self.weight = np.full((config.weight_depth, config.weight_row_size), _POISON, np.uint8)
        self.param = np.full((config.param_depth, config.param_row_size), _POISON, np.uint8)
        tables = TABLES if config.table_lanes else 0
        self.table = np.full((tables, config.table_size), _POISON, np.uint8)
        self.lanes = np.full(config.weight_depth, config.out_lanes)
        self.acc = np.zeros((2, config.acc_depth, config.out_lanes), np.int64)
        self.lines = np.zeros((config.pool_depth, config.out_lanes), np.int64)
        self.written: list[NDArray[np.uint8]] = []

    def run(self, opcode: Opcode, fields: dict[str, int]) -> None:
        """Execute one instruction."""
        match opcode:
            case Opcode.LOAD | Opcode.SAVE:
                self._transfer(opcode, fields)
            case Opcode.CONV:
                self._conv(fields)
            case Opcode.VECTOR:
                self._vector(fields)

    def run_host(self, step: HostStep) -> None:
        """Do a step of the host, on DRAM."""
        def read(region: Region, address: int, size: int) -> bytes:
            return bytes(self.regions[region][address:address + size])

        def write(region: Region, address: int, data: bytes) -> None:
            self.regions[region][address:address + len(data)] = data

        data = step.run(read, write)
        self.written.append(np.frombuffer(data, np.uint8).reshape(-1, self.config.row_size))

    def _transfer(self, opcode: Opcode, fields: dict[str, int]) -> None:
        memory = {
            Memory.FEATURE: self.feature, Memory.WEIGHT: self.weight, Memory.PARAM: self.param,
            Memory.TABLE: self.table,
        }[Memory(fields["memory"])]
        dram = np.frombuffer(self.regions[Region(fields["region"])], np.uint8)
        bits = fields.get("weight_bits", 0)
        if bits and (
                bits < 2 or fields["memory"] != Memory.WEIGHT or self.config.weight_bits != 8):
            raise SimulationError(f"Codes of {bits} bits are for weight memory, 2 to 7: {fields}")
        pairs = fields.get("pairs", 0)
        if pairs and (fields["memory"] != Memory.WEIGHT or bits not in (0, 4, 6)
                      or not self.config.dual_products):
            raise SimulationError(f"Pairs are for weight memory, 4, 6 or 8 bits: {fields}")
        columns = fields.get("columns", 0)
        step = self.config.weight_columns if bits else 1
        if columns and (fields["memory"] != Memory.WEIGHT or columns % step
                        or columns * self.config.dram_width > memory.shape[1]):
            raise SimulationError(f"There are no {columns} columns to fill: {fields}")
        row_size = columns * self.config.dram_width or memory.shape[1]
        size = fields["row_count"] * row_size
        stored = self._packed_size(size, bits) if bits else size
        if fields.get("kernel_lines"):
            self._unroll(fields, memory, dram)
            return
        if fields.get("line_beats", 0) * self.config.dram_width not in (
                (stored,) if columns else (0, stored)):
            raise SimulationError(f"A line has {stored} bytes in DRAM: {fields}")
        if fields["address"] % self.config.dram_width or (
                fields["line_stride"] % self.config.dram_width):
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
                        codes, size, bits, CHUNK_BEATS * self.config.dram_width, pairs)
                elif pairs:
                    codes = codes ^ 8
                rows[:, :row_size] = codes.reshape(-1, row_size)
                if fields["memory"] == Memory.WEIGHT:
                    self.lanes[row:row + len(rows)] = (
                        row_size * self.config.out_lanes // memory.shape[1])
            else:
                dram[address:stop] = rows.ravel()

    def _unroll(
        self, fields: dict[str, int], memory: NDArray[np.uint8], dram: NDArray[np.uint8]
    ) -> None:
        """Write rows of the bytes under a kernel, position by position."""
        width, lines = fields["map_beats"] * self.config.dram_width, fields["map_lines"]
        size = lines * width
        stop = fields["address"] + size
        row, count = fields["row"], fields["row_count"]
        if fields["kernel_lines"] * width > self.config.unroll_size:
            raise SimulationError(f"LOAD has no room for the lines of a kernel: {fields}")
        if stop > len(dram) or row + count > len(memory):
            raise SimulationError(f"LOAD goes past the end of a memory: {fields}")
        if size != fields["line_beats"] * self.config.dram_width or (
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

    def _packed_size(self, count: int, bits: int) -> int:
        """Return the bytes in DRAM of ``count`` weights of ``bits`` bits: chunks, then beats."""
        beat = self.config.dram_width
        chunk = CHUNK_BEATS * beat
        return -(-(-(-count // chunk) * chunk * bits) // (8 * beat)) * beat

    def _codes(self, rows: NDArray[np.uint8], signed: int) -> NDArray[Any]:
        """Return data codes from the bytes of their last axis."""
        return rows.view(f"<{'i' if signed else 'u'}{self.config.code_size}")

    def _write(self, rows: NDArray[np.int64], codes: NDArray[np.int64]) -> None:
        if rows.max() >= len(self.feature):
            raise SimulationError(f"Result row {rows.max()} is past the end of feature memory")
        data = codes.astype(f"<u{self.config.code_size}").view(np.uint8)
        self.feature[rows] = data
        self.written.append(data)

    def _products(
        self, fields: dict[str, int], weights: NDArray[np.float64], groups: int, steps: int
    ) -> NDArray[np.int64]:
        """Return the sum of products of all passes for every position, (steps, out_lanes)."""
        lanes = self.config.in_lanes
        words = self.feature.reshape(-1, lanes * self.config.code_size)
        total = np.zeros((steps, self.config.out_lanes))
        chunk = max(1, _CHUNK // (steps * lanes))
        for first in range(0, groups, chunk):
            at = _steps(fields, first, first + chunk)
            codes = self._codes(words[at.word % len(words)], fields["signed"]).astype(np.float64)
            codes[~at.inside] = 0
            count = len(at.word)
            matrix = weights[first:first + count].transpose(0, 2, 1).reshape(count * lanes, -1)
            total += codes.transpose(1, 0, 2).reshape(steps, -1) @ matrix
        return total.astype(np.int64)

    def _window_products(
        self, fields: dict[str, int], weights: NDArray[np.float64], groups: int, steps: int
    ) -> NDArray[np.int64]:
        """Return what :meth:`_products` returns, of a depthwise CONV."""
        lanes, per_row = self.config.out_lanes, self.config.words_per_row
        line, wrap = fields["count_0"], fields["wrap"]
        column = np.arange(group_steps(fields)) % line
        run = len(column) if wrap else line
        results = slice(fields["warm"], None, fields["skip"] + 1)
        total = np.zeros((steps, lanes))
        for group in range(groups):
            at = _steps(fields, group, group + 1)
            rows = self.feature[at.word[0] // per_row % len(self.feature)]
            codes = np.zeros((len(column), lanes))
            codes[:rows.shape[0]] = self._codes(rows, fields["signed"])
            codes[:rows.shape[0]][~at.inside[0]] = 0
            for tap in range(self.config.window_taps):
                before = np.zeros_like(codes)
                before[tap:] = codes[:max(0, len(codes) - tap)]
                before[(column >= tap) == (column < wrap)] = 0
                taken = before.reshape(-1, run, lanes)[:, results].reshape(steps, lanes)
                total += taken * weights[group, :, tap]
        return total.astype(np.int64)

    def _tap_products(
        self, fields: dict[str, int], weights: NDArray[np.float64], groups: int
    ) -> NDArray[np.int64]:
        """Return the sums of a CONV of two taps: the first's of this step, the second's before."""
        line, steps = fields["count_0"], fields["count_0"] * fields["count_1"]
        now, last = (
            self._products(fields, part, groups, steps).reshape(-1, line, self.config.out_lanes)
            for part in self._halves(weights))
        now[:, 1:] += last[:, :-1]
        return now[:, fields["warm"]:].reshape(-1, self.config.out_lanes)

    @staticmethod
    def _halves(weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the first and the second weights of pairs."""
        codes = weights.astype(np.int64)
        return ((codes & 15) - 8).astype(np.float64), (codes >> 4).astype(np.float64)

    def _conv(self, fields: dict[str, int]) -> None:
        """Run a CONV; of two blocks, one after the other, their results in turn."""
        products = fields["products"]
        if products and not self.config.dual_products:
            raise SimulationError(f"The config has one product of a multiplier: {fields}")
        if fields.get("wide") and not fields["depthwise"]:
            raise SimulationError(f"Weights of two codes are for the window: {fields}")
        if Products(products).pairs and (fields["depthwise"] or fields["skip"]):
            raise SimulationError(f"Two products are for plain convolutions: {fields}")
        config = self.config
        steps = conv_results(fields)
        groups = fields["count_2"] * fields["count_3"] * fields["count_4"]
        if steps > config.acc_depth or fields["weight_row"] + groups > config.weight_depth:
            raise SimulationError(f"CONV needs more accumulators or weights: {fields}")
        tiles = self.weight[fields["weight_row"]:fields["weight_row"] + groups]
        tiles = tiles.view(f"<i{config.weight_size}")
        weights = tiles.reshape(groups, config.out_lanes, config.in_lanes).astype(np.float64)
        if products == Products.BLOCKS:
            totals = [
                self._products(fields, part, groups, steps) for part in self._halves(weights)]
        elif products == Products.TAPS:
            totals = [self._tap_products(fields, weights, groups)]
        elif fields["depthwise"]:
            if fields.get("wide"):
                weights = self._wide(fields, tiles.reshape(weights.shape))
            totals = [self._window_products(fields, weights, groups, steps)]
        else:
            totals = [self._products(fields, weights, groups, steps)]
        found = [
            self._accumulate(fields, number, total)
            for number, total in zip(Products(products).targets, totals, strict=True)]
        if not fields["finish"]:
            return
        if fields.get("pool_kernel") or fields.get("pool_stride"):
            if len(found) > 1:
                raise SimulationError(f"A pooling takes one block at a time: {fields}")
            found = [self._pooled(
                fields, found[0].reshape(fields["count_1"], -1, config.out_lanes))]
        rows = fields["row"] + np.arange(len(found[0])) * fields["row_step"]
        if len(rows):
            codes = np.stack(found, axis=1).reshape(-1, config.out_lanes)
            self._write((rows[:, None] + np.arange(len(found))).ravel(), codes)

    def _wide(self, fields: dict[str, int], tiles: NDArray[Any]) -> NDArray[np.float64]:
        """Return the weights of a CONV with one tap of two codes."""
        if self.config.weight_bits != 8 or self.config.window_taps < 2:
            raise SimulationError(f"The config has no weights of two codes: {fields}")
        weights = np.zeros(tiles.shape)
        weights[:, :, 0] = np.ascontiguousarray(tiles[:, :, :2]).view("<i2")[:, :, 0]
        return weights

    def _accumulate(
        self, fields: dict[str, int], number: int, total: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Add to the accumulators of the first or second block; return them requantized."""
        config = self.config
        bias, shift, upper = (values[0] for values in unpack_params(
            self.param[fields["param_row"] + number].tobytes(), config.out_lanes))
        acc = self.acc[number, :len(total)]
        if fields["init"]:
            acc[:] = bias
        acc += total
        limit = 1 << (config.acc_bits - 1)
        # Sums of lanes whose weights are not there mean nothing.
        groups = fields["count_2"] * fields["count_3"] * fields["count_4"]
        lanes = self.lanes[fields["weight_row"]:fields["weight_row"] + groups].min()
        acc[:, lanes:] = (acc[:, lanes:] + limit) % (2 * limit) - limit
        if acc.min() < -limit or acc.max() >= limit:
            raise SimulationError(f"An accumulator overflows {config.acc_bits} bits: {fields}")
        half = 1 << (config.data_bits - 1)
        upper = upper & (2 * half - 1)
        if fields["lo"] < 0:
            upper = (upper ^ half) - half
        return requantize(acc, shift, fields["lo"], upper, config.rounding)

    def _pooled(self, fields: dict[str, int], codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the windows that end in some lines of results, (windows, out_lanes)."""
        kernel, stride = fields["pool_kernel"] + 1, fields["pool_stride"] + 1
        if kernel > stride + 1:
            raise SimulationError(f"Windows of a pooling overlap by more than one line: {fields}")
        phase, fresh = fields["pool_y"], bool(fields["pool_first"])
        found = []
        for number, line in enumerate(codes):
            last = number == len(codes) - 1
            across, _ = _maxima(line, None, kernel, stride, fields["pool_x"], fields["pool_right"])
            place = slice(fields["pool_row"], fields["pool_row"] + len(across))
            if len(self.lines[place]) != len(across):
                raise SimulationError(f"A line of a pooling is longer than its buffer: {fields}")
            before = None if fresh else self.lines[place]
            done, self.lines[place] = _maxima(
                across[None], before, kernel, stride, phase, last and fields["pool_bottom"])
            found += list(done)
            phase, fresh = (phase + 1) % stride, False
        return np.concatenate(found) if found else np.zeros((0, codes.shape[2]), np.int64)

    def _vector(self, fields: dict[str, int]) -> None:
        groups = fields["count_2"] * fields["count_3"] * fields["count_4"]
        size = fields["count_0"] * fields["count_1"] * self.config.out_lanes
        chunk = max(1, _CHUNK // size)
        results = []
        for first in range(0, groups, chunk):
            results.append(self._groups(fields, _steps(fields, first, first + chunk)))
        codes = np.concatenate(results)
        self._write(fields["row"] + np.arange(groups) * fields["row_step"], codes)

    def _groups(self, fields: dict[str, int], at: _Steps) -> NDArray[np.int64]:
        """Return the results of some groups of a VECTOR, (groups, out_lanes)."""
        per_row = self.config.words_per_row
        if np.any(at.word % per_row):
            raise SimulationError(f"VECTOR must read whole rows: {fields}")
        rows = self.feature[at.word // per_row % len(self.feature)]
        if fields["op"] == VectorOp.TABLE:
            acc = self._looked_up(fields, rows)
        elif fields["op"] in (VectorOp.PRODUCT, VectorOp.PRELU) or fields["hold"]:
            acc = self._elementwise(fields, rows)
        else:
            acc = self._combined(fields, rows, at.inside[:, :, None])
        shift = fields["shift"]
        if fields["divide"]:
            counted = (
                (at.inside | bool(fields["count_pad"])) & (at.y < fields["count_height"])
                & (at.x < fields["count_width"]))
            count = counted.sum(axis=1)[:, None]
            quotient, rest = np.divmod(4 * np.abs(acc), count)
            acc = np.sign(acc) * (quotient | (rest != 0))
            shift += 2
        rounded = shift_round(acc, shift, self.config.rounding)
        return np.clip(rounded, fields["lo"], fields["hi"])

    def _combined(
        self, fields: dict[str, int], rows: NDArray[np.uint8], inside: NDArray[np.bool_]
    ) -> NDArray[np.int64]:
        """Return maximum or sum of the rows of each group."""
        codes = np.empty((*rows.shape[:2], self.config.out_lanes), np.int64)
        codes[:, 0::2] = self._codes(rows[:, 0::2], fields["signed"])
        codes[:, 1::2] = self._codes(rows[:, 1::2], fields["signed_b"])
        codes[:, 0::2] <<= fields["shift_a"]
        codes[:, 1::2] <<= fields["shift_b"]
        if fields["op"] == VectorOp.MAX:
            return np.asarray(np.where(inside, codes, np.iinfo(np.int64).min).max(axis=1))
        return np.asarray(np.where(inside, codes, 0).sum(axis=1))

    def _elementwise(
        self, fields: dict[str, int], rows: NDArray[np.uint8]
    ) -> NDArray[np.int64]:
        """Return sum or product of two operands, or the first one with a slope."""
        if rows.shape[1] != (1 if fields["hold"] else 2):
            raise SimulationError(f"A group of VECTOR must be one element: {fields}")
        a = self._codes(rows[:, 0], fields["signed"]).astype(np.int64)
        other = rows[:, -1]
        if fields["hold"]:
            if fields["word_b"] % self.config.words_per_row:
                raise SimulationError(f"VECTOR must read whole rows: {fields}")
            other = self.feature[fields["word_b"] // self.config.words_per_row]
        b = self._codes(other, fields["signed_b"]).astype(np.int64)
        match VectorOp(fields["op"]):
            case VectorOp.SUM:
                return (a << fields["shift_a"]) + (b << fields["shift_b"])
            case VectorOp.PRODUCT:
                return a * b
            case VectorOp.PRELU:
                return np.where(a < 0, a * b, a << fields["shift_a"])
        raise SimulationError(f"A maximum cannot hold an operand: {fields}")

    def _looked_up(
        self, fields: dict[str, int], rows: NDArray[np.uint8]
    ) -> NDArray[np.int64]:
        """Return what a table gives for the row of each group."""
        config = self.config
        if not config.table_lanes or rows.shape[1] != config.table_steps:
            raise SimulationError(f"A group of VECTOR must be the steps of a table: {fields}")
        if np.any(rows != rows[:, :1]):
            raise SimulationError(f"All steps of a group must read one row: {fields}")
        entries = self.table[fields["table"]].view(f"<i{config.table_entry_size}").astype(np.int64)
        codes = self._codes(rows[:, 0], 0).astype(np.int64)
        index, low = codes >> fields["shift_b"] & 0xFF, codes & 0xFF
        if config.data_bits == 8:
            return entries[index] << fields["shift_a"]
        base, slope = entries[0::2], entries[1::2]
        return (base[index] << fields["shift_a"]) + slope[index] * low


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
        Region.OUTPUT: bytearray([_POISON]) * program.output_size,
        Region.SCRATCH: bytearray([_POISON]) * program.scratch_size,
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
