"""Parsing what the compiled part of a simulation writes."""

import numpy as np

from sim.trace import ImageEnd, read_beats, read_events, read_rows, split_events


def test_rows(tmp_path):
    path = tmp_path / "rows"
    path.write_text("00001 04030201\nfffff ff00ab10\n00a")
    numbers, rows = read_rows(path, 4)
    assert numbers.tolist() == [1, 0xFFFFF]
    assert rows.tolist() == [[1, 2, 3, 4], [0x10, 0xAB, 0, 0xFF]]
    assert rows.dtype == np.uint8


def test_no_rows(tmp_path):
    (tmp_path / "rows").write_text("")
    numbers, rows = read_rows(tmp_path / "rows", 4)
    assert (numbers.shape, rows.shape) == ((0,), (0, 4))


def test_beats(tmp_path):
    (tmp_path / "dump").write_text("04030201\n08070605\n")
    assert read_beats(tmp_path / "dump", 4) == bytes(range(1, 9))


def test_events(tmp_path):
    path = tmp_path / "events"
    path.write_text(
        "5 load start 0\n9 load done 0\n10 image 3 20 4\n12 calc start 1\n30 image 7 45 9\n"
        "40 save start 1\n")
    events, ends = read_events(path)
    assert ends == [ImageEnd(10, 3, 20, 4), ImageEnd(30, 7, 45, 9)]
    assert split_events(events, ends) == [
        [(5, "load", "start", 0), (9, "load", "done", 0)], [(12, "calc", "start", 1)]]
