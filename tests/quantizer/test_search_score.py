"""Errors of candidates against codes that are really made."""

import numpy as np
import pytest

from arch.formats import Rounding
from quantizer.search import score
from quantizer.search.score import candidate_errors, distance, signal
from quantizer.tiles import Tile, rescale, saturate


def random_tile(dtype, shape, frac, reach=5000, **others):
    rng = np.random.default_rng(sum(shape))
    values = rng.integers(-reach, reach, shape).astype(dtype)
    scale = np.ldexp(1.0, -np.asarray(frac))
    exact = (values * scale + rng.normal(0, 0.01 * reach, shape) * scale).astype(np.float32)
    return Tile(slice(0, shape[0]), slice(None), values, frac, **others), exact


def by_codes(tile, exact, bounds, rounding, norm):
    return {
        frac: distance(rescale(tile, frac, *pair, rounding, keep=True), 2.0**-frac, exact, norm)
        for frac, pair in bounds.items()}


@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("frac", [7, np.array([5, 9, 7, 5, 6])])
@pytest.mark.parametrize("block", [1, 40, 1 << 16])
def test_errors_are_those_of_the_codes(norm, dtype, frac, block, monkeypatch):
    monkeypatch.setattr(score, "_BLOCK_SIZE", block)
    tile, exact = random_tile(dtype, (3, 4, 2, 5), frac)
    bounds = {0: (-128, 127), 1: (-128, 127), 3: (0, 255), 8: (0, 77), 11: (-32768, 32767)}
    before = tile.values.copy()
    found = candidate_errors(tile, exact, bounds, Rounding.HALF_EVEN, norm)
    expected = by_codes(tile, exact, bounds, Rounding.HALF_EVEN, norm)
    assert found.keys() == expected.keys()
    for key, errors in expected.items():
        assert errors.shape == (3,)
        np.testing.assert_allclose(found[key], errors, rtol=1e-5)
    assert np.array_equal(tile.values, before)


def test_halves_go_to_even():
    values = np.arange(-8, 9, dtype=np.float32).reshape(1, 1, 1, -1)
    tile = Tile(slice(0, 1), slice(None), values, 1)
    codes = np.rint(values / 2)
    found = candidate_errors(
        tile, codes.astype(np.float32), {0: (-128, 127)}, Rounding.HALF_EVEN, "l2")
    assert found[0].tolist() == [0.0]


@pytest.mark.parametrize("rounding", [Rounding.FLOOR, Rounding.HALF_UP])
def test_other_rounding_rules(rounding):
    tile, exact = random_tile("float32", (2, 3, 3, 4), 4)
    bounds = {2: (-128, 127), 3: (-128, 127)}
    found = candidate_errors(tile, exact, bounds, rounding, "l2")
    for key, errors in by_codes(tile, exact, bounds, rounding, "l2").items():
        np.testing.assert_allclose(found[key], errors, rtol=1e-9)


def test_divisors():
    tile, exact = random_tile("int64", (2, 3, 3, 4), 4, divisor=np.full((3, 3, 1), 9))
    bounds = {4: (-128, 127)}
    found = candidate_errors(tile, exact, bounds, Rounding.HALF_EVEN, "l1")
    codes = np.clip(np.rint(tile.values / 9), -128, 127)
    assert found[4] == pytest.approx(np.abs(codes / 16 - exact).sum((1, 2, 3)), rel=1e-6)


@pytest.mark.parametrize("frac", [-50, 50])
def test_large_and_small_numbers_neither_overflow_nor_vanish(frac):
    tile, exact = random_tile("float32", (1, 8, 8, 8), frac)
    bounds = {frac - 6: (-128, 127), frac - 5: (-128, 127)}
    found = candidate_errors(tile, exact, bounds, Rounding.HALF_EVEN, "l2")
    for key, errors in by_codes(tile, exact, bounds, Rounding.HALF_EVEN, "l2").items():
        assert 0 < errors[0] < np.inf
        np.testing.assert_allclose(found[key], errors, rtol=1e-5)


def test_signal():
    values = np.array([[[[1.0, -2.0]]], [[[3.0, 0.0]]]], np.float32)
    assert signal(values, "l1").tolist() == [3.0, 3.0]
    assert signal(values, "l2").tolist() == [5.0, 9.0]


@pytest.mark.parametrize("channels", [1, 3, 5000])
def test_bounds_of_each_channel(channels):
    values = np.random.default_rng(channels).normal(size=(2, 3, 5, channels)).astype(np.float32)
    hi = np.random.default_rng(0).random(channels)
    expected = np.minimum(np.maximum(values, -0.25), hi.astype(np.float32))
    np.testing.assert_array_equal(saturate(values, -0.25, hi), expected)
