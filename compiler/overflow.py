"""Proof from the actual weights that no accumulator can overflow."""

from collections.abc import Mapping

import numpy as np

from .errors import CompileError
from .layers import AddTask, ConvTask, MulTask, PoolTask, SlopeTask, TableTask, Task


__all__ = (
    "check_accumulators",
    "worst_bits",
)


def _magnitude(bounds: tuple[int, int]) -> int:
    return max(abs(bounds[0]), abs(bounds[1]))


def _bits(magnitude: int) -> int:
    """Return the width of a signed number that holds ``-magnitude`` and ``magnitude``."""
    return magnitude.bit_length() + 1


def worst_bits(task: Task, bounds: Mapping[str, tuple[int, int]], shifts: tuple[int, ...]) -> int:
    """Return the bits that the largest possible accumulator of a layer needs.

    Every partial sum is bounded too, as ``sum |w| * max |x| + |bias|`` bounds it in any order,
    with what an addend can be.

    Parameters
    ----------
    task : Task
        Layer.
    bounds : mapping from tensor name to (int, int)
        Smallest and largest code of every tensor.
    shifts : tuple of int
        Left shift of each operand of Add or pooling, in bits.
    """
    sizes = [
        _magnitude(bounds[source.name]) for source in task.inputs if not source.constant]
    match task:
        case ConvTask():
            weights = np.array([np.abs(kernel).sum(dtype=np.int64) for kernel in task.codes])
            worst = np.abs(task.bias)
            if task.factors is not None:
                *sizes, size = sizes
                worst = worst + task.factors.sum((1, 2, 3)) * size
            return _bits(int((weights * max(sizes) + worst).max(initial=0)))
        case PoolTask(pool=pool) if pool.kind == "average":
            r, s = pool.window.kernel
            return _bits((r * s * sizes[0]) << shifts[0])
        case MulTask():
            return _bits(sizes[0] * sizes[1])
        case SlopeTask():
            return _bits(max(sizes[0] << shifts[0], sizes[0] * int(np.abs(task.slopes).max())))
        case TableTask():
            return _bits((int(np.abs(task.entries).max()) << shifts[0]) * 2)
        case AddTask():
            return _bits(sum(size << shift for size, shift in zip(sizes, shifts, strict=True)))
    return _bits(sizes[0] << shifts[0])


def check_accumulators(
    task: Task, bounds: Mapping[str, tuple[int, int]], shifts: tuple[int, ...], acc_bits: int
) -> int:
    """Return :func:`worst_bits`; ``CompileError`` if an accumulator could overflow."""
    bits = worst_bits(task, bounds, shifts)
    if bits > acc_bits:
        raise CompileError(
            f"Layer '{task.name}': an accumulator can need {bits} bits, the config has "
            f"{acc_bits} (acc_bits); use fewer data or weight bits for this layer")
    return bits
