"""Proof that a program is safe, from its encoded instructions alone.

Independent of the passes that made the program: addresses are derived from the fields again, and
the order of the engines from the tokens. A failure is a bug of the compiler, not of the user.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arch.config import TABLES, AcceleratorConfig
from arch.isa import (
    LEVELS,
    Engine,
    Memory,
    Opcode,
    Products,
    Region,
    VectorOp,
    conv_results,
    conv_rows,
    group_steps,
    is_pooled,
    pool_ends,
)
from arch.timing import POOL_LINE, QUEUE_DEPTH, TOKEN_COUNT, divide_group, pass_gap

from .clock import CalcClock
from .host import HostStep, segments_of
from .ir import Instruction, Space


__all__ = (
    "VerifyError",
    "happens_before",
    "verify",
)


class VerifyError(AssertionError):
    """A program that could hang, race, or leave its memories."""


@dataclass(frozen=True)
class Access:
    """Units of one space that an instruction reads or writes."""

    space: Space
    units: NDArray[np.int64]


def _coefficients(values: Mapping[str, int], axis: str) -> list[int]:
    """Return what one iteration of each loop adds, from the deltas."""
    found: list[int] = []
    inside = 0
    for level in range(LEVELS):
        found.append(values[f"{axis}_{level}"] + inside)
        inside += (values[f"count_{level}"] - 1) * found[-1]
    return found


def _positions(
    values: Mapping[str, int], levels: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct (word, y, x) that some loops add."""
    total = np.zeros((1, 3), np.int64)
    axes = [_coefficients(values, axis) for axis in ("word", "y", "x")]
    for level in levels:
        step = np.array([axis[level] for axis in axes])
        count = np.arange(values[f"count_{level}"])[:, None] * step
        total = np.unique((total[:, None] + count[None]).reshape(-1, 3), axis=0)
    return total[:, 0], total[:, 1], total[:, 2]


def read_words(values: Mapping[str, int], feature_words: int) -> NDArray[np.int64]:
    """Return the words that a CALC instruction reads: those of its steps inside the map."""
    used = [level for level in range(LEVELS) if values[f"count_{level}"] > 1]
    in_y = {level for level in used if _coefficients(values, "y")[level]}
    in_x = {level for level in used if _coefficients(values, "x")[level]}
    if in_y & in_x:
        in_y = in_x = in_y | in_x
        groups = [sorted(in_y)]
    else:
        groups = [sorted(in_y), sorted(in_x)]
    height, width = values["height"], values["width"]
    words = np.array([values["word"]])
    together = len(groups) == 1
    for group, axis in zip(groups, "yx", strict=False):
        word, dy, dx = _positions(values, group)
        y, x = values["y"] + dy, values["x"] + dx
        inside_y, inside_x = (y >= 0) & (y < height), (x >= 0) & (x < width)
        keep = inside_y & inside_x if together else inside_y if axis == "y" else inside_x
        words = np.unique(words[:, None] + word[None, keep])
    rest = [level for level in used if level not in in_y | in_x]
    words = np.unique(words[:, None] + _positions(values, rest)[0][None])
    return words % feature_words


