"""Resize, Pad and transposed convolution in integers: numpy, onnxruntime, formats, files."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arch.formats import Format, Rounding
from quantizer.accumulators import check_limits
from quantizer.errors import ModelError
from quantizer.execute import execute, quantize_input
from quantizer.export import ort_tensors
from quantizer.graph import Concat, Pad, Pool, Resize, Window
from quantizer.model import Limits
from quantizer.storage import load, save
from tests.quantizer.networks import (
    conv,
    conv_transpose,
    inputs_for,
    make_graph,
    quantized,
    random_codes,
    random_model,
    slow_execute,
)


pair = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def moves(draw, name, shape):
    """Return a node that reads ``x``, of any geometry."""
    c, h, w = shape
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    lo, hi = draw(st.sampled_from([(-np.inf, np.inf), (0.0, np.inf), (-1.0, 2.0)]))
    kind = draw(st.sampled_from(["resize", "pad", "transposed", "transposed"]))
    if kind == "resize":
        offsets = draw(st.integers(0, h - 1)), draw(st.integers(0, w - 1))
        return Resize(name, ("x",), f"{name}_out", lo, hi, repeats=draw(pair), steps=draw(pair),
                      offsets=offsets)
    if kind == "pad":
        pads = [draw(st.integers(1 - size if draw(st.booleans()) else 0, 3))
                for size in ((h + 1) // 2, (w + 1) // 2) * 2]
        mode = draw(st.sampled_from(["constant", "constant", "edge", "reflect"]))
        if mode != "constant":
            most = ((9, 9) if mode == "edge" else (h - 1, w - 1)) * 2
            pads = [min(abs(pad), size) for pad, size in zip(pads, most, strict=True)]
        return Pad(name, ("x",), f"{name}_out", lo, hi, pads=tuple(pads), mode=mode,
                   value=draw(st.sampled_from([0.0, 1.5, -0.25, 1e9, -1e9])))
    kernel, strides, dilations = draw(pair), draw(pair), draw(pair)
    extent = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    full = [(size - 1) * s + e for size, s, e in zip((h, w), strides, extent, strict=True)]
    pads = [draw(st.integers(0, (size - 1) // 2)) for size in full * 2]
    added = tuple(draw(st.integers(0, s - 1)) for s in strides)
    groups = draw(st.sampled_from([n for n in (1, 2, c) if c % n == 0]))
    kernels = groups * draw(st.integers(1, 3))
    node = conv_transpose(
        rng, name, "x", c, kernels, Window(kernel, strides, tuple(pads), dilations),
        groups=groups, output_padding=added)
    return type(node)(**{**vars(node), "lo": lo, "hi": hi})


@st.composite
def graphs(draw):
    shape = draw(st.integers(1, 6)), draw(st.integers(1, 6)), draw(st.integers(1, 6))
    return make_graph(shape, [draw(moves("node", shape))])


@settings(max_examples=150, deadline=None)
@given(graphs(), st.integers(0, 999), st.sampled_from([(8, 8), (4, 3), (16, 16), (16, 8)]),
       st.sampled_from(list(Rounding)))
def test_numpy_and_onnxruntime_and_slow_reference(graph, seed, bits, rounding):
    rng = np.random.default_rng(seed)
    model = random_model(rng, graph, data_bits=bits[0], weight_bits=bits[1], rounding=rounding)
    codes = random_codes(rng, model, 2)
    got = execute(model, codes)
    for name, expected in slow_execute(model, codes).items():
        np.testing.assert_array_equal(got[name], expected, err_msg=name)
    inputs = model.formats["x"].dequantize(codes).reshape(2, *graph.input_dims)
    for name, found in ort_tensors(model, inputs).items():
        np.testing.assert_array_equal(found, got[name], err_msg=name)


def up_and_down(seed=0):
    """Return a small network with all of them."""
    rng = np.random.default_rng(seed)
    same = Window((3, 3), pads=(1, 1, 1, 1))
    nodes = [
        conv(rng, "a", "x", 3, 6, window=same, relu=True),
        Pool("pool", ("a_out",), "pool_out", window=Window((2, 2), (2, 2))),
        Resize("up", ("pool_out",), "up_out", repeats=(2, 2)),
        conv_transpose(rng, "back", "pool_out", 6, 5,
                       Window((4, 4), (2, 2), (1, 1, 1, 1)), relu=True),
        Concat("join", ("up_out", "back_out"), "join_out"),
        Pad("pad", ("join_out",), "pad_out", pads=(1, 0, 1, 0), value=0.5),
        conv(rng, "fc", "pad_out", 11, 4, window=Window((10, 8))),
    ]
    return make_graph((3, 8, 8), nodes)


def test_formats_of_copies():
    model = quantized(up_and_down())
    assert model.formats["up_out"] == model.formats["pool_out"] == model.formats["a_out"]
    assert model.formats["pad_out"] == model.formats["join_out"] == model.formats["back_out"]
    assert not model.formats["up_out"].signed


@pytest.mark.parametrize("precision", ["dynamic", "static"])
@pytest.mark.parametrize("bits", [8, 16])
def test_quantized_network(precision, bits):
    graph = up_and_down()
    limits = Limits(acc_bits=48) if bits == 16 else None
    model = quantized(graph, precision=precision, data_bits=bits, weight_bits=bits, limits=limits)
    inputs = inputs_for(graph, 3, seed=9)
    got = execute(model, quantize_input(model, inputs))
    for name, found in ort_tensors(model, inputs).items():
        np.testing.assert_array_equal(found, got[name], err_msg=name)


def test_negative_padding_of_positive_map_needs_a_sign():
    rng = np.random.default_rng(0)
    nodes = [conv(rng, "a", "x", 3, 4, relu=True),
             Pad("pad", ("a_out",), "pad_out", pads=(1, 1, 1, 1), value=-0.5),
             conv(rng, "b", "pad_out", 4, 4)]
    model = quantized(make_graph((3, 4, 4), nodes))
    assert model.formats["a_out"].signed
    assert model.fill(model.graph.node("pad")) == round(-0.5 / model.formats["a_out"].step)


def test_padding_value_saturates():
    graph = make_graph((1, 2, 2), [Pad("p", ("x",), "y", pads=(1, 0, 0, 0), value=-1e30)])
    model = random_model(np.random.default_rng(0), graph)
    model.formats |= dict.fromkeys(("x", "y"), Format(8, 3, True))
    assert model.fill(graph.node("p")) == -128
    assert execute(model, np.ones((1, 1, 2, 2), int))["y"][0, 0, :, 0].tolist() == [-128, 1, 1]


def test_other_format_is_refused():
    graph = make_graph((1, 2, 2), [Resize("r", ("x",), "y", repeats=(2, 2))])
    model = random_model(np.random.default_rng(0), graph)
    model.formats |= {"x": Format(8, 3), "y": Format(8, 4)}
    with pytest.raises(ModelError) as error:
        check_limits(model, Limits())
    assert str(error.value) == (
        f"node 'r': Resize must keep the format of its input ({Format(8, 3)}), not "
        f"{Format(8, 4)}; set that of x instead")


def test_save_and_load(tmp_path):
    model = quantized(up_and_down())
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    for ours, theirs in zip(model.graph, again.graph, strict=True):
        assert type(ours) is type(theirs)
        assert {k: v for k, v in vars(ours).items() if k not in ("weight", "bias", "upper")} == {
            k: v for k, v in vars(theirs).items() if k not in ("weight", "bias", "upper")}
    codes = quantize_input(model, inputs_for(model.graph, 1))
    for name, found in execute(again, codes).items():
        np.testing.assert_array_equal(found, execute(model, codes)[name])
