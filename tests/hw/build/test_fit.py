"""Designs that do not fit."""

import pytest

from arch.config import preset
from hw.build.boards import BOARDS, board
from hw.build.devices import DEVICES, ECP5, GOWIN, ICE40, RESOURCES
from hw.build.errors import BuildError, FitError
from hw.build.fit import (
    check_fit,
    fitting_boards,
    image_block_ram,
    least_block_ram,
    shortages,
)


COUNTS = {"lut4": 10_680, "ff": 12_804, "block_ram": 84, "multipliers": 40}


def test_message():
    with pytest.raises(BuildError) as error:
        check_fit(COUNTS, board("colorlight-i5"), "lenet5 (small)", smaller="leave some out")
    assert str(error.value) == (
        "lenet5 (small) does not fit Colorlight i5 (LFE5U-25F): 28 block RAM too many (84 of 56); "
        "12 multipliers too many (40 of 28). Boards that have it: ulx3s, ecpix5; or leave some "
        "out")


def test_nothing_has_it():
    with pytest.raises(BuildError, match=r"916 360 LUT4 too many .*No board here has it; or"):
        check_fit({**COUNTS, "lut4": 1_000_000}, board("ulx3s"), "it")


def test_boards_with_a_memory():
    assert [each.name for each in fitting_boards(COUNTS, ECP5, memory=True)] == ["ulx3s"]
    with pytest.raises(FitError, match=r"block RAM too many .*\. No board here has it; ") as error:
        check_fit({**COUNTS, "block_ram": 209}, board("ulx3s"), "it", memory=True)
    assert error.value.resources == {"block_ram"}


def test_block_ram_by_bytes():
    """2048 bytes written one by one fill a block RAM of ECP5; its ninth bits hold no byte."""
    assert [image_block_ram(size, ECP5) for size in (1, 2048, 2049, 416 << 10)] == [1, 1, 2, 208]
    config = preset("tiny")
    assert (config.feature_depth * config.row_size, config.weight_depth * config.weight_row_size
            ) == (16_384, 8_192)
    assert least_block_ram(config, ECP5) == 8 + 4


def test_to_the_last_place():
    device = DEVICES["LFE5U-25F"]
    check_fit(dict(device.resources), board("colorlight-i5"), "it")
    for name, amount in device.resources.items():
        short, = shortages({**device.resources, name: amount + 1}, device)
        assert (short.resource, short.needed, short.available) == (name, amount + 1, amount)


def test_other_technologies_by_bits():
    """Four large RAMs of iCE40 are 1 Mbit: 57 block RAMs of 18 kbit more than none."""
    counts = {"lut4": 5_000, "ff": 3_000, "block_ram": 0, "multipliers": 8, "large_ram": 4}
    names = [each.name for each in fitting_boards(counts, ICE40)]
    assert names == ["ulx3s", "ecpix5", "icebreaker"]
    assert "colorlight-i5" in [
        each.name for each in fitting_boards({**counts, "large_ram": 3}, ICE40)]


def test_counts():
    cells = {"LUT4": 5, "CCU2C": 2, "TRELLIS_DPR16X4": 3, "TRELLIS_FF": 7, "DP16KD": 4,
             "MULT18X18D": 2, "PFUMX": 50}
    assert ECP5.count(cells) == {"lut4": 27, "ff": 7, "block_ram": 4, "multipliers": 2}
    assert GOWIN.count({"MULT9X9": 3, "ALU": 2, "LUT3": 4, "DFFNCE": 2, "SDPB": 1}) == {
        "lut4": 6, "ff": 2, "block_ram": 1, "multipliers": 2}
    assert ICE40.count({"SB_DFFESS": 2, "SB_LUT4": 3, "SB_CARRY": 9})["ff"] == 2


def test_used_places_count_more_than_cells():
    used = ICE40.count_used({"SB_DFF": 3, "SB_LUT4": 4}, {"ICESTORM_LC": 9, "ICESTORM_RAM": 1})
    assert used == {"lut4": 9, "ff": 3, "block_ram": 1, "multipliers": 0, "large_ram": 0}


@pytest.mark.parametrize("each", BOARDS.values(), ids=BOARDS)
def test_resources_are_named(each):
    assert list(each.device.resources) == list(each.device.technology.cells)
    assert each.device.resources.keys() <= RESOURCES.keys()
    assert all(amount > 0 for amount in each.device.resources.values())


def test_unknown_board():
    with pytest.raises(BuildError) as error:
        board("icebraker")
    assert str(error.value) == (
        "--board must be one of ulx3s, colorlight-i5, ecpix5, icebreaker, tang-nano-9k, "
        "tang-nano-20k, not 'icebraker'; did you mean icebreaker?")
    with pytest.raises(BuildError, match="not 'x'$"):
        board("x")
