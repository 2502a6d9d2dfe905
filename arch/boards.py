"""The accelerator that suits the chip of each board, stand-alone."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from .config import PRESETS, AcceleratorConfig, preset


__all__ = (
    "BOARD_PRESETS",
    "LINK_CYCLES",
    "known_presets",
)


LINK_CYCLES = 500
"""Cycles that a byte of an input takes on the serial line of a board: ten bits, of 50 cycles each
at 50 MHz and 1,000,000 baud."""

# Half of the weight and feature memory of ecp5_85f, for the other half of an 85F's block RAM holds
# the network. The input comes over the serial line without the first kernel's taps.
# The lanes lie all over the chip.
_HALF: Mapping[str, Any] = {
    "weight_depth": 512, "feature_depth": 4096, "unroll_size": 1024, "wire_registers": True}

# What 2 x 4 lanes need beside a network of 4-bit weights in some 50 block RAMs of 18 kbit. No
# tables and no window of depthwise convolutions.
_COMPACT: Mapping[str, Any] = {
    "feature_depth": 1024, "weight_depth": 512, "param_depth": 16, "acc_depth": 128,
    "pool_depth": 32, "layer_depth": 16, "table_lanes": 0, "depthwise_taps": 0, "unroll_size": 512}


def _for_board(board: str, base: str, changes: Mapping[str, Any]) -> AcceleratorConfig:
    return dataclasses.replace(preset(base), name=board, **changes)


BOARD_PRESETS: Mapping[str, AcceleratorConfig] = {
    config.name: config for config in (
        _for_board("ulx3s", "ecp5_85f", _HALF),
        _for_board("colorlight-i5", "tiny", _COMPACT),
        _for_board("ecpix5", "ecp5_85f", _HALF),
        _for_board("icebreaker", "up5k", {}),
        _for_board("tang-nano-20k", "tiny", _COMPACT),
    )
}
"""Presets by the name of their board; a board that none suits is left out."""


def known_presets() -> Mapping[str, AcceleratorConfig]:
    """Return all presets by name: those of sizes, and those of boards."""
    return {**PRESETS, **BOARD_PRESETS}
