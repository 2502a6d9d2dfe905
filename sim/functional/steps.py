"""The positions that a CALC instruction reads, step by step."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arch.isa import LEVELS


__all__ = (
    "Steps",
    "steps_of",
)


@dataclass(frozen=True)
class Steps:
    """Steps of a CALC instruction by group and step in the group, (groups, steps)."""

    word: NDArray[np.int64]
    y: NDArray[np.int64]
    x: NDArray[np.int64]
    inside: NDArray[np.bool_]


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


def _axis(fields: dict[str, int], axis: str, levels: range) -> NDArray[np.int64]:
    """Return what some loops add to a position, outermost loop slowest."""
    coefficients = _ramp(fields, axis)
    total = np.zeros(1, np.int64)
    for level in reversed(levels):
        steps = np.arange(fields[f"count_{level}"], dtype=np.int64) * coefficients[level]
        total = (total[:, None] + steps[None, :]).ravel()
    return total


def steps_of(fields: dict[str, int], first: int, stop: int) -> Steps:
    """Return the steps of the groups from ``first`` up to ``stop``."""
    word, y, x = (
        fields[axis] + _axis(fields, axis, range(2, LEVELS))[first:stop, None]
        + _axis(fields, axis, range(2))[None, :] for axis in ("word", "y", "x"))
    inside = (y >= 0) & (y < fields["height"]) & (x >= 0) & (x < fields["width"])
    return Steps(word, y, x, inside)
