"""Cycle counts that the hardware guarantees and the compiler relies on."""

__all__ = (
    "CALC_LATENCY",
    "CALC_REST",
    "CALC_START",
    "FETCH_CYCLES",
    "GATE_CYCLES",
    "IN_ORDER_BURST",
    "IN_ORDER_CALC",
    "IN_ORDER_END",
    "IN_ORDER_FETCH",
    "IN_ORDER_LINE",
    "IN_ORDER_LOAD",
    "IN_ORDER_ROW",
    "IN_ORDER_SAVE",
    "IN_ORDER_START",
    "LOAD_JOBS",
    "LOAD_LATENCY",
    "LOAD_START",
    "LOAD_WINDOW",
    "MIN_GROUP",
    "NARROW_START",
    "POOL_LINE",
    "PROGRAM_END",
    "PROGRAM_START",
    "QUEUE_DEPTH",
    "REQUEST_CYCLES",
    "SAVE_BURSTS",
    "SAVE_LATENCY",
    "TOKEN_COUNT",
    "UNROLL_LATENCY",
    "WIRE_STEPS",
    "calc_drain",
    "calc_latency",
    "divide_group",
    "pass_gap",
    "quotient_bits",
    "result_steps",
    "save_start",
    "slow_drain",
    "slow_latency",
    "tree_depth",
)


# Rules that a program must keep.

MIN_GROUP = 4
"""Fewest cycles of one pass of a CONV, gap included: an accumulator comes back that late.

A pass of a single cycle may follow its like at once: their sums are forwarded.
"""

POOL_LINE = 4
"""Fewest results in a line of a CONV that is pooled: a row of the line buffer comes back that
late."""

QUEUE_DEPTH = 8
"""Instructions that wait in front of each engine."""

TOKEN_COUNT = 255
"""Most tokens that a counter holds."""


def result_steps(wire_registers: bool) -> int:
    """Return the cycles after the step that completes a result of a CONV until a step may read it.

    Parameters
    ----------
    wire_registers : bool
        As of :class:`arch.config.AcceleratorConfig`; here and below.
    """
    return 24 + WIRE_STEPS * wire_registers


def pass_gap(cycles: int) -> int:
    """Return the idle cycles that must follow each pass of ``cycles`` steps of a CONV."""
    return 0 if cycles == 1 else max(0, MIN_GROUP - cycles)


# Durations, for the cycle model.

WIRE_STEPS = 3
"""Cycles that results of CALC come later with wire registers: two on the way to feature memory, one
in the array. Rows that CALC writes take those two as well; LOAD and SAVE have the second only."""

PROGRAM_START = 5
"""Cycles from the start until the memory sees the first request of the fetch."""

PROGRAM_END = 4
"""Cycles from the end of the last instruction to the interrupt."""

FETCH_CYCLES = 2
"""Cycles that the fetch needs for an instruction besides one for each beat."""

GATE_CYCLES = 3
"""Cycles from the fetch through queue and token gate to an engine that waits."""

LOAD_START = 3
"""Cycles from an instruction's entry into LOAD or SAVE to its first request."""

NARROW_START = 1
"""Cycles more for a LOAD of narrow weights."""

REQUEST_CYCLES = 2
"""Cycles from one request of an engine to its next."""

LOAD_LATENCY = 4
"""Cycles from the last beat on the bus until a LOAD has given its tokens; with wire registers, one
more."""

UNROLL_LATENCY = 7
"""Cycles more for a LOAD of kernel taps, besides those in which it makes them."""

LOAD_JOBS = 4
"""Instructions whose beats LOAD awaits at the same time; SAVE too."""

LOAD_WINDOW = 128
"""Beats on their way at which LOAD asks for nothing more."""

CALC_REST = 1
"""Cycles between the last step of a CONV or VECTOR and the next being accepted."""

CALC_START = 2
"""Cycles from a CONV or VECTOR being accepted to its first step."""

CALC_LATENCY = 18
"""Cycles from the last step of a CONV or VECTOR until its results are visible; also the fewest
cycles from one instruction to the next."""

SAVE_LATENCY = 4
"""Cycles from the last response of a SAVE until it has given its tokens."""

SAVE_BURSTS = 16
"""Bursts of SAVE that await their response at the same time."""


# One instruction after the other (`in_order`).

IN_ORDER_START = 3
"""Cycles from the start until the memory sees the request of the header."""

IN_ORDER_FETCH = 1
"""Cycles from the cycle after the last beat of an instruction to its dispatch."""

IN_ORDER_END = 1
"""Cycles from the cycle after the last beat of END to the interrupt."""

IN_ORDER_LINE = 3
"""Cycles from the dispatch of a LOAD or SAVE, or the end of one of its lines, to a request."""

IN_ORDER_BURST = 2
"""Cycles from the end of a burst to the request of the next one of the line."""

IN_ORDER_LOAD = 3
"""Cycles from the cycle after the last beat of a LOAD to the next instruction's request."""

IN_ORDER_ROW = 5
"""Cycles in which a SAVE reads and sends the first beat of a row."""

IN_ORDER_SAVE = 2
"""Cycles from the cycle after the last response of a SAVE to the next instruction's request."""

IN_ORDER_CALC = 2
"""Cycles from the dispatch of a CONV or VECTOR to its first step."""


def tree_depth(terms: int) -> int:
    """Return the register stages of a tree that adds four terms a stage."""
    depth = 0
    while terms > 1:
        terms = -(-terms // 4)
        depth += 1
    return depth


def calc_drain(in_lanes: int) -> int:
    """Return the cycles from the last step of a CONV or VECTOR to the next one's request."""
    return 16 + tree_depth(in_lanes)


def slow_drain(data_bits: int) -> int:
    """Return what :func:`calc_drain` is for a VECTOR that divides or looks up a table."""
    return quotient_bits(data_bits) + 19


def calc_latency(dual_products: bool, wire_registers: bool) -> int:
    """Return :data:`CALC_LATENCY` for a config: a cycle more for two products of a multiplier.

    With wire registers another one besides :data:`WIRE_STEPS`, for the write that a SAVE awaits.
    """
    return CALC_LATENCY + dual_products + (WIRE_STEPS + 1) * wire_registers


def save_start(wire_registers: bool) -> int:
    """Return the cycles from a SAVE's first request to its first beat."""
    return 8 + wire_registers


def quotient_bits(data_bits: int) -> int:
    """Return the bits of a quotient's magnitude: a mean shifted left by up to 4, times 4.

    The divider gives one in each cycle. Two more than that are spare.
    """
    return data_bits + 8


def divide_group(data_bits: int) -> int:
    """Return the fewest cycles of one window of a VECTOR that divides, gap included."""
    return quotient_bits(data_bits) + 4


def slow_latency(data_bits: int, wire_registers: bool) -> int:
    """Return what :func:`calc_latency` is for a VECTOR that divides or looks up a table."""
    return quotient_bits(data_bits) + 19 + WIRE_STEPS * wire_registers
