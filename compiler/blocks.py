"""Convolutions and poolings that take turns, some channel blocks each.

A map that is larger than what is left of feature memory, and that only a pooling reads, need not
go to DRAM and back: a pooling keeps channels apart, so that some blocks of the map can be
computed and pooled before the next ones.
"""

from collections.abc import Sequence
from dataclasses import replace

from .layers import ConvTask, PoolTask, Task


__all__ = ("take_turns",)


def _blocks(first: Task, second: Task, tasks: Sequence[Task], depth: int) -> int:
    """Return how many blocks of a map between two layers fit; none if that makes no sense."""
    if type(first) is not ConvTask or not isinstance(second, PoolTask):
        return 0
    made = first.output
    readers = [task for task in tasks if made.name in (stored.name for stored in task.inputs)]
    if first.groups > 1 or made.home is not None or first.pooling or first.addend:
        return 0
    if readers != [second]:
        return 0
    if second.inputs[0] != made or made.rows <= depth // 2:
        return 0
    room = depth - sum(stored.rows for stored in first.inputs) - second.output.rows
    return max(0, room) // (made.height * made.width)


def _parts(first: ConvTask, second: PoolTask, most: int) -> list[Task]:
    """Return both layers cut into equal parts of at most ``most`` blocks, by turns."""
    made = first.output
    size = -(-made.blocks // -(-made.blocks // most))
    found: list[Task] = []
    for start in range(0, made.blocks, size):
        stop = min(start + size, made.blocks)
        kernels = slice(start * made.lanes, stop * made.lanes)
        part = made.cut(start, stop)
        found.append(replace(
            first, output=part, codes=first.codes[kernels], bias=first.bias[kernels],
            shift=first.shift[kernels], upper=first.upper[kernels]))
        found.append(replace(
            second, inputs=(part,), output=second.output.part(start, stop)))
    return found


def take_turns(tasks: Sequence[Task], depth: int) -> list[Task]:
    """Cut convolutions and the poolings behind them by blocks where maps between them are large.

    Parameters
    ----------
    tasks : sequence of Task
        Layers, in order.
    depth : int
        Rows of feature memory.

    Returns
    -------
    list of Task
        The same layers, some in parts.
    """
    found: list[Task] = []
    number = 0
    while number < len(tasks):
        first, second = tasks[number], tasks[min(number + 1, len(tasks) - 1)]
        most = _blocks(first, second, tasks, depth)
        if 0 < most < first.output.blocks:
            assert isinstance(first, ConvTask)
            assert isinstance(second, PoolTask)
            found += _parts(first, second, most)
            number += 2
        else:
            found.append(first)
            number += 1
    return found
