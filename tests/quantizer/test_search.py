"""The two-phase search: against brute force, and at the edges of the hardware."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arch.formats import Format, Rounding
from quantizer.accumulators import check_limits, worst_case
from quantizer.errors import ModelError
from quantizer.execute import execute, quantize_input
from quantizer.graph import Add, Conv, Pool, Window
from quantizer.model import Limits
from quantizer.ranges import natural_frac, snr_db
from quantizer.search import quantize
from quantizer.search import stream as float_stream
from quantizer.search.rules import RangeRule, best_frac
from quantizer.search.weights import choose_frac, integer_weights
from tests.quantizer.networks import (
    SlowReference,
    conv,
    inputs_for,
    make_graph,
    quantized,
    slow_execute,
    small_graph,
)
from tests.quantizer.test_execute import graphs


def total_error(difference, norm):
    return np.abs(difference).sum() if norm == "l1" else (difference**2).sum()


@pytest.mark.parametrize("bits", [2, 3, 8, 16])
@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_weights_have_the_least_error(bits, norm, per_channel):
    node = conv(np.random.default_rng(bits), "c", "x", 4, 3, window=Window((3, 3)))
    frac, _ = choose_frac(node, bits, RangeRule(norm), per_channel=per_channel)
    parts = [(k, k + 1) for k in range(3)] if per_channel else [(0, 3)]
    for a, b in parts:
        part = node.weight[a:b].astype(np.float64)
        natural = int(natural_frac(part.min(), part.max(), bits))
        errors = {}
        for candidate in range(natural - 1, natural + 5):
            fmt = Format(bits, candidate)
            errors[candidate] = total_error(fmt.dequantize(fmt.quantize(part)) - part, norm)
        assert set(frac[a:b]) == {min(errors, key=errors.get)}


@pytest.mark.parametrize("options", [
    {"ranges": "l1"}, {"ranges": "l2", "per_channel": True}, {"data_bits": 4, "weight_bits": 5},
    {"first_last_bits": 6, "data_bits": 4}, {"rounding": Rounding.HALF_UP},
])
def test_data_is_greedy(options):
    graph = small_graph()
    images = inputs_for(graph, 6)
    model = quantized(graph, images, fuse_add=False, **options)
    norm = options.get("ranges", "l2")
    exact = SlowReference(graph).tensors(images)
    seen = []
    for tensor in ("x", "conv1_out", "conv2_out", "add_out", "mean_out", "fc_out"):
        chosen = model.formats[tensor]
        natural = int(natural_frac(
            exact[tensor].min(), exact[tensor].max(), chosen.bits, signed=chosen.signed))
        errors = {}
        for frac in range(natural - 1, natural + 5):
            model.formats[tensor] = Format(chosen.bits, frac, chosen.signed)
            model.formats["pool1_out"] = model.formats["conv1_out"]
            if tensor != "x":
                try:
                    check_limits(model, Limits(), [graph.producer(tensor)])
                except ModelError:
                    continue
            codes = slow_execute(model, quantize_input(model, images))[tensor]
            value = model.formats[tensor].dequantize(codes)
            errors[frac] = total_error(value - exact[tensor], norm)
        model.formats[tensor] = chosen
        model.formats["pool1_out"] = model.formats["conv1_out"]
        assert chosen.frac == min(errors, key=errors.get), tensor
        seen.append(chosen.frac)
    assert len(set(seen)) > 1


def test_signs_and_widths():
    graph = small_graph()
    model = quantized(graph, data_bits=4, weight_bits=3, first_last_bits=7, fuse_add=False)
    assert str(model.formats["x"])[:2] == "s7"
    assert not model.formats["conv1_out"].signed
    assert model.formats["conv1_out"].bits == 4
    assert model.formats["conv2_out"].signed
    assert model.formats["fc_out"].bits == 7
    assert [model.weights[name].bits for name in ("conv1", "conv2", "fc")] == [7, 3, 7]
    assert model.formats["pool1_out"] == model.formats["conv1_out"]
    positive = quantized(graph, np.abs(inputs_for(graph)))
    assert not positive.formats["x"].signed


def test_wide_is_near_float():
    graph = small_graph()
    images = inputs_for(graph, 6)
    model = quantized(graph, images, data_bits=16, weight_bits=16)
    exact = SlowReference(graph).tensors(images)
    found = execute(model, quantize_input(model, images))
    for name, codes in found.items():
        assert snr_db(exact[name], model.formats[name].dequantize(codes)) > 70, name


def test_best_frac_prefers_room_below_60_db():
    assert best_frac({1: 5.0, 2: 3.0, 3: 4.0}, 100.0, "l1") == 2
    assert best_frac({1: 0.9, 2: 0.5, 3: 0.8}, 1024.0, "l1") == 1
    assert best_frac({1: 1.1, 2: 0.9, 3: 0.5}, 1024.0, "l1") == 2
    assert best_frac({1: 0.9, 2: 0.5}, 2.0**20, "l2") == 1
    assert best_frac({1: 1.1, 2: 0.5}, 2.0**20, "l2") == 2


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_static_has_one_frac_with_the_least_error(norm):
    graph = small_graph()
    images = inputs_for(graph, 4)
    model = quantized(graph, images, precision="static", ranges=norm, fuse_add=False)
    frac, = {fmt.frac for fmt in model.formats.values()}
    weight_frac, = {int(f) for weights in model.weights.values() for f in weights.frac}
    exact = SlowReference(graph).tensors(images)
    convs = [node for node in graph if isinstance(node, Conv)]

    def data_error(candidate):
        for name, fmt in model.formats.items():
            model.formats[name] = Format(fmt.bits, candidate, fmt.signed)
        for node in convs:
            model.weights[node.name] = integer_weights(
                node, 8, model.weights[node.name].frac, candidate)
        codes = slow_execute(model, quantize_input(model, images))
        return sum(
            total_error(np.ldexp(codes[name].astype(float), -candidate) - exact[name], norm)
            for name in codes)

    def weight_error(candidate):
        fmt = Format(8, candidate)
        return sum(
            total_error(fmt.dequantize(fmt.quantize(node.weight)) - node.weight, norm)
            for node in convs)

    assert weight_frac == min(range(0, 20), key=weight_error)
    assert frac == min(range(0, 12), key=data_error)


def test_maximum_of_channels_without_weights():
    """Channels without weights follow the others and keep the layer's resolution."""
    node = conv(np.random.default_rng(0), "c", "x", 2, 3, scale=0.01)
    node.weight[1] = 0
    graph = make_graph((2, 3, 3), [node])
    model = quantized(graph, per_channel=True)
    frac = model.weights["c"].frac
    assert frac[1] in (max(frac[0], frac[2]) + np.arange(-5, 6))
    assert (model.weights["c"].codes[1] == 0).all()
    node.weight[:] = 0
    assert (quantized(graph).weights["c"].codes == 0).all()


