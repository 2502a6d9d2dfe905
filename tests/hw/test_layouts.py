import random

import pytest

from arch.config import AcceleratorConfig, preset
from arch.isa import COMMON_FIELDS, Engine, Opcode, encode, fields_of
from hw.layouts import (
    beats_per_row,
    common_fields,
    instruction_layout,
    layout_of,
    write_beat_layout,
)


@pytest.mark.parametrize("opcode", list(Opcode))
def test_matches_assembler(opcode):
    layout = layout_of(opcode)
    rng = random.Random(opcode)
    for pick in (lambda field: field.min, lambda field: field.max,
                 lambda field: rng.randint(field.min, field.max)):
        values = {field.name: pick(field) for field in fields_of(opcode)} | {"opcode": opcode}
        word = int.from_bytes(encode(opcode, values), "little")
        assert layout.const(values).as_bits() == word
        unpacked = layout.from_bits(word)
        assert {name: unpacked[name] for name in values} == values


def test_calc_is_a_union():
    layout = instruction_layout(Engine.CALC)
    assert layout["conv"].shape == layout_of(Opcode.CONV)
    assert layout["vector"].shape == layout_of(Opcode.VECTOR)
    word = int.from_bytes(encode(Opcode.VECTOR, {"layer": 5, "lo": -3, "divide": 1}), "little")
    payload = layout.from_bits(word)
    assert (payload.conv.layer, payload.conv.lo, payload.vector.divide) == (5, -3, 1)


@pytest.mark.parametrize("engine", list(Engine))
def test_common_fields(engine):
    view = common_fields(instruction_layout(engine).from_bits(0))
    assert list(view.shape().members) == [field.name for field in COMMON_FIELDS]


def test_subset():
    layout = layout_of(Opcode.SAVE, "line_count", "row")
    assert [(name, field.width) for name, field in layout] == [("row", 20), ("line_count", 16)]


@pytest.mark.parametrize(("config", "beats", "column_width"), [
    (preset("tiny"), (1, 2, 8, 128), 7),
    (preset("ecp5_85f"), (2, 16, 16, 64), 6),
    (preset("large"), (1, 32, 8, 16), 5),
    (AcceleratorConfig(
        "odd", in_lanes=1, out_lanes=64, dram_width=64, burst_length=8, table_lanes=0,
    ), (1, 1, 8), 3),
])
def test_write_beat(config, beats, column_width):
    assert beats_per_row(config) == beats
    layout = write_beat_layout(config)
    assert layout["column"].width == column_width
    assert layout["data"].width == min(4, beats[1]) * config.dram_width * 8
