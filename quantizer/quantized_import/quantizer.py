"""One quantizer of an ONNX file: power-of-two scales, no offset."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arch.formats import Format, Rounding

from ..onnx_import.node import OnnxNode


__all__ = (
    "Quantizer",
    "fracs",
)


@dataclass(frozen=True)
class Quantizer:
    """What a quantizer does: ``clip(round(x / scale), lo, hi) * scale``.

    Parameters
    ----------
    place : str
        Its node, for messages.
    fracs : tuple of int
        Fractional length; of weights also one for each channel.
    axis : int
        Axis of the channels.
    bits : int
        Width of a code, in bits.
    signed : bool
        Whether codes are two's complement.
    lo, hi : int
        Smallest and largest code.
    rounding : Rounding
        How values between two codes are rounded.
    """

    place: str
    fracs: tuple[int, ...]
    axis: int
    bits: int
    signed: bool
    lo: int
    hi: int
    rounding: Rounding

    @property
    def format(self) -> Format:
        """Format of data."""
        return Format(self.bits, self.fracs[0], signed=self.signed)

    def does_the_same(self, other: "Quantizer") -> bool:
        """Return whether another quantizer gives the same values."""
        return (self.fracs, self.axis if len(self.fracs) > 1 else 0, self.lo, self.hi) == (
            other.fracs, other.axis if len(self.fracs) > 1 else 0, other.lo, other.hi)

    def codes(self, values: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return the codes of constants."""
        scaled = np.ldexp(values.astype(np.float64), self.along(values.ndim))
        wide = Format(32, 0).quantize(scaled, self.rounding)
        return np.clip(wide, self.lo, self.hi)

    def values(self, codes: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return what codes stand for; exact."""
        return np.ldexp(codes.astype(np.float64), -self.along(codes.ndim))

    def along(self, axes: int) -> NDArray[np.int64]:
        """Return the fractional lengths in the shape that meets a constant with ``axes`` axes."""
        found = np.array(self.fracs, np.int64)
        if len(found) == 1:
            return found.reshape(())
        return found.reshape([-1 if axis == self.axis % axes else 1 for axis in range(axes)])


def fracs(node: OnnxNode, scale: NDArray[np.floating]) -> tuple[int, ...]:
    """Return the fractional lengths of scales, one if all are the same.

    Parameters
    ----------
    node : OnnxNode
        The quantizer, for the message.
    scale : float
        Scales.

    Raises
    ------
    NodeError
        If a scale is not a power of two.
    """
    flat = np.asarray(scale, np.float64).reshape(-1)
    mantissa, exponent = np.frexp(flat)
    wrong = np.flatnonzero((mantissa != 0.5) | ~np.isfinite(flat))
    if len(flat) == 0 or len(wrong):
        value = float(flat[wrong[0]]) if len(flat) else 0.0
        near = f", such as {2.0 ** np.rint(np.log2(value)):g}" if 0 < value < np.inf else ""
        raise node.error(f"scale must be a power of two{near}, not {value}",
                         "quantize again with power-of-two scales, or give the float network to "
                         "'quantize'")
    found = tuple(int(1 - value) for value in exponent)
    return found[:1] if len(set(found)) == 1 else found