class _Addresses:
    """Derives what instructions touch; remembers the loops that it has walked."""

    def __init__(self, config: AcceleratorConfig, sizes: Mapping[Region, int]) -> None:
        self._config = config
        self._sizes = sizes
        self._walked: dict[tuple[int, ...], NDArray[np.int64]] = {}

    def _rows_read(self, values: Mapping[str, int]) -> NDArray[np.int64]:
        key = tuple(
            values[name] for name in ("word", "y", "x", "height", "width")
        ) + tuple(
            values[f"{name}_{level}"] for level in range(LEVELS)
            for name in ("count", "word", "y", "x"))
        if key not in self._walked:
            words = read_words(values, self._config.feature_words)
            self._walked[key] = np.unique(words // self._config.words_per_row)
        return self._walked[key]

    def of(self, instruction: Instruction) -> tuple[list[Access], list[Access]]:
        """Return what an instruction reads and writes."""
        if instruction.engine != Engine.CALC:
            return self._of_transfer(instruction)
        values, config = instruction.values, self._config
        groups = values["count_2"] * values["count_3"] * values["count_4"]
        reads = [Access(Space.FEATURE, self._rows_read(values))]
        if instruction.opcode == Opcode.VECTOR:
            reads += self._more_operands(values)
        if instruction.opcode == Opcode.CONV:
            steps = conv_results(values)
            _check(steps <= config.acc_depth, instruction, "needs more accumulators")
            cycles = group_steps(values)
            _check(
                values["wrap"] <= min(values["count_0"], values["warm"] * values["depthwise"]),
                instruction, "wraps too far")
            _check(values["gap"] >= pass_gap(cycles), instruction, "has too short a pass")
            tiles = values["weight_row"] + np.arange(groups)
            products = Products(values["products"])
            _check(
                not products or (config.dual_products and not (
                    products.pairs and (values["depthwise"] or values["skip"]))),
                instruction, "makes products that the config has not")
            _check(
                not values["wide"] or bool(
                    values["depthwise"] and config.weight_bits == 8 and config.window_taps > 1),
                instruction, "takes two weights as one where that cannot be")
            _check(
                products != Products.SECOND or not values["finish"], instruction,
                "ends a second block alone")
            blocks = np.arange(2 if products == Products.BLOCKS else 1)
            reads += [
                Access(Space.WEIGHT, tiles),
                Access(Space.PARAM, values["param_row"] + np.array(products.targets))]
            _check(
                products != Products.BLOCKS or not is_pooled(values), instruction,
                "pools two blocks at once")
            results = conv_rows(values) if values["finish"] else 0
        else:
            _check_vector(instruction, config, values["count_0"] * values["count_1"])
            results, blocks = groups, np.arange(1)
        written = values["row"] + np.arange(results)[:, None] * values["row_step"] + blocks
        rows = np.unique(written)
        _check(len(rows) == written.size, instruction, "writes a row twice")
        return reads, [Access(Space.FEATURE, rows)]

    def _more_operands(self, values: Mapping[str, int]) -> list[Access]:
        """Return the row that a VECTOR holds, and the table that it looks up."""
        found = []
        if values["hold"]:
            row = values["word_b"] // self._config.words_per_row
            found.append(Access(Space.FEATURE, np.array([row])))
        if values["op"] == VectorOp.TABLE:
            found.append(Access(Space.TABLE, np.array([values["table"]])))
        return found

    def _of_transfer(self, instruction: Instruction) -> tuple[list[Access], list[Access]]:
        values, config = instruction.values, self._config
        memory, count = Memory(values["memory"]), values["row_count"]
        bits, columns = values.get("weight_bits", 0), values.get("columns", 0)
        length = {
            Memory.FEATURE: count * config.row_size,
            Memory.WEIGHT: config.packed_size(count, bits or config.weight_bits, columns),
            Memory.PARAM: count * config.param_row_size,
            Memory.TABLE: count * config.table_size}[memory]
        beats = values.get("line_beats", 0)
        if values.get("kernel_lines"):
            _check_unrolled(instruction, config)
            length = beats * config.dram_width
        lines = np.arange(values["line_count"])[:, None]
        rows = values["row"] + lines * values["row_stride"] + np.arange(count)
        starts = values["address"] + lines * values["line_stride"]
        region = Region(values["region"])
        for number in (values["address"], values["line_stride"]):
            _check(number % config.dram_width == 0, instruction, "is not aligned to the bus")
        _check(starts.max() + length <= self._sizes[region], instruction, "leaves its region")
        _check(count > 0 and values["line_count"] > 0, instruction, "is empty")
        _check(
            not bits or (memory == Memory.WEIGHT and bits > 1 and config.unpacks_weights),
            instruction,
            "has codes of no such width")
        _check(
            not values.get("pairs") or (
                memory == Memory.WEIGHT and config.dual_products and bits in (0, 4, 6)),
            instruction, "has no such pairs of codes")
        _check(
            not columns or (
                memory == Memory.WEIGHT and columns % (config.weight_columns if bits else 1) == 0
                and columns * config.dram_width <= config.weight_row_size
                and not values.get("pairs")),
            instruction, "has no such columns")
        _check(
            beats * config.dram_width == length if beats else not columns, instruction,
            "has lines of other beats")
        chip = Access(Space.on_chip(memory), rows.ravel())
        unit = config.dram_width
        dram = Access(
            Space.dram(region), (starts // unit + np.arange(length // unit)).ravel())
        if instruction.opcode == Opcode.LOAD:
            return [dram], [chip]
        _check(memory == Memory.FEATURE, instruction, "saves no features")
        return [chip], [dram]


def _check(condition: bool, instruction: Instruction, what: str) -> None:
    if not condition:
        values = instruction.values
        raise VerifyError(
            f"{instruction.opcode.name} of layer {values['layer']} {what}: {values}")


def _check_unrolled(instruction: Instruction, config: AcceleratorConfig) -> None:
    """Check that a LOAD of kernel taps gets every beat that it waits for, and no other."""
    values = instruction.values
    size = values["kernel_lines"] * values["segment"] + values["fill"]
    rows = values["positions"] * size // config.row_size
    _check(
        values["memory"] == Memory.FEATURE and values["line_count"] == 1
        and values["line_beats"] == values["map_lines"] * values["map_beats"] > 0,
        instruction, "unrolls other beats than it reads")
    _check(
        size % config.row_size == 0 and rows > 0 and values["row_count"] % rows == 0
        and min(values["segment"], values["stride_lines"]) > 0,
        instruction, "unrolls no whole lines of rows")
    last = (values["row_count"] // rows - 1) * values["stride_lines"] - values["lines_above"]
    _check(
        values["lines_above"] < values["kernel_lines"]
        and last < values["map_lines"] <= last + values["kernel_lines"],
        instruction, "unrolls other lines than it reads")
    reach = (values["positions"] - 1) * values["advance"] + values["segment"]
    _check(
        values["kernel_lines"] * values["map_beats"] * config.dram_width <= config.unroll_size
        and max(reach - values["before"], values["before"]) <= 2 * config.unroll_size,
        instruction, "unrolls longer lines than fit")


def _check_vector(instruction: Instruction, config: AcceleratorConfig, steps: int) -> None:
    values = instruction.values
    words = [values["word"], *(values[f"word_{level}"] for level in range(LEVELS))]
    _check(
        not any(word % config.words_per_row for word in words), instruction,
        "does not read whole rows")
    _check(not values["word_b"] % config.words_per_row, instruction, "does not hold a whole row")
    op = VectorOp(values["op"])
    size = {
        VectorOp.PRODUCT: 1 if values["hold"] else 2, VectorOp.PRELU: 1,
        VectorOp.TABLE: config.table_steps if config.table_lanes else 0,
        VectorOp.SUM: 1 if values["hold"] else steps,
    }.get(op, steps)
    _check(steps == size, instruction, "has groups of another size")
    can_hold = op in (VectorOp.SUM, VectorOp.PRODUCT, VectorOp.PRELU)
    _check(can_hold or not values["hold"], instruction, "holds an operand that it does not have")
    _check(op != VectorOp.PRELU or bool(values["hold"]), instruction, "has no slopes")
    if values["divide"]:
        _check(values["op"] == VectorOp.SUM, instruction, "divides a maximum")
        _check(
            steps + values["gap"] >= divide_group(config.data_bits), instruction,
            "divides too fast")


def happens_before(instructions: Sequence[Instruction]) -> list[list[int]]:
    """Return for each instruction the last one of each engine that is surely done at its start.

    Raises
    ------
    VerifyError
        If a wait has no earlier post, a token is left over, or a counter could overflow. As every
        wait has a post that is fetched before it, no program that passes can hang: the first
        instruction that is not done always finds its tokens.
    """
    posts: dict[tuple[Engine, Engine], list[int]] = {(a, b): [] for a in Engine for b in Engine}
    taken = dict.fromkeys(posts, 0)
    last: dict[Engine, list[int]] = {engine: [-1] * len(Engine) for engine in Engine}
    done: list[list[int]] = []
    started: list[list[int]] = []
    for index, instruction in enumerate(instructions):
        me = instruction.engine
        clock = list(last[me])
        for source in Engine:
            if instruction.values["wait"] >> source & 1:
                pair = (source, me)
                _check(taken[pair] < len(posts[pair]), instruction, "waits for ever")
                poster = posts[pair][taken[pair]]
                taken[pair] += 1
                clock = [max(a, b) for a, b in zip(clock, done[poster], strict=True)]
        for target in Engine:
            if instruction.values["post"] >> target & 1:
                posts[me, target].append(index)
                # Those in front of the target that may not have taken their tokens yet.
                held = len(posts[me, target]) - taken[me, target] + QUEUE_DEPTH + 2
                _check(held <= TOKEN_COUNT, instruction, "could overflow a token counter")
        started.append(clock)
        last[me] = clock
        done.append([index if engine == me else clock[engine] for engine in Engine])
    for pair, given in posts.items():
        if taken[pair] != len(given):
            raise VerifyError(f"{len(given) - taken[pair]} tokens of {pair} are never taken")
    return started


class _Memory:
    """What has happened to each unit of a space."""

    def __init__(self, size: int, filled: bool) -> None:
        self.size = size
        self.filled = np.full(size, filled)
        self.forget()

    def forget(self) -> None:
        """Begin a segment: all that has happened is done."""
        size = self.size
        self.read = np.full((len(Engine), size), -1, np.int64)
        self.written = np.full((len(Engine), size), -1, np.int64)


def _latest(times: NDArray[np.int64], units: NDArray[np.int64]) -> NDArray[np.int64]:
    if not len(units):
        return np.full(len(Engine), -1)
    return np.asarray(times[:, units].max(axis=1))


def _check_order(
    instruction: Instruction, clock: Sequence[int], before: NDArray[np.int64], what: str
) -> None:
    for engine in Engine:
        if engine != instruction.engine:
            _check(
                clock[engine] >= before[engine], instruction,
                f"does not wait for {engine.name} {before[engine]} ({what})")


def _check_accumulators(instructions: Sequence[Instruction]) -> None:
    """Check that partial sums are taken up by the next CONV of their block, or two blocks."""
    kept = [0, 0]
    for instruction in instructions:
        if instruction.opcode == Opcode.CONV:
            values = instruction.values
            steps = conv_results(values)
            for target in Products(values["products"]).targets:
                _check(
                    values["init"] == (kept[target] == 0), instruction,
                    "loses or misses partial sums")
                _check(
                    bool(values["init"]) or kept[target] == steps, instruction,
                    "takes up other positions")
                kept[target] = 0 if values["finish"] else steps
            _check(
                not (values["finish"] and any(kept)), instruction, "leaves partial sums behind")
    if any(kept):
        raise VerifyError("the last CONV leaves partial sums")


def _check_pooling(instructions: Sequence[Instruction], config: AcceleratorConfig) -> None:
    """Check that pooled lines continue those that the line buffer holds, and fit it."""
    held: dict[int, tuple[int, ...]] = {}
    for instruction in instructions:
        values = instruction.values
        if instruction.opcode != Opcode.CONV or not values["finish"] or not is_pooled(values):
            continue
        kernel, stride = values["pool_kernel"] + 1, values["pool_stride"] + 1
        results = conv_results(values) // values["count_1"]
        _check(kernel <= stride + 1, instruction, "pools windows that overlap too much")
        _check(
            max(values["pool_x"], values["pool_y"]) < stride, instruction,
            "starts behind a window")
        _check(results >= POOL_LINE, instruction, "pools too short a line")
        _check(
            not values["depthwise"]
            or (values["count_0"] - values["warm"] - 1) % (values["skip"] + 1) == 0,
            instruction, "ends a line without a result")
        width = len(pool_ends(
            results, kernel=kernel, stride=stride, before=values["pool_x"], first=True,
            last=bool(values["pool_right"])))
        row = values["pool_row"]
        _check(
            0 < width and row + width <= config.pool_depth, instruction,
            "pools a line that the line buffer does not hold")
        shape = (
            width, values["layer"], kernel, stride, results, values["pool_x"],
            values["pool_right"])
        if not values["pool_first"] and (kernel > stride or values["pool_y"]):
            _check(
                held.get(row) == (*shape, values["pool_y"]), instruction,
                "does not continue the lines before")
        held = {
            other: state for other, state in held.items()
            if other + state[0] <= row or row + width <= other}
        held[row] = (*shape, (values["pool_y"] + values["count_1"]) % stride)


def _check_pairs(instructions: Sequence[Instruction], config: AcceleratorConfig) -> None:
    """Check that weights are loaded as pairs where they share multipliers, and nowhere else."""
    paired = np.zeros(config.weight_depth, bool)
    for instruction in instructions:
        values = instruction.values
        if instruction.opcode == Opcode.LOAD and values["memory"] == Memory.WEIGHT:
            paired[values["row"]:values["row"] + values["row_count"]] = values["pairs"]
        if instruction.opcode == Opcode.CONV:
            groups = values["count_2"] * values["count_3"] * values["count_4"]
            used = paired[values["weight_row"]:values["weight_row"] + groups]
            _check(
                bool((used == Products(values["products"]).pairs).all()), instruction,
                "takes pairs of weights for single ones, or the reverse")


def verify(
    instructions: Sequence[Instruction], config: AcceleratorConfig, sizes: Mapping[Region, int],
    host_steps: Sequence[HostStep] = (),
) -> None:
    """Prove that a program can neither hang, nor race, nor leave its memories.

    Every access lies inside its memory and reads what was written before; every pair of accesses
    that must keep its order keeps it, whatever the speed of the engines.

    Parameters
    ----------
    instructions : sequence of Instruction
        Program, without END, all fields set.
    config : AcceleratorConfig
        Accelerator.
    sizes : mapping from Region to int
        Bytes of each DRAM region.
    host_steps : sequence of HostStep
        Where the program stops for the host. All that is before is done then; memories keep
        their contents.

    Raises
    ------
    VerifyError
        If the program is not safe.
    """
    unit = config.dram_width
    spaces = {
        Space.FEATURE: _Memory(config.feature_depth, False),
        Space.WEIGHT: _Memory(config.weight_depth, False),
        Space.PARAM: _Memory(config.param_depth, False),
        Space.TABLE: _Memory(TABLES if config.table_lanes else 0, False),
    } | {
        Space.dram(region): _Memory(
            sizes[region] // unit, region in (Region.WEIGHTS, Region.INPUT))
        for region in Region}
    addresses = _Addresses(config, sizes)
    waiting = list(host_steps)
    for part in segments_of([step.position for step in host_steps], len(instructions)):
        while waiting and waiting[0].position <= part.first:
            _check_host(waiting.pop(0), spaces, unit)
        _verify_segment(instructions[part.first:part.stop], config, addresses, spaces)
    for step in waiting:
        _check_host(step, spaces, unit)
    if not spaces[Space.DRAM_OUTPUT].filled.all():
        raise VerifyError("part of the output is never written")


def _check_host(step: HostStep, spaces: Mapping[Space, _Memory], unit: int) -> None:
    """Check that what a step of the host reads is there; note what it writes."""
    for place, writes in ((step.source, False), (step.result, True)):
        memory = spaces[Space.dram(place.region)]
        first, stop = place.address // unit, (place.address + step.size(place)) // unit
        if place.address % unit or stop > memory.size:
            raise VerifyError(f"the host leaves {place.region.name} with {place.tensor}")
        if not writes and not memory.filled[first:stop].all():
            raise VerifyError(f"the host reads {place.tensor}, which nothing has written")
        memory.filled[first:stop] |= writes


def _verify_segment(
    instructions: Sequence[Instruction], config: AcceleratorConfig, addresses: _Addresses,
    spaces: Mapping[Space, _Memory],
) -> None:
    """Prove that the instructions between two stops are safe."""
    for memory in spaces.values():
        memory.forget()
    clocks = happens_before(instructions)
    _check_pairs(instructions, config)
    calc = CalcClock(config)
    fence = 0
    for index, (instruction, clock) in enumerate(zip(instructions, clocks, strict=True)):
        _check(
            not config.layer_depth or instruction.values["layer"] < config.layer_depth,
            instruction, "has no counters")
        me = instruction.engine
        reads, writes = addresses.of(instruction)
        if instruction.values["fence"]:
            fence = index
        for access in (*reads, *writes):
            inside = not len(access.units) or access.units.max() < spaces[access.space].size
            _check(inside, instruction, f"leaves {access.space.name}")
        for access in reads:
            memory = spaces[access.space]
            _check(
                bool(memory.filled[access.units].all()), instruction,
                f"reads {access.space.name} that nothing has written")
            before = _latest(memory.written, access.units)
            _check_order(instruction, clock, before, f"read after write, {access.space.name}")
            if me == Engine.CALC:
                _check(before[me] < fence or before[me] < 0 or calc.in_time(instruction),
                       instruction, "lacks a fence")
        for access in writes:
            memory = spaces[access.space]
            before = np.maximum(
                _latest(memory.written, access.units), _latest(memory.read, access.units))
            _check_order(instruction, clock, before, f"write after use, {access.space.name}")
        for access in reads:
            spaces[access.space].read[me, access.units] = index
        for access in writes:
            spaces[access.space].written[me, access.units] = index
            spaces[access.space].filled[access.units] = True
        if me == Engine.CALC:
            calc.run(instruction)
    _check_accumulators(instructions)
    _check_pooling(instructions, config)
