"""Presets of boards."""

from arch.boards import BOARD_PRESETS, known_presets
from arch.config import PRESETS
from hw.build.boards import BOARDS


def test_named_like_boards():
    assert BOARD_PRESETS.keys() <= BOARDS.keys()
    assert all(config.name == name for name, config in BOARD_PRESETS.items())
    assert known_presets() == {**PRESETS, **BOARD_PRESETS}


def test_multipliers_and_large_memories_fit_the_chip():
    """The array alone; what it takes in all, only synthesis knows."""
    for name, config in BOARD_PRESETS.items():
        device = BOARDS[name].device
        assert config.multipliers <= device.resources["multipliers"]
        size = config.feature_depth * config.row_size + config.weight_depth * config.weight_row_size
        assert 8 * size < device.resources["block_ram"] * device.technology.block_ram_bits
