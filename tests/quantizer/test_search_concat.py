"""Formats of joined maps: one for all inputs where that costs nothing."""

import numpy as np
import pytest

from arch.formats import Format
from quantizer.accumulators import check_limits
from quantizer.errors import ModelError
from quantizer.execute import execute, quantize_input
from quantizer.explain import explain
from quantizer.graph import Add, Concat, Pool, Window
from quantizer.model import Limits
from quantizer.ranges import joined_format
from quantizer.storage import load, save

from .networks import SlowReference, conv, inputs_for, make_graph, quantized, slow_execute


SAME = Window((3, 3), (1, 1), (1, 1, 1, 1))


def fire(*, scale=(1.0, 1.0), relu=(True, True), tail=None):
    """Return a network that joins two convolutions, one of them behind a maximum pooling."""
    rng = np.random.default_rng(3)
    return make_graph((3, 6, 6), [
        conv(rng, "squeeze", "x", 3, 4, relu=True),
        conv(rng, "a", "squeeze_out", 4, 5, relu=relu[0], scale=scale[0]),
        conv(rng, "b", "squeeze_out", 4, 3, window=SAME, relu=relu[1], scale=scale[1]),
        Pool("pool", ("b_out",), "pool_out", window=SAME),
        Concat("join", ("a_out", "pool_out"), "join_out"),
        *(tail(rng) if tail else (conv(rng, "last", "join_out", 8, 2),)),
    ])


@pytest.mark.parametrize("options", [
    {}, {"ranges": "l1"}, {"per_channel": True}, {"data_bits": 5}, {"precision": "static"},
    {"data_bits": 16, "weight_bits": 16}])
@pytest.mark.parametrize("relu", [(True, True), (True, False)])
def test_inputs_have_the_format_of_the_result(options, relu):
    model = quantized(fire(scale=(1.0, 7.0), relu=relu), **options)
    names = ("a_out", "b_out", "pool_out", "join_out")
    assert len({model.formats[name] for name in names}) == 1
    assert model.formats["join_out"].signed == (not all(relu))
    codes = quantize_input(model, inputs_for(model.graph, 3, seed=4))
    found, expected = execute(model, codes), slow_execute(model, codes)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_format_is_that_with_the_least_error(norm):
    graph, images = fire(scale=(1.0, 3.0)), inputs_for(fire(), 6)
    model = quantized(graph, images, ranges=norm)
    chosen = model.formats["join_out"]
    exact = SlowReference(graph).tensors(images)["join_out"].astype(np.float64)
    errors = {}
    for frac in range(chosen.frac - 2, chosen.frac + 3):
        fmt = Format(8, frac, chosen.signed)
        difference = fmt.dequantize(fmt.quantize(exact)) - exact
        errors[frac] = np.abs(difference).sum() if norm == "l1" else (difference**2).sum()
    assert chosen.frac == min(errors, key=errors.get)


def test_a_map_that_others_read_keeps_its_own():
    def tail(rng):
        return (conv(rng, "other", "a_out", 5, 8), conv(rng, "last", "join_out", 8, 8),
                Add("add", ("other_out", "last_out"), "add_out"))
    graph = fire(scale=(1.0, 30.0), tail=tail)
    assert joined_format(graph, "a_out") == "a_out"
    assert joined_format(graph, "b_out") == "join_out"
    model = quantized(graph)
    assert model.formats["a_out"].frac > model.formats["join_out"].frac
    assert model.concat_shifts(graph.node("join"))[1] == (0, 0)


def test_concat_of_concat():
    def tail(rng):
        return (conv(rng, "c", "squeeze_out", 4, 2, relu=True),
                Concat("outer", ("c_out", "join_out"), "outer_out"))
    model = quantized(fire(tail=tail))
    assert joined_format(model.graph, "b_out") == "outer_out"
    assert len({model.formats[name] for name in (
        "a_out", "b_out", "c_out", "join_out", "outer_out")}) == 1


def test_overrides():
    wide, other = Format(8, 1, signed=False), Format(6, 3)
    model = quantized(fire(), overrides={"join_out": wide})
    assert model.formats["a_out"] == model.formats["b_out"] == wide
    model = quantized(fire(), overrides={"a_out": other})
    assert model.formats["a_out"] == other
    assert model.formats["b_out"] == model.formats["join_out"]


def test_far_formats_are_refused_or_avoided():
    model = quantized(fire(), overrides={"a_out": Format(8, -9)})
    assert model.formats["join_out"].frac == -9 + Limits().concat_left
    model.formats["join_out"] = Format(8, -2)
    with pytest.raises(ModelError) as error:
        check_limits(model, Limits())
    assert str(error.value) == (
        "node 'join': left shift of an input must be in 0..6 bits, not 7; choose other "
        "fractional lengths for a_out, pool_out, join_out")


def test_explain_moves_the_inputs_too():
    graph = fire()
    images = inputs_for(graph)
    model = quantized(graph, images)
    found = explain(model, "join", images, reference=SlowReference(graph))
    assert found.operator == "Concat"
    for candidate in found.candidates:
        assert not candidate.obstacle
    assert found.candidates[0].snr_db < found.candidates[1].snr_db
    assert "a Concat" in explain(model, "a", images, reference=SlowReference(graph)).chosen_by


def test_storage(tmp_path):
    model = quantized(fire())
    save(model, tmp_path / "folder")
    again = load(tmp_path / "folder")
    assert [type(node).__name__ for node in again.graph] == [
        type(node).__name__ for node in model.graph]
    codes = quantize_input(model, inputs_for(model.graph))
    expected = execute(model, codes)
    for name, values in execute(again, codes).items():
        np.testing.assert_array_equal(values, expected[name])
