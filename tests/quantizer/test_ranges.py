"""Ranges, natural fractional lengths and what shares a format."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arch.formats import Format
from quantizer.errors import ModelError
from quantizer.graph import Add, Pool, Window
from quantizer.intake import Intake
from quantizer.ranges import (
    FRAC_LIMIT,
    batches,
    check_calibration,
    format_root,
    format_sharers,
    natural_frac,
    observe,
    snr_db,
    unsigned_tensors,
)
from tests.quantizer.networks import SlowReference, conv, inputs_for, make_graph, small_graph


def overflows(fmt, lo, hi):
    exact = np.rint(np.ldexp([lo, hi], fmt.frac))
    return exact[0] < fmt.min or exact[1] > fmt.max


@given(st.floats(-1e6, 0), st.floats(0, 1e6), st.integers(2, 16), st.booleans())
def test_natural_is_the_largest_that_fits(lo, hi, bits, signed):
    lo = lo if signed else 0.0
    frac = int(natural_frac(lo, hi, bits, signed=signed))
    if lo == hi == 0:
        assert frac == bits - signed
    elif frac < FRAC_LIMIT:
        assert not overflows(Format(bits, frac, signed), lo, hi)
        assert overflows(Format(bits, frac + 1, signed), lo, hi)
    else:
        assert not overflows(Format(bits, FRAC_LIMIT, signed), lo, hi)


def test_natural_ties_round_up_and_overflow():
    assert int(natural_frac(0, 127.4, 8)) == 0
    assert int(natural_frac(0, 127.5, 8)) == -1
    assert int(natural_frac(-128.5, 0, 8)) == 0


def test_unsigned_and_sharers():
    rng = np.random.default_rng(0)
    nodes = [
        conv(rng, "a", "x", 2, 2),
        conv(rng, "b", "x", 2, 2, relu=True),
        Pool("pa", ("a_out",), "pa_out", lo=0.0, window=Window((2, 2), (2, 2))),
        Pool("pb", ("b_out",), "pb_out", window=Window((2, 2), (2, 2))),
        Pool("pp", ("pb_out",), "pp_out"),
        Add("s", ("pb_out", "pp_out"), "s_out"),
        Add("m", ("pa_out", "pp_out"), "m_out"),
        Pool("avg", ("s_out",), "avg_out", kind="average", window=Window((2, 2))),
    ]
    graph = make_graph((2, 4, 4), nodes)
    assert unsigned_tensors(graph, 0.0) == {
        "x", "b_out", "pb_out", "pp_out", "s_out", "avg_out"}
    assert "x" not in unsigned_tensors(graph, -0.1)
    intake = Intake(np.zeros(2, np.float32), np.ones(2, np.float32))
    assert "x" in unsigned_tensors(replace(graph, intake=intake), -0.1)  # what is below is clipped
    assert format_root(graph, "pp_out") == "b_out"
    assert format_root(graph, "s_out") == "s_out"
    assert format_sharers(graph, "b_out") == ["b_out", "pb_out", "pp_out"]


def test_observe_covers_all_batches(monkeypatch):
    graph = small_graph()
    inputs = inputs_for(graph, 5)
    whole = observe(graph, SlowReference(graph), inputs)
    reference = SlowReference(graph)
    monkeypatch.setattr("quantizer.ranges.batches", lambda graph, count, names=None: (
        slice(i, i + 1) for i in range(count)))
    assert observe(graph, reference, inputs) == whole
    assert reference.calls == 5
    tensors = reference.tensors(inputs)
    assert whole["add_out"] == (tensors["add_out"].min(), tensors["add_out"].max())


def test_batches_bound_memory():
    graph = small_graph()
    size = 4 * sum(int(np.prod(shape)) for shape in graph.shapes.values())
    assert list(batches(graph, 5, size=2 * size)) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert list(batches(graph, 2, size=1)) == [slice(0, 1), slice(1, 2)]
    assert list(batches(graph, 9, ["fc_out"], size=4 * 5 * 9)) == [slice(0, 9)]


def test_snr():
    assert snr_db([1.0, 2.0], [1.0, 2.0]) == np.inf
    assert snr_db([0.0], [1.0]) == -np.inf
    assert snr_db([2.0, 0.0], [2.0, 2.0]) == 0.0


@pytest.mark.parametrize(("images", "message"), [
    (np.zeros((0, 3, 8, 8)), "Calibration images must be at least one, not none"),
    (np.zeros((3, 8, 8)), ("Calibration images must have shape (n, 3, 8, 8), as 'net' takes them, "
                           "not (3, 8, 8)")),
    (np.full((1, 3, 8, 8), np.inf), ("Calibration images must be finite: number 0 holds NaN or "
                                     "infinity; check the images and the preprocessing")),
    (np.zeros((1, 3, 8, 8), complex), "Calibration images must be numbers, not complex128"),
])
def test_refuses_calibration(images, message):
    with pytest.raises(ModelError) as error:
        check_calibration(images, small_graph())
    assert str(error.value) == message


def test_refuses_ragged_images():
    with pytest.raises(ModelError, match="Calibration images must all have the same shape"):
        check_calibration([np.zeros((3, 8, 8)), np.zeros((3, 8, 7))], small_graph())


def test_refuses_network_that_is_not_finite():
    class Broken(SlowReference):
        def tensors(self, inputs, names=None):
            found = super().tensors(inputs, names)
            found["add_out"][0, 0, 0, 0] = np.nan
            return found

    graph = small_graph()
    with pytest.raises(ModelError) as error:
        observe(graph, Broken(graph), inputs_for(graph))
    assert str(error.value) == (
        "net: tensor 'add_out' of the float network is not finite on the calibration images; "
        "check the weights and the preprocessing")


def test_refuses_numbers_whose_squares_overflow():
    class Huge(SlowReference):
        def tensors(self, inputs, names=None):
            found = super().tensors(inputs, names)
            found["add_out"][...] = 0
            found["add_out"][0, 0, 0, 0] = -1e30
            return found

    graph = small_graph()
    with pytest.raises(ModelError) as error:
        observe(graph, Huge(graph), inputs_for(graph))
    assert str(error.value) == (
        "net: tensor 'add_out' of the float network must be in ±1.15e+18 on the calibration "
        "images, not -1e+30 … 0; check the weights and the preprocessing")
