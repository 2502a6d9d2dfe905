"""Order, look-ahead and errors of work in threads."""

import threading

import pytest

from quantizer.parallel import in_threads, thread_count


def test_results_are_in_order():
    first = threading.Event()

    def work(item):
        if item == 0:
            assert first.wait(10)
        else:
            first.set()
        return -item

    assert list(in_threads(work, range(20), threads=2)) == [-item for item in range(20)]


def test_items_are_taken_when_there_is_room():
    taken = []

    def items():
        for item in range(20):
            taken.append(item)
            yield item

    for done, result in enumerate(in_threads(abs, items(), threads=2)):
        assert result == done
        assert len(taken) <= done + 3


def test_errors_reach_the_caller():
    def work(item):
        raise ValueError(f"item {item}")

    with pytest.raises(ValueError, match="item 0"):
        list(in_threads(work, range(20), threads=2))


def test_thread_count():
    assert thread_count() >= 1
