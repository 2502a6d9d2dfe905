"""Events of the three engines, made small enough for a page."""

from collections.abc import Iterable, Mapping
from typing import Any

from .layers import ENGINES
from .text import real


__all__ = (
    "MOST_SPANS",
    "Timeline",
    "timeline",
)


MOST_SPANS = 60_000

Span = tuple[int, int, int]
"""Start, end (exclusive), layer index."""


class Timeline:
    """What each engine did over one image.

    Parameters
    ----------
    spans : dict from engine to list of Span
        In the order of time.
    cycles : int
        End of the last span.
    gap : int
        Spans of one layer that are at most this many cycles apart are drawn as one; 0 for all.
    busy : dict from engine to float
        Share of the cycles in which the engine had work, before anything was merged. An engine
        may start an instruction before it is done with the last one.
    """

    def __init__(self, spans: dict[str, list[Span]], *, most: int = MOST_SPANS):
        self.cycles = max((span[1] for engine in spans.values() for span in engine), default=0)
        self.busy = {
            engine: _covered(entries) / max(self.cycles, 1)
            for engine, entries in spans.items()
        }
        self.gap = 0
        while sum(map(len, spans.values())) > most and self.gap < self.cycles:
            self.gap = max(2 * self.gap, 1)
            spans = {engine: _merge(entries, self.gap) for engine, entries in spans.items()}
        self.spans = spans

    def layers(self) -> list[Span]:
        """Return when each layer has CALC, from its first start to its last end, in order."""
        extents: dict[int, tuple[int, int]] = {}
        for start, end, layer in self.spans.get("calc", []):
            first, last = extents.get(layer, (start, end))
            extents[layer] = min(first, start), max(last, end)
        return sorted((first, last, layer) for layer, (first, last) in extents.items())

    def to_json(self) -> list[dict[str, Any]]:
        """Return one entry an engine; starts are differences, which keeps the text short."""
        entries = []
        for engine, spans in self.spans.items():
            starts = [span[0] for span in spans]
            entries.append({
                "name": engine.upper(), "key": engine, "busy": round(self.busy[engine], 4),
                "start": [now - then for then, now in zip([0, *starts], starts, strict=False)],
                "length": [end - start for start, end, _ in spans],
                "layer": [layer for _, _, layer in spans],
            })
        return entries


def timeline(events: Iterable[Mapping[str, Any]] | None) -> Timeline:
    """Return the timeline of ``results.json``; entries that make no sense are left out."""
    spans: dict[str, list[Span]] = {engine: [] for engine in ENGINES}
    for event in events or []:
        start, end, layer = (real(event.get(key)) for key in ("start", "end", "layer"))
        if event.get("engine") in spans and None not in (start, end, layer) and end > start >= 0:
            spans[event["engine"]].append((int(start), int(end), int(layer)))
    for entries in spans.values():
        entries.sort()
    return Timeline(spans)


def _covered(spans: list[Span]) -> int:
    """Return the number of cycles inside of at least one span."""
    covered = reached = 0
    for start, end, _ in spans:
        covered += max(end - max(start, reached), 0)
        reached = max(reached, end)
    return covered


def _merge(spans: list[Span], gap: int) -> list[Span]:
    merged: list[Span] = []
    for span in spans:
        if merged and merged[-1][2] == span[2] and span[0] - merged[-1][1] <= gap:
            merged[-1] = merged[-1][0], max(merged[-1][1], span[1]), span[2]
        else:
            merged.append(span)
    return merged
