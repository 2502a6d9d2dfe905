"""Import of quantized files: our own exports, and files as other tools write them."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from arch.formats import Rounding
from quantizer.errors import ModelError
from quantizer.execute import execute, run
from quantizer.export import export_float, export_qdq, export_qonnx
from quantizer.export.record import RECORD
from quantizer.graph import Activation, Pool
from quantizer.quantized_import import import_quantized
from quantizer.reference import FloatReference
from tests.quantizer.networks import (
    conv,
    inputs_for,
    make_graph,
    quantized,
    random_codes,
    random_model,
    small_graph,
)
from tests.quantizer.onnx_models import float_execute
from tests.quantizer.qonnx_evaluator import evaluate
from tests.quantizer.test_execute import graphs


BITS = st.sampled_from([(8, 8), (5, 3), (16, 16), (16, 8), (8, 16)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


def reimported(folder, proto):
    onnx.save(proto, folder / "net.onnx")
    return import_quantized(folder / "net.onnx")


def assert_same_integers(model, other):
    """Compare models node by node; names may differ."""
    for one, two in zip(model.graph, other.graph, strict=True):
        assert type(one) is type(two)
        assert model.formats.get(one.output) == other.formats.get(two.output)
        if one.output in model.formats:
            assert model.bounds(one) == other.bounds(two)
        left, right = model.weights.get(one.name), other.weights.get(two.name)
        assert (left is None) == (right is None)
        if left is not None:
            assert left.bits == right.bits
            for key in ("codes", "frac", "bias"):
                assert np.array_equal(getattr(left, key), getattr(right, key))


@settings(max_examples=25, deadline=None)
@given(graphs(), st.integers(0, 999), BITS, st.sampled_from(list(Rounding)))
def test_qdq_comes_back(folder, graph, seed, bits, rounding):
    model = random_model(np.random.default_rng(seed), graph, data_bits=bits[0],
                         weight_bits=bits[1], rounding=rounding)
    found = reimported(folder, export_qdq(model))
    assert found.formats == model.formats
    assert found.rounding == model.rounding
    assert_same_integers(found, model)
    assert export_qdq(found) == export_qdq(model)


@settings(max_examples=25, deadline=None)
@given(graphs(), st.integers(0, 999), BITS,
       st.sampled_from([Rounding.HALF_EVEN, Rounding.HALF_AWAY, Rounding.FLOOR]))
def test_qonnx_comes_back(folder, graph, seed, bits, rounding):
    rng = np.random.default_rng(seed)
    model = random_model(
        rng, graph, data_bits=bits[0], weight_bits=bits[1], rounding=rounding)
    found = reimported(folder, export_qonnx(model))
    codes = random_codes(rng, model, 2)
    expected, got = execute(model, codes), execute(found, codes)
    assert np.array_equal(expected[graph.output], got[found.graph.output])
    for name in expected.keys() & got.keys():
        assert np.array_equal(expected[name], got[name]), name
    assert_same_integers(reimported(folder, export_qonnx(found)), found)


def test_qonnx_of_addend_and_bounds_for_each_channel_comes_back(folder):
    rng = np.random.default_rng(3)
    first = conv(rng, "first", "x", 2, 3)
    last = conv(rng, "last", first.output, 3, 3)
    last = replace(last, inputs=(*last.inputs, first.output), lo=0.0, hi=6.0)
    model = random_model(rng, make_graph((2, 4, 4), [first, last]))
    upper = model.formats[last.output].step * np.array([96.0, 24.0, 48.0])
    model.graph.nodes[1] = replace(last, hi=float(upper.max()), upper=upper)
    found = reimported(folder, export_qonnx(model))
    assert [node.inputs for node in found.graph] == [node.inputs for node in model.graph]
    assert_same_integers(found, model)
    assert np.array_equal(found.graph.nodes[1].upper, upper)
    codes = random_codes(rng, model, 2)
    expected, got = execute(model, codes), execute(found, codes)
    assert np.array_equal(expected[model.graph.output], got[found.graph.output])


@settings(max_examples=12, deadline=None)
@given(graphs(), st.integers(0, 999), st.sampled_from([(8, 8), (5, 3), (8, 4)]),
       st.sampled_from([Rounding.HALF_EVEN, Rounding.HALF_AWAY, Rounding.FLOOR]))
def test_qonnx_evaluates_to_the_same_codes(graph, seed, bits, rounding):
    """Not with FLOOR after an activation: float32 decides on which side of a code it falls."""
    assume(rounding != Rounding.FLOOR or not any(isinstance(node, Activation) for node in graph))
    rng = np.random.default_rng(seed)
    model = random_model(
        rng, graph, data_bits=bits[0], weight_bits=bits[1], rounding=rounding)
    codes = random_codes(rng, model, 2)
    inputs = model.formats[graph.input].dequantize(codes)
    values = evaluate(export_qonnx(model), inputs.reshape(2, *graph.input_dims))
    for name, expected in execute(model, codes).items():
        if name != graph.input and name in values:
            got = values[name].reshape(expected.shape)
            assert np.array_equal(got, model.formats[name].dequantize(expected)), name


@settings(max_examples=30, deadline=None)
@given(graphs(), st.integers(0, 999), st.booleans())
def test_qdq_without_record(folder, graph, seed, per_channel):
    """What other tools would write: only the nodes say what is meant."""
    if any((isinstance(node, Pool) and node.kind == "average") or isinstance(node, Activation)
           for node in graph):
        return  # our own form of these has no name in ONNX
    rng = np.random.default_rng(seed)
    model = random_model(rng, graph, data_bits=8, weight_bits=8)
    proto = without_record(export_qdq(model))
    if any(node.op_type == "Cast" for node in proto.graph.node):
        return  # sums that float32 does not hold
    found = reimported(folder, proto)
    codes = random_codes(rng, model, 2)
    assert np.array_equal(execute(model, codes)[graph.output],
                          execute(found, codes)[found.graph.output])


def without_record(proto):
    kept = [entry for entry in proto.metadata_props if entry.key != RECORD]
    del proto.metadata_props[:]
    proto.metadata_props.extend(kept)
    return proto


@pytest.mark.parametrize("softmax", [False, True])
def test_searched_network(folder, softmax):
    model = quantized(small_graph(softmax=softmax), per_channel=True)
    for proto in (export_qdq(model), export_qonnx(model), without_record(export_qdq(model))):
        if any(node.op_type == "Div" for node in proto.graph.node) and not any(
                entry.key == RECORD for entry in proto.metadata_props):
            continue
        found = reimported(folder, proto)
        codes = random_codes(np.random.default_rng(3), model, 3)
        last = model.graph.accelerated[-1].output
        assert np.array_equal(execute(model, codes)[last],
                              execute(found, codes)[found.graph.accelerated[-1].output])


def test_changed_export_is_refused(folder):
    proto = export_qdq(quantized(small_graph()))
    scale = next(t for t in proto.graph.initializer if t.data_type == onnx.TensorProto.FLOAT)
    scale.raw_data = np.float32(0.125).tobytes()
    with pytest.raises(ModelError) as caught:
        reimported(folder, proto)
    assert str(caught.value) == (
        f"{folder / 'net.onnx'}: was changed after dynafix exported it, or exported by another "
        f"version; export it again, or remove its metadata 'dynafix' to import what it computes")


def test_float_network_has_the_tensors(folder):
    model = quantized(small_graph(softmax=True), data_bits=16, weight_bits=16)
    onnx.save(export_float(model), folder / "float.onnx")
    inputs = inputs_for(model.graph, 3, seed=4)
    found = FloatReference(model.graph, source=folder / "float.onnx").tensors(inputs)
    for name, value in float_execute(model.graph, inputs).items():
        assert np.allclose(found[name], value, atol=2e-3), name


def test_names_come_back_in_qonnx(folder):
    model = quantized(small_graph(softmax=True))
    found = reimported(folder, export_qonnx(model))
    assert [node.name for node in found.graph] == [node.name for node in model.graph]
    assert found.formats == model.formats
    assert list(export_qonnx(found).graph.node) == list(export_qonnx(model).graph.node)


def _qonnx(folder, change):
    """Return the message on a QONNX file of one convolution in which a Quant node is changed."""
    model = quantized(small_graph())
    proto = export_qonnx(model)
    change(proto)
    onnx.save(proto, folder / "net.onnx")
    with pytest.raises(ModelError) as caught:
        import_quantized(folder / "net.onnx")
    return str(caught.value).removeprefix(f"{folder / 'net.onnx'}: ")


def _operand(index, value):
    def change(proto):
        proto.graph.initializer.append(numpy_helper.from_array(np.asarray(value), "other"))
        quant = next(node for node in proto.graph.node if node.op_type == "Quant")
        quant.input[index] = "other"
    return change


def _mode(value):
    def change(proto):
        quant = next(node for node in proto.graph.node if node.op_type == "Quant")
        for attribute in quant.attribute:
            if attribute.name == "rounding_mode":
                attribute.s = value
    return change


@pytest.mark.parametrize(("change", "message"), [
    (_operand(1, np.float32(0.1)),
     ("scale must be a power of two, such as 0.125, not 0.10000000149011612; quantize again with "
      "power-of-two scales, or give the float network to 'quantize'")),
    (_operand(2, np.float32(1)),
     ("zero point must be 0, not 1; quantize symmetrically, with unsigned codes only for what is "
      "never negative")),
    (_operand(3, np.float32(2.5)), "bit width must be one whole number in 2..32, not 2.5"),
    (_mode(b"CEIL"),
     ("rounding mode must be ROUND or FLOOR or HALF_UP or HALF_EVEN, not CEIL; quantize with "
      "rounding mode ROUND")),
    (_operand(1, np.ones((1, 3, 1, 1), np.float32) * [[[[1]], [[2]], [[1]]]]),
     ("data must have one scale, not one for each channel; quantize data per tensor; weights may "
      "have a scale for each output channel")),
])
def test_qonnx_refused(folder, change, message):
    place, found = _qonnx(folder, change).split(": ", 1)
    assert place == "node 'qdq.Quant.1' (qonnx.custom_op.general::Quant)"
    assert found == message


def test_nan_in_weights(folder):
    def change(proto):
        for tensor in proto.graph.initializer:
            if tensor.name == "conv1.weights":
                values = numpy_helper.to_array(tensor).copy()
                values[0, 0, 0, 0] = np.nan
                tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    assert _qonnx(folder, change) == (
        "node 'qdq.Quant.2' (qonnx.custom_op.general::Quant): quantizes 'conv1.weights', which "
        "holds NaN; export the network again")


def test_one_rounding_rule(folder):
    assert _qonnx(folder, _mode(b"FLOOR")) == (
        "all data must be rounded alike, not by floor and half_even; quantize it, or give the "
        "float network to 'quantize'")


def test_two_forms(folder):
    def change(proto):
        proto.graph.node.append(onnx.helper.make_node("QuantizeLinear", ["x", "s"], ["q"]))
    assert _qonnx(folder, change) == (
        "must be in QDQ form or QONNX, and holds quantizers of both; export again in one form")


def test_rounding_without_name_in_qonnx():
    rng = np.random.default_rng(0)
    model = random_model(rng, small_graph(), data_bits=8, weight_bits=8, rounding=Rounding.HALF_UP)
    with pytest.raises(ModelError) as caught:
        export_qonnx(model)
    assert str(caught.value).endswith(
        "QONNX has no rounding mode for half_up, it has half_even, floor, half_away; quantize with "
        "one of these, or export as QDQ")


def test_package_qonnx_computes_the_same(folder):
    """The package itself, where it is installed; it is no dependency."""
    execution = pytest.importorskip("qonnx.core.onnx_exec")
    wrapper = pytest.importorskip("qonnx.core.modelwrapper")
    shapes = pytest.importorskip("qonnx.transformation.infer_shapes")
    model = quantized(small_graph(), per_channel=True)
    proto = export_qonnx(model)
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1  # the package knows no free batch
    inputs = inputs_for(model.graph, 1, seed=6)
    wrapped = wrapper.ModelWrapper(proto).transform(shapes.InferShapes())
    found = execution.execute_onnx(wrapped, {model.graph.input: inputs})
    assert np.array_equal(found[model.graph.output], run(model, inputs))
