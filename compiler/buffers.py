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
    step : int
        Rows from position to position; as many as blocks unless the map is part of another.
    """

    base: int
    rect: Rect
    block0: int
    blocks: int
    step: int

    @classmethod
    def whole(cls, stored: StoredMap, base: int) -> "Buffer":
        """Return the buffer of a whole map; ``base`` is the first row of its place."""
        return cls(base + stored.block0, stored.rect, 0, stored.blocks, stored.place.blocks)

    @classmethod
    def tile(cls, base: int, rect: Rect, block0: int, blocks: int) -> "Buffer":
        """Return a buffer that holds nothing but a rectangle of some blocks."""
        return cls(base, rect, block0, blocks, blocks)

    @property
    def pitch(self) -> int:
        """Rows from line to line."""
        return self.rect.columns * self.step

    @property
    def runs(self) -> list[range]:
        """Blocks that one instruction can write row after row: all of them, or each alone."""
        if self.step == self.blocks:
            return [range(self.blocks)]
        return [range(block, block + 1) for block in range(self.blocks)]

    def written(self, rect: Rect, blocks: range) -> Span:
        """Return the rows of a rectangle of one of the :attr:`runs`."""
        row = self.row(rect.y0, rect.x0, blocks.start)
        if len(blocks) == self.step:
            return Span(Space.FEATURE, row, row + rect.size * self.step)
        return Span(Space.FEATURE, row, row + (rect.size - 1) * self.step + 1, self.step)

    def row(self, y: int, x: int, block: int | None = None) -> int:
        """Return the row of a position and block; the position may lie outside."""
        position = (y - self.rect.y0) * self.rect.columns + x - self.rect.x0
        offset = 0 if block is None else block - self.block0
        return self.base + position * self.step + offset

    def span(self, rect: Rect) -> Span:
        """Return all rows between the first and the last position of a rectangle."""
        stop = self.row(rect.y1 - 1, rect.x1 - 1) + self.blocks
        return Span(Space.FEATURE, self.row(rect.y0, rect.x0), stop)

    def block_span(self, rect: Rect, block: int) -> Span:
        """Return the rows of one block between the first and the last position of a rectangle."""
        stop = self.row(rect.y1 - 1, rect.x1 - 1, block) + 1
        return Span(Space.FEATURE, self.row(rect.y0, rect.x0, block), stop, self.step)

    def contiguous(self, rect: Rect) -> bool:
        """Return whether the positions of a rectangle follow each other without a hole."""
        return rect.lines == 1 or rect.columns == self.rect.columns
