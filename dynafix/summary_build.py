"""What ``dynafix build`` shows at its end."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .terminal import Column, Terminal
from .text import grouped


__all__ = ("show_built",)


def show_built(terminal: Terminal, found: Mapping[str, Any], folder: Path) -> None:
    """Print clocks, fill, critical path and the file.

    Parameters
    ----------
    terminal : Terminal
        Where to print.
    found : mapping
        Content of ``build.json``.
    folder : Path
        Folder that holds ``bitstream``.
    """
    from hw.build.devices import RESOURCES

    terminal.blank()
    terminal.table(
        [Column("clock"), Column("Fmax MHz", right=True), Column("asked MHz", right=True),
         Column("")],
        [[clock, f"{fmax:.1f}", f"{found['asked_mhz'][clock]:.1f}",
          "✓ met" if fmax >= found["asked_mhz"][clock] else "✗ not met"]
         for clock, fmax in found["fmax_mhz"].items()])
    terminal.blank()
    terminal.table(
        [Column(found["device"]), Column("used", right=True), Column("there are", right=True),
         Column("fill", right=True)],
        [[RESOURCES[name], grouped(found[name]), grouped(available),
          f"{100 * found[name] / available:.0f} %"]
         for name, available in found["available"].items()])
    terminal.blank()
    if found["critical_path"]:
        terminal.summary("slowest", found["critical_path"]["text"])
    path = folder / "bitstream" / f"{found['board']}-{found['top']}" / found["file"]
    terminal.summary("written", f"{path}, {grouped(found['file_size'])} bytes")
    terminal.summary("flash", found["flash"])
