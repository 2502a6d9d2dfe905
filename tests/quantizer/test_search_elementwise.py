"""Formats of products, PRelu and activations: inside the limits, and near the float network."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arch.formats import Format
from quantizer.accumulators import check_limits
from quantizer.errors import ModelError
from quantizer.execute import execute, quantize_input, run
from quantizer.explain import explain
from quantizer.export import export_qdq, ort_tensors
from quantizer.graph import Activation, Add, Concat, Mul, Pool, PRelu, Window
from quantizer.model import Limits
from quantizer.onnx_import import load_graph
from quantizer.ranges import snr_db
from quantizer.reference import FloatReference
from quantizer.search import quantize
from quantizer.search.weights import integer_slopes
from quantizer.storage import load, save
from quantizer.tables import model_table
from tests.quantizer.networks import (
    SlowReference,
    conv,
    inputs_for,
    make_graph,
    quantized,
    slow_execute,
)
from tests.quantizer.onnx_models import Builder
from tests.quantizer.test_execute import assert_same


def activation(name, source, kind, **fields):
    return Activation(name, (source,), f"{name}_out", kind=kind, alpha=1 / 6, beta=0.5, **fields)


def excitation_graph(seed=0):
    """Return a block like MobileNet v3's: expand, depthwise, squeeze, excite, project, add."""
    rng = np.random.default_rng(seed)
    same = Window((3, 3), (1, 1), (1, 1, 1, 1))
    return make_graph((4, 8, 8), [
        conv(rng, "expand", "x", 4, 12),
        activation("swish1", "expand_out", "hard_swish"),
        conv(rng, "depthwise", "swish1_out", 12, 12, groups=12, window=same),
        activation("swish2", "depthwise_out", "hard_swish"),
        Pool("squeeze", ("swish2_out",), "squeeze_out", kind="average", window=Window((8, 8))),
        conv(rng, "reduce", "squeeze_out", 12, 4, relu=True),
        conv(rng, "grow", "reduce_out", 4, 12),
        activation("gate", "grow_out", "hard_sigmoid"),
        Mul("excite", ("swish2_out", "gate_out"), "excite_out"),
        conv(rng, "project", "excite_out", 12, 4),
        Add("add", ("project_out", "x"), "add_out"),
    ])


def leaky_graph(seed=0):
    """Return a block like YOLO's: LeakyRelu, PRelu, a join, a box head with Sigmoid."""
    rng = np.random.default_rng(seed)
    same = Window((3, 3), (1, 1), (1, 1, 1, 1))
    return make_graph((3, 8, 8), [
        conv(rng, "conv1", "x", 3, 8, window=same),
        PRelu("leaky1", ("conv1_out",), "leaky1_out", slope=np.full(8, 0.1)),
        Pool("pool1", ("leaky1_out",), "pool1_out", window=Window((2, 2), (2, 2))),
        conv(rng, "conv2", "pool1_out", 8, 6, window=same),
        PRelu("prelu2", ("conv2_out",), "prelu2_out", slope=rng.uniform(-0.5, 2, 6)),
        Concat("join", ("pool1_out", "prelu2_out"), "join_out"),
        conv(rng, "head", "join_out", 14, 5),
        activation("box", "head_out", "sigmoid"),
    ])


def silu_graph(seed=0):
    """Return a residual block with SiLU, a vector that is added, and Tanh."""
    rng = np.random.default_rng(seed)
    same = Window((3, 3), (1, 1), (1, 1, 1, 1))
    return make_graph((3, 8, 8), [
        conv(rng, "conv1", "x", 3, 8, window=same),
        activation("silu1", "conv1_out", "silu"),
        Pool("mean", ("silu1_out",), "mean_out", kind="average", window=Window((8, 8))),
        conv(rng, "bias", "mean_out", 8, 8),
        Add("shifted", ("silu1_out", "bias_out"), "shifted_out"),
        activation("tanh", "shifted_out", "tanh"),
        Mul("square", ("tanh_out", "silu1_out"), "square_out", lo=0.0),
    ])