def test_huge_bias_lowers_the_weights():
    node = conv(np.random.default_rng(0), "c", "x", 4, 4, scale=1e-4)
    node.bias[:] = [5e4, -3e4, 0, 1e-3]
    graph = make_graph((4, 3, 3), [node])
    for per_channel in (False, True):
        model = quantized(graph, per_channel=per_channel)
        weights = model.weights["c"]
        assert worst_case(weights.codes, weights.bias, -128, 127).max() < 1 << 31
        assert (model.shifts(node) >= 0).all()
        assert (model.shifts(node) <= 31).all()
        assert "lowered" in model.provenance["chosen"]["c.weights"]["rule"]
        images = inputs_for(graph)
        codes = execute(model, quantize_input(model, images))["c_out"]
        exact = SlowReference(graph).tensors(images)["c_out"]
        assert snr_db(exact, model.formats["c_out"].dequantize(codes)) > 35


def test_tiny_channels_stay_inside_the_shifter():
    """A dead channel next to a live one: its natural shift would be far above 31."""
    node = conv(np.random.default_rng(0), "c", "x", 4, 2)
    node.weight[0] *= 1e-15
    graph = make_graph((4, 3, 3), [node])
    model = quantized(graph, per_channel=True)
    assert model.shifts(node).max() <= 31
    assert (model.weights["c"].codes[1] != 0).any()


