"""95 % intervals of what is measured on a sample of images."""

import math

import numpy as np
from numpy.typing import NDArray


__all__ = (
    "mean_interval",
    "paired_interval",
    "wilson_interval",
)


NORMAL = 1.959963984540054  # the 97.5 % quantile of the normal distribution


def wilson_interval(right: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a fraction, ``right`` of ``count``.

    Source: E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference",
    JASA 22 (1927).

    Examples
    --------
    >>> [round(bound, 4) for bound in wilson_interval(9, 10)]
    [0.5958, 0.9821]
    """
    fraction, square = right / count, NORMAL**2 / count
    center = (fraction + square / 2) / (1 + square)
    spread = fraction * (1 - fraction) + square / 4
    half = math.sqrt(spread * square) / (1 + square)
    return max(0.0, center - half), min(1.0, center + half)


def paired_interval(gained: int, lost: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two fractions of the same images.

    The difference is ``(gained - lost) / count``; images on which both are right, or both wrong,
    only count in ``count``. One image is added to those gained and one to those lost, so that the
    interval has a width also where nothing differs.

    Source: D. G. Bonett and R. M. Price, "Adjusted Wald Confidence Interval for a Difference of
    Binomial Proportions Based on Paired Data", JEBS 37 (2012).

    Examples
    --------
    >>> [round(bound, 4) for bound in paired_interval(3, 8, 1000)]
    [-0.012, 0.0021]
    """
    size = count + 2
    more, less = (gained + 1) / size, (lost + 1) / size
    half = NORMAL * math.sqrt((more + less - (more - less) ** 2) / size)
    return max(-1.0, more - less - half), min(1.0, more - less + half)


def mean_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % interval of the mean of a sample, by the normal distribution."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, mean
    half = NORMAL * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return mean - half, mean + half
