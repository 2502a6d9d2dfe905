#!/usr/bin/env python3
r"""Take a picture of a report with headless Chromium.

    scripts/screenshot_report.py build/lenet5/report.html docs/images/report.png \
        --columns 3 --scale 0.5 --colors 256

The report is opened from its file, without network. The picture is cut at the end of the page. A
long page can be laid out in columns; they break where the page is empty.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops


__all__ = (
    "BROWSERS",
    "browser",
    "run_browser",
    "screenshot",
)


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-extensions", "--hide-scrollbars", "--force-color-profile=srgb",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=20000",
)
DARK = "--blink-settings=preferredColorScheme=0"
LIGHT = "--blink-settings=preferredColorScheme=1"
TALLEST = 14_000
TIMEOUT = 120
BREAK_HEIGHT = 44
"""Empty rows around the end of a column."""


def browser() -> str | None:
    """Return the path of an installed Chromium, or ``None``."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def run_browser(page: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Open a page in a Chromium of its own, with a profile that is thrown away.

    Parameters
    ----------
    page : Path
        HTML file.
    flags : str
        Further options; what to do with the page is one of them.

    Raises
    ------
    FileNotFoundError
        If no Chromium is installed.
    """
    program = browser()
    if program is None:
        raise FileNotFoundError(f"Chromium must be installed as one of {', '.join(BROWSERS)}")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        return subprocess.run(
            [program, *FLAGS, f"--user-data-dir={profile}", *flags, page.resolve().as_uri()],
            capture_output=True, text=True, timeout=TIMEOUT, check=True)


def screenshot(page: Path, picture: Path, *, width: int = 1280, height: int | None = None,
               dark: bool = False, columns: int = 1, scale: float = 1.0,
               colors: int | None = None) -> None:
    """Write a picture of a page as PNG.

    Parameters
    ----------
    page : Path
        HTML file.
    picture : Path
        PNG file to write.
    width : int
        Width of the window, in pixels.
    height : int or None
        Height of the picture, in pixels; the whole page by default.
    dark : bool
        Whether the system asks for dark pages.
    columns : int
        Parts of the page that stand side by side.
    scale : float
        Size of the picture against that of the page.
    colors : int or None
        Size of the palette, for a small file; all colors by default.
    """
    run_browser(page, DARK if dark else LIGHT, f"--window-size={width},{height or TALLEST}",
                f"--screenshot={picture.resolve()}")
    with Image.open(picture) as opened:
        image = opened.convert("RGB")
    if height is None:
        image = _cut(image)
    image = _columns(image, columns)
    if scale != 1:
        image = image.resize([round(side * scale) for side in image.size], Image.Resampling.LANCZOS)
    if colors:
        image = image.quantize(colors, kmeans=1, dither=Image.Dither.NONE)
    image.save(picture, optimize=True)


def _cut(image: Image.Image) -> Image.Image:
    """Remove the empty rows under the page."""
    ground = Image.new("RGB", image.size, image.getpixel((0, image.height - 1)))
    box = ImageChops.difference(image, ground).getbbox()
    bottom = min(image.height, box[3] + 40) if box else image.height
    return image.crop((0, 0, image.width, bottom))


def _columns(image: Image.Image, amount: int) -> Image.Image:
    """Lay the page out in columns of nearly the same height."""
    ground = image.getpixel((0, image.height - 1))
    ends = [_empty_row(image, image.height * place // amount) for place in range(amount + 1)]
    height = max(after - before for before, after in pairwise(ends))
    sheet = Image.new("RGB", (image.width * amount, height), ground)
    for place, (before, after) in enumerate(pairwise(ends)):
        sheet.paste(image.crop((0, before, image.width, after)), (image.width * place, 0))
    return sheet


def _empty_row(image: Image.Image, target: int) -> int:
    """Return the row next to ``target`` with nothing around it."""
    rows = np.asarray(image)
    empty = (rows == rows[-1, 0]).all(axis=(1, 2))
    margin = BREAK_HEIGHT // 2
    filled = np.convolve(~empty, np.ones(BREAK_HEIGHT), "same") > 0
    free = np.flatnonzero(~filled[margin:-margin]) + margin
    if target in (0, image.height) or not free.size:
        return target
    return int(free[np.abs(free - target).argmin()])


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", type=Path, help="HTML file")
    parser.add_argument("picture", type=Path, help="PNG file to write")
    parser.add_argument("--width", type=int, default=1280, help="width of the window, in pixels")
    parser.add_argument("--height", type=int, help="height; that of the page by default")
    parser.add_argument("--dark", action="store_true", help="ask for a dark page")
    parser.add_argument("--columns", type=int, default=1, help="parts that stand side by side")
    parser.add_argument("--scale", type=float, default=1.0, help="size against that of the page")
    parser.add_argument("--colors", type=int, help="size of the palette, for a small file")
    arguments = parser.parse_args()
    if not arguments.report.is_file():
        print(f"error: {arguments.report}: no such file", file=sys.stderr)
        return 2
    try:
        screenshot(arguments.report, arguments.picture, width=arguments.width,
                   height=arguments.height, dark=arguments.dark, columns=arguments.columns,
                   scale=arguments.scale, colors=arguments.colors)
    except (FileNotFoundError, subprocess.SubprocessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
