"""LRN and Softmax between layers: import, search, and the same bits in numpy and onnxruntime."""

import math

import numpy as np
import pytest

from arch.formats import Format, Rounding
from quantizer.accumulators import check_limits
from quantizer.errors import ModelError
from quantizer.execute import execute, quantize_input, run
from quantizer.export import ort_tensors
from quantizer.graph import Lrn, Pool, Softmax, Window
from quantizer.host import EXP_FRAC, exp_table, host_values
from quantizer.inspect import inspect_model
from quantizer.model import Limits, QuantizedModel
from quantizer.onnx_import import load_graph
from quantizer.ranges import snr_db
from quantizer.reference import FloatReference
from quantizer.search import quantize
from quantizer.storage import load, save
from tests.quantizer.networks import conv, make_graph
from tests.quantizer.onnx_models import Builder
from tests.quantizer.test_onnx_layout import check, kinds


def one_step(node, channels, source, result, *, rounding=Rounding.HALF_EVEN, size=(5, 4)):
    """Return the model of a network that is one step of the host and a copy."""
    graph = make_graph((channels, *size), [node, Pool("copy", (node.output,), "y")])
    return QuantizedModel(
        graph, {"x": source, node.output: result, "y": result}, {}, rounding)


def assert_engines_equal(model, codes):
    inputs = model.formats["x"].dequantize(codes).astype(np.float32)
    expected = execute(model, quantize_input(model, inputs))
    np.testing.assert_array_equal(expected["x"], codes)
    found = ort_tensors(model, inputs)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, name)
    return expected


FORMATS = [
    (Format(8, 4), Format(8, 5)), (Format(8, 6, signed=False), Format(8, 7, signed=False)),
    (Format(16, 9), Format(16, 11)), (Format(16, 14), Format(8, 3)), (Format(5, -2), Format(9, 1))]


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize(("source", "result"), FORMATS)
@pytest.mark.parametrize("lrn", [
    {"size": 5, "alpha": 0.5}, {"size": 3, "beta": 0.5, "bias": 2.0, "alpha": 1.0},
    {"size": 99, "beta": 1.25, "alpha": 0.3}, {"size": 1, "beta": 0.6, "alpha": 2.0},
    {"size": 7, "beta": 0.0}])
def test_lrn_equals_onnxruntime(source, result, rounding, lrn):
    model = one_step(Lrn("lrn", ("x",), "n", **lrn), 11, source, result, rounding=rounding)
    codes = np.random.default_rng(3).integers(source.min, source.max + 1, (3, 11, 5, 4))
    assert_engines_equal(model, codes)


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize(("source", "result"), [
    *FORMATS[:2], (Format(16, 9), Format(16, 15)), (Format(16, 12, signed=False), Format(8, 8))])
def test_softmax_equals_onnxruntime(source, result, rounding):
    model = one_step(Softmax("softmax", ("x",), "p"), 37, source, result, rounding=rounding)
    rng = np.random.default_rng(4)
    codes = rng.integers(source.min, source.max + 1, (4, 37, 5, 4))
    codes[1] = codes[1, :1]  # all the same: every share is 1 / 37
    codes[2] >>= 3
    assert_engines_equal(model, codes)


def test_equal_shares_are_ties():
    model = one_step(
        Softmax("softmax", ("x",), "p"), 512, Format(8, 4), Format(8, 8, signed=False))
    codes = np.full((1, 512, 5, 4), 17)
    assert not assert_engines_equal(model, codes)["p"].any()  # 256 / 512, half to even
    for rounding, code in ((Rounding.HALF_UP, 1), (Rounding.FLOOR, 0)):
        model.rounding = rounding
        assert (assert_engines_equal(model, codes)["p"] == code).all()


def test_powers_are_rounded_once():
    for frac in (-3, 0, 4, 11):
        table = exp_table(frac, 300)
        exact = [math.exp(-d * 2.0**-frac) for d in range(300)]
        assert np.abs(table - exact).max() <= 2.0 ** -(EXP_FRAC + 1) * 1.001
        assert (np.ldexp(table, EXP_FRAC) % 1 == 0).all()


def test_values_of_lrn():
    codes = np.array([[1, 2, 3, 4]])
    values = host_values(Lrn("n", ("x",), "y", size=3, alpha=3.0, bias=2.0, beta=0.5), codes,
                         Format(8, 1))
    squares = np.array([0.25, 1, 2.25, 4])
    sums = [squares[:2].sum(), squares[:3].sum(), squares[1:].sum(), squares[2:].sum()]
    np.testing.assert_allclose(values, [np.array([0.5, 1, 1.5, 2]) / np.sqrt(2 + np.array(sums))],
                               rtol=1e-15)


