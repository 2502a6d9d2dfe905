"""What the memories of an accelerator hold."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from arch.config import TABLES, AcceleratorConfig
from arch.isa import Region

from ..errors import SimulationError


__all__ = (
    "CHUNK",
    "POISON",
    "State",
)


CHUNK = 1 << 22
"""Codes gathered at a time."""

POISON = 0x55
"""What memory holds before anything is written."""


class State:
    """The memories of an accelerator, and DRAM.

    Parameters
    ----------
    config : AcceleratorConfig
        Accelerator.
    regions : mapping from Region to bytearray
        DRAM.
    """

    def __init__(self, config: AcceleratorConfig, regions: dict[Region, bytearray]) -> None:
        self.config = config
        self.regions = regions
        self.feature = np.full((config.feature_depth, config.row_size), POISON, np.uint8)
        self.weight = np.full((config.weight_depth, config.weight_row_size), POISON, np.uint8)
        self.param = np.full((config.param_depth, config.param_row_size), POISON, np.uint8)
        tables = TABLES if config.table_lanes else 0
        self.table = np.full((tables, config.table_size), POISON, np.uint8)
        self.lanes = np.full(config.weight_depth, config.out_lanes)
        self.acc = np.zeros((2, config.acc_depth, config.out_lanes), np.int64)
        self.lines = np.zeros((config.pool_depth, config.out_lanes), np.int64)
        self.written: list[NDArray[np.uint8]] = []

    def codes(self, rows: NDArray[np.uint8], signed: int) -> NDArray[Any]:
        """Return data codes from the bytes of their last axis."""
        return rows.view(f"<{'i' if signed else 'u'}{self.config.code_size}")

    def write(self, rows: NDArray[np.int64], codes: NDArray[np.int64]) -> None:
        """Write codes to rows of feature memory, and note them."""
        if rows.max() >= len(self.feature):
            raise SimulationError(f"Result row {rows.max()} is past the end of feature memory")
        data = codes.astype(f"<u{self.config.code_size}").view(np.uint8)
        self.feature[rows] = data
        self.written.append(data)
