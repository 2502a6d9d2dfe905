"""What the host does to an input of the network before it rounds it to codes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


__all__ = ("Intake",)


@dataclass(frozen=True)
class Intake:
    """Offset and scale of each channel of an input, and its padding.

    An input ``x`` of the ONNX file becomes ``(pad(x) - offset) * factor``, every step in float32;
    that is what the network's input is on the accelerator, and what its format rounds.

    Parameters
    ----------
    offset, factor : float32, (c,)
        Of each channel; factors are positive.
    pads : (int, int, int, int)
        Zeros around ``x``: top, left, bottom, right.
    """

    offset: NDArray[np.float32]
    factor: NDArray[np.float32]
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)

    def padded(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return the shape ``(c, h, w)`` that a map gets."""
        (channels, height, width), (top, left, bottom, right) = shape, self.pads
        return channels, top + height + bottom, left + width + right

    def bare(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Return the shape ``(c, h, w)`` of a map without its padding."""
        (channels, height, width), (top, left, bottom, right) = shape, self.pads
        return channels, height - top - bottom, width - left - right

    def apply(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return maps (n, c, h, w) of the ONNX file as the accelerator takes them."""
        top, left, bottom, right = self.pads
        values = np.pad(values, ((0, 0), (0, 0), (top, bottom), (left, right)))
        values -= self.offset[:, None, None]
        values *= self.factor[:, None, None]
        return values

    def undone(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return maps (n, c, h, w) as :meth:`apply` takes them, without the padding."""
        _, height, width = self.bare(values.shape[1:])
        top, left = self.pads[:2]
        inside = values[:, :, top:top + height, left:left + width]
        found: NDArray[np.float64] = (
            inside / self.factor[:, None, None] + self.offset[:, None, None])
        return found

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"offset": self.offset.tolist(), "factor": self.factor.tolist(),
                "pads": list(self.pads)}

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> "Intake":
        """Return what :meth:`to_json` wrote."""
        top, left, bottom, right = entry["pads"]
        return cls(np.array(entry["offset"], np.float32), np.array(entry["factor"], np.float32),
                   (top, left, bottom, right))
