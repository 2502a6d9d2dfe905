"""What the host does at both ends of a network: between numbers of the ONNX file and codes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantizer.execute import output_name
from quantizer.graph import Graph
from quantizer.intake import Intake

from .maps import InputLayout


__all__ = ("HostEnds",)


@dataclass(frozen=True)
class HostEnds:
    """Shift and scale of the input, and of the result, for the host that makes the codes.

    Parameters
    ----------
    intake : Intake, optional
        What an image becomes before it is rounded to the codes of the input; ``None``: itself.
    scales, offsets : float64, (c,), optional
        A number ``x`` that the codes of the result stand for is ``x * scale + offset`` in the
        units of the ONNX file, by channel; ``None``: ``x``.
    """

    intake: Intake | None = None
    scales: NDArray[np.float64] | None = None
    offsets: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, graph: Graph) -> "HostEnds":
        """Return the ends of a network that is quantized."""
        name = output_name(graph)
        if name not in graph.exponents and name not in graph.offsets:
            return cls(graph.intake)
        none = np.zeros(graph.shapes[name][0])
        return cls(graph.intake, np.exp2(-graph.exponents.get(name, none)),
                   np.asarray(graph.offsets.get(name, none), np.float64))

    def image_shape(self, layout: InputLayout) -> tuple[int, int, int]:
        """Return the shape ``(c, h, w)`` of an image, of which ``layout`` has the padded codes."""
        return layout.shape if self.intake is None else self.intake.bare(layout.shape)

    def taken(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return numbers of each channel, (c, n) or (1, n) for all alike, as the input has them."""
        if self.intake is None:
            return values
        return (values - self.intake.offset[:, None]) * self.intake.factor[:, None]

    def pad_codes(self, layout: InputLayout, rounding: Any) -> NDArray[np.int64] | None:
        """Return the code of each channel around an image, (c,); ``None`` if there is nothing."""
        if self.intake is None or not any(self.intake.pads):
            return None
        zeros = np.zeros((layout.shape[0], 1), np.float32)
        return layout.format.quantize(self.taken(zeros), rounding)[:, 0]