def searched(tmp_path, net, shape, **options):
    graph = check(net.save(tmp_path))
    images = np.random.default_rng(5).standard_normal((6, *shape)).astype(np.float32)
    return quantize(graph, images, **options), images


def alexnet_like():
    net = Builder(["n", 3, 12, 12])
    y = net.node("Relu", net.conv("x", 8, 3, 3, 3, pads=[1, 1, 1, 1]))
    y = net.node("LRN", y, name="norm1", size=5, alpha=0.1, beta=0.75, bias=1.0)
    y = net.node("MaxPool", y, kernel_shape=[3, 3], strides=[2, 2])
    y = net.node("Relu", net.conv(y, 8, 8, 3, 3))
    y = net.node("Softmax", net.node("LRN", y, name="norm2", size=3, alpha=0.5), axis=1,
                 name="attention")
    net.conv(y, 5, 8, 3, 3)
    return net


@pytest.mark.parametrize("options", [
    {}, {"data_bits": 16, "weight_bits": 16}, {"precision": "static"}, {"per_channel": True}])
def test_searched_network(tmp_path, options):
    model, images = searched(tmp_path, alexnet_like(), (3, 12, 12), **options)
    graph = model.graph
    assert kinds(graph) == ["Conv", "Lrn", "Pool", "Conv", "Lrn", "Softmax", "Conv"]
    for name, value in ort_tensors(model, images).items():
        np.testing.assert_array_equal(
            value, execute(model, quantize_input(model, images))[name], name)
    signed = {name: model.formats[name].signed for name in model.formats}
    assert not any(signed[node.output] for node in graph.nodes[:6])
    exact = FloatReference(graph).run(images)
    assert snr_db(exact, run(model, images)) > (
        60 if "data_bits" in options else 5 if "precision" in options else 20)
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.graph.hosted == graph.hosted
    assert again.formats == model.formats


def test_places(tmp_path):
    reports = {report.node: report for report in inspect_model(alexnet_like().save(tmp_path))}
    for name in ("norm1", "norm2", "attention"):
        assert (reports[name].runs_on, reports[name].note) == (
            "host", "the program stops for it, and goes on behind it")


@pytest.mark.parametrize(("attributes", "message"), [
    ({"size": 4}, r"size must be odd and positive, because onnxruntime refuses others, not 4"),
    ({"size": 3, "bias": 0.0}, r"bias must be positive and alpha not negative.*are 0 and 0\.0001"),
    ({"size": 3, "alpha": -1.0}, r"they are 1 and -1"),
    ({"size": 3, "beta": math.nan}, r"alpha, beta and bias must be finite"),
])
def test_refused(tmp_path, attributes, message):
    net = Builder(["n", 3, 4, 4])
    net.node("LRN", net.conv("x", 4, 3, 1, 1), **attributes)
    with pytest.raises(ModelError, match=rf"\(LRN\): .*{message}"):
        load_graph(net.save(tmp_path))


def test_lrn_of_vector_refused(tmp_path):
    net = Builder(["n", 5])
    net.node("LRN", net.node("Gemm", "x", net.random(5, 4)), size=3)
    with pytest.raises(ModelError, match=r"\(LRN\)"):
        load_graph(net.save(tmp_path))


def test_host_alone_refused(tmp_path):
    net = Builder(["n", 5, 2, 2])
    net.node("LRN", "x", size=3)
    with pytest.raises(ModelError, match="the network holds no operator for the accelerator"):
        load_graph(net.save(tmp_path))


def test_too_many_channels_refused():
    node = Softmax("softmax", ("x",), "p")
    model = one_step(node, 1 << 18, Format(8, 4), Format(8, 8), size=(1, 1))
    with pytest.raises(ModelError, match=(
            "node 'softmax': Softmax between layers must be over at most 131072 channels, not "
            "262144")):
        check_limits(model, Limits())


def test_at_the_end(tmp_path):
    """LRN at the end makes codes, Softmax behind it floats."""
    rng = np.random.default_rng(6)
    graph = make_graph((3, 5, 5), [
        conv(rng, "c", "x", 3, 6, window=Window((3, 3))), Lrn("n", ("c_out",), "n_out"),
        Softmax("s", ("n_out",), "p")])
    assert [node.name for node in graph.accelerated] == ["c", "n"]
    assert [node.name for node in graph.hosted] == ["n"]
