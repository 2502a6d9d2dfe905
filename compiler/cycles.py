"""The cycle and traffic model."""

from dataclasses import dataclass


__all__ = ("Prediction",)


@dataclass(frozen=True)
class Prediction:
    """What a run will take."""

    cycles: int
