"""Files that the compiled part of a simulation writes, as arrays and records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.host import Segment


__all__ = (
    "Event",
    "ImageEnd",
    "image_rows",
    "read_beats",
    "read_events",
    "read_rows",
    "split_events",
)


Event = tuple[int, str, str, int]

_NIBBLES = np.zeros(256, np.uint8)
_NIBBLES[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)


@dataclass(frozen=True)
class ImageEnd:
    """Totals since reset when an image's interrupt rose.

    Parameters
    ----------
    cycle : int
        Cycles.
    rows : int
        Rows written to feature memory.
    read_beats, write_beats : int
        Beats that DRAM gave and took.
    """

    cycle: int
    rows: int
    read_beats: int
    write_beats: int


def _hex_lines(path: Path, size: int) -> NDArray[np.uint8]:
    """Return the characters of a file of equally long lines, without line ends, (n, size)."""
    text = np.fromfile(path, np.uint8)
    whole = len(text) // (size + 1) * (size + 1)
    return text[:whole].reshape(-1, size + 1)[:, :size]


def _hex_bytes(digits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return bytes, least significant first, of hexadecimal numbers (n, 2 * bytes)."""
    nibbles = _NIBBLES[digits]
    return (nibbles[:, 0::2] << 4 | nibbles[:, 1::2])[:, ::-1]


def read_rows(path: Path, row_size: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Read the rows that CALC wrote.

    Parameters
    ----------
    path : Path
        File of ``+rows``.
    row_size : int
        Bytes in a row.

    Returns
    -------
    int64, (n,)
        Row numbers, in the order of writing.
    uint8, (n, row_size)
        Their bytes, lane 0 first.
    """
    lines = _hex_lines(path, 5 + 1 + 2 * row_size)
    numbers = _NIBBLES[lines[:, :5]].astype(np.int64) @ (16 ** np.arange(5)[::-1])
    return numbers, _hex_bytes(lines[:, 6:])


def image_rows(
    program, record: Mapping[str, Any], written: tuple[NDArray[np.int64], NDArray[np.uint8]],
    first: int, ends: Sequence[int],
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return the rows of one image in the order of ``program.writes``.

    Parameters
    ----------
    program : compiler.Program
        Compiled network.
    record : mapping
        What the bench wrote for the image; ``host`` holds what each step of the host wrote.
    written : (int64, (n,), uint8, (n, row_size))
        Numbers and bytes of all rows that CALC wrote in the simulation.
    first : int
        First row of the image among them.
    ends : sequence of int
        Rows among them at the end of each segment.

    Returns
    -------
    int64, (m,)
        Row numbers; -1 for rows that the host wrote, to DRAM.
    uint8, (m, row_size)
        Their bytes.
    """
    numbers, rows = written
    stops, host = iter(ends), iter(record["host"])
    found_numbers, found_rows = [], []
    for step in program.steps:
        if isinstance(step, Segment):
            stop = next(stops)
            found_numbers.append(numbers[first:stop])
            found_rows.append(rows[first:stop])
            first = stop
        else:
            data = np.frombuffer(bytes.fromhex(next(host)), np.uint8).reshape(-1, rows.shape[1])
            found_numbers.append(np.full(len(data), -1))
            found_rows.append(data)
    return np.concatenate(found_numbers), np.concatenate(found_rows)


def read_beats(path: Path, beat_size: int) -> bytes:
    """Read a dump of memory, lowest address first."""
    return _hex_bytes(_hex_lines(path, 2 * beat_size)).tobytes()


def read_events(path: Path) -> tuple[list[Event], list[ImageEnd]]:
    """Read what engines did when.

    Parameters
    ----------
    path : Path
        File of ``+events``.

    Returns
    -------
    list of (cycle, engine, "start" or "done", layer)
        Events, cycles counted from reset.
    list of ImageEnd
        One for each interrupt.
    """
    events: list[Event] = []
    ends: list[ImageEnd] = []
    for line in path.read_text().splitlines():
        cycle, subject, *rest = line.split()
        if subject == "image":
            ends.append(ImageEnd(int(cycle), *map(int, rest)))
        else:
            events.append((int(cycle), subject, rest[0], int(rest[1])))
    return events, ends


def split_events(events: Sequence[Event], ends: Sequence[ImageEnd]) -> list[list[Event]]:
    """Split events by image; those after the last end are left out."""
    result: list[list[Event]] = [[] for _ in ends]
    image = 0
    for event in events:
        while image < len(ends) and event[0] > ends[image].cycle:
            image += 1
        if image < len(ends):
            result[image].append(event)
    return result
