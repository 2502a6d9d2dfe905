#!/usr/bin/env python3
"""Take a picture of a report with headless Chromium.

    scripts/screenshot_report.py build/lenet5/report.html docs/images/report.png

The report is opened from its file, without network. The picture is cut at the end of the page.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

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
    "--virtual-time-budget=20000",
)
DARK = "--blink-settings=preferredColorScheme=0"
LIGHT = "--blink-settings=preferredColorScheme=1"
TALLEST = 14_000
TIMEOUT = 120


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
               dark: bool = False, colors: int | None = None) -> None:
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
    colors : int or None
        Size of the palette, for a small file; all colors by default.
    """
    run_browser(page, DARK if dark else LIGHT, f"--window-size={width},{height or TALLEST}",
                f"--screenshot={picture.resolve()}")
    with Image.open(picture) as opened:
        image = opened.convert("RGB")
    if height is None:
        image = _cut(image)
    if colors:
        image = image.quantize(colors, dither=Image.Dither.NONE)
    image.save(picture, optimize=True)


def _cut(image: Image.Image) -> Image.Image:
    """Remove the empty rows under the page."""
    ground = Image.new("RGB", image.size, image.getpixel((0, image.height - 1)))
    box = ImageChops.difference(image, ground).getbbox()
    bottom = min(image.height, box[3] + 40) if box else image.height
    return image.crop((0, 0, image.width, bottom))


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", type=Path, help="HTML file")
    parser.add_argument("picture", type=Path, help="PNG file to write")
    parser.add_argument("--width", type=int, default=1280, help="width of the window, in pixels")
    parser.add_argument("--height", type=int, help="height; that of the page by default")
    parser.add_argument("--dark", action="store_true", help="ask for a dark page")
    parser.add_argument("--colors", type=int, help="size of the palette, for a small file")
    arguments = parser.parse_args()
    if not arguments.report.is_file():
        print(f"error: {arguments.report}: no such file", file=sys.stderr)
        return 2
    try:
        screenshot(arguments.report, arguments.picture, width=arguments.width,
                   height=arguments.height, dark=arguments.dark, colors=arguments.colors)
    except (FileNotFoundError, subprocess.SubprocessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
