"""Adds that convolutions do, against the network without that and in onnxruntime."""

from dataclasses import replace

import numpy as np
import onnx
import pytest

from arch.formats import Format
from quantizer.accumulators import check_limits
from quantizer.errors import ModelError
from quantizer.execute import execute, quantize_input, run
from quantizer.explain import explain
from quantizer.export import export_qdq, export_qonnx, ort_tensors
from quantizer.graph import Add, Conv, Pool, Resize, Window
from quantizer.model import Limits
from quantizer.quantized_import import import_quantized
from quantizer.ranges import snr_db
from quantizer.search.correct import correct_biases, mean_maps
from quantizer.search.fuse_add import fuse_adds
from quantizer.storage import load, save
from tests.quantizer.networks import (
    SlowReference,
    conv,
    inputs_for,
    make_graph,
    quantized,
    random_codes,
    random_model,
    slow_execute,
)


SAME = Window((3, 3), (1, 1), (1, 1, 1, 1))


def residual_graph(seed=0, *, last=()):
    """Return two residual blocks, the second with a convolution in both branches."""
    rng = np.random.default_rng(seed)
    return make_graph((5, 7, 6), [
        conv(rng, "first", "x", 5, 6, window=SAME, relu=True),
        conv(rng, "a", "first_out", 6, 6, window=SAME),
        Add("add1", ("a_out", "first_out"), "add1_out", lo=0.0),
        conv(rng, "b", "add1_out", 6, 8, window=Window((3, 3), (2, 2), (1, 1, 1, 1))),
        conv(rng, "short", "add1_out", 6, 8, window=Window((1, 1), (2, 2))),
        Add("add2", ("b_out", "short_out"), "add2_out", lo=0.0, hi=6.0),
        *last,
    ])


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, codes in found.items():
        np.testing.assert_array_equal(codes, expected[name], err_msg=name)


@pytest.mark.parametrize("options", [
    {}, {"per_channel": True}, {"weight_bits": 4}, {"precision": "static"}, {"data_bits": 5},
    {"data_bits": 12, "weight_bits": 10}, {"rounding": "floor"},
])
def test_three_ways_give_the_same(options):
    graph = residual_graph()
    model = quantized(graph, **options)
    assert model.provenance["fused_adds"] == {"add1": "a", "add2": "short"}
    assert [node.name for node in model.graph] == ["first", "a", "b", "short"]
    assert (model.graph.node("short").lo, model.graph.node("short").hi) == (0, 6)
    check_limits(model, Limits(**model.provenance["limits"]))
    inputs = inputs_for(graph, 5, seed=9)
    codes = quantize_input(model, inputs)
    found = execute(model, codes)
    assert_same(found, slow_execute(model, codes))
    assert_same(ort_tensors(model, inputs), found)


@pytest.mark.parametrize("seed", range(12))
def test_any_formats(seed):
    rng = np.random.default_rng(seed)
    graph = residual_graph(seed)
    nodes = [
        Conv(**{**vars(node), "inputs": (*node.inputs, other)}) for node, other in (
            (conv(rng, "a", "x", 5, 5, window=SAME, groups=int(rng.choice([1, 5]))), "x"),
            (conv(rng, "b", "a_out", 5, 5, window=SAME, relu=True), "x"))]
    graph = make_graph((5, 7, 6), nodes)
    bits = int(rng.integers(4, 13))
    model = random_model(
        rng, graph, data_bits=bits, weight_bits=int(rng.integers(3, 9)),
        per_channel=bool(rng.integers(2)))
    codes = random_codes(rng, model, 3)
    found = execute(model, codes)
    assert_same(found, slow_execute(model, codes))
    assert_same(ort_tensors(model, model.formats["x"].dequantize(codes)), found)


def test_clamp_of_each_channel_behind_a_map_that_was_made_larger():
    rng = np.random.default_rng(4)
    graph = make_graph((3, 4, 5), [
        Resize("up", ("x",), "up_out", repeats=(2, 2)),
        conv(rng, "a", "up_out", 3, 3, window=SAME),
        Add("add", ("a_out", "up_out"), "add_out", lo=0.0)])
    model = fuse_adds(random_model(rng, graph), Limits())
    upper = model.formats["add_out"].dequantize([20, 60, 100])
    node = replace(model.graph.node("a"), hi=float(upper.max()), upper=upper)
    nodes = [node if each.name == "a" else each for each in model.graph]
    model = replace(model, graph=replace(model.graph, nodes=nodes))
    assert node.addend == "up_out"
    codes = random_codes(rng, model, 2)
    assert_same(execute(model, codes), slow_execute(model, codes))


def test_one_rounding_is_nearer_to_float():
    graph = residual_graph(3)
    inputs = inputs_for(graph, 40, seed=4)
    exact = SlowReference(graph).tensors(inputs, ["add1_out"])["add1_out"]
    errors = []
    for fuse_add in (True, False):
        model = quantized(graph, fuse_add=fuse_add)
        codes = execute(model, quantize_input(model, inputs), names={"add1_out"})["add1_out"]
        errors.append(snr_db(exact, model.formats["add1_out"].dequantize(codes)))
    assert errors[0] > errors[1]


def test_formats_are_those_of_the_network_with_adds():
    plain, fused = (quantized(residual_graph(), fuse_add=fuse) for fuse in (False, True))
    assert "fused_adds" not in plain.provenance
    assert plain.formats == {
        **fused.formats, **{name: plain.formats[name] for name in ("a_out", "short_out")}}
    assert not {"a_out", "short_out"} & fused.graph.shapes.keys()


