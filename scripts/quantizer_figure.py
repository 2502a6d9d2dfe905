"""Bars of accuracy, static beside dynamic precision, as a picture."""

from collections.abc import Mapping
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont


__all__ = ("draw",)


WIDTH, PANEL, LEFT, RIGHT, TOP, BOTTOM = 1200, 420, 90, 30, 60, 90
WIDEST = 90  # pixels of a bar
LABEL = 30  # pixels of a bar in which its number has room
PAPER, INK, FAINT = "#ffffff", "#222222", "#dddddd"
COLORS = {"static": "#c0504d", "dynamic": "#3b75af", "dynamic, per channel": "#6aa84f"}
FLOAT = "#555555"


def draw(bars: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """Draw one panel for each network.

    Parameters
    ----------
    bars : mapping
        For each network the accuracy of ``float`` and of every ``<widths> <kind>``, 0 to 1.
    path : Path
        PNG file.
    """
    image = Image.new("RGB", (WIDTH, PANEL * len(bars)), PAPER)
    canvas = ImageDraw.Draw(image)
    for index, (network, values) in enumerate(bars.items()):
        _panel(canvas, PANEL * index, network, values)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def _panel(canvas: ImageDraw.ImageDraw, top: int, network: str,
           values: Mapping[str, float]) -> None:
    font, small = ImageFont.load_default(18), ImageFont.load_default(14)
    low, high = top + PANEL - BOTTOM, top + TOP
    most = min(1.0, 1.1 * max(values.values()))

    def height(value: float) -> float:
        return low - (low - high) * value / most

    for percent in range(0, round(100 * most) + 1, 20):
        y = height(percent / 100)
        canvas.line((LEFT, y, WIDTH - RIGHT, y), FAINT)
        canvas.text((LEFT - 10, y), f"{percent} %", INK, small, anchor="rm")
    canvas.text((LEFT, top + 24), f"{network}, top-1", INK, font, anchor="lm")
    groups: dict[str, dict[str, float]] = {}
    for name, value in values.items():
        widths, _, kind = name.partition(" ")
        if kind:
            groups.setdefault(widths, {})[kind] = value
    room = (WIDTH - RIGHT - LEFT) / len(groups)
    for place, (widths, kinds) in enumerate(groups.items()):
        _group(canvas, LEFT + room * place, room, low, height, widths, kinds)
    y = height(values["float"])
    for x in range(LEFT, WIDTH - RIGHT, 12):
        canvas.line((x, y, x + 6, y), FLOAT, 2)
    canvas.text((WIDTH - RIGHT, top + 24), f"- - -  float {100 * values['float']:.1f} %", FLOAT,
                small, anchor="rm")
    _legend(canvas, top + PANEL - 28, {kind for kinds in groups.values() for kind in kinds})


def _group(canvas: ImageDraw.ImageDraw, left: float, room: float, low: float,
           height, widths: str, kinds: Mapping[str, float]) -> None:
    small = ImageFont.load_default(14)
    bar = min(0.8 * room / len(COLORS), WIDEST)
    left += (room - bar * len(COLORS)) / 2
    for index, (kind, color) in enumerate(COLORS.items()):
        if kind not in kinds:
            continue
        x, y = left + index * bar, height(kinds[kind])
        canvas.rectangle((x + 4, y, x + bar - 4, low), color)
        text, inside = f"{100 * kinds[kind]:.1f}", low - y > LABEL
        canvas.text((x + bar / 2, y + 8 if inside else y - 4), text, PAPER if inside else INK,
                    small, anchor="mt" if inside else "mb")
    canvas.text((left + bar * len(COLORS) / 2, low + 8), f"{widths} bits, data/weights", INK, small,
                anchor="mt")


def _legend(canvas: ImageDraw.ImageDraw, y: int, kinds: set[str]) -> None:
    small, x = ImageFont.load_default(14), LEFT
    for kind, color in COLORS.items():
        if kind in kinds:
            canvas.rectangle((x, y - 7, x + 14, y + 7), color)
            canvas.text((x + 22, y), kind, INK, small, anchor="lm")
            x += 60 + round(small.getlength(kind))
