from itertools import combinations

import pytest

from arch.registers import COUNTERS, ERROR_TEXTS, REGISTERS, Error, register


def test_offsets_are_words_of_their_own():
    offsets = [entry.offset for entry in REGISTERS]
    assert len(set(offsets)) == len(offsets)
    assert all(offset % 4 == 0 and offset < 256 for offset in offsets)


@pytest.mark.parametrize("entry", REGISTERS, ids=lambda entry: entry.name)
def test_fields_do_not_overlap(entry):
    masks = [field.mask for field in entry.fields]
    assert all(0 < mask < 1 << 32 for mask in masks)
    assert not any(first & second for first, second in combinations(masks, 2))


def test_meaning_names_the_bits():
    assert register("STATUS").meaning == (
        "bit 0: busy; bit 1: done; bit 2: error; write 1 to bit 1 to clear done, error and the "
        "interrupt")
    assert register("SELECT").meaning == "bits 11..0: layer; bits 13..12: engine, for the counters"
    assert register("PROGRAM").meaning == "byte address of the program's header"


def test_every_error_and_counter_has_its_entry():
    assert ERROR_TEXTS.keys() == set(Error)
    assert [register(f"COUNT_{name.upper()}").offset for name in COUNTERS] == [
        0x40, 0x44, 0x48, 0x4C]