@pytest.mark.parametrize("options", [
    {}, {"weight_rounding": "feedback", "per_channel": True}, {"precision": "static"},
    {"refine": True, "data_bits": 5},
])
def test_biases_are_corrected_for_the_roundings_that_are_left(options):
    graph, images = residual_graph(), inputs_for(residual_graph(), 6)
    model = quantized(graph, images, correct=True, **options)
    assert model.provenance["fused_adds"]
    before = {name: each.bias.tolist() for name, each in model.weights.items()}
    correct_biases(model, images, mean_maps(model.graph, SlowReference(graph), images))
    assert before == {name: each.bias.tolist() for name, each in model.weights.items()}


def test_refinement_sees_the_network_that_results():
    graph = residual_graph(3)
    images, name = inputs_for(graph, 8), graph.output
    model = quantized(graph, images, refine=True, data_bits=5)
    assert model.provenance["fused_adds"]
    found = execute(model, quantize_input(model, images), names={name})[name]
    exact = SlowReference(graph).tensors(images, [name])[name]
    chooses = snr_db(exact[::2], model.formats[name].dequantize(found)[::2])
    assert model.provenance["refined"]["snr_db"][1] == pytest.approx(chooses, abs=1e-4)


def adds(nodes, shape=(4, 5, 5), **options):
    """Return what was fused in a network."""
    return quantized(make_graph(shape, nodes), **options).provenance["fused_adds"]


def test_not_fused():
    rng = np.random.default_rng(5)
    plain = conv(rng, "c", "x", 4, 4, window=SAME)
    add = Add("add", ("c_out", "x"), "add_out")
    assert adds([plain, add]) == {"add": "c"}
    clamped = conv(rng, "c", "x", 4, 4, window=SAME, relu=True)
    assert adds([clamped, add]) == {}
    assert adds([plain, add, Add("again", ("add_out", "c_out"), "again_out")]) == {}
    assert adds([plain, Add("add", ("c_out", "c_out"), "add_out")]) == {}
    vector = [Pool("mean", ("x",), "mean_out", kind="average", window=Window((5, 5))),
              conv(rng, "v", "mean_out", 4, 4), Add("add", ("x", "v_out"), "add_out")]
    assert adds(vector) == {}
    two = [plain, conv(rng, "d", "x", 4, 4), add, Add("more", ("add_out", "d_out"), "more_out")]
    assert adds(two) == {"add": "c", "more": "d"}
    assert adds([plain, add, Add("more", ("add_out", "x"), "more_out")]) == {"add": "c"}
    assert adds([plain, add], overrides={"x": Format(8, 4), "c.weights": Format(8, 0)}) == {
        "add": "c"}


def test_shift_out_of_range_is_not_fused():
    rng = np.random.default_rng(6)
    nodes = [
        conv(rng, "d", "x", 4, 4, scale=2.0**-9), conv(rng, "c", "x", 4, 4, scale=2.0**-12),
        Add("add", ("c_out", "d_out"), "add_out")]
    assert adds(nodes) == {"add": "c"}
    graph = make_graph((4, 5, 5), nodes)
    model = quantized(graph, fuse_add=False)
    every = {node.name for node in model.graph}
    narrow = Limits(addend_left=2)
    assert fuse_adds(model, narrow, fixed=every).provenance["fused_adds"] == {}
    lowered = fuse_adds(model, narrow, fixed={"d"})
    assert lowered.provenance["fused_adds"] == {"add": "c"}
    assert lowered.addend_shifts(lowered.graph.node("c")).tolist() == [2] * 4
    assert lowered.weights["c"].bias.tolist() == np.rint(np.ldexp(
        lowered.graph.node("c").bias, 2 + lowered.formats["d_out"].frac)).tolist()
    assert fuse_adds(model, Limits(acc_bits=12)).provenance["fused_adds"] == {}
    moved = quantized(graph, fuse_add=False, overrides={
        "d_out": Format(8, 2), "c.weights": Format(8, 20)})
    assert fuse_adds(moved, Limits(), fixed={"c"}).provenance["fused_adds"] == {"add": "d"}


def test_message_names_the_shift():
    model = quantized(residual_graph())
    with pytest.raises(ModelError, match="left shift of the addend must be in 0..1 bits, not"):
        check_limits(model, Limits(addend_left=1))


@pytest.mark.parametrize("export", [export_qdq, export_qonnx])
@pytest.mark.parametrize("per_channel", [False, True])
def test_exported_and_imported(tmp_path, export, per_channel):
    """In QONNX a result of a convolution that is added has no quantizer of its own."""
    graph = residual_graph(8)
    model = quantized(graph, per_channel=per_channel)
    onnx.save(export(model), tmp_path / "net.onnx")
    again = import_quantized(tmp_path / "net.onnx")
    assert again.formats == model.formats
    assert [node.inputs for node in again.graph] == [node.inputs for node in model.graph]
    codes = quantize_input(model, inputs_for(graph, 4, seed=2))
    assert_same(execute(again, codes), execute(model, codes))


def test_stored_and_explained(tmp_path):
    graph = residual_graph(last=[Pool("mean", ("add2_out",), "mean_out", kind="average",
                                      window=Window((4, 3)))])
    model = quantized(graph)
    save(model, tmp_path)
    again = load(tmp_path)
    inputs = inputs_for(graph, 3)
    np.testing.assert_array_equal(run(again, inputs), run(model, inputs))
    assert again.graph.node("short").addend == "b_out"
    for layer in ("short", "b", "add1_out"):
        found = explain(model, layer, inputs, reference=SlowReference(graph))
        assert found.candidates[1].chosen
