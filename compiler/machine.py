"""Event-driven model of the accelerator's engines, tokens and bus; durations, no data."""

import heapq
import itertools
import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from arch.config import AcceleratorConfig
from arch.isa import (
    INSTRUCTION_SIZE,
    Engine,
    Memory,
    Opcode,
    Products,
    VectorOp,
    group_steps,
)
from arch.timing import (
    CALC_REST,
    CALC_START,
    FETCH_CYCLES,
    GATE_CYCLES,
    LOAD_JOBS,
    LOAD_LATENCY,
    LOAD_START,
    LOAD_WINDOW,
    NARROW_START,
    PROGRAM_END,
    PROGRAM_START,
    QUEUE_DEPTH,
    REQUEST_CYCLES,
    SAVE_BURSTS,
    SAVE_LATENCY,
    UNROLL_LATENCY,
    calc_latency,
    save_start,
    slow_latency,
)

from .ir import DramTiming, Instruction
from .unrolling import unroll_cycles


__all__ = (
    "Dram",
    "Machine",
    "Run",
    "group_cycles",
    "is_slow",
    "line_size",
    "rows_cycles",
    "transfer_size",
    "write_cycles",
)


_PAGE = 4096
_FETCH_BURST = 4
_FINE = 20_000
"""Bursts up to which each of them is an event; of more, several are taken together."""


def transfer_size(instruction: Instruction, config: AcceleratorConfig) -> int:
    """Return the bytes that a LOAD or SAVE moves."""
    return instruction.values["line_count"] * line_size(instruction, config)


def line_size(instruction: Instruction, config: AcceleratorConfig) -> int:
    """Return the bytes of a line of a LOAD or SAVE in DRAM."""
    values = instruction.values
    if values.get("line_beats"):
        return values["line_beats"] * config.dram_width
    if values["memory"] == Memory.WEIGHT:
        bits = values.get("weight_bits") or config.weight_bits
        return config.packed_size(values["row_count"], bits)
    sizes = {
        Memory.FEATURE: config.row_size, Memory.PARAM: config.param_row_size,
        Memory.TABLE: config.table_size}
    return values["row_count"] * sizes[Memory(values["memory"])]


def rows_cycles(instruction: Instruction, config: AcceleratorConfig) -> int:
    """Return the cycles that a LOAD takes to make rows of kernel taps; 0 if it copies rows."""
    values = instruction.values
    if not values.get("kernel_lines"):
        return 0
    return unroll_cycles(values, values["row_count"], config.row_size, config.dram_width)


def write_cycles(instruction: Instruction, config: AcceleratorConfig) -> float:
    """Return the cycles that a beat of a LOAD takes on chip."""
    values = instruction.values
    if values["memory"] == Memory.TABLE:
        return config.dram_width / config.table_entry_size
    if values.get("kernel_lines"):
        held = values["line_beats"] * config.dram_width <= config.unroll_size
        return 1.0 if held else max(1.0, rows_cycles(instruction, config) / values["line_beats"])
    bits = values.get("weight_bits") or config.weight_bits
    return max(1.0, config.weight_bits / (bits * config.weight_columns))