GRAPHS = [excitation_graph, leaky_graph, silu_graph]


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda make: make.__name__)
@pytest.mark.parametrize(("options", "least"), [
    ({}, 20), ({"ranges": "l1", "per_channel": True}, 20), ({"precision": "static"}, 8),
    ({"data_bits": 5, "weight_bits": 5}, 4), ({"data_bits": 16, "weight_bits": 16}, 50),
    ({"data_bits": 12}, 25), ({"first_last_bits": 16}, 20), ({"rounding": "floor"}, 12),
])
def test_searched_network(graph, options, least):
    network = graph()
    model = quantized(network, **options)
    limits = Limits(**model.provenance["limits"])
    check_limits(model, limits)
    for node in network:
        if isinstance(node, Mul | PRelu):
            assert 0 <= model.product_shift(node) <= limits.vector_right
    inputs = inputs_for(network, 5, seed=9)
    codes = quantize_input(model, inputs)
    found = execute(model, codes)
    assert_same(found, slow_execute(model, codes))
    assert_same(ort_tensors(model, inputs), found)
    exact = SlowReference(network).tensors(inputs, [network.output])[network.output]
    assert snr_db(exact, run(model, inputs)) > least


def test_unsigned_results():
    model = quantized(excitation_graph())
    assert not model.formats["gate_out"].signed
    assert model.formats["swish1_out"].signed
    graph = make_graph((3, 4, 4), [
        activation("box", "x", "sigmoid"), activation("silu", "box_out", "silu"),
        Mul("mul", ("box_out", "silu_out"), "y")])
    model = quantized(graph, inputs_for(graph))
    assert [model.formats[name].signed for name in ("x", "box_out", "silu_out", "y")] == [
        True, False, False, False]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999), st.sampled_from([8, 16]), st.floats(-9, 9), st.floats(-9, 9),
       st.booleans())
def test_shift_of_a_product_stays_inside_the_limits(seed, bits, a, b, vector):
    rng = np.random.default_rng(seed)
    window = Window((4, 4)) if vector else Window()
    graph = make_graph((2, 4, 4), [
        conv(rng, "a", "x", 2, 3, scale=2.0**a),
        conv(rng, "b", "x", 2, 3, scale=2.0**b, window=window),
        Mul("mul", ("a_out", "b_out"), "mul_out")])
    model = quantized(graph, data_bits=bits, weight_bits=bits)
    assert 0 <= model.product_shift(graph.node("mul")) <= 29
    inputs = inputs_for(graph, 2, seed=seed)
    assert_same(ort_tensors(model, inputs), execute(model, quantize_input(model, inputs)))


def test_narrow_shifter():
    graph = excitation_graph()
    limits = Limits(vector_right=7)
    model = quantized(graph, limits=limits)
    assert 0 <= model.product_shift(graph.node("excite")) <= 7


@pytest.mark.parametrize(("slopes", "bits", "frac", "codes"), [
    ([0.1, 0.1], 8, 10, [102, 102]), ([0.25, -0.5], 8, 8, [64, -128]), ([0.0, 1.0], 8, 6, [0, 64]),
    ([1e-9, 0.0], 8, 15, [0, 0]), ([100.0, 2.5], 8, 0, [100, 2]),
    ([0.1, 0.3], 16, 15, [3277, 9830]),
])
def test_slopes(slopes, bits, frac, codes):
    found = integer_slopes(PRelu("p", ("x",), "y", slope=np.array(slopes)), bits)
    assert (found.bits, found.frac, found.codes.tolist()) == (bits, frac, codes)