def branches(scale_a, scale_b):
    rng = np.random.default_rng(0)
    nodes = [
        conv(rng, "a", "x", 2, 2, scale=scale_a), conv(rng, "b", "x", 2, 2, scale=scale_b),
        Add("add", ("a_out", "b_out"), "add_out")]
    return make_graph((2, 4, 4), nodes)


@pytest.mark.parametrize(("scale_a", "scale_b"), [(1e-9, 100.0), (100.0, 1e-9), (1e-9, 1e-9)])
def test_branches_far_apart_can_be_added(scale_a, scale_b):
    graph = branches(scale_a, scale_b)
    images = inputs_for(graph)
    model = quantized(graph, images)
    check_limits(model, Limits())
    codes = execute(model, quantize_input(model, images))["add_out"]
    exact = SlowReference(graph).tensors(images)["add_out"]
    assert snr_db(exact, model.formats["add_out"].dequantize(codes)) > 30


def test_pooled_branch_is_limited_through_the_pool():
    rng = np.random.default_rng(0)
    graph = make_graph((2, 4, 4), [
        conv(rng, "a", "x", 2, 2, scale=1e-9), Pool("p", ("a_out",), "p_out"),
        conv(rng, "b", "x", 2, 2, scale=100.0), Add("add", ("p_out", "b_out"), "add_out")])
    check_limits(quantized(graph), Limits())


def test_average_of_odd_size_shifts_little():
    """The mean of much noise is small; the divider takes four bits to the left, no more."""
    rng = np.random.default_rng(0)
    graph = make_graph((2, 15, 15), [
        Pool("mean", ("x",), "y", kind="average", window=Window((15, 15)))])
    images = rng.choice([-1.0, 1.0], (4, 2, 15, 15)) * rng.uniform(0.9, 1, (4, 2, 15, 15))
    model = quantized(graph, images - images.mean((2, 3), keepdims=True) + 1e-3)
    (left,), right = model.vector_shifts(graph.node("mean"))
    assert left == 4
    assert right == 0


@settings(max_examples=40, deadline=None)
@given(graphs(), st.integers(2, 16), st.integers(2, 16), st.sampled_from(["dynamic", "static"]),
       st.booleans())
def test_any_network_any_width_is_within_limits(graph, data_bits, weight_bits, precision, channel):
    model = quantized(
        graph, inputs_for(graph, 3), data_bits=data_bits, weight_bits=weight_bits,
        precision=precision, per_channel=channel and precision == "dynamic")
    check_limits(model, Limits(acc_bits=32 if max(data_bits, weight_bits) <= 8 else 48))
    execute(model, quantize_input(model, inputs_for(graph, 2, seed=3)))


def test_overrides_are_kept_and_the_rest_follows():
    graph = small_graph()
    overrides = {
        "x": Format(8, 3), "conv1_out": Format(6, 2, signed=False), "conv2.weights": Format(4, 5),
        "fc_out": Format(12, 2)}
    for precision in ("dynamic", "static"):
        model = quantized(graph, overrides=overrides, precision=precision)
        for name in ("x", "conv1_out", "fc_out"):
            assert model.formats[name] == overrides[name]
            assert model.provenance["chosen"][name]["rule"] == "override"
        assert model.formats["pool1_out"] == overrides["conv1_out"]
        assert model.weights["conv2"].bits == 4
        assert set(model.weights["conv2"].frac) == {5}


@pytest.mark.parametrize(("overrides", "message"), [
    ({"conv1_out": Format(8, 40, signed=False)},
     "node 'conv1': right shift must be in 0..31 bits, not "),
    ({"conv1.weights": Format(8, 50)},
     ("tensor 'conv1_out': no fractional length near 6 can be aligned: node 'conv1': right shift "
      "must be in 0..31 bits, not ")),
    ({"pool1_out": Format(8, 3, signed=False)},
     ("node 'pool1': maximum pooling must keep the format of its input (u8 .6), not u8 .3; set "
      "that of conv1_out instead")),
    ({"conv2_out": Format(8, 20)},
     "node 'conv2': right shift must be in 0..31 bits, not -"),
    ({"conv1_out": Format(8, 7, signed=False), "conv2_out": Format(8, -9)},
     ("tensor 'add_out': no fractional length near 6 can be aligned: node 'add': left shift of an "
      "operand must be in 0..15 bits, not 16; choose other fractional lengths for conv2_out, "
      "pool1_out, add_out")),
])
def test_refuses_overrides_that_cannot_be_aligned(overrides, message):
    with pytest.raises(ModelError) as error:
        quantized(small_graph(), overrides=overrides)
    assert str(error.value).startswith(message)


