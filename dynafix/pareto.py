"""The trade of cost for noise, as a table of numbers and as a picture."""

import csv
import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from .costs import METRICS, Measured, Metric
from .files import write_bytes, write_text
from .text import grouped


__all__ = ("write_csv", "write_picture")


_WIDTH, _HEIGHT = 1000, 620
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 40, 60, 80
_PAPER, _INK, _FAINT = "#ffffff", "#222222", "#dddddd"
_COLORS = {"uniform": "#c0504d", "mixed": "#3b75af"}
_CHOSEN = "#2e8b57"
_TICKS = 6


def write_csv(path: Path, points: Sequence[Measured], chosen: Measured) -> Path:
    """Write a line for each network: costs, signal-to-noise ratio and the width of each layer."""
    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    names = list(chosen.bits)
    rows.writerow(["kind", "chosen", "cycles", "bytes", "size", "snr_db", *names])
    for point in points:
        rows.writerow([
            point.kind, int(point == chosen), point.cycles, point.bytes, point.size,
            f"{point.snr_db:.2f}", *(point.bits[name] for name in names)])
    return write_text(path, stream.getvalue())


def _step(span: float) -> float:
    """Return a round distance of at most :data:`_TICKS` ticks."""
    rough = span / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * each for each in (1, 2, 5, 10) if power * each >= rough)


def _axis(values: Sequence[float]) -> tuple[float, float, float]:
    """Return first and last tick, and their distance."""
    low, high = min(values), max(values)
    step = _step(max(high - low, abs(high) / 100, 1e-9))
    return math.floor(low / step) * step, math.ceil(high / step) * step or step, step


def _ticks(axis: tuple[float, float, float]) -> list[float]:
    low, high, step = axis
    return [low + index * step for index in range(round((high - low) / step) + 1)]


def write_picture(
    path: Path, points: Sequence[Measured], chosen: Measured, metric: Metric, budget: float,
    title: str,
) -> Path:
    """Draw signal-to-noise ratio over cost as a PNG: mixed and uniform widths, and the budget."""
    image = Image.new("RGB", (_WIDTH, _HEIGHT), _PAPER)
    canvas = ImageDraw.Draw(image)
    across = _axis([*(each.cost(metric) for each in points), budget])
    up = _axis([each.snr_db for each in points])
    font, small = ImageFont.load_default(18), ImageFont.load_default(14)

    def x(value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (value - across[0]) / (across[1] - across[0])

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * (value - up[0]) / (up[1] - up[0])

    for value in _ticks(across):
        canvas.line((x(value), _TOP, x(value), _HEIGHT - _BOTTOM), _FAINT)
        canvas.text((x(value), _HEIGHT - _BOTTOM + 8), grouped(round(value)), _INK, small,
                    anchor="mt")
    for value in _ticks(up):
        canvas.line((_LEFT, y(value), _WIDTH - _RIGHT, y(value)), _FAINT)
        canvas.text((_LEFT - 8, y(value)), f"{value:g} dB", _INK, small, anchor="rm")
    canvas.line((x(budget), _TOP, x(budget), _HEIGHT - _BOTTOM), _CHOSEN, 2)
    canvas.text((x(budget) - 6, _TOP + 4), "budget", _CHOSEN, small, anchor="rt")
    for kind, color in _COLORS.items():
        _curve(canvas, [each for each in points if each.kind == kind], color, metric, x, y)
    place = x(chosen.cost(metric)), y(chosen.snr_db)
    canvas.circle(place, 9, outline=_CHOSEN, width=3)
    canvas.text((_LEFT, 28), title, _INK, font, anchor="lm")
    canvas.text(((_WIDTH + _LEFT) / 2, _HEIGHT - 28), METRICS[metric], _INK, small, anchor="mm")
    _legend(canvas)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return write_bytes(path, stream.getvalue())


def _front(points: Sequence[Measured], metric: Metric) -> list[Measured]:
    """Return the points that no other beats in cost and noise."""
    return [
        point for point in points
        if not any(
            (other.cost(metric), other.noise) != (point.cost(metric), point.noise)
            and other.cost(metric) <= point.cost(metric) and other.noise <= point.noise
            for other in points)]


def _curve(
    canvas: ImageDraw.ImageDraw, points: Sequence[Measured], color: str, metric: Metric,
    x: Callable[[float], float], y: Callable[[float], float],
) -> None:
    small = ImageFont.load_default(14)
    front = sorted(_front(points, metric), key=lambda each: each.cost(metric))
    canvas.line([(x(each.cost(metric)), y(each.snr_db)) for each in front], color, 2)
    for point in points:
        place = x(point.cost(metric)), y(point.snr_db)
        canvas.circle(place, 5, color)
        if point.kind == "uniform":
            widths = sorted(set(point.bits.values()))
            canvas.text((place[0] + 10, place[1]), "/".join(map(str, widths)), color, small,
                        anchor="lm")


def _legend(canvas: ImageDraw.ImageDraw) -> None:
    small, right = ImageFont.load_default(14), _WIDTH - _RIGHT
    entries = (("one width for all weights, in bits", _COLORS["uniform"]),
               ("a width for each layer", _COLORS["mixed"]), ("chosen", _CHOSEN))
    for line, (text, color) in enumerate(entries):
        y = _HEIGHT - _BOTTOM - 20 - 20 * line
        canvas.circle((right - 8, y), 5, color)
        canvas.text((right - 20, y), text, _INK, small, anchor="rm")
