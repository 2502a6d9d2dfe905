"""Numbers as people read them."""


__all__ = ("grouped",)


def grouped(number: float) -> str:
    """Return a number rounded to an integer, its digits in groups of three.

    Examples
    --------
    >>> grouped(61706.2)
    '61 706'
    """
    return f"{round(number):,}".replace(",", " ")
