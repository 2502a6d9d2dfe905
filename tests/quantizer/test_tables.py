"""Tables of functions of one number."""

import numpy as np
import pytest

from arch.formats import Format, Rounding
from quantizer.graph import Activation
from quantizer.tables import activation, build_table, look_up


KINDS = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "silu": lambda x: x / (1 + np.exp(-x)),
    "hard_sigmoid": lambda x: np.minimum(np.maximum(x / 6 + 0.5, 0), 1),
    "hard_swish": lambda x: x * np.minimum(np.maximum(x / 6 + 0.5, 0), 1),
}


def make(kind, **fields):
    return Activation("n", ("x",), "y", kind=kind, alpha=1 / 6, beta=0.5, **fields)


@pytest.mark.parametrize("kind", KINDS)
def test_functions(kind):
    x = np.linspace(-9, 9, 1001)
    np.testing.assert_allclose(activation(make(kind), x), KINDS[kind](x), atol=1e-14)
    extreme = activation(make(kind), [-1e30, 1e30])
    assert np.isfinite(extreme).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("signed", [False, True])
def test_8_bits_is_the_rounded_function(kind, signed):
    before, after = Format(8, 4, signed), Format(8, 5)
    table = build_table(make(kind), before, after, (-20, 100))
    codes = np.arange(before.min, before.max + 1)
    exact = np.rint(KINDS[kind](codes / 16) * 32)
    np.testing.assert_array_equal(look_up(table, codes, 8, (-20, 100)), np.clip(exact, -20, 100))
    assert not table.delta.any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [9, 12, 16])
def test_16_bits_is_near_the_function(kind, signed, bits):
    before, after = Format(bits, bits - 4, signed), Format(16, 12)
    table = build_table(make(kind), before, after, (after.min, after.max))
    assert np.abs(table.delta).max() < 1 << 16
    codes = np.arange(before.min, before.max + 1)
    got = look_up(table, codes, bits, (after.min, after.max))
    exact = np.clip(KINDS[kind](codes / before.step**-1) * 4096, after.min, after.max)
    segment = 256 * before.step * 4096  # one step of x, as codes of y
    assert np.abs(got - exact).max() < 1 + segment * 0.3
    starts = codes % 256 == 0
    np.testing.assert_array_equal(got[starts], np.rint(exact[starts]))


def test_last_segment_ends_past_the_largest_code():
    table = build_table(make("tanh"), Format(16, 15), Format(16, 15), (-32768, 32767))
    assert table.base[127] + table.delta[127] == round(np.tanh(1.0) * 32768)
    assert table.base[255] + table.delta[255] == 0
    assert table.base[128] == round(np.tanh(-1.0) * 32768)


def test_saturates():
    table = build_table(make("silu"), Format(16, 8), Format(16, 12), (-100, 32000))
    assert table.base.max() == 32767
    assert look_up(table, np.array([32767, -32768]), 16, (-100, 32000)).tolist() == [32000, 0]


def test_rounding():
    half = make("hard_sigmoid")
    tables = [build_table(half, Format(8, 0), Format(8, 0, signed=False), (0, 255), rounding)
              for rounding in (Rounding.HALF_EVEN, Rounding.HALF_UP)]
    assert [int(table.base[0]) for table in tables] == [0, 1]
