"""What equalization chooses, and what it wins."""

import numpy as np
import pytest

from quantizer.execute import execute, quantize_input, run
from quantizer.export import ort_tensors
from quantizer.graph import Add, Concat, Conv, Pool, Window
from quantizer.prepare import scale_graph
from quantizer.ranges import snr_db
from quantizer.storage import load, save
from tests.quantizer.networks import SlowReference, conv, inputs_for, make_graph, quantized
from tests.quantizer.test_execute import assert_same


SAME = Window((3, 3), pads=(1, 1, 1, 1))


def uneven(spread, seed=0, *, hi=np.inf):
    """Return a network whose channels differ by up to ``2 ** spread`` inside, not outside."""
    rng = np.random.default_rng(seed)

    def layer(*arguments, **options):
        return Conv(**{**vars(conv(rng, *arguments, relu=True, **options)), "hi": hi})

    graph = make_graph((3, 6, 6), [
        layer("a", "x", 3, 8, window=SAME),
        layer("b", "a_out", 8, 8, groups=8, window=SAME),
        layer("c", "b_out", 8, 8),
        Add("s", ("c_out", "a_out"), "s_out"),
        Pool("p", ("s_out",), "p_out", window=Window((2, 2), (2, 2))),
        Concat("j", ("p_out", "p_out"), "j_out"),
        Pool("m", ("j_out",), "m_out", kind="average", window=Window((3, 3))),
        conv(rng, "fc", "m_out", 16, 5)])
    factors = rng.integers(-spread, spread + 1, 8) if spread else np.zeros(8, int)
    tied = dict.fromkeys(("a_out", "c_out", "s_out", "p_out"), factors)
    tied |= {name: np.tile(factors, 2) for name in ("j_out", "m_out")}
    free = {name: np.zeros(graph.shapes[name][0], int) for name in graph.shapes}
    return scale_graph(graph, {**free, **tied, "b_out": -factors})


def loss(graph, seed=5, **options):
    model = quantized(graph, inputs_for(graph, 16), **options)
    images = inputs_for(graph, 8, seed)
    exact = SlowReference(graph).tensors(images)[graph.output]
    return snr_db(exact.ravel(), run(model, images).ravel())


@pytest.mark.parametrize("hi", [np.inf, 6.0])
def test_uneven_channels_cost_nothing(hi):
    uneven_graph, even = uneven(5, hi=hi), uneven(0, hi=hi)
    assert loss(uneven_graph) < loss(even) - 6
    assert loss(uneven_graph, equalize=True) > loss(even) - 2


def test_factors_fill_what_steps_leave():
    """Steps are powers of two, and some factors between them suit these maps better."""
    graph = uneven(0)
    free = {name: np.zeros(shape[0]) for name, shape in graph.shapes.items()}
    worst = min(loss(scale_graph(graph, {**free, "b_out": np.full(8, part / 4)}))
                for part in range(4))
    assert loss(graph, equalize=True) > worst
    model = quantized(graph, inputs_for(graph, 16), equalize=True)
    assert any((values % 1).any() for values in model.graph.exponents.values())


def test_even_channels_stay():
    assert loss(uneven(0), equalize=True) > loss(uneven(0)) - 1


def test_engines_agree_with_clamps_by_channel(tmp_path):
    graph = uneven(5, hi=1.0)
    model = quantized(graph, inputs_for(graph, 8), equalize=True)
    clamped = [node for node in model.graph if isinstance(node, Conv) and node.upper.size]
    assert clamped
    for node in clamped:
        assert node.upper.max() == node.hi
    images = inputs_for(graph, 4, 7) * 3
    expected = execute(model, quantize_input(model, images))
    assert_same(ort_tensors(model, images), expected)
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert_same(execute(again, quantize_input(again, images)), expected)
    for name, values in model.graph.exponents.items():
        assert again.graph.exponents[name].tolist() == values.tolist()


@pytest.mark.parametrize("options", [
    {"data_bits": 16, "weight_bits": 16}, {"precision": "static"}, {"per_channel": True},
    {"data_bits": 5, "weight_bits": 4}])
def test_other_options(options):
    graph = uneven(3, hi=1.0)
    assert loss(graph, equalize=True, **options) > loss(graph, **options) - 0.5


def test_scaled_in_the_domain_of_the_reference():
    graph = uneven(4)
    model = quantized(graph, equalize=True)
    images = inputs_for(graph, 2)
    expected = SlowReference(model.graph).tensors(images)
    codes = execute(model, quantize_input(model, images))
    for name, fmt in model.formats.items():
        assert snr_db(expected[name], fmt.dequantize(codes[name])) > 20, name
