"""When CONVs read and write the rows of feature memory, at the latest and at the earliest."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from arch.config import AcceleratorConfig
from arch.isa import LEVELS, Opcode, Products, conv_results, conv_rows, group_steps, is_pooled
from arch.timing import CALC_REST, CALC_START, result_steps

from .ir import Instruction
from .machine import group_cycles


__all__ = ("CalcClock",)


_NEVER = np.iinfo(np.int64).max


def _walk(values: Mapping[str, int], axis: str) -> NDArray[np.int64]:
    """Return a coordinate of every step of the loops, in order."""
    found = np.array([values[axis]])
    inside = 0
    for level in range(LEVELS):
        count = values[f"count_{level}"]
        step = values[f"{axis}_{level}"] + inside
        found = (np.arange(count)[:, None] * step + found).ravel()
        inside += (count - 1) * step
    return found


class CalcClock:
    """Follows the CALC instructions of a program as if none ever waited.

    An instruction that waits moves all that follow it, never what came before it. So a row that
    has been written in time here always has.

    Parameters
    ----------
    config : AcceleratorConfig
        Accelerator.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        self._result_steps = result_steps(config.wire_registers)
        self._now = 0
        self._written = np.zeros(config.feature_depth, np.int64)
        self._last = 0

    def in_time(self, instruction: Instruction) -> bool:
        """Return whether all that the next instruction reads has been written without a fence."""
        values = instruction.values
        if instruction.opcode != Opcode.CONV:
            return False
        start = self._now + CALC_START
        if start >= self._last:
            return True
        y, x = _walk(values, "y"), _walk(values, "x")
        inside = (y >= 0) & (y < values["height"]) & (x >= 0) & (x < values["width"])
        (index,) = np.nonzero(inside)
        words = _walk(values, "word")[index] % self._config.feature_words
        walked = values["count_0"] * values["count_1"]
        steps = index + index // walked * (group_steps(values) - walked + values["gap"])
        return bool(np.all(
            self._written[words // self._config.words_per_row] <= start + steps))

    def run(self, instruction: Instruction) -> None:
        """Go on to the next instruction."""
        values = instruction.values
        if values["fence"]:
            self._written.fill(0)
            self._last = 0
        stop = self._now + CALC_START + group_cycles(instruction, self._config) - values["gap"]
        self._now = stop + CALC_REST
        if instruction.opcode != Opcode.CONV:
            groups = values["count_2"] * values["count_3"] * values["count_4"]
            self._written[values["row"] + np.arange(groups) * values["row_step"]] = _NEVER
            self._last = _NEVER
        elif values["finish"] and (is_pooled(values) or values["products"] == Products.BLOCKS):
            # Rows come a step later, each at some time before the last.
            self._last = max(self._last, stop + self._result_steps + 1)
            rows = values["row"] + np.arange(conv_rows(values)) * values["row_step"]
            self._written[rows] = stop + self._result_steps + 1
            if values["products"] == Products.BLOCKS:
                self._written[rows + 1] = stop + self._result_steps + 1
        elif values["finish"]:
            index = np.arange(conv_results(values))
            times = stop + self._result_steps - index[::-1]
            self._written[values["row"] + index * values["row_step"]] = times
            self._last = max(self._last, stop + self._result_steps)