def _bursts(instruction: Instruction, config: AcceleratorConfig) -> Iterator[int]:
    """Yield the beats of each burst: none crosses a line, a page, or the longest burst."""
    values = instruction.values
    width = config.dram_width
    line = line_size(instruction, config) // width
    for number in range(values["line_count"]):
        address = values["address"] + number * values["line_stride"]
        left = line
        while left:
            beats = min(left, config.burst_length, (_PAGE - address % _PAGE) // width)
            yield beats
            left -= beats
            address += beats * width


def _merged(bursts: Iterator[int], factor: int) -> Iterator[int]:
    """Yield the beats of ``factor`` bursts at a time."""
    while part := list(itertools.islice(bursts, factor)):
        yield sum(part)


def group_cycles(instruction: Instruction, config: AcceleratorConfig) -> int:
    """Return the cycles that the steps of a CALC instruction take, gaps included."""
    values = instruction.values
    groups = values["count_2"] * values["count_3"] * values["count_4"]
    steps = group_steps(values)
    # Of a step whose result is written, another block has one too, or few lanes at a time have.
    more = int(values.get("products") == Products.BLOCKS) or config.requantizer_steps - 1
    return (
        values.get("hold", 0) + groups * (steps + values["gap"])
        + (more * steps if values.get("finish") else 0))


def is_slow(instruction: Instruction) -> bool:
    """Return whether results take the way through the divider or a table."""
    values = instruction.values
    return instruction.opcode == Opcode.VECTOR and bool(
        values["divide"] or values["op"] == VectorOp.TABLE)


def _engines_in(mask: int) -> tuple[Engine, ...]:
    return tuple(engine for engine in Engine if mask >> engine & 1)


@dataclass
class Run:
    """What a run of the model gives.

    Parameters
    ----------
    cycles : int
        Cycles from start to interrupt.
    started, done : list of float
        Cycle in which each instruction starts and gives its tokens.
    queued, gated : list of float
        Cycle in which each instruction has come from the fetch, and in which it has its tokens.
    drains : list of bool
        Whether a CALC instruction waits for all earlier results.
    beats : list of (float, float)
        First and last cycle of the beats of each burst on the bus.
    ends : list of int
        Cycles up to each interrupt, of a program that stops for the host.
    """

    cycles: int
    started: list[float]
    done: list[float]
    queued: list[float]
    gated: list[float]
    drains: list[bool]
    beats: list[tuple[float, float]]
    ends: list[int] = field(default_factory=list)


@dataclass
class _Transfer:
    """An instruction in LOAD or SAVE: bursts still to ask for, and when its first beat came."""

    index: int
    bursts: Iterator[int]
    first: float = -1.0


@dataclass
class _Port:
    """The part of LOAD or SAVE that asks for bursts, one after the other."""

    current: _Transfer | None = None
    following: int | None = None
    next_request: float = 0.0
    free: float = 0.0
    jobs: deque[float] = field(default_factory=deque)
    bursts: deque[tuple[float, float, int]] = field(default_factory=deque)


class Dram:
    """Reads in order, writes in order, at most a beat a cycle each; bandwidth is shared."""

    def __init__(self, latency: int, width: int, rate: float) -> None:
        self._latency = latency
        self._work_cycles = width / rate
        self.beat_cycles = max(1.0, width / rate)
        self._free = {False: 0.0, True: 0.0}
        self._work = 0.0
        self.served: list[tuple[float, float]] = []

    def _serve(
        self, now: float, ready: float, beats: int, write: bool, slowest: float = 1.0
    ) -> tuple[float, float]:
        """Return start and end of a burst that can start at ``ready``."""
        cycles = beats * max(self.beat_cycles, slowest)
        self._work = max(self._work, now) + beats * self._work_cycles
        end = max(self._free[write], ready) + cycles
        self._free[write] = max(end, self._work)
        self.served.append((self._free[write] - cycles, self._free[write]))
        return self._free[write] - cycles, self._free[write]

    def read(
        self, now: float, beats: int, slowest: float = 1.0, free: float = 0.0
    ) -> tuple[float, float]:
        """Return the cycles of the first beat and after the last beat of a read.

        ``slowest`` is the cycles that the reader takes for a beat, from ``free`` on.
        """
        return self._serve(now, max(now + self._latency, free), beats, False, slowest)

    def write(self, now: float, beats: int, delay: int) -> tuple[float, float]:
        """Return the cycles of the first beat and of the response of a write.

        ``delay`` is the cycles that the first beat takes to come.
        """
        start, end = self._serve(now, now + delay, beats, True)
        return start, end + self._latency

    def write_slowly(self, now: float, beats: int, cycles: int) -> float:
        """Return the cycle after the response of a write whose beats take ``cycles`` to come."""
        _, end = self._serve(now, now + 1, beats, True, cycles / beats)
        return end + self._latency


class Machine:
    """Runs a program in time; see :class:`Run`.

    Parameters
    ----------
    instructions : sequence of Instruction
        Program, without END, all fields set.
    config : AcceleratorConfig
        Accelerator.
    dram : DramTiming
        DRAM.
    """

    def __init__(
        self, instructions: Sequence[Instruction], config: AcceleratorConfig, dram: DramTiming
    ) -> None:
        self._instructions = instructions
        self._config = config
        self._dram = Dram(
            dram.latency, config.dram_width, dram.bytes_per_cycle or config.dram_width)
        self._beat_cycles = self._dram.beat_cycles
        self._now = 0.0
        self._engine = [item.engine for item in instructions]
        self._waits = [_engines_in(item.values["wait"]) for item in instructions]
        self._posts = [_engines_in(item.values["post"]) for item in instructions]
        beats = sum(
            transfer_size(item, config) for item in instructions
            if item.engine != Engine.CALC) // config.dram_width
        self._factor = max(1, beats // config.burst_length // _FINE)
        self._events: list[float] = []
        self._started = [0.0] * len(instructions)
        self._done = [0.0] * len(instructions)
        self._queued = [0.0] * len(instructions)
        self._gated = [0.0] * len(instructions)
        self._drains = [False] * len(instructions)
        self._finish: list[tuple[float, int]] = []
        self._finished = 0

        self._word_beats = INSTRUCTION_SIZE // config.dram_width
        self._burst_beats = min(config.burst_length, _FETCH_BURST * self._word_beats)
        self._fetch_depth = max(2 * self._burst_beats, 8 * self._word_beats)
        self._fetch_left = (len(instructions) + 2) * self._word_beats
        self._fetch_arrival: list[float] = []
        self._fetch_consumed = 0
        self._fetch_next = float(PROGRAM_START)
        self._header_done: float | None = None
        self._position = 0
        self._dispatch_next = 0.0

        self._queues: dict[Engine, deque[tuple[int, float]]] = {e: deque() for e in Engine}
        self._gates: dict[Engine, tuple[int, float] | None] = dict.fromkeys(Engine)
        self._tokens = {(a, b): 0 for a in Engine for b in Engine}
        self._ports = {Engine.LOAD: _Port(), Engine.SAVE: _Port()}
        self._calc_next = 0.0
        self._drained = 0.0
        self._calc_kind = (False, False)

    def run(self) -> Run:
        """Run to the end."""
        self._wake(self._fetch_next)
        while self._finished < len(self._instructions):
            assert self._events, "the program hangs"
            self._now = heapq.heappop(self._events)
            while self._events and self._events[0] <= self._now:
                heapq.heappop(self._events)
            self._deliver()
            moving = True
            while moving:
                moving = self._fetch() or self._dispatch() or self._gate() or self._engines()
        return Run(
            math.ceil(self._now) + PROGRAM_END, self._started, self._done, self._queued,
            self._gated, self._drains, self._dram.served)

    def _wake(self, time: float) -> None:
        if time > self._now:
            heapq.heappush(self._events, time)

    # Fetch

    def _fetch(self) -> bool:
        """Ask for the next burst of the program, if there is room for it."""
        issued = len(self._fetch_arrival)
        beats = min(self._fetch_left, self._burst_beats - issued % self._burst_beats)
        if not beats or issued - self._fetch_consumed + beats > self._fetch_depth:
            return False
        if issued >= max(self._burst_beats, self._word_beats) and self._header_done is None:
            return False
        if self._now < self._fetch_next:
            return False
        start, _ = self._dram.read(self._now, beats)
        arrivals = [start + (n + 1) * self._beat_cycles for n in range(beats)]
        self._fetch_arrival.extend(arrivals)
        self._fetch_left -= beats
        self._fetch_next = self._now + REQUEST_CYCLES
        self._wake(self._fetch_next)
        self._wake(arrivals[-1])
        return True

    def _word_ready(self, number: int) -> float | None:
        """Return when the last beat of a word has come, ``None`` if not even asked for."""
        last = (number + 1) * self._word_beats - 1
        return self._fetch_arrival[last] if last < len(self._fetch_arrival) else None

    def _dispatch(self) -> bool:
        """Hand the next instruction to its queue."""
        if self._position > len(self._instructions):
            return False
        arrival = self._word_ready(self._position)
        if arrival is None:
            return False
        ready = max(arrival + FETCH_CYCLES, self._dispatch_next)
        if ready > self._now:
            self._wake(ready)
            return False
        self._fetch_consumed = (self._position + 1) * self._word_beats
        if self._position == 0:
            self._header_done = self._now
        else:
            index = self._position - 1
            queue = self._queues[self._engine[index]]
            if len(queue) >= QUEUE_DEPTH:
                return False
            self._queued[index] = self._now + GATE_CYCLES
            queue.append((index, self._queued[index]))
            self._wake(self._now + GATE_CYCLES)
        self._position += 1
        self._dispatch_next = self._now + self._word_beats + FETCH_CYCLES
        if self._position > len(self._instructions):
            return False
        self._wake(self._dispatch_next)
        return True

    # Tokens

    def _gate(self) -> bool:
        """Let instructions whose tokens are there out of their queues."""
        moved = False
        for engine, queue in self._queues.items():
            if not queue or self._gates[engine] is not None or queue[0][1] > self._now:
                continue
            index = queue[0][0]
            for source in self._waits[index]:
                if not self._tokens[source, engine]:
                    break
            else:
                for source in self._waits[index]:
                    self._tokens[source, engine] -= 1
                queue.popleft()
                self._gates[engine] = (index, self._now)
                self._gated[index] = self._now
                moved = True
        return moved

    def _deliver(self) -> None:
        """Give the tokens of all instructions that are done by now."""
        while self._finish and self._finish[0][0] <= self._now:
            _, index = heapq.heappop(self._finish)
            self._finished += 1
            for target in self._posts[index]:
                self._tokens[self._engine[index], target] += 1

    def _finishes(self, index: int, time: float) -> None:
        self._done[index] = time
        heapq.heappush(self._finish, (time, index))
        self._wake(time)

    # Engines

    def _engines(self) -> bool:
        """Advance every engine by one step."""
        moved = False
        for engine, port in self._ports.items():
            moved = self._accept(engine, port) or moved
            moved = self._request(engine, port) or moved
        return self._calc() or moved

    def _accept(self, engine: Engine, port: _Port) -> bool:
        """Let the next instruction into LOAD or SAVE."""
        gate = self._gates[engine]
        while port.jobs and port.jobs[0] <= self._now:
            port.jobs.popleft()
        if gate is None or port.current is not None or len(port.jobs) >= LOAD_JOBS:
            return False
        index = gate[0]
        self._gates[engine] = None
        self._started[index] = self._now
        bursts = _bursts(self._instructions[index], self._config)
        if self._factor > 1:
            bursts = _merged(bursts, self._factor)
        port.current = _Transfer(index, bursts)
        port.following = next(port.current.bursts)
        values = self._instructions[index].values
        narrow = bool(values.get("weight_bits")) and not values.get("line_beats")
        port.next_request = self._now + LOAD_START + narrow * NARROW_START
        self._wake(port.next_request)
        return True

    def _allowed(self, engine: Engine, port: _Port) -> float:
        """Return when the next burst may be asked for."""
        while port.bursts and port.bursts[0][1] <= self._now:
            port.bursts.popleft()
        if engine == Engine.SAVE:
            full = len(port.bursts) >= SAVE_BURSTS
            return port.bursts[0][1] if full else self._now
        excess = sum(beats for _, _, beats in port.bursts) - LOAD_WINDOW + 1
        for start, _, beats in port.bursts:
            if excess <= 0:
                break
            if excess <= beats:
                return start + excess * self._beat_cycles
            excess -= beats
        return self._now

    def _request(self, engine: Engine, port: _Port) -> bool:
        """Ask for the next burst of LOAD or SAVE."""
        transfer = port.current
        if transfer is None or port.next_request > self._now:
            return False
        allowed = self._allowed(engine, port)
        if allowed > self._now:
            self._wake(allowed)
            return False
        assert port.following is not None
        if engine == Engine.LOAD:
            slowest = write_cycles(self._instructions[transfer.index], self._config)
            start, end = self._dram.read(self._now, port.following, slowest, port.free)
            latency = LOAD_LATENCY + self._config.wire_registers
        else:
            start, end = self._dram.write(
                self._now, port.following, save_start(self._config.wire_registers))
            latency = SAVE_LATENCY
        port.bursts.append((start, end, port.following))
        self._wake(end)
        port.following = next(transfer.bursts, None)
        port.next_request = self._now + REQUEST_CYCLES * self._factor
        self._wake(port.next_request)
        if transfer.first < 0:
            transfer.first = start
        if port.following is None:
            if engine == Engine.LOAD:
                end = port.free = max(end, self._unrolled(transfer, end))
            self._finishes(transfer.index, end + latency)
            port.jobs.append(end)
            port.current = None
        return True

    def _unrolled(self, transfer: _Transfer, end: float) -> float:
        """Return when the last row of kernel taps is made; 0 if rows are copied."""
        instruction = self._instructions[transfer.index]
        cycles = rows_cycles(instruction, self._config)
        if not cycles:
            return 0.0
        values = instruction.values
        lines = min(values["kernel_lines"] - values["lines_above"], values["map_lines"])
        held = transfer.first + lines * values["map_beats"] * self._beat_cycles
        last = cycles / values["row_count"] * values["positions"]
        return max(held + cycles, end + last) + UNROLL_LATENCY

    def _calc(self) -> bool:
        """Start the next CONV or VECTOR."""
        gate = self._gates[Engine.CALC]
        if gate is None:
            return False
        index = gate[0]
        instruction = self._instructions[index]
        kind = (instruction.opcode == Opcode.VECTOR, is_slow(instruction))
        mixed = kind[0] != self._calc_kind[0] or kind[1] or self._calc_kind[1]
        ready = self._calc_next
        self._drains[index] = bool(mixed or instruction.values["fence"])
        if self._drains[index]:
            ready = max(ready, self._drained)
        if ready > self._now:
            self._wake(ready)
            return False
        self._gates[Engine.CALC] = None
        self._started[index] = self._now
        self._calc_kind = kind
        plain = calc_latency(self._config.dual_products, self._config.wire_registers)
        latency = slow_latency(
            self._config.data_bits, self._config.wire_registers) if kind[1] else plain
        end = self._now + CALC_START + group_cycles(instruction, self._config)
        self._calc_next = max(end + CALC_REST, self._now + plain + 1)
        self._drained = end + latency
        self._finishes(index, end - instruction.values["gap"] + latency)
        self._wake(self._calc_next)
        return True
