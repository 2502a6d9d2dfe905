"""Where a rectangle of a map lies in feature memory."""

from dataclasses import dataclass

from .ir import Space, Span
from .layers import Rect, StoredMap


__all__ = ("Buffer",)


@dataclass(frozen=True)
class Buffer:
    """Rows of feature memory that hold a rectangle of a map, or of some of its blocks.

    Parameters
    ----------
    base : int
        First row.
    rect : Rect
        Positions held.
    block0, blocks : int
        Channel blocks held.
    """

    base: int
    rect: Rect
    block0: int
    blocks: int

    @classmethod
    def whole(cls, stored: StoredMap, base: int) -> "Buffer":
        """Return the buffer of a whole map."""
        return cls(base, stored.rect, 0, stored.blocks)

    @property
    def rows(self) -> int:
        """Rows taken."""
        return self.rect.size * self.blocks

    @property
    def pitch(self) -> int:
        """Rows from line to line."""
        return self.rect.columns * self.blocks

    def row(self, y: int, x: int, block: int | None = None) -> int:
        """Return the row of a position and block; the position may lie outside."""
        position = (y - self.rect.y0) * self.rect.columns + x - self.rect.x0
        offset = 0 if block is None else block - self.block0
        return self.base + position * self.blocks + offset

    def span(self, rect: Rect) -> Span:
        """Return all rows between the first and the last position of a rectangle."""
        stop = self.row(rect.y1 - 1, rect.x1 - 1) + self.blocks
        return Span(Space.FEATURE, self.row(rect.y0, rect.x0), stop)

    def contiguous(self, rect: Rect) -> bool:
        """Return whether the rows of a rectangle follow each other without a hole."""
        return rect.lines == 1 or rect.columns == self.rect.columns