def test_slope_that_does_not_fit():
    node = PRelu("p", ("x",), "y", slope=np.array([0.5, -300.0]))
    with pytest.raises(ModelError, match=(
            r"^node 'p': slopes must be in -128\.\.127 with 8-bit data, not -300$")):
        quantized(make_graph((2, 3, 3), [node]))


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("bits", [8, 16])
def test_stored_and_read(tmp_path, graph, bits):
    model = quantized(graph(), data_bits=bits)
    save(model, tmp_path)
    again = load(tmp_path)
    codes = quantize_input(model, inputs_for(model.graph))
    assert_same(execute(again, codes), execute(model, codes))
    assert again.slopes.keys() == model.slopes.keys()
    assert again.tables.keys() == model.tables.keys()
    for name, slopes in model.slopes.items():
        assert (again.slopes[name].bits, again.slopes[name].frac) == (slopes.bits, slopes.frac)
        np.testing.assert_array_equal(again.slopes[name].codes, slopes.codes)
        np.testing.assert_array_equal(again.graph.node(name).slope, model.graph.node(name).slope)
    for name, table in model.tables.items():
        np.testing.assert_array_equal(again.tables[name].base, table.base)
        np.testing.assert_array_equal(again.tables[name].delta, table.delta)
    assert [(node.name, getattr(node, "kind", None)) for node in again.graph] == [
        (node.name, getattr(node, "kind", None)) for node in model.graph]


@pytest.mark.parametrize(("graph", "layer"), [
    (excitation_graph, "swish1"), (excitation_graph, "expand"), (excitation_graph, "excite"),
    (leaky_graph, "leaky1"), (silu_graph, "x"), (silu_graph, "shifted"),
])
def test_explained(graph, layer):
    model = quantized(graph())
    images = inputs_for(model.graph)
    found = explain(model, layer, images, reference=SlowReference(model.graph))
    assert [candidate.chosen for candidate in found.candidates] == [False, True, False]
    middle = found.candidates[1]
    for candidate in found.candidates:
        assert candidate.obstacle or candidate.snr_db < middle.snr_db + 12
    assert model.tables == {
        node.name: model.tables[node.name] for node in model.graph
        if isinstance(node, Activation)}
    for name, table in model.tables.items():
        np.testing.assert_array_equal(
            model_table(model, model.graph.node(name)).base, table.base)


# The form in which an activation is exported

def operators(model):
    return [node.op_type for node in export_qdq(model).graph.node]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", ["sigmoid", "tanh", "silu", "hard_sigmoid", "hard_swish"])
def test_every_code_of_an_activation(kind, bits):
    graph = make_graph((1, 256, 1 if bits == 8 else 256), [activation("f", "x", kind)])
    model = quantized(graph, inputs_for(graph, 1) * 4, data_bits=bits)
    fmt = model.formats["x"]
    codes = np.arange(fmt.min, fmt.max + 1).reshape(1, *graph.shapes["x"])
    inputs = fmt.dequantize(codes).astype(np.float32)
    assert_same(ort_tensors(model, inputs), execute(model, codes))
    found = operators(model)
    assert ("Gather" in found) == (bits == 16)
    if bits == 8:
        assert ("Sigmoid" in found) == (kind in ("sigmoid", "silu"))
        assert ("HardSigmoid" in found) == kind.startswith("hard")


def test_activation_with_ties_is_a_table():
    graph = make_graph((1, 16, 16), [
        Activation("f", ("x",), "y", kind="hard_sigmoid", alpha=0.25, beta=0.5)])
    model = quantized(graph, overrides={
        "x": Format(8, 5), "y": Format(8, 6, signed=False)})
    assert "Gather" in operators(model)
    codes = np.arange(-128, 128).reshape(1, 1, 16, 16)
    inputs = model.formats["x"].dequantize(codes).astype(np.float32)
    assert_same(ort_tensors(model, inputs), execute(model, codes))
    exact = np.rint(np.clip(codes / 128 + 0.5, 0, 1) * 64)
    np.testing.assert_array_equal(execute(model, codes)["y"], exact)


