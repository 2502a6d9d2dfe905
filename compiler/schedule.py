"""The order in which instructions are fetched: loads move up to overlap with computation."""

from collections.abc import Sequence

from arch.isa import Engine
from arch.timing import QUEUE_DEPTH

from .dependencies import Needs
from .ir import Instruction


__all__ = ("hoist_loads",)


def hoist_loads(
    instructions: Sequence[Instruction], needs: Sequence[Needs], ahead: int = QUEUE_DEPTH - 1
) -> list[Instruction]:
    """Move loads up, past instructions that they do not depend on.

    The order within an engine stays, and nothing moves in front of what it needs, so the list
    still means the same. At most ``ahead`` loads stand before an instruction that does not need
    them: more would fill the queue and keep the fetch from the instructions behind.

    Parameters
    ----------
    instructions : sequence of Instruction
        Instructions, in order.
    needs : sequence of Needs
        From :func:`compiler.dependencies.find_needs`.
    ahead : int
        Loads that may stand before their place.
    """
    loads = [n for n, item in enumerate(instructions) if item.engine == Engine.LOAD]
    emitted: list[int] = []
    is_emitted = [False] * len(instructions)
    position = 0
    needed = 0

    def ready(index: int) -> bool:
        return all(is_emitted[last] for last in needs[index].others.values())

    def emit(index: int) -> None:
        emitted.append(index)
        is_emitted[index] = True

    for index, instruction in enumerate(instructions):
        if instruction.engine == Engine.LOAD:
            continue
        last = needs[index].others.get(Engine.LOAD, -1)
        while needed < len(loads) and loads[needed] <= last:
            needed += 1
        while position < len(loads) and (
                position < needed or (position < needed + ahead and ready(loads[position]))):
            emit(loads[position])
            position += 1
        emit(index)
    for index in loads[position:]:
        emit(index)
    return [instructions[index] for index in emitted]
