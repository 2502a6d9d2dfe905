"""The serial protocol: tables that agree, frames that survive, damage that is seen."""

import random

import pytest

from arch.serial import (
    ANSWER_FIELDS,
    BLOCK_SIZE,
    COMMAND_TEXTS,
    INFO_FIELDS,
    INFO_SIZE,
    PAGE_SIZE,
    REQUEST_FIELDS,
    STATUS_TEXTS,
    TRANSMISSION_ERRORS,
    Answer,
    Command,
    Status,
    checksum,
    decode_answer,
    encode_answer,
    encode_request,
    field_size,
)


def test_every_number_has_its_text():
    assert COMMAND_TEXTS.keys() == set(Command)
    assert STATUS_TEXTS.keys() == set(Status)
    assert set(Status) > TRANSMISSION_ERRORS
    assert Status.DONE not in TRANSMISSION_ERRORS
    assert BLOCK_SIZE < PAGE_SIZE


def test_sizes_are_those_of_the_tables():
    assert field_size(INFO_FIELDS) == INFO_SIZE
    assert len(encode_answer(Answer(1, 2, 3, b"", 0))) == field_size(ANSWER_FIELDS)
    write = encode_request(Command.WRITE_MEMORY, 0, payload=b"1234")
    assert len(write) == field_size(REQUEST_FIELDS) + 4
    read = encode_request(Command.READ_MEMORY, 0, length=4)
    assert len(read) == len(write) - 4 - 2


def test_only_commands_that_write_have_a_payload():
    for command in Command:
        assert command.writes == (command.name.startswith("WRITE_"))


def test_answers_come_back():
    rng = random.Random(0)
    for _ in range(50):
        answer = Answer(
            rng.randrange(256), rng.randrange(16), rng.randrange(16), rng.randbytes(
                rng.choice((0, 1, 4, 2048))), rng.randrange(256))
        assert decode_answer(encode_answer(answer)) == answer


def test_every_damaged_bit_is_seen():
    frame = encode_answer(Answer(1, 4, 2, bytes(range(8)), 0))
    for place in range(len(frame)):
        for bit in range(8):
            damaged = bytearray(frame)
            damaged[place] ^= 1 << bit
            with pytest.raises(ValueError, match="^(An|The checksum of an) answer"):
                decode_answer(bytes(damaged))


@pytest.mark.parametrize(("frame", "message"), [
    (b"\xc3", "An answer must have at least 8 bytes, not 1"),
    (b"\x3c" + bytes(7), "An answer must begin with 0xc3, not 0x3c"),
    (b"\xc3\x01\x04\x02\x00" + bytes(3), "An answer of 2 bytes must have 10 bytes, not 8"),
    (b"\xc3" + bytes(7),
     f"The checksum of an answer must be 0, not {checksum(bytes(7)):#06x}"),
])
def test_messages(frame, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        decode_answer(frame)


def test_tag_is_checked():
    with pytest.raises(ValueError, match=r"^Tag must be in 0\.\.15, not 16$"):
        encode_request(Command.INFO, 0, length=16, tag=16)
