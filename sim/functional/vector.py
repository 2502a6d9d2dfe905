"""VECTOR: rows combined one with another, looked up, and requantized."""

import numpy as np
from numpy.typing import NDArray

from arch.formats import shift_round
from arch.isa import VectorOp

from ..errors import SimulationError
from .state import CHUNK, State
from .steps import Steps, steps_of


__all__ = ("combine",)


def combine(state: State, fields: dict[str, int]) -> None:
    """Run a VECTOR."""
    groups = fields["count_2"] * fields["count_3"] * fields["count_4"]
    size = fields["count_0"] * fields["count_1"] * state.config.out_lanes
    chunk = max(1, CHUNK // size)
    results = []
    for first in range(0, groups, chunk):
        results.append(_groups(state, fields, steps_of(fields, first, first + chunk)))
    codes = np.concatenate(results)
    state.write(fields["row"] + np.arange(groups) * fields["row_step"], codes)


def _groups(state: State, fields: dict[str, int], at: Steps) -> NDArray[np.int64]:
    """Return the results of some groups of a VECTOR, (groups, out_lanes)."""
    per_row = state.config.words_per_row
    if np.any(at.word % per_row):
        raise SimulationError(f"VECTOR must read whole rows: {fields}")
    rows = state.feature[at.word // per_row % len(state.feature)]
    if fields["op"] == VectorOp.TABLE:
        acc = _looked_up(state, fields, rows)
    elif fields["op"] in (VectorOp.PRODUCT, VectorOp.PRELU) or fields["hold"]:
        acc = _elementwise(state, fields, rows)
    else:
        acc = _combined(state, fields, rows, at.inside[:, :, None])
    shift = fields["shift"]
    if fields["divide"]:
        counted = (
            (at.inside | bool(fields["count_pad"])) & (at.y < fields["count_height"])
            & (at.x < fields["count_width"]))
        count = counted.sum(axis=1)[:, None]
        quotient, rest = np.divmod(4 * np.abs(acc), count)
        acc = np.sign(acc) * (quotient | (rest != 0))
        shift += 2
    rounded = shift_round(acc, shift, state.config.rounding)
    return np.clip(rounded, fields["lo"], fields["hi"])


def _combined(
    state: State, fields: dict[str, int], rows: NDArray[np.uint8], inside: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return maximum or sum of the rows of each group."""
    codes = np.empty((*rows.shape[:2], state.config.out_lanes), np.int64)
    codes[:, 0::2] = state.codes(rows[:, 0::2], fields["signed"])
    codes[:, 1::2] = state.codes(rows[:, 1::2], fields["signed_b"])
    codes[:, 0::2] <<= fields["shift_a"]
    codes[:, 1::2] <<= fields["shift_b"]
    if fields["op"] == VectorOp.MAX:
        return np.asarray(np.where(inside, codes, np.iinfo(np.int64).min).max(axis=1))
    return np.asarray(np.where(inside, codes, 0).sum(axis=1))


def _elementwise(
    state: State, fields: dict[str, int], rows: NDArray[np.uint8]
) -> NDArray[np.int64]:
    """Return sum or product of two operands, or the first one with a slope."""
    if rows.shape[1] != (1 if fields["hold"] else 2):
        raise SimulationError(f"A group of VECTOR must be one element: {fields}")
    a = state.codes(rows[:, 0], fields["signed"]).astype(np.int64)
    other = rows[:, -1]
    if fields["hold"]:
        if fields["word_b"] % state.config.words_per_row:
            raise SimulationError(f"VECTOR must read whole rows: {fields}")
        other = state.feature[fields["word_b"] // state.config.words_per_row]
    b = state.codes(other, fields["signed_b"]).astype(np.int64)
    match VectorOp(fields["op"]):
        case VectorOp.SUM:
            return (a << fields["shift_a"]) + (b << fields["shift_b"])
        case VectorOp.PRODUCT:
            return a * b
        case VectorOp.PRELU:
            return np.where(a < 0, a * b, a << fields["shift_a"])
    raise SimulationError(f"A maximum cannot hold an operand: {fields}")


def _looked_up(
    state: State, fields: dict[str, int], rows: NDArray[np.uint8]
) -> NDArray[np.int64]:
    """Return what a table gives for the row of each group."""
    config = state.config
    if not config.table_lanes or rows.shape[1] != config.table_steps:
        raise SimulationError(f"A group of VECTOR must be the steps of a table: {fields}")
    if np.any(rows != rows[:, :1]):
        raise SimulationError(f"All steps of a group must read one row: {fields}")
    entries = state.table[fields["table"]].view(f"<i{config.table_entry_size}").astype(np.int64)
    codes = state.codes(rows[:, 0], 0).astype(np.int64)
    index, low = codes >> fields["shift_b"] & 0xFF, codes & 0xFF
    if config.data_bits == 8:
        return entries[index] << fields["shift_a"]
    base, slope = entries[0::2], entries[1::2]
    return (base[index] << fields["shift_a"]) + slope[index] * low
