"""What a network with some widths costs and loses."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


__all__ = (
    "METRICS",
    "Measured",
    "Metric",
)


Metric = Literal["cycles", "bytes", "size"]

METRICS: Mapping[Metric, str] = {
    "cycles": "cycles an image, predicted", "bytes": "bytes of DRAM traffic an image, predicted",
    "size": "bytes of weights and biases in DRAM"}

_LEAST = 1e-30  # noise below which the ratio is not calculated


@dataclass(frozen=True)
class Measured:
    """What a network with some widths costs and loses.

    Parameters
    ----------
    kind : str
        ``"mixed"``, or ``"uniform"`` if all layers have the same width.
    bits : dict from layer name to int
        Widths of the weights.
    cycles, bytes, size : int
        Costs, by :data:`METRICS`.
    noise : float
        Squared error of the output relative to the squared output, on the images of the search.
    """

    kind: str
    bits: dict[str, int]
    cycles: int
    bytes: int
    size: int
    noise: float

    @property
    def snr_db(self) -> float:
        """Signal-to-noise ratio of the output."""
        return -10 * math.log10(max(self.noise, _LEAST))

    def cost(self, metric: Metric) -> int:
        """Return one of the costs."""
        return {"cycles": self.cycles, "bytes": self.bytes, "size": self.size}[metric]
