"""Float tensors on the calibration images, by pieces."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..ranges import batches
from .context import Context
from .pieces import pieces


__all__ = (
    "Piece",
    "Stream",
)


Piece = tuple[slice, NDArray[np.float32]]

_STREAM_SIZE = 1 << 28  # bytes of float tensors held at once


class Stream:
    """Float tensors in the order of the nodes, computed for several nodes at once.

    Of those that are computed together, the first is handed on piece by piece; the others wait
    for their turn.
    """

    def __init__(self, context: Context, names: list[str]) -> None:
        self._context = context
        self._names = names
        self._held: dict[str, list[Piece]] = {}

    def take(self, name: str) -> Iterator[Piece]:
        """Yield images and a tensor there, (n, c, h, w), and forget it."""
        if name in self._held:
            yield from self._held.pop(name)
            return
        context, group = self._context, self._group(name)
        held: dict[str, list[Piece]] = {other: [] for other in group[1:]}
        for images in pieces(context.graph, len(context.calibration), group):
            found = context.reference.tensors(context.calibration[images], group)
            for other, parts in held.items():
                parts.append((images, found[other]))
            yield images, found[name]
        if name in self._names:
            self._held = held

    def look(self, name: str) -> NDArray[np.float32]:
        """Return a whole tensor, (n, c, h, w), and hold it until others are computed."""
        parts = [values for _, values in self.take(name)]
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
        self._held[name] = [(slice(0, len(whole)), whole)]
        return whole

    def _group(self, name: str) -> list[str]:
        """Return ``name`` and as many of the next names as may be held."""
        if name not in self._names:
            return [name]
        graph, count = self._context.graph, len(self._context.calibration)
        following = self._names[self._names.index(name) + 1:]
        group: list[str] = []
        for other in following:
            if next(batches(graph, count, [*group, other], size=_STREAM_SIZE)).stop < count:
                break
            group.append(other)
        return [name, *group]
