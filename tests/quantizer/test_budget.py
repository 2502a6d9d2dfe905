"""Bits under a budget."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantizer.budget import Choice, best_within, pareto_front
from quantizer.errors import ModelError


pairs = st.tuples(st.integers(1, 50), st.integers(0, 50))
layers = st.lists(pairs, min_size=1, max_size=4).map(lambda found: [
    Choice(bits, float(cost), float(noise)) for bits, (cost, noise) in enumerate(found, 2)])
networks = st.dictionaries(st.sampled_from("abcd"), layers, min_size=1)


@given(networks)
def test_front_is_monotone_and_not_dominated(choices):
    points = pareto_front(choices)
    for before, after in zip(points, points[1:], strict=False):
        assert after.cost < before.cost
        assert after.noise > before.noise
    sums = [
        (sum(each.cost for each in picks), sum(each.noise for each in picks))
        for picks in product(*choices.values())]
    for point in points:
        assert not any(
            cost <= point.cost and noise <= point.noise and (cost, noise) != (
                point.cost, point.noise)
            for cost, noise in sums)
    assert points[0].noise == min(noise for _, noise in sums)
    assert points[-1].cost == min(cost for cost, _ in sums)


@given(networks, st.floats(0.01, 100))
def test_front_has_the_best_of_every_linear_trade(choices, price):
    best = min(point.noise + price * point.cost for point in pareto_front(choices))
    exact = sum(
        min(each.noise + price * each.cost for each in options) for options in choices.values())
    assert best == pytest.approx(exact)


@given(networks)
def test_sums_are_those_of_the_widths(choices):
    for point in pareto_front(choices):
        picked = [
            next(each for each in options if each.bits == point.bits[name])
            for name, options in choices.items()]
        assert point.cost == sum(each.cost for each in picked)
        assert point.noise == sum(each.noise for each in picked)


def test_bits_go_where_they_help():
    points = pareto_front({
        "small": [Choice(4, 10, 100), Choice(8, 20, 1)],
        "large": [Choice(4, 100, 10), Choice(8, 200, 1)]})
    assert [point.bits for point in points] == [
        {"small": 8, "large": 8}, {"small": 8, "large": 4}, {"small": 4, "large": 4}]
    assert best_within(points, 150, "bytes").bits == {"small": 8, "large": 4}


def test_budget_that_cannot_be_met():
    points = pareto_front({"a": [Choice(2, 12345, 3), Choice(8, 50000, 0)]})
    with pytest.raises(ModelError, match="at least 12 345 bytes, which.*not 999$"):
        best_within(points, 999, "bytes")


def test_layer_without_choice():
    with pytest.raises(ModelError, match="'a' must have at least one width"):
        pareto_front({"a": []})
