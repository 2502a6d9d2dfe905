"""Fixed-point formats and the one rounding rule of the project."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


__all__ = (
    "Format",
    "Rounding",
    "divide_round",
    "requantize",
    "shift_round",
)


class Rounding(enum.StrEnum):
    """How a value between two codes is rounded.

    ``HALF_EVEN`` is the rule of ONNX ``QuantizeLinear`` and the default everywhere; the others
    exist for comparison with other systems.
    """

    HALF_EVEN = "half_even"
    HALF_UP = "half_up"
    HALF_AWAY = "half_away"
    FLOOR = "floor"


@dataclass(frozen=True)
class Format:
    """Dynamic fixed-point format: a code ``q`` stands for ``q * 2 ** -frac``.

    Parameters
    ----------
    bits : int
        Width of a code, in bits, 2 to 32.
    frac : int
        Fractional length, in bits; may be negative or larger than ``bits``.
    signed : bool
        Whether codes are two's complement.

    Raises
    ------
    ValueError
        If ``bits`` is outside 2 to 32.

    Examples
    --------
    >>> Format(8, 4).quantize([0.5, -0.03125, 100.0]).tolist()
    [8, 0, 127]
    """

    bits: int
    frac: int
    signed: bool = True

    def __post_init__(self) -> None:
        """Check the width."""
        if not 2 <= self.bits <= 32:
            raise ValueError(f"Format width must be in 2..32 bits, not {self.bits!r}")

    @property
    def min(self) -> int:
        """Smallest code."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def max(self) -> int:
        """Largest code."""
        return (1 << (self.bits - (1 if self.signed else 0))) - 1

    @property
    def step(self) -> float:
        """Value of one LSB."""
        return 2.0**-self.frac

    def quantize(
        self, values: ArrayLike, rounding: Rounding = Rounding.HALF_EVEN
    ) -> NDArray[np.int64]:
        """Round real numbers to codes of this format, saturating.

        Parameters
        ----------
        values : float, any shape
            Real numbers; must be finite.
        rounding : Rounding
            Rule for values between two codes.

        Returns
        -------
        int64, shape of ``values``
            Codes between :attr:`min` and :attr:`max`.
        """
        scaled = np.ldexp(np.asarray(values, dtype=np.float64), self.frac)
        match rounding:
            case Rounding.HALF_EVEN:
                rounded = np.rint(scaled)
            case Rounding.HALF_UP:
                rounded = np.floor(scaled + 0.5)
            case Rounding.HALF_AWAY:
                rounded = np.copysign(np.floor(np.abs(scaled) + 0.5), scaled)
            case Rounding.FLOOR:
                rounded = np.floor(scaled)
        return np.clip(rounded, self.min, self.max).astype(np.int64)

    def dequantize(self, codes: ArrayLike) -> NDArray[np.float64]:
        """Return the real numbers that ``codes`` stand for, exactly, as float64."""
        return np.ldexp(np.asarray(codes, dtype=np.float64), -self.frac)

    def to_json(self) -> dict[str, Any]:
        """Return ``{"bits", "frac", "signed"}``."""
        return {"bits": self.bits, "frac": self.frac, "signed": self.signed}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Format":
        """Inverse of :meth:`to_json`."""
        return cls(int(fields["bits"]), int(fields["frac"]), bool(fields["signed"]))

    def __str__(self) -> str:
        """Return the short name used in tables, such as ``s8 .6``."""
        return f"{'s' if self.signed else 'u'}{self.bits} .{self.frac}"


def shift_round(
    acc: ArrayLike, shift: ArrayLike, rounding: Rounding = Rounding.HALF_EVEN
) -> NDArray[np.int64]:
    """Compute ``acc / 2 ** shift`` rounded to an integer.

    Parameters
    ----------
    acc : int64, any shape
        Integers.
    shift : int, broadcast against ``acc``
        Amount of right shift, in bits, 0 to 62.
    rounding : Rounding
        Rule for the bits shifted out.

    Returns
    -------
    int64, broadcast shape
        Rounded quotients.

    Examples
    --------
    >>> shift_round([-3, -1, 1, 3, 5], 1).tolist()
    [-2, 0, 0, 2, 2]
    """
    acc = np.asarray(acc, dtype=np.int64)
    shift = np.asarray(shift, dtype=np.int64)
    if np.any(shift < 0) or np.any(shift > 62):
        raise ValueError(f"Shift must be in 0..62 bits, not {shift!r}")
    floor = acc >> shift
    rest = acc - (floor << shift)
    half = np.where(shift > 0, np.left_shift(1, np.maximum(shift - 1, 0)), np.iinfo(np.int64).max)
    match rounding:
        case Rounding.HALF_EVEN:
            up = (rest > half) | ((rest == half) & (floor & 1 == 1))
        case Rounding.HALF_UP:
            up = rest >= half
        case Rounding.HALF_AWAY:
            up = (rest > half) | ((rest == half) & (acc >= 0))
        case Rounding.FLOOR:
            up = np.zeros_like(rest, dtype=bool)
    rounded: NDArray[np.int64] = floor + up
    return rounded


def divide_round(
    total: ArrayLike, divisor: ArrayLike, shift: int = 0, rounding: Rounding = Rounding.HALF_EVEN
) -> NDArray[np.int64]:
    """Compute ``total / (divisor * 2 ** shift)`` rounded to an integer, exactly.

    The quotient is taken to two extra bits with a sticky bit below them, which is enough for
    every rounding rule; the hardware does the same.

    Parameters
    ----------
    total : int64, any shape
        Dividends.
    divisor : int64, broadcast against ``total``
        Positive divisors.
    shift : int
        Further division by a power of two, in bits, at least 0.
    rounding : Rounding
        Rule for the remainder.

    Returns
    -------
    int64, broadcast shape
        Rounded quotients.

    Examples
    --------
    >>> divide_round([3, 9, 10, -9], 6).tolist()
    [0, 2, 2, -2]
    """
    total = np.asarray(total, dtype=np.int64)
    divisor = np.asarray(divisor, dtype=np.int64)
    quotient, rest = np.divmod(np.abs(total) * 4, divisor)
    return shift_round(np.sign(total) * (quotient | (rest != 0)), 2 + shift, rounding)


def requantize(
    acc: ArrayLike,
    shift: ArrayLike,
    lo: ArrayLike,
    hi: ArrayLike,
    rounding: Rounding = Rounding.HALF_EVEN,
) -> NDArray[np.int64]:
    """Compute ``clip(round(acc / 2 ** shift), lo, hi)``: saturation and clamp in one.

    Parameters
    ----------
    acc : int64, any shape
        Accumulators.
    shift : int, broadcast against ``acc``
        Amount of right shift, in bits, 0 to 62.
    lo, hi : int, broadcast against ``acc``
        Bounds of the result, as codes of the result's format.
    rounding : Rounding
        Rule for the bits shifted out.

    Returns
    -------
    int64, broadcast shape
        Codes.
    """
    return np.clip(shift_round(acc, shift, rounding), lo, hi)
