"""The model of noise: against its formula, and the same however the search came to a state."""

import numpy as np
import pytest

from arch.formats import Format
from quantizer.prepare import ChannelClasses, Widths, channel_statistics
from quantizer.prepare.equalize import _Network
from quantizer.prepare.noise import weight_noise
from quantizer.prepare.scale import input_columns
from quantizer.prepare.terms import COARSE, FINE, WeightNoise
from tests.quantizer.networks import SlowReference, inputs_for
from tests.quantizer.prepare.test_equalize import uneven


WIDTHS = Widths(lambda name: Format(8, 0), lambda node: 8, per_channel=False)


def statistics_of(graph):
    reference, images = SlowReference(graph), inputs_for(graph, 4)
    return channel_statistics(graph, reference, images, graph.shapes)


def test_weight_noise_is_that_of_its_formula():
    weights = np.random.default_rng(0).normal(size=(9, 5, 3)).astype(np.float32)
    octave = np.random.default_rng(1).integers(-48, -16, (5, 3)) / 4
    offsets = [-6, -1, 0, 0.25, 3]
    for offset, (rounded, saturated) in zip(
            offsets, weight_noise(np.abs(weights), octave, 7, offsets), strict=True):
        step = 2.0 ** (octave + offset)
        exact = np.abs(weights.astype(np.float64))
        np.testing.assert_allclose(rounded, np.minimum(step**2 / 12, exact**2).sum(0))
        np.testing.assert_allclose(
            saturated, (np.maximum(exact - step * 2**7, 0) ** 2).sum(0), atol=1e-30)


@pytest.mark.parametrize("per_channel", [False, True])
def test_terms_sum_up_the_same_noise(per_channel):
    graph = uneven(3)
    statistics, classes = statistics_of(graph), ChannelClasses(graph)
    gain = {name: np.ones(shape[0]) for name, shape in graph.shapes.items()}
    for node in (graph.producer(name) for name in ("b_out", "c_out")):
        noise = WeightNoise(
            node, classes, Widths(WIDTHS.data, WIDTHS.weights, per_channel), statistics, gain)
        noise.settle(np.zeros(classes.count))
        rows, columns = noise.state.terms
        assert rows.noise.shape == (13, len(node.weight))
        np.testing.assert_allclose(rows.noise.sum(1), columns.noise.sum(1))
        column = input_columns(node)
        power = statistics[node.inputs[0]].square[column]
        step = 2.0 ** noise.state.octave[:, None, None, None]
        exact = np.abs(node.weight.astype(np.float64))
        own = (np.minimum(step**2 / 12, exact**2).sum((2, 3)) * power
               + (np.maximum(exact - step * 2**7, 0) ** 2).sum((2, 3))
               * np.maximum(power, power.mean()))
        assert noise.state.total == pytest.approx(own.sum())


def test_moves():
    assert COARSE.offsets.tolist() == list(range(-6, 7))
    assert FINE.offsets.tolist() == [each / 4 for each in range(-8, 9)]
    assert FINE.offsets[FINE.whole].tolist() == [-2, -1, 0, 1, 2]
    assert FINE.places(FINE.steps).tolist() == [-4, 0, 4]


def test_a_term_tells_every_change():
    graph = uneven(3)
    statistics, classes = statistics_of(graph), ChannelClasses(graph)
    gain = {name: np.ones(shape[0]) for name, shape in graph.shapes.items()}
    noise = WeightNoise(graph.producer("c_out"), classes, WIDTHS, statistics, gain)
    noise.moves = FINE
    noise.settle(np.zeros(classes.count))
    moved = int(classes.members["c_out"][2])
    local = np.full(classes.count, -1)
    local[moved] = 0
    inside, others = noise.state.terms[0].within(local)
    changed = np.zeros(classes.count)
    changed[moved] = 0.75
    octave = noise.state.octave
    terms = noise._terms(octave, changed)
    place = FINE.exponents.tolist().index(0.75)
    average = noise._power.mean()  # what is large and saturates counts by the average: not here
    assert average > 0
    assert inside[1, place, 0] + others[1] == pytest.approx(terms[0].total, rel=1e-6)


def test_what_was_tried_in_vain_leaves_nothing(monkeypatch):
    graph = uneven(5)
    network = _Network(graph, ChannelClasses(graph), WIDTHS, statistics_of(graph))
    network.try_all(FINE)
    noises = {id(noise): noise for part in network._components for noise in part.touching}
    before = {key: noise.state for key, noise in noises.items()}
    monkeypatch.setattr("quantizer.prepare.equalize._WORTH", 1.0)
    assert not network.sweep()
    assert not network.exponents.any()
    assert all(noise.state is before[key] for key, noise in noises.items())


def test_a_component_is_tried_again_when_something_changed():
    graph = uneven(5)
    network = _Network(graph, ChannelClasses(graph), WIDTHS, statistics_of(graph))
    network.try_all(FINE)
    sweeps = 0
    while network.sweep():
        sweeps += 1
    assert sweeps > 1
    assert network.exponents.any()
    for component in network._components:
        before = component.total
        component.stale = True
        network.sweep()
        assert component.total == before
