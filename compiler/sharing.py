"""Two narrow weights in one multiplier: which of a layer can share it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arch.config import AcceleratorConfig
from arch.isa import Products

from .layers import ConvTask, JoinTask, Rect
from .transposed import TransposedTask


__all__ = (
    "SEPARATE",
    "Sharing",
    "pair_taps",
    "sharings",
    "tap_pairs",
    "tap_warm",
    "turns",
)


_PAIR_BITS = 4
"""Most bits of a weight that shares a multiplier."""


@dataclass(frozen=True)
class Sharing:
    """What two weights share a multiplier in a layer.

    Parameters
    ----------
    blocks : bool
        Those of two output blocks, where there are two.
    taps : bool
        Elsewhere those of two neighbouring columns of the kernel.
    """

    blocks: bool = False
    taps: bool = False


SEPARATE = Sharing()
"""A multiplier for every weight."""


def tap_pairs(columns: tuple[int, int]) -> list[tuple[int, int | None]]:
    """Return the kernel columns that share passes: that of a step, and that of the step before.

    The distance from pair to pair is constant. The three columns of the usual kernel are paired
    such that with padding on the left nothing comes before the first step.

    Examples
    --------
    >>> tap_pairs((0, 3)), tap_pairs((0, 4)), tap_pairs((0, 5))
    ([(1, 0), (2, None)], [(1, 0), (3, 2)], [(0, None), (2, 1), (4, 3)])
    """
    start, stop = columns
    if stop - start == 3:
        return [(start + 1, start), (start + 2, None)]
    first = start + 1 - (stop - start) % 2
    return [(now, now - 1 if now > start else None) for now in range(first, stop, 2)]


def turns(blocks: int, sharing: Sharing) -> Iterator[tuple[int, Products]]:
    """Yield the output blocks, or the first of two, and what their products belong to."""
    alone = Products.TAPS if sharing.taps else Products.ONE
    together = blocks // 2 * 2 if sharing.blocks else 0
    for block in range(0, together, 2):
        yield block, Products.BLOCKS
    for block in range(together, blocks):
        yield block, alone


def pair_taps(tiles: NDArray[Any], columns: tuple[int, int]) -> NDArray[Any]:
    """Return the tiles of kernel columns as pairs: that of a step, and that of the step before.

    Parameters
    ----------
    tiles : (words, r, s, out_lanes, in_lanes)
        Tiles of the columns.
    columns : (int, int)
        Range of the columns.

    Returns
    -------
    (words, r, passes, out_lanes, in_lanes, 2)
        Pairs, with zeros where there is no second.
    """
    start = columns[0]
    paired = np.zeros((*tiles.shape[:2], len(tap_pairs(columns)), *tiles.shape[3:], 2), tiles.dtype)
    for number, pair in enumerate(tap_pairs(columns)):
        for place, column in enumerate(pair):
            if column is not None:
                paired[:, :, number, ..., place] = tiles[:, :, column - start]
    return paired


def tap_warm(task: ConvTask, rect: Rect, columns: tuple[int, int]) -> int:
    """Return the steps of a line before its first result, where two taps share a pass.

    None is needed if what they would read is padding for every pair.
    """
    before = [column for _, column in tap_pairs(columns) if column is not None]
    return int(bool(before) and rect.x0 - task.window.pads[1] + max(before) >= 0)


def sharings(task: ConvTask, config: AcceleratorConfig) -> list[Sharing]:
    """Return the ways in which the weights of a layer can share multipliers, none first."""
    found = [SEPARATE]
    if (not config.dual_products or task.bits > _PAIR_BITS or isinstance(
            task, JoinTask | TransposedTask)):
        return found
    window = task.window
    taps = window.kernel[1] > 1 and window.strides[1] == window.dilations[1] == 1
    blocks = 1 if task.pooling else task.output.blocks  # the pooling takes a result in a step
    if taps:
        found.append(Sharing(taps=True))
    if blocks > 1:
        found.append(Sharing(blocks=True))
    if taps and blocks > 1 and blocks % 2:
        found.append(Sharing(blocks=True, taps=True))
    return found
