"""Numbers as people read them."""


__all__ = (
    "grouped",
    "rate",
)


def grouped(number: float) -> str:
    """Return a number rounded to an integer, its digits in groups of three.

    Examples
    --------
    >>> grouped(61706.2)
    '61 706'
    """
    return f"{round(number):,}".replace(",", " ")


def rate(number: float) -> str:
    """Return a rate with its prefix, for a unit to follow: two digits or more where it has them.

    Examples
    --------
    >>> rate(63.4e6), rate(6.34e6), rate(634_000), rate(63.4)
    ('63 M ', '6.3 M ', '634 k ', '63 ')
    """
    if number >= 10e6:
        return f"{number / 1e6:.0f} M "
    if number >= 1e6:
        return f"{number / 1e6:.1f} M "
    return f"{number / 1e3:.0f} k " if number >= 1e3 else f"{number:.0f} "
