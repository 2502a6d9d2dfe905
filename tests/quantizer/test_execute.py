"""Integer execution against the slow reference."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arch.formats import Format, Rounding
from quantizer import convolution
from quantizer.errors import ModelError
from quantizer.execute import execute, probabilities, quantize_input, run
from quantizer.graph import (
    Activation,
    Add,
    Concat,
    Conv,
    Kind,
    Mul,
    Pool,
    PRelu,
    Slice,
    Window,
)
from quantizer.model import QuantizedModel, QuantizedWeights
from tests.quantizer.networks import (
    conv,
    inputs_for,
    make_graph,
    quantized,
    random_codes,
    random_model,
    slow_execute,
    small_graph,
)


@st.composite
def windows(draw, height, width, *, pool=False):
    kernel = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    dilations = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    extent = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    most = [min(e - 1, 2) if pool and d == 1 else 0 if pool else 3
            for e, d in zip(extent, dilations, strict=True)]
    pads = [draw(st.integers(0, m)) for m in (*most, *most)]
    size = height + pads[0] + pads[2], width + pads[1] + pads[3]
    if extent[0] > size[0] or extent[1] > size[1]:
        return Window()
    strides = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    return Window(kernel, strides, tuple(pads), dilations)


@st.composite
def graphs(draw):
    """Random networks: two operators of any kind on a map, and an Add where it fits."""
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    shape = draw(st.sampled_from([1, 2, 4, 6])), draw(st.integers(1, 7)), draw(st.integers(1, 7))
    nodes, source, (c, h, w) = [], "x", shape
    for index in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(
            ["conv", "depthwise", "grouped", "max", "average", "add", "concat", "slice", "mul",
             "vector add", "vector mul", "prelu", "activation"]))
        name = f"{kind}{index}"
        lo, hi = draw(st.sampled_from([(-np.inf, np.inf), (0.0, np.inf), (0.0, 6.0)]))
        if kind in ("max", "average"):
            window = draw(windows(h, w, pool=True))
            node = Pool(name, (source,), f"{name}_out", lo, hi, kind=kind, window=window,
                        count_pad=draw(st.booleans()))
        elif kind == "add":
            other = conv(rng, f"{name}_b", source, c, c)
            nodes.append(other)
            node = Add(name, (source, other.output), f"{name}_out", lo, hi)
            window = Window()
        elif kind == "mul":
            other = conv(rng, f"{name}_b", source, c, c)
            nodes.append(other)
            node = Mul(name, (source, other.output), f"{name}_out", lo, hi)
            window = Window()
        elif kind in ("vector add", "vector mul"):
            vector = Pool(f"{name}_b", (source,), f"{name}_v", window=Window((h, w)), kind="max")
            nodes.append(vector)
            make = Add if kind == "vector add" else Mul
            node = make(name, (source, vector.output), f"{name}_out", lo, hi)
            window = Window()
        elif kind == "prelu":
            node = PRelu(name, (source,), f"{name}_out", lo, hi, slope=rng.uniform(-1, 1, c))
            window = Window()
        elif kind == "activation":
            node = Activation(
                name, (source,), f"{name}_out", lo, hi, alpha=0.2, beta=0.5,
                kind=draw(st.sampled_from(get_args(Kind))))
            window = Window()
        elif kind == "concat":
            other = conv(rng, f"{name}_b", source, c, draw(st.integers(1, 4)))
            nodes.append(other)
            parts = draw(st.permutations([source, other.output, source]))
            node = Concat(name, tuple(parts), f"{name}_out")
            c, window = 2 * c + len(other.weight), Window()
        elif kind == "slice":
            start = draw(st.integers(0, c - 1))
            node = Slice(name, (source,), f"{name}_out", start=start)
            c, window = c - start, Window()
        else:
            window = draw(windows(h, w))
            groups = {"conv": 1, "depthwise": c, "grouped": 2 if c % 2 == 0 else 1}[kind]
            kernels = groups * draw(st.integers(1, 3))
            node = conv(rng, name, source, c, kernels, groups=groups, window=window)
            upper = np.zeros(0)
            if hi == 6 and draw(st.booleans()):
                upper = np.ldexp(hi, -rng.integers(0, 4, kernels))
            node = Conv(**{**vars(node), "lo": lo, "hi": hi, "upper": upper})
            c = kernels
        nodes.append(node)
        source, (h, w) = node.output, window.output_size(h, w)
    return make_graph(shape, nodes)


def assert_same(got, expected):
    assert got.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(got[name], expected[name], err_msg=name)


@settings(max_examples=120, deadline=None)
@given(graphs(), st.integers(0, 999), st.sampled_from([(8, 8), (4, 3), (16, 16), (16, 8)]),
       st.sampled_from(list(Rounding)))
def test_equals_slow_reference(graph, seed, bits, rounding):
    rng = np.random.default_rng(seed)
    model = random_model(
        rng, graph, data_bits=bits[0], weight_bits=bits[1], rounding=rounding)
    codes = random_codes(rng, model, 3)
    assert_same(execute(model, codes), slow_execute(model, codes))


@pytest.mark.parametrize("tile_size", [1, 700, 5000])
def test_tiles_of_any_size(monkeypatch, tile_size):
    monkeypatch.setattr(convolution, "TILE_SIZE", tile_size)
    monkeypatch.setattr(convolution, "_LARGEST_TILE_SIZE", tile_size)
    rng = np.random.default_rng(7)
    model = random_model(rng, small_graph())
    codes = random_codes(rng, model, 3)
    assert_same(execute(model, codes), slow_execute(model, codes))


def one_conv(codes, bias, *, groups=1, x_bits=8, signed=False, frac=0, out_bits=16, out_frac=-12):
    """Return a model of one convolution over the whole map with given integers."""
    codes = np.asarray(codes, np.int64)
    kernels, per_group, r, s = codes.shape
    node = Conv("c", ("x",), "y", window=Window((r, s)), groups=groups,
                weight=codes.astype(np.float32), bias=np.asarray(bias, np.float64))
    graph = make_graph((per_group * groups, r, s), [node])
    weights = QuantizedWeights(
        codes, 16, np.full(kernels, frac), np.asarray(bias, np.int64))
    return QuantizedModel(
        graph, {"x": Format(x_bits, 0, signed), "y": Format(out_bits, out_frac)}, {"c": weights})


@pytest.mark.parametrize(("channels", "groups"), [
    (600, 1),      # one sum of float32 would leave 2^24
    (2000, 1),     # four of them
    (1300, 2),     # groups that do
])
def test_sums_above_24_bits(channels, groups):
    rng = np.random.default_rng(3)
    codes = 127 - rng.integers(0, 2, (2 * groups, channels // groups, 1, 1))
    model = one_conv(codes, rng.integers(-99, 99, 2 * groups), groups=groups, out_frac=0)
    data = 255 - rng.integers(0, 2, (2, channels, 1, 1))
    ours = convolution.Convolution(model.graph.node("c"), model.weights["c"], 0, (0, 255))
    tile, = ours.tiles(data.transpose(0, 2, 3, 1).astype(np.uint8))
    split = data.reshape(2, groups, 1, -1)
    exact = (split * codes.reshape(1, groups, 2, -1)).sum(-1).reshape(2, -1)
    np.testing.assert_array_equal(tile.values.reshape(2, -1), exact + model.weights["c"].bias)
    assert ((exact > 1 << 24) & (exact % 2 == 1)).any() or channels == 600


@pytest.mark.parametrize("groups", [2, 3])
def test_clamp_of_each_channel_behind_groups_of_one_kernel(groups):
    rng = np.random.default_rng(groups)
    model = one_conv(rng.integers(-9, 9, (groups, 2, 1, 1)), [0] * groups, groups=groups,
                     x_bits=4, out_frac=0)
    node = replace(model.graph.node("c"), lo=0.0, hi=30.0, upper=30.0 - 10 * np.arange(groups))
    model = replace(model, graph=replace(model.graph, nodes=[node]))
    codes = random_codes(rng, model, 5)
    assert_same(execute(model, codes), slow_execute(model, codes))


def test_depthwise_above_24_bits():
    codes = np.full((3, 1, 5, 5), 32767)
    codes[:, 0, 0, 0] = [32766, 32765, 1]
    model = one_conv(codes, [1, 2, 1 << 40], groups=3, x_bits=16, signed=True, out_frac=-30)
    data = np.full((1, 3, 5, 5), 32767)
    assert_same(execute(model, data), slow_execute(model, data))


def test_bias_above_24_bits():
    model = one_conv(np.ones((1, 1, 1, 1)), [(1 << 24) + 1], out_bits=16, out_frac=-11)
    data = np.array([[[[1023 % 256]]]])
    assert_same(execute(model, data), slow_execute(model, data))
    model.formats["y"] = Format(32, 0)
    assert execute(model, np.array([[[[2]]]]))["y"].item() == (1 << 24) + 3


def test_names_select_and_input_is_included():
    model = quantized(small_graph())
    codes = quantize_input(model, inputs_for(model.graph))
    everything = execute(model, codes)
    assert set(everything) == {"x", *(node.output for node in model.graph.nodes)}
    np.testing.assert_array_equal(everything["x"], codes)
    some = execute(model, codes, names={"add_out", "fc_out"})
    assert set(some) == {"add_out", "fc_out"}
    np.testing.assert_array_equal(some["add_out"], everything["add_out"])


def test_run_is_float_and_batches(monkeypatch):
    model = quantized(small_graph(softmax=True))
    inputs = inputs_for(model.graph, 7)
    logits = run(model, inputs, softmax=False)
    codes = execute(model, quantize_input(model, inputs))["fc_out"]
    np.testing.assert_array_equal(logits, model.formats["fc_out"].dequantize(codes))
    found = run(model, inputs)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-6)
    powers = np.exp(logits)
    np.testing.assert_allclose(found, powers / powers.sum(1, keepdims=True), rtol=1e-5)
    monkeypatch.setattr("quantizer.execute._BATCH_SIZE", 1)
    np.testing.assert_array_equal(run(model, inputs), found)


@pytest.mark.parametrize("softmax", [True, False])
def test_probabilities_with_and_without_a_softmax(softmax):
    model = quantized(small_graph(softmax=softmax))
    inputs = inputs_for(model.graph, 3)
    found = probabilities(model, execute(model, quantize_input(model, inputs))["fc_out"])
    powers = np.exp(run(model, inputs, softmax=False).reshape(3, -1))
    np.testing.assert_allclose(found, powers / powers.sum(1, keepdims=True), rtol=1e-5)


def test_run_of_no_image():
    model = quantized(small_graph())
    assert run(model, np.zeros((0, 3, 8, 8), np.float32)).shape == (0, 5, 1, 1)


def test_input_saturates():
    model = quantized(small_graph())
    fmt = model.formats["x"]
    codes = quantize_input(model, np.full((1, 3, 8, 8), 1e9))
    assert (codes == fmt.max).all()


@pytest.mark.parametrize(("inputs", "message"), [
    (np.zeros((2, 3, 8, 7)), ("Inputs must have shape (n, 3, 8, 8), as 'net' takes them, "
                              "not (2, 3, 8, 7)")),
    (np.full((2, 3, 8, 8), "a"), "Inputs must be numbers, not <U1"),
    (np.where(np.arange(2)[:, None, None, None] == 1, np.nan, np.zeros((2, 3, 8, 8))),
     ("Inputs must be finite: number 1 holds NaN or infinity; check the images and the "
      "preprocessing")),
])
def test_refuses_inputs(inputs, message):
    model = quantized(small_graph())
    with pytest.raises(ModelError) as error:
        run(model, inputs)
    assert str(error.value) == message


def test_refuses_codes():
    model = quantized(small_graph(), np.ones((1, 3, 8, 8)))
    assert not model.formats["x"].signed
    with pytest.raises(ModelError) as error:
        execute(model, np.full((1, 3, 8, 8), -1))
    assert str(error.value) == "net: input codes must be in 0..255, not -1..-1"
    with pytest.raises(ModelError) as error:
        execute(model, np.zeros((1, 3, 8, 8)))
    assert str(error.value) == (
        "net: input codes must be integers of shape (n, 3, 8, 8), not float64 (1, 3, 8, 8)")
