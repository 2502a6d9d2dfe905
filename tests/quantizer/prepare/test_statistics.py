"""Moments of channels against their definitions."""

import numpy as np
import pytest

from quantizer.graph import Conv
from quantizer.prepare import channel_statistics
from quantizer.prepare.statistics import PARTS
from tests.quantizer.networks import conv, inputs_for, make_graph


class Given:
    """Results that are given."""

    def __init__(self, **tensors):
        self._tensors = tensors

    def tensors(self, inputs, names=None):
        return {name: self._tensors[name][:len(inputs)] for name in names}


def test_moments():
    rng = np.random.default_rng(0)
    node = Conv(**{**vars(conv(rng, "a", "x", 2, 3)), "lo": 0.0, "hi": 6.0})
    graph = make_graph((2, 4, 5), [node])
    scale = np.array([1e-3, 1.0, 300.0])[:, None, None]
    values = np.clip(rng.standard_normal((3, 3, 4, 5)) * scale, 0, 6).astype(np.float32)
    found = channel_statistics(
        graph, Given(a_out=values), inputs_for(graph, 3), ["a_out"])["a_out"]
    exact = values.astype(np.float64).transpose(1, 0, 2, 3).reshape(3, -1)
    np.testing.assert_allclose(found.square, (exact**2).mean(1))
    np.testing.assert_allclose(found.active, ((exact > 0) & (exact < 6)).mean(1))
    for octave in np.arange(-48, 20) / PARTS:
        over = np.maximum(np.abs(exact) - 2.0**octave, 0)
        np.testing.assert_allclose(
            found.excess(np.full(3, octave)), (over**2).mean(1), rtol=1e-3, atol=1e-9,
            err_msg=str(octave))
    assert found.last == 3


def test_of_zeros():
    """A network may have tensors in which nothing is ever active."""
    graph = make_graph((2, 4, 5), [conv(np.random.default_rng(0), "a", "x", 2, 3)])
    for zeros in (np.zeros((3, 3, 4, 5), np.float32), -np.zeros((3, 3, 4, 5), np.float32)):
        found = channel_statistics(
            graph, Given(a_out=zeros), inputs_for(graph, 3), ["a_out"])["a_out"]
        assert not found.square.any()
        assert not found.excess(np.full(3, -20.0)).any()


@pytest.mark.parametrize("order", [1, -1])
def test_larger_numbers_may_come_later(order, monkeypatch):
    monkeypatch.setattr("quantizer.prepare.statistics._BLOCK_SIZE", 7)
    monkeypatch.setattr(
        "quantizer.prepare.statistics.batches",
        lambda graph, count, names: (slice(index, index + 1) for index in range(count)))
    rng = np.random.default_rng(0)
    graph = make_graph((2, 3, 3), [conv(rng, "a", "x", 2, 3)])
    scale = 4.0 ** np.arange(-6, 6)[::order, None, None, None]
    values = (rng.standard_normal((12, 3, 3, 3)) * scale).astype(np.float32)

    class ByNumber:
        def tensors(self, inputs, names=None):
            return {"a_out": values[inputs[:, 0, 0, 0].astype(int)]}

    images = np.tile(np.arange(12, dtype=np.float32)[:, None, None, None], (1, 2, 3, 3))
    found = channel_statistics(graph, ByNumber(), images, ["a_out"])["a_out"]
    exact = values.astype(np.float64).transpose(1, 0, 2, 3).reshape(3, -1)
    np.testing.assert_allclose(found.square, (exact**2).mean(1))
    for octave in np.arange(found.first, PARTS * found.last + 1) / PARTS:
        over = np.maximum(np.abs(exact) - 2.0**octave, 0)
        np.testing.assert_allclose(
            found.excess(np.full(3, octave)), (over**2).mean(1), rtol=2e-3, atol=1e-9,
            err_msg=str(octave))


def test_of_many_images_some_are_taken(monkeypatch):
    monkeypatch.setattr("quantizer.prepare.statistics._NUMBERS", 10)
    graph = make_graph((2, 1, 1), [conv(np.random.default_rng(0), "a", "x", 2, 1)])
    calls = []

    class Counting(Given):
        def tensors(self, inputs, names=None):
            calls.append(inputs[:, 0, 0, 0])
            return {name: np.ones((len(inputs), 1, 1, 1), np.float32) for name in names}

    images = np.arange(300, dtype=np.float32).reshape(150, 2, 1, 1)
    channel_statistics(graph, Counting(), images, ["a_out"])
    taken = np.concatenate(calls)
    assert len(taken) == 32
    assert (taken[0], taken[-1]) == (0, 298)
