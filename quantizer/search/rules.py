"""Rules for ranges: what makes one fractional length better than another.

==============  ===================================================================================
``max``         the largest with which no value overflows
``percentile``  the largest with which that share of the magnitudes, in percent, does not overflow
``l1``, ``l2``  least sum of absolute, or of squared, errors
``entropy``     least Kullback-Leibler divergence of the histogram of magnitudes
``mode``        the one that is best, by squared errors, for most calibration images
==============  ===================================================================================

``max``, ``percentile`` and ``entropy`` look at float values alone; the others compare with codes
that a network in fixed point computes. Weights are the same for every image, so that ``mode`` is
``l2`` for them.

Source: S. Migacz, "8-bit Inference with TensorRT", GTC 2017, for the divergence; AMD, "Vitis AI
User Guide", UG1414, power-of-two scales by the most frequent position, for the mode.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..ranges import CANDIDATES


__all__ = (
    "Norm",
    "RangeRule",
    "Tally",
    "best_frac",
    "clipped_range",
    "divergences",
)


Norm = Literal["l1", "l2"]
Kind = Literal["max", "percentile", "l1", "l2", "entropy", "mode"]

_NEGLIGIBLE = 2.0**-10  # error, relative to the signal, that leaves nothing to improve
_PERCENTILE = 99.99
_REASONS = {
    "max": "no value overflows",
    "percentile": "no value up to the percentile overflows",
    "l1": "least sum of absolute errors",
    "l2": "least sum of squared errors",
    "entropy": "least Kullback-Leibler divergence",
    "mode": "most images with the least sum of squared errors",
}
_CLOSER = CANDIDATES[-1]  # bits by which a range is narrowed at most
_MOST_LEVELS = 1 << 11  # magnitudes that the histogram tells apart; finer formats count as this
_FLOOR = 1e-9  # probability of magnitudes that a format cannot hold


@dataclass(frozen=True)
class RangeRule:
    """A rule for ranges.

    Parameters
    ----------
    kind : str
        One of those of this module.
    percentile : float
        Share of the magnitudes that must not overflow, in percent; for ``percentile`` only.
    """

    kind: Kind
    percentile: float = _PERCENTILE

    @classmethod
    def parse(cls, text: str) -> "RangeRule":
        """Read a rule, such as ``"l2"`` or ``"percentile:99.9"``.

        Raises
        ------
        ModelError
            If there is no such rule, or the percentile is not above 0 and at most 100.

        Examples
        --------
        >>> RangeRule.parse("percentile:99.9")
        RangeRule(kind='percentile', percentile=99.9)
        """
        kind, colon, value = text.partition(":") if isinstance(text, str) else (text, "", "")
        kinds: dict[str, Kind] = {name: name for name in get_args(Kind)}
        if kind not in kinds or (colon and kind != "percentile"):
            raise ModelError(
                "ranges must be max, percentile, percentile:P, l1, l2, entropy or mode, "
                f"not {text!r}")
        if not colon:
            return cls(kinds[kind])
        try:
            percentile = float(value)
        except ValueError:
            percentile = float("nan")
        if not 0 < percentile <= 100:
            raise ModelError(f"ranges percentile must be above 0 and at most 100, not {value!r}")
        return cls(kinds[kind], percentile)

    @property
    def norm(self) -> Norm:
        """How distances are summed."""
        return "l1" if self.kind == "l1" else "l2"

    @property
    def reason(self) -> str:
        """What the chosen fractional length has, in words."""
        return _REASONS[self.kind]

    @property
    def looks_at_floats(self) -> bool:
        """Whether the float values alone decide."""
        return self.kind in ("max", "percentile", "entropy")

    @property
    def candidates(self) -> range:
        """Fractional lengths to try, relative to the largest that overflows nothing in range."""
        if self.kind == "entropy":
            return range(_CLOSER + 1)
        return range(1) if self.looks_at_floats else CANDIDATES


def best_frac(errors: Mapping[int, float], total: float, norm: Norm) -> int:
    """Return the fractional length with the least error; the smaller one of equals.

    Errors below 60 dB count as equal: there, the room that a smaller fractional length leaves for
    values that calibration has not seen is worth more.

    Parameters
    ----------
    errors : mapping from int to float
        Error of each fractional length.
    total : float
        Sum of the values themselves.
    norm : "l1" or "l2"
        How both were summed.
    """
    least = total * (_NEGLIGIBLE if norm == "l1" else _NEGLIGIBLE**2)
    return min(errors, key=lambda frac: (max(errors[frac], least), frac))


class Tally:
    """Errors of candidates, image by image.

    Parameters
    ----------
    rule : RangeRule
        What decides.
    fracs : iterable of int
        Candidates.
    count : int
        Images.
    """

    def __init__(self, rule: RangeRule, fracs: Iterable[int], count: int) -> None:
        self._rule = rule
        self._errors = {frac: np.zeros(count) for frac in fracs}
        self._signals = np.zeros(count)

    def add(self, frac: int, images: slice, errors: NDArray[np.float64]) -> None:
        """Add errors of a candidate, (n,), on some images."""
        self._errors[frac][images] += errors

    def add_signal(self, images: slice, sums: NDArray[np.float64]) -> None:
        """Add sums of the values themselves, (n,), on some images."""
        self._signals[images] += sums

    @property
    def totals(self) -> dict[int, float]:
        """Error of each candidate over all images."""
        return {frac: float(errors.sum()) for frac, errors in self._errors.items()}

    def best(self) -> int:
        """Return the candidate that the rule prefers."""
        totals, norm = self.totals, self._rule.norm
        if self._rule.kind != "mode":
            return best_frac(totals, float(self._signals.sum()), norm)
        votes = Counter(
            best_frac({frac: errors[index] for frac, errors in self._errors.items()}, total, norm)
            for index, total in enumerate(self._signals.tolist()))
        return min(votes, key=lambda frac: (-votes[frac], totals[frac], frac))


def clipped_range(rule: RangeRule, values: NDArray[Any]) -> tuple[float, float]:
    """Return the smallest and largest value, without those that a percentile leaves out."""
    lo, hi = float(values.min()), float(values.max())
    if rule.kind != "percentile":
        return lo, hi
    most = float(np.quantile(np.abs(values), rule.percentile / 100, method="higher"))
    return max(lo, -most), min(hi, most)


def divergences(
    values: NDArray[Any], natural: int, bits: int, *, signed: bool = True
) -> dict[int, float]:
    """Return how much the histogram of magnitudes tells that that of the codes does not.

    Zeros do not count, since every format holds them.

    Parameters
    ----------
    values : float, any shape
        Real numbers.
    natural : int
        Largest fractional length with which none overflows.
    bits : int
        Width of a code.
    signed : bool
        Whether codes are two's complement.

    Returns
    -------
    dict from int to float
        Kullback-Leibler divergence, in nats, for fractional lengths from ``natural`` on.
    """
    reach = 1 << (bits - int(signed))
    levels = min(reach, _MOST_LEVELS)
    bins = levels << (_CLOSER + 1)
    sizes = np.abs(values[values != 0].astype(np.float64))
    index = np.ldexp(sizes, natural) * (bins / reach)
    counts = np.bincount(np.minimum(index.astype(np.int64), bins - 1), minlength=bins)
    return {
        natural + delta: _divergence(counts, bins >> delta, levels)
        for delta in range(_CLOSER + 1)}


def _divergence(counts: NDArray[np.int64], kept: int, levels: int) -> float:
    """Return the divergence for a range of ``kept`` bins, cut into ``levels``."""
    inside = counts[:kept].astype(np.float64)
    clipped = inside.copy()
    clipped[-1] += counts[kept:].sum()
    if not inside.any():
        return 0.0 if not clipped.any() else float(-np.log(_FLOOR))
    groups = inside.reshape(levels, -1)
    used = groups > 0
    means = groups.sum(1) / np.maximum(used.sum(1), 1)
    coded = np.where(used, means[:, None], 0.0).ravel()
    p, q = clipped / clipped.sum(), np.maximum(coded / coded.sum(), _FLOOR)
    held = p > 0
    return float(np.sum(p[held] * np.log(p[held] / q[held])))
