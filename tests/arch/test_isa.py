import random

import pytest

from arch.isa import (
    INSTRUCTION_SIZE,
    MAGIC,
    Opcode,
    Products,
    conv_results,
    decode,
    decode_header,
    encode,
    encode_header,
    fields_of,
    group_steps,
)


@pytest.mark.parametrize("opcode", list(Opcode))
def test_every_field_goes_there_and_back(opcode):
    rng = random.Random(opcode)
    for _ in range(20):
        values = {
            field.name: rng.choice([field.min, field.max, rng.randint(field.min, field.max)])
            for field in fields_of(opcode)} | {"opcode": opcode}
        instruction = encode(opcode, values)
        assert len(instruction) == INSTRUCTION_SIZE
        assert decode(instruction) == (opcode, values)


def test_values_outside_their_field_are_refused():
    with pytest.raises(ValueError, match="LOAD field 'row' must be in 0..1048575, not 1048576"):
        encode(Opcode.LOAD, {"row": 1 << 20})
    with pytest.raises(ValueError, match="CONV field 'y' must be in -2048..2047, not -2049"):
        encode(Opcode.CONV, {"y": -2049})
    with pytest.raises(ValueError, match="SAVE has no field 'gap'"):
        encode(Opcode.SAVE, {"gap": 1})


def test_header():
    header = encode_header(config_hash=0x0123456789ABCDEF, instruction_count=7)
    assert header[:4] == b"DYNX"
    fields = decode_header(header)
    assert (fields["magic"], fields["config_hash"], fields["instruction_count"]) == (
        MAGIC, 0x0123456789ABCDEF, 7)


@pytest.mark.parametrize(("line", "warm", "skip", "results"), [
    (6, 0, 0, 6), (6, 2, 0, 4), (7, 2, 1, 3), (3, 3, 0, 0),
])
def test_results_of_a_depthwise_line(line, warm, skip, results):
    values = {"count_0": line, "count_1": 5, "depthwise": 1, "warm": warm, "skip": skip}
    assert conv_results(values) == 5 * results
    assert conv_results({**values, "depthwise": 0}) == 5 * line


@pytest.mark.parametrize(("line", "warm", "skip", "wrap", "results"), [
    (6, 1, 0, 1, 30), (6, 2, 1, 1, 15), (6, 3, 0, 3, 30), (1, 1, 0, 1, 5),
])
def test_results_of_depthwise_lines_that_wrap(line, warm, skip, wrap, results):
    values = {"count_0": line, "count_1": 5, "depthwise": 1, "warm": warm, "skip": skip,
              "wrap": wrap}
    assert group_steps(values) == 5 * line + wrap
    assert conv_results(values) == results


def test_results_of_two_products():
    values = {"count_0": 7, "count_1": 3, "warm": 1, "skip": 0}
    assert conv_results({**values, "products": Products.TAPS}) == 3 * 6
    assert conv_results({**values, "products": Products.BLOCKS}) == 3 * 7
