"""The QDQ export against integer execution, bit for bit, on every tensor."""

import json

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from arch.formats import Format, Rounding
from quantizer.execute import execute, quantize_input, run
from quantizer.export import codes_name, export_qdq, ort_tensors
from quantizer.graph import Add, Pool, Window
from quantizer.model import QuantizedModel, QuantizedWeights
from quantizer.onnx_import import load_graph
from quantizer.ranges import snr_db
from quantizer.reference import FloatReference
from quantizer.search import quantize
from tests.quantizer.networks import (
    conv,
    inputs_for,
    make_graph,
    quantized,
    random_codes,
    random_model,
    small_graph,
)
from tests.quantizer.test_execute import assert_same, graphs, one_conv


def assert_engines_equal(model, inputs):
    assert_same(ort_tensors(model, inputs), execute(model, quantize_input(model, inputs)))


def floats(model, codes):
    return model.formats[model.graph.input].dequantize(codes).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(graphs(), st.integers(0, 999), st.sampled_from([(8, 8), (5, 3), (16, 16), (16, 8), (8, 16)]),
       st.sampled_from(list(Rounding)))
def test_equals_numpy(graph, seed, bits, rounding):
    rng = np.random.default_rng(seed)
    model = random_model(
        rng, graph, data_bits=bits[0], weight_bits=bits[1], rounding=rounding)
    assert_engines_equal(model, floats(model, random_codes(rng, model, 2)))


@pytest.mark.parametrize("options", [
    {}, {"ranges": "l2", "per_channel": True}, {"precision": "static"}, {"data_bits": 5},
    {"data_bits": 16, "weight_bits": 16}, {"data_bits": 3, "weight_bits": 2},
])
def test_searched_network(options):
    model = quantized(small_graph(softmax=True), **options)
    onnx.checker.check_model(export_qdq(model), full_check=True)
    assert_engines_equal(model, inputs_for(model.graph, 5, seed=9) * 1.5)


def test_codes_are_of_the_format_and_output_is_float():
    import onnxruntime
    model = quantized(small_graph(softmax=True), data_bits=6)
    inputs = inputs_for(model.graph, 3)
    session = onnxruntime.InferenceSession(export_qdq(model).SerializeToString())
    probabilities, = session.run(None, {"x": inputs})
    np.testing.assert_allclose(probabilities, run(model, inputs), rtol=1e-5)
    evaluator = ReferenceEvaluator(export_qdq(model, all_tensors=True))
    names = [output.name for output in evaluator.proto_.graph.output]
    results = dict(zip(names, evaluator.run(None, {"x": inputs}), strict=True))
    expected = execute(model, quantize_input(model, inputs))
    assert_same({name: results[codes_name(name)] for name in expected}, expected)
    assert results[codes_name("add_out")].dtype == np.uint8
    assert results[codes_name("add_out")].max() <= 63


def test_versions_that_onnxruntime_reads():
    proto = export_qdq(quantized(small_graph()))
    assert (proto.opset_import[0].version, proto.ir_version) == (21, 10)


@pytest.mark.parametrize(("x_bits", "shape", "largest"), [
    (8, (2, 1300, 1, 1), 127),   # split over input channels
    (8, (2, 1, 30, 30), 127),    # one channel is too much: split over taps
    (16, (2, 40, 3, 3), 127),    # split over digits of the data
    (8, (2, 600, 1, 1), 32767),  # split over digits of the weights
    (16, (2, 9, 3, 3), 32767),   # both
])
def test_sums_above_24_bits(x_bits, shape, largest):
    rng = np.random.default_rng(5)
    codes = largest - rng.integers(0, 2, shape)
    model = one_conv(codes, [(1 << 30) + 1, -1], x_bits=x_bits, frac=3, out_frac=0)
    node = model.graph.node("c")
    full = model.formats["x"].max
    total = int(codes.sum()) * full
    model.formats["y"] = type(model.formats["x"])(16, 17 - total.bit_length())
    assert model.shifts(node).min() >= 0
    data = full - rng.integers(0, 2, (3, *model.graph.shapes["x"]))
    convs = [n for n in export_qdq(model).graph.node if n.op_type == "Conv"]
    assert len(convs) > 1
    assert_engines_equal(model, floats(model, data))


def test_add_above_24_bits():
    nodes = [
        conv(np.random.default_rng(0), "c", "x", 1, 1),
        Add("add", ("x", "c_out"), "y")]
    weights = QuantizedWeights(np.array([[[[1]]]]), 8, np.array([12]), np.array([0]))
    model = QuantizedModel(make_graph((1, 1, 2), nodes), {
        "x": Format(16, 0), "c_out": Format(16, 12), "y": Format(16, 0)}, {"c": weights})
    # 32767 + 2048 / 4096 is a tie that 24 bits cannot tell from 32767 + 2049 / 4096.
    assert_engines_equal(model, np.array([[[[32767, 2049]]], [[[-32767, 2048]]]]))
    model.formats["c_out"] = Format(16, 12, signed=False)
    assert_engines_equal(model, np.array([[[[32766, -32765]]]]))


def test_average_of_a_large_map():
    node = Pool("mean", ("x",), "y", kind="average", window=Window((300, 300)))
    rng = np.random.default_rng(0)
    model = random_model(rng, make_graph((1, 300, 300), [node]))
    assert_engines_equal(model, floats(model, random_codes(rng, model, 2)))


def test_no_image():
    model = quantized(small_graph())
    assert ort_tensors(model, np.zeros((0, 3, 8, 8)))["fc_out"].shape == (0, 5, 1, 1)


def preprocessed(graph, images):
    """Apply the model's own ``preprocess`` metadata: mean and std, HWC to CHW."""
    rule = json.loads(graph.metadata["preprocess"])
    images = images[..., None] if images.ndim == 3 else images
    values = (images.astype(np.float32) - np.float32(rule["mean"])) / np.float32(rule["std"])
    return values.transpose(0, 3, 1, 2).astype(np.float32)


@pytest.mark.parametrize(("name", "images"), [
    ("lenet_caffe_mnist", "mnist_dev"), ("resnet8_mlperftiny", "cifar10_dev"),
    ("cifar10_quick_caffe", "cifar10_dev"), ("kws_dscnn", "kws_dev"),
])
@pytest.mark.parametrize("bits", [8, 16])
def test_real_networks(shared_models, shared_data, name, images, bits):
    graph = load_graph(shared_models / f"{name}.onnx")
    data = np.load(shared_data / f"{images}.npz")
    if name == "kws_dscnn":
        calibration, inputs = (
            ((data[key][:6].astype(np.float32) - 83) * np.float32(0.5847)).reshape(6, 1, 49, 10)
            for key in ("calib_x", "eval_x"))
    else:
        calibration, inputs = (
            preprocessed(graph, data[key][:6]) for key in ("calib_x", "eval_x"))
    model = quantize(graph, calibration, data_bits=bits, weight_bits=bits, per_channel=bits == 8)
    assert_engines_equal(model, inputs[:3])
    reference = FloatReference(graph).run(inputs)
    assert snr_db(reference, run(model, inputs)) > (10 if bits == 8 else 35)


def test_shipped_network(lenet, mnist):
    graph = load_graph(lenet)
    data = np.load(mnist)
    model = quantize(graph, preprocessed(graph, data["calib_x"][:50]))
    inputs = preprocessed(graph, data["eval_x"])
    assert_engines_equal(model, inputs[:20])
    expected = FloatReference(graph).run(inputs).argmax(1) == data["eval_y"]
    found = run(model, inputs).argmax(1) == data["eval_y"]
    assert abs(expected.mean() - found.mean()) <= 0.003
