"""Where a program lies in the memory of a board."""

import zlib

import pytest

from arch.config import preset
from arch.isa import Region, decode_header
from compiler.memory_image import HEADER_SIZE, place

from ..sim.network import small_program


@pytest.fixture(scope="module")
def program():
    return small_program(preset("tiny"))[1]


def test_parts_do_not_touch(program):
    image = place(program)
    parts = [
        (0, HEADER_SIZE), (image.program, len(program.program_image)),
        (image.regions[Region.WEIGHTS], len(program.weight_image)),
        (image.regions[Region.INPUT], program.input_size),
        (image.regions[Region.OUTPUT], program.output_size),
        (image.regions[Region.SCRATCH], program.scratch_size)]
    for (start, size), (following, _) in zip(parts, parts[1:]):
        assert start + size <= following < start + size + 256
    assert all(start % 64 == 0 for start, _ in parts)
    assert 0 <= image.size - sum(parts[-1]) < 64


def test_contents(program):
    image = place(program)
    code = image.data[image.program:image.program + len(program.program_image)]
    assert code == program.program_image
    assert decode_header(code)["config_hash"] == program.config.hash
    start = image.regions[Region.WEIGHTS]
    assert image.data[start:start + len(program.weight_image)] == program.weight_image
    assert len(image.data) <= image.regions[Region.INPUT]


def test_header_tells_the_image(program):
    image = place(program)
    assert image.header[:4] == b"DNXM"
    assert int.from_bytes(image.header[8:12], "little") == len(image.body)
    assert int.from_bytes(image.header[12:16], "little") == zlib.crc32(image.body)
    assert place(program) == image
    other = place(small_program(preset("tiny"), seed=8)[1])
    assert other.header != image.header
