"""Bitstreams of a network as the report shows them: fill, clocks, critical path."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .tables import Cell, Column, Table
from .text import UNIT_SPACE, count, number, percent, plain, real, size


__all__ = (
    "Bitstream",
    "answer",
    "bitstreams",
)


RESOURCES = {
    "lut4": "LUT4", "ff": "flip-flops", "block_ram": "block RAM", "multipliers": "multipliers",
    "large_ram": "large RAM",
}
FULL = 0.95
"""Part of a resource from which placement becomes hard."""


@dataclass(frozen=True)
class Bitstream:
    """One board.

    Parameters
    ----------
    title, facts : str
        Board; device, grade and what stands around the accelerator.
    clocks : Table
        Highest frequencies beside those asked.
    fill : Table
        Resources.
    path : str
        Critical path in words, or empty.
    file : str
        File and size.
    """

    title: str
    facts: str
    clocks: Table
    fill: Table
    path: str
    file: str


def bitstreams(results: Mapping[str, Any]) -> list[Bitstream]:
    """Return the boards that files were made for."""
    return [_bitstream(build) for build in results.get("builds") or []]


def answer(results: Mapping[str, Any]) -> str:
    """Answer *Does it fit a board?*."""
    sentences = []
    for build in results.get("builds") or []:
        clocks = _clocks(build)
        fullest, share = max(_shares(build).items(), key=lambda each: each[1],
                             default=("", None))
        parts = [f"{number(fmax, 1)}{UNIT_SPACE}MHz of the {number(asked, 1)} asked"
                 + ("" if fmax >= asked else ", which is too slow")
                 for _, fmax, asked in clocks]
        if share is not None:
            parts.append(f"{percent(share, 0)} of the {RESOURCES[fullest]}")
        sentences.append(f"{plain(build.get('board_title'), 60)}: {'; '.join(parts)}.")
    return " ".join(sentences)


def _bitstream(build: Mapping[str, Any]) -> Bitstream:
    title = plain(build.get("board_title"), 60)
    path = (build.get("critical_path") or {}).get("text")
    facts = [plain(build.get(key), 60) for key in ("device", "grade", "top")]
    seeds = len(build.get("seeds") or [])
    if seeds > 1:
        facts.append(f"best of {seeds} placements")
    return Bitstream(
        title=title, facts=", ".join(facts), clocks=_clock_table(build, title),
        fill=_fill_table(build, title), path=plain(path, 400) if path else "",
        file=f"{plain(build.get('file'), 80)}, {size(real(build.get('file_size')))}")


def _clocks(build: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    asked = build.get("asked_mhz") or {}
    return [(plain(clock, 60), float(fmax), float(asked.get(clock) or 0))
            for clock, fmax in (build.get("fmax_mhz") or {}).items() if real(fmax)]


def _shares(build: Mapping[str, Any]) -> dict[str, float]:
    available = build.get("available") or {}
    return {name: float(build[name]) / float(available[name]) for name in RESOURCES
            if real(build.get(name)) is not None and real(available.get(name))}


def _clock_table(build: Mapping[str, Any], title: str) -> Table:
    rows: Sequence[Sequence[Cell]] = [
        [Cell(clock), Cell(number(fmax, 1), fmax), Cell(number(asked, 1), asked),
         Cell("✓ met", kind="good") if fmax >= asked else Cell("✗ not met", kind="bad")]
        for clock, fmax, asked in _clocks(build)]
    return Table(f"Clocks on {title}", [
        Column("clock", numeric=False), Column("highest, MHz"), Column("asked, MHz"),
        Column("met", numeric=False)], rows)


def _fill_table(build: Mapping[str, Any], title: str) -> Table:
    rows = [
        [Cell(RESOURCES[name]), Cell(count(real(build[name])), real(build[name])),
         Cell(count(real(build["available"][name])), real(build["available"][name])),
         Cell(percent(share, 0), share, share=min(share, 1.0),
              kind="warn" if share > FULL else "")]
        for name, share in _shares(build).items()]
    return Table(f"Fill of {title}", [
        Column("resource", numeric=False), Column("used"), Column("there are"), Column("fill")],
        rows)