def test_table_that_the_operator_does_not_give():
    graph = make_graph((1, 16, 16), [activation("f", "x", "sigmoid")])
    model = quantized(graph)
    model.tables["f"].base[3] += 1
    assert "Gather" in operators(model)
    codes = np.arange(-128, 128).reshape(1, 1, 16, 16)
    inputs = model.formats["x"].dequantize(codes).astype(np.float32)
    assert_same(ort_tensors(model, inputs), execute(model, codes))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999), st.sampled_from([8, 16]), st.integers(0, 15), st.integers(0, 16),
       st.booleans())
def test_prelu_of_any_slope(seed, bits, frac, shift, signed):
    rng = np.random.default_rng(seed)
    graph = make_graph((3, 5, 4), [PRelu("p", ("x",), "y", slope=np.ones(3))])
    model = quantized(graph, data_bits=bits)
    slopes = model.slopes["p"]
    half = 1 << (bits - 1)
    slopes.codes[:] = rng.integers(-half, half, 3)
    model.slopes["p"] = type(slopes)(slopes.codes, bits, frac)
    model.formats["x"] = Format(bits, 3, signed)
    model.formats["y"] = Format(bits, 3 + frac - shift)
    codes = rng.integers(model.formats["x"].min, model.formats["x"].max + 1, (2, 3, 5, 4))
    inputs = model.formats["x"].dequantize(codes).astype(np.float32)
    found = execute(model, codes)
    assert_same(found, slow_execute(model, codes))
    assert_same(ort_tensors(model, inputs), found)


def test_width_and_fracs_of_factors():
    model = quantized(leaky_graph(), per_channel=True)
    fracs = model.weights["conv1"].frac
    assert model.factor_fracs(model.graph.node("conv1")) == (8, fracs.min(), fracs.max())
    assert model.factor_fracs(model.graph.node("leaky1")) == (8, 10, 10)
    assert model.factor_fracs(model.graph.node("pool1")) is None


@pytest.mark.parametrize(("frac", "shift"), [(20, -2), (-20, 38)])
def test_formats_that_no_shift_brings_together(frac, shift):
    graph = make_graph((2, 4, 4), [
        Pool("v", ("x",), "v_out", window=Window((4, 4))), Mul("mul", ("x", "v_out"), "y")])
    with pytest.raises(ModelError) as error:
        quantized(graph, overrides={"x": Format(8, 9), "y": Format(8, frac)})
    assert str(error.value) == (
        f"node 'mul': right shift must be in 0..29 bits, not {shift}; choose other fractional "
        "lengths for x, v_out, y")


@pytest.mark.parametrize("opset", [14, 21])
@pytest.mark.parametrize("bits", [8, 16])
def test_file_with_everything(tmp_path, opset, bits):
    net = Builder(["n", 3, 16, 16], opset=opset)
    y = net.node("HardSwish", net.conv("x", 8, 3, 3, 3, strides=[2, 2], pads=[1, 1, 1, 1]))
    s = net.conv(net.node("GlobalAveragePool", y), 4, 8, 1, 1)
    s = net.node("HardSigmoid", net.conv(net.node("Relu", s), 8, 4, 1, 1), alpha=1 / 6)
    y = net.conv(net.node("Mul", y, s), 8, 8, 3, 3, pads=[1, 1, 1, 1])
    y = net.node("PRelu", net.node("LeakyRelu", y, alpha=0.1), net.random(8, 1, 1))
    y = net.conv(y, 8, 8, 1, 1)
    y = net.node("Mul", y, net.node("Sigmoid", y))
    y = net.node("Tanh", net.node("Add", y, net.node("GlobalMaxPool", y)))
    net.node("Sigmoid", net.conv(y, 5, 8, 8, 8))
    graph = load_graph(net.save(tmp_path))
    inputs = inputs_for(graph, 4)
    model = quantize(graph, inputs, data_bits=bits, weight_bits=bits)
    found = execute(model, quantize_input(model, inputs))
    assert_same(ort_tensors(model, inputs), found)
    onnx.checker.check_model(export_qdq(model), full_check=True)
    exact = FloatReference(graph).run(inputs)
    assert snr_db(exact, run(model, inputs)) > (12 if bits == 8 else 45)
