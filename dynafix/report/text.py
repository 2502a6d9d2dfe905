"""Numbers and names as text for a page."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any


__all__ = (
    "ABSENT",
    "NARROW_SPACE",
    "UNIT_SPACE",
    "brief",
    "count",
    "decibels",
    "macs",
    "milliseconds",
    "number",
    "percent",
    "plain",
    "plural",
    "ratio",
    "real",
    "shape",
    "short_names",
    "size",
)


ABSENT = "–"
NARROW_SPACE = "\u202f"
UNIT_SPACE = "\u00a0"
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def plain(value: Any, most: int = 500) -> str:
    r"""Return any value as text that is safe to encode: no control, direction or half characters.

    Parameters
    ----------
    value : object
        What to show; ``None`` is :data:`ABSENT`.
    most : int
        Longest text, in characters; the rest is cut with an ellipsis.

    Examples
    --------
    >>> plain("conv\x001")
    'conv\ufffd1'
    """
    if value is None:
        return ABSENT
    return brief(_UNPRINTABLE.sub("\ufffd", str(value)), most)


def brief(text: str, most: int) -> str:
    """Cut text in its middle, where names differ least.

    Examples
    --------
    >>> brief("/layer1/block2/conv/Conv", 13)
    '/layer…v/Conv'
    """
    if len(text) <= most:
        return text
    tail = most // 2
    return f"{text[:most - 1 - tail]}…{text[len(text) - tail:]}"


def real(value: Any) -> float | None:
    """Return a finite number as it is, anything else as ``None``."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return value


def number(value: float | None, digits: int = 0) -> str:
    """Write a number with groups of three digits.

    Examples
    --------
    >>> number(8412.4).replace(NARROW_SPACE, " ")
    '8 412'
    """
    if value is None:
        return ABSENT
    return f"{value:,.{digits}f}".replace(",", NARROW_SPACE).replace("-", "−")


def count(value: float | None) -> str:
    """Write a cardinal number."""
    return number(value)


def percent(value: float | None, digits: int = 1) -> str:
    """Write a fraction in percent.

    Examples
    --------
    >>> percent(0.988, 2).replace(UNIT_SPACE, " ")
    '98.80 %'
    """
    return ABSENT if value is None else f"{number(100 * value, digits)}{UNIT_SPACE}%"


def decibels(value: float | None, unit: str = "") -> str:
    """Write a signal-to-noise ratio."""
    return number(value, 1) + (UNIT_SPACE + unit if unit else "")


def ratio(value: float, other: float | None) -> str:
    """Write ``value / other`` as a factor."""
    return f"×{NARROW_SPACE}{number(value / other, 2)}" if other else ABSENT


def size(value: float | None) -> str:
    """Write a number of bytes in the unit that suits it.

    Examples
    --------
    >>> size(63264).replace(UNIT_SPACE, " ")
    '61.8 KiB'
    """
    if value is None:
        return ABSENT
    scaled, unit = _scaled(value, 1024, ("B", "KiB", "MiB", "GiB"))
    return f"{number(scaled, 0 if unit == 'B' else 1)}{UNIT_SPACE}{unit}"


def macs(value: float | None, unit: str = "MAC") -> str:
    """Write a number of operations with a decimal prefix.

    Examples
    --------
    >>> macs(420_000).replace(UNIT_SPACE, " ")
    '420 k MAC'
    """
    if value is None:
        return ABSENT
    scaled, prefix = _scaled(value, 1000, ("", "k", "M", "G", "T"))
    digits = 0 if scaled >= 100 or not prefix else 1 if scaled >= 10 else 2
    space = UNIT_SPACE if prefix else ""
    return f"{number(scaled, digits)}{UNIT_SPACE}{prefix}{space}{unit}"


def _scaled(value: float, base: int, prefixes: Sequence[str]) -> tuple[float, str]:
    """Return a value in the unit in which it is below ``base``, or the largest, and the unit."""
    power = 0
    while value >= base and power + 1 < len(prefixes):
        value, power = value / base, power + 1
    return value, prefixes[power]


def milliseconds(cycles: float | None, megahertz: float | None) -> str:
    """Write the time of ``cycles`` at a clock; three significant digits."""
    if cycles is None or not megahertz:
        return ABSENT
    value = cycles / (1000 * megahertz)
    digits = max(0, 2 - math.floor(math.log10(value))) if value > 0 else 0
    return f"{number(value, min(digits, 6))}{UNIT_SPACE}ms"


def plural(amount: float, thing: str) -> str:
    """Write an amount of things.

    Examples
    --------
    >>> plural(2, "image").replace(UNIT_SPACE, " ")
    '2 images'
    """
    return f"{count(amount)}{UNIT_SPACE}{thing}" + ("" if amount == 1 else "s")


def shape(value: Iterable[Any] | None) -> str:
    """Write the sizes of a tensor; one pixel is not mentioned.

    Examples
    --------
    >>> shape([1, 28, 28]), shape([120, 1, 1])
    ('1×28×28', '120')
    """
    sizes = list(value or ())
    if all(item == 1 for item in sizes[1:]):
        sizes = sizes[:1]
    return plain("×".join(map(str, sizes))) if sizes else ABSENT


def short_names(names: Sequence[str], most: int = 16) -> list[str]:
    """Shorten the names of a network's nodes so that they stay different.

    Parts of a path go from the front; the operator at the end of a path goes when what is left
    still tells the nodes apart.

    Examples
    --------
    >>> short_names(["/features/stage0/conv_a/Conv", "/features/stage1/conv_a/Conv"])
    ['stage0/conv_a', 'stage1/conv_a']
    """
    paths = [[part for part in re.split(r"[/;:]", name) if part] or [name] for name in names]
    bare = [path[:-1] if len(path) > 1 and path[-1][:1].isupper() else path for path in paths]
    if len(set(map(tuple, bare))) == len(names):
        paths = bare
    short = [_tail(path, most) for path in paths]
    repeated = Counter(short)
    return [name if repeated[name] == 1 else brief(f"{place}: {name}", most)
            for place, name in enumerate(short)]


def _tail(path: Sequence[str], most: int) -> str:
    for start in range(len(path)):
        name = "/".join(path[start:])
        if len(name) <= most:
            return name
    return brief(path[-1], most)