def test_refuses_static_that_cannot_be_aligned():
    with pytest.raises(ModelError) as error:
        quantized(small_graph(), precision="static", overrides={"conv1.weights": Format(8, 40)})
    assert str(error.value) == (
        "No static fractional length of the data can be aligned: node 'conv1': right shift must "
        "be in 0..31 bits, not 40; choose other fractional lengths for x, conv1_out or "
        "conv1.weights")


def test_refuses_bias_that_no_accumulator_holds():
    node = conv(np.random.default_rng(0), "c", "x", 1, 1)
    node.bias[0] = 1e20
    with pytest.raises(ModelError) as error:
        integer_weights(node, 8, np.array([0]), 0)
    assert str(error.value) == (
        "node 'c': bias 1e+20 is too large for a fractional length of 0 bits")


def test_refuses_accumulators_that_are_too_narrow():
    node = conv(np.random.default_rng(0), "c", "x", 50, 2)
    graph = make_graph((50, 2, 2), [node])
    with pytest.raises(ModelError) as error:
        quantized(graph, limits=Limits(acc_bits=11))
    assert str(error.value) == (
        "node 'c': sums of 50 products of 8-bit weights with data codes in -128..127 could "
        "overflow 11-bit accumulators; use fewer bits for data or weights")
    lowered = quantized(graph, limits=Limits(acc_bits=18))
    natural = quantized(graph)
    assert lowered.weights["c"].frac[0] < natural.weights["c"].frac[0]
    check_limits(lowered, Limits(acc_bits=18))
    with pytest.raises(ModelError) as error:
        check_limits(natural, Limits(acc_bits=18))
    assert str(error.value) == (
        "node 'c': accumulator could need 19 bits, and has 18; use fewer bits for data or weights")


@pytest.mark.parametrize(("options", "message"), [
    ({"data_bits": 1}, "data_bits must be in 2..16, not 1"),
    ({"weight_bits": 17}, "weight_bits must be in 2..16, not 17"),
    ({"first_last_bits": True}, "first_last_bits must be in 2..16, not True"),
    ({"precision": "fixed"}, "precision must be dynamic or static, not 'fixed'"),
    ({"ranges": "l3"},
     "ranges must be max, percentile, percentile:P, l1, l2, entropy or mode, not 'l3'"),
    ({"ranges": "l2:3"},
     "ranges must be max, percentile, percentile:P, l1, l2, entropy or mode, not 'l2:3'"),
    ({"ranges": "percentile:x"},
     "ranges percentile must be above 0 and at most 100, not 'x'"),
    ({"precision": "static", "per_channel": True},
     ("per_channel must be off with static precision, which has one fractional length for all "
      "weights")),
])
def test_refuses_options(options, message):
    with pytest.raises(ModelError) as error:
        quantized(small_graph(), **options)
    assert str(error.value) == message


@pytest.mark.parametrize("precision", ["dynamic", "static"])
def test_reports_progress(precision):
    calls = []
    quantized(small_graph(), precision=precision, progress=lambda *call: calls.append(call))
    assert calls[-1][0] == "data"
    for stage, done, total in calls:
        assert stage in ("weights", "data")
        assert 0 <= done <= total
    assert calls[-1][1] == calls[-1][2]


def test_float_tensors_are_streamed(monkeypatch):
    graph = small_graph()
    whole = quantized(graph)
    monkeypatch.setattr(float_stream, "_STREAM_SIZE", 1)
    reference = SlowReference(graph)
    pieces = quantize(graph, inputs_for(graph), reference=reference)
    assert reference.calls == 1 + 5
    assert pieces.formats == whole.formats


def test_does_not_change_the_graph():
    graph = small_graph()
    before = [np.copy(node.weight) for node in graph if isinstance(node, Conv)]
    quantized(graph, per_channel=True)
    after = [node.weight for node in graph if isinstance(node, Conv)]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)
