"""Results kept by content."""

import os
import time

import pytest

from hw.build.cache import digest, entry, kept, prune


def _make(folder):
    (folder / "a").write_text("x" * 100)


def test_made_once(tmp_path):
    assert not kept(tmp_path / "one", "a", _make)
    assert kept(tmp_path / "one", "a", pytest.fail)


def test_nothing_is_left_of_a_failure(tmp_path):
    def fail(folder):
        _make(folder)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        kept(tmp_path / "one", "a", fail)
    assert list(tmp_path.iterdir()) == []


def test_another_was_faster(tmp_path):
    with entry(tmp_path / "one") as first:
        _make(first)
        kept(tmp_path / "one", "a", _make)
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_the_oldest_go_first(tmp_path):
    for number, name in enumerate(("one", "two", "three")):
        kept(tmp_path / name, "a", _make)
        os.utime(tmp_path / name, (number, number))
    assert kept(tmp_path / "one", "a", _make)  # now the last used
    assert (tmp_path / "one").stat().st_mtime > time.time() - 60
    prune(tmp_path, 200)
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"one", "three"}
    prune(tmp_path, 0)
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"one"}


def test_digest():
    assert digest("a", {"b": 1, "c": 2}) == digest("a", {"c": 2, "b": 1})
    assert digest("a", "b") != digest("ab")
