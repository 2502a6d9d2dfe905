"""The terminal: bars, lines, tables that never wrap."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from .steps import Steps


__all__ = (
    "Column",
    "Terminal",
)


STEP_WIDTH = 10
UNLIMITED = 1000


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    title : str
        Header.
    right : bool
        Whether cells are aligned to the right.
    most : int or None
        Most cells wide; longer values are cut with an ellipsis.
    """

    title: str
    right: bool = False
    most: int | None = None


def _styled(cell: str) -> Text:
    if cell.startswith("✓"):
        return Text(cell, style="green")
    if cell.startswith("✗"):
        return Text(cell, style="bold red")
    return Text(cell)


class Terminal(Steps):
    """Print the steps of a run.

    On a terminal there are bars and colors, and tables drop the columns that do not fit. Elsewhere
    there is one plain line a step and every table is complete.

    Parameters
    ----------
    file : text file or None
        Where to print; standard output by default.
    quiet : bool
        Whether steps are silent; tables and summaries are printed all the same when asked for.
    width : int or None
        Columns; those of the terminal by default.
    terminal : bool or None
        Whether ``file`` is a terminal; found out by default.
    """

    def __init__(self, file: TextIO | None = None, *, quiet: bool = False,
                 width: int | None = None, terminal: bool | None = None):
        self._file = file or sys.stdout
        self.quiet = quiet
        self.is_terminal = self._file.isatty() if terminal is None else terminal
        if hasattr(self._file, "reconfigure"):
            self._file.reconfigure(errors="replace")
        self.console = Console(
            file=self._file, highlight=False, soft_wrap=False, force_terminal=self.is_terminal,
            color_system="auto" if self.is_terminal else None,
            width=width or (None if self.is_terminal else UNLIMITED))
        self._bar: Progress | None = None
        self._step = ""

    def __enter__(self) -> "Terminal":
        """Return itself."""
        return self

    def __exit__(self, *exception: Any) -> None:
        """Stop a bar that is still running."""
        self._stop()

    def line(self, step: str, text: str) -> None:
        """Print the outcome of a step; long text folds under itself."""
        if not self.quiet:
            self._stop()
            self.summary(step, text)

    def summary(self, step: str, text: str) -> None:
        """Print a line even when quiet."""
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=STEP_WIDTH)
        grid.add_column(overflow="fold")
        grid.add_row(Text(step, style="bold"), Text(text))
        self._print(grid)

    def progress(self, step: str, done: int, total: int, unit: str = "", note: str = "") -> None:
        """Draw the bar of a step; without a terminal, print one line when it is done."""
        if self.quiet:
            return
        text = f"{done}/{total} {unit}" + (f"   {note}" if note else "")
        if not self.is_terminal:
            if done >= total:
                self.line(step, text)
            return
        if self._bar is None or self._step != step:
            self._start(step)
        self._bar.update(self._bar.task_ids[0], completed=done, total=max(total, 1), text=text)
        if done >= total:
            self._stop()

    @contextlib.contextmanager
    def busy(self, step: str, text: str) -> Iterator[Callable[[str], None]]:
        """Draw a pulsing bar during the context; without a terminal, print nothing."""
        if self.quiet or not self.is_terminal:
            yield lambda text: None
            return
        self._start(step)
        bar = self._bar

        def tell(text: str) -> None:
            bar.update(bar.task_ids[0], total=None, text=text)

        tell(text)
        try:
            yield tell
        finally:
            self._stop(keep=False)

    def blank(self) -> None:
        """Print an empty line."""
        self.console.print()

    def note(self, text: str) -> None:
        """Print a remark on what stands above."""
        self._print(Text(text, style="dim"))

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]], *,
              total: Sequence[str] | None = None) -> None:
        """Print a table without wrapping; columns that do not fit are dropped from the right.

        Parameters
        ----------
        columns : sequence of Column
            Headers and alignment.
        rows : sequence of sequences of str
            One cell a column.
        total : sequence of str or None
            A last row, set off.
        """
        shown = len(columns)
        table = self._table(columns, rows, total)
        while shown > 1 and self._width(table) > self.console.width:
            shown -= 1
            table = self._table(columns[:shown], rows, total)
        self._print(table)
        if shown < len(columns):
            dropped = ", ".join(column.title for column in columns[shown:])
            self._print(Text(f"not shown at {self.console.width} columns: {dropped}", style="dim"))

    def _width(self, table: Table) -> int:
        wide = self.console.options.update(width=10 * UNLIMITED)
        return Measurement.get(self.console, wide, table).maximum + 1

    def _table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]],
               total: Sequence[str] | None) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold",
                      show_header=any(column.title for column in columns))
        for column in columns:
            table.add_column(
                column.title, justify="right" if column.right else "left", no_wrap=True,
                overflow="ellipsis", max_width=column.most)
        for row in rows:
            table.add_row(*map(_styled, row[:len(columns)]))
        if total is not None:
            table.add_row(*map(_styled, total[:len(columns)]), style="bold")
        return table

    def _print(self, item: Any) -> None:
        margin = Table.grid(padding=0)
        margin.add_column(width=1)
        margin.add_column()
        margin.add_row("", item)
        with self.console.capture() as capture:
            self.console.print(margin)
        for line in capture.get().splitlines():
            self.console.file.write(line.rstrip() + "\n")
        self.console.file.flush()

    def _start(self, step: str) -> None:
        self._stop()
        self._bar = Progress(
            TextColumn(f" [bold]{step:<{STEP_WIDTH}}"), BarColumn(28),
            TextColumn("{task.fields[text]}"), console=self.console)
        self._bar.add_task(step, text="")
        self._step = step
        self._bar.start()

    def _stop(self, *, keep: bool = True) -> None:
        """End the bar; one that is not kept is wiped out."""
        if self._bar is not None:
            self._bar.live.transient = not keep
            self._bar.stop()
            self._bar = None
        self._step = ""
