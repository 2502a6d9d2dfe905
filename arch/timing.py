"""Cycle counts that the hardware guarantees and the compiler relies on."""

__all__ = (
    "CALC_LATENCY",
    "CALC_START",
    "DIVIDE_GROUP",
    "FENCE_CYCLES",
    "FETCH_CYCLES",
    "LOAD_START",
    "MIN_GROUP",
    "PROGRAM_START",
    "QUEUE_DEPTH",
    "READ_LATENCY",
    "SAVE_LATENCY",
    "SAVE_LINE",
    "SAVE_START",
    "TOKEN_COUNT",
)


# Rules that a program must keep.

MIN_GROUP = 8
"""Fewest cycles of one pass of a CONV, gap included: an accumulator comes back that late."""

DIVIDE_GROUP = 20
"""Fewest cycles of one window of a VECTOR that divides, gap included."""

QUEUE_DEPTH = 8
"""Instructions that wait in front of each engine."""

TOKEN_COUNT = 255
"""Most tokens that a counter holds."""


# Durations, for the cycle model.

PROGRAM_START = 4
"""Cycles from start to the first request of the fetch."""

FETCH_CYCLES = 1
"""Cycles that the fetch needs to hand one instruction to a queue."""

LOAD_START = 2
"""Cycles from the start of a LOAD to its first request."""

READ_LATENCY = 3
"""Cycles that the accelerator adds to the latency of the DRAM before a row is written."""

CALC_START = 1
"""Cycles from the start of a CONV or VECTOR to its first step."""

CALC_LATENCY = 16
"""Cycles from the last step of a CONV or VECTOR until its results are visible."""

FENCE_CYCLES = 1
"""Cycles from the last visible result to the start of an instruction with a fence."""

SAVE_START = 2
"""Cycles from the start of a SAVE to its first beat."""

SAVE_LINE = 3
"""Cycles between the lines of a SAVE in which no beat is sent."""

SAVE_LATENCY = 4
"""Cycles that the accelerator adds to the latency of the DRAM after the last beat of a SAVE."""
