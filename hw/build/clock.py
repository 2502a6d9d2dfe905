"""Boards with a clock for the design."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from .boards import Board


__all__ = (
    "Clocked",
    "clocked_board",
)


@dataclass(frozen=True)
class Clocked:
    """A board with a clock chosen for the design.

    Parameters
    ----------
    board : Board
        The board.
    pll : Pll or None
        Setting of its PLL; ``None`` for the oscillator itself.
    """

    board: Board
    pll: Any

    @property
    def frequency(self) -> Fraction:
        """Clock of the design, in MHz."""
        return self.board.source if self.pll is None else self.pll.output


def clocked_board(
    board: Board, asked: Fraction | None = None, *, lead: Fraction | None = None
) -> Clocked:
    """Choose the clock: the fastest that the board can make that is not above ``asked`` MHz.

    Parameters
    ----------
    board : Board
        The board.
    asked : Fraction, optional
        In MHz; that of the board's table by default.
    lead : Fraction, optional
        Nanoseconds by which the clock of a memory is ahead; without it there is no such clock.

    Raises
    ------
    BuildError
        If there is none.
    """
    asked = board.usual if asked is None else asked
    if asked == board.source and lead is None:
        return Clocked(board, None)
    rules = board.device.pll
    pll = rules.choose(board.source, asked)
    return Clocked(board, pll if lead is None else rules.leading(pll, lead))
