"""Networks whose ends fit their codes: out as QDQ or QONNX, and in again."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from arch.formats import Rounding
from quantizer.errors import ModelError
from quantizer.execute import execute, output_name, quantize_input, run
from quantizer.export import QdqSession, export_qdq, export_qonnx
from quantizer.graph import Activation, Pool, Slice, Softmax
from quantizer.intake import Intake
from quantizer.quantized_import import import_quantized
from tests.quantizer.networks import conv, make_graph, quantized, random_model
from tests.quantizer.test_execute import graphs
from tests.quantizer.test_quantized_import import (
    assert_same_integers,
    folder,
    reimported,
    without_record,
)


__all__ = ("folder",)


NUMBERS = st.floats(-50, 50, width=32)
FACTORS = st.floats(2**-20, 2**20, width=32)


@st.composite
def ends(draw, graph):
    """Return a graph with what the host does at its ends."""
    channels, height, width = graph.shapes[graph.input]
    if draw(st.booleans()):
        top, bottom = draw(st.integers(0, (height - 1) // 2)), draw(st.integers(0, height // 2))
        left, right = draw(st.integers(0, (width - 1) // 2)), draw(st.integers(0, width // 2))
        offset, factor = (
            np.array(draw(st.lists(each, min_size=channels, max_size=channels)), np.float32)
            for each in (NUMBERS, FACTORS))
        pads = (top, left, min(bottom, height - top - 1), min(right, width - left - 1))
        intake = Intake(offset, factor, pads)
        graph = replace(graph, intake=intake, input_dims=intake.bare((channels, height, width)))
    name = output_name(graph)
    if draw(st.booleans()):
        exponent = -np.log2(np.float64(np.float32(draw(st.floats(1, 2, width=32)))))
        graph = replace(graph, exponents={name: np.full(graph.shapes[name][0], exponent)})
    if draw(st.booleans()):
        graph = replace(graph, offsets={name: np.full(graph.shapes[name][0], draw(NUMBERS))})
    return graph


def with_softmax(graph):
    channels, height, width = graph.shapes[graph.output]
    if (height, width) != (1, 1) or all(isinstance(node, Pool | Slice) for node in graph):
        return graph  # nor of the input, left of a maximum over 1 x 1 or a slice of all channels
    return replace(graph, nodes=[*graph.nodes, Softmax("soft", (graph.output,), "y")], output="y",
                   shapes={**graph.shapes, "y": (channels, 1, 1)})


def assert_same_ends(found, model, inputs):
    """Compare all that the host does, and what comes out."""
    one, two = found.graph, model.graph
    assert (one.input_dims, one.output_dims) == (two.input_dims, two.output_dims)
    assert (one.intake is None) == (two.intake is None)
    if one.intake is not None:
        assert one.intake.to_json() == two.intake.to_json()
    for left, right in ((one.exponents, two.exponents), (one.offsets, two.offsets)):
        left, right = (
            each.get(output_name(graph), np.zeros(1)).tolist()[0]
            for each, graph in ((left, one), (right, two)))
        assert left == right
    assert np.array_equal(quantize_input(found, inputs), quantize_input(model, inputs))
    assert np.array_equal(run(found, inputs), run(model, inputs))


def images(graph, seed=0):
    return np.random.default_rng(seed).uniform(-9, 9, (3, *graph.input_dims)).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(graphs(), st.data(), st.integers(0, 999), st.sampled_from([(8, 8), (5, 3), (16, 8)]),
       st.sampled_from([Rounding.HALF_EVEN, Rounding.HALF_AWAY, Rounding.FLOOR]))
def test_qonnx_comes_back(folder, graph, data, seed, bits, rounding):
    graph = data.draw(ends(with_softmax(graph)))
    model = random_model(np.random.default_rng(seed), graph, data_bits=bits[0],
                         weight_bits=bits[1], rounding=rounding)
    found = reimported(folder, export_qonnx(model))
    assert_same_ends(found, model, images(graph, seed))
    codes = quantize_input(model, images(graph, seed))
    expected, got = execute(model, codes), execute(found, codes)
    for name in expected.keys() & got.keys():
        assert np.array_equal(expected[name], got[name]), name
    again = reimported(folder, export_qonnx(found))
    assert_same_integers(again, found)
    assert_same_ends(again, found, images(graph, seed))


@settings(max_examples=30, deadline=None)
@given(graphs(), st.data(), st.integers(0, 999), st.booleans())
def test_qdq_comes_back(folder, graph, data, seed, record):
    graph = data.draw(ends(with_softmax(graph)))
    if not record and any(
            (isinstance(node, Pool) and node.kind == "average") or isinstance(node, Activation)
            for node in graph):
        return  # our own form of these has no name in ONNX
    model = random_model(np.random.default_rng(seed), graph, data_bits=8, weight_bits=8)
    proto = export_qdq(model)
    if not record and any(node.op_type == "Cast" for node in proto.graph.node):
        return  # sums that float32 does not hold
    found = reimported(folder, proto if record else without_record(proto))
    assert_same_ends(found, model, images(graph, seed))
    if record:
        assert_same_integers(found, model)
        assert export_qdq(found) == proto
    else:
        outputs = [QdqSession(each, ()).run(images(graph))[0] for each in (found, model)]
        assert np.array_equal(*outputs)


@pytest.mark.parametrize("export", [export_qdq, export_qonnx])
def test_searched_network(folder, export):
    rng = np.random.default_rng(2)
    first = conv(rng, "a", "x", 3, 4)
    first = replace(first, lo=0.0, window=replace(first.window, kernel=(3, 3), pads=(1, 1, 1, 1)),
                    weight=rng.normal(size=(4, 3, 3, 3)))
    last = conv(rng, "b", first.output, 4, 5)
    graph = make_graph((3, 16, 16), [first, last])
    pictures = rng.integers(0, 256, (24, 3, 16, 16)).astype(np.float32)
    model = quantized(graph, (pictures - np.float32(120)) / np.float32(60), fit_ends=True)
    assert model.graph.intake is not None
    assert model.graph.exponents.keys() == model.graph.offsets.keys() == {graph.output}
    proto = export(model)
    found = reimported(folder, without_record(proto))
    assert_same_integers(found, model)
    assert_same_ends(found, model, images(graph))
    if export is export_qonnx:  # which has the names
        assert list(export(found).graph.node) == list(proto.graph.node)


def _file(folder, before, constants=(), behind=()):
    """Save a QONNX network of one convolution with other nodes at its ends."""
    rng = np.random.default_rng(3)
    proto = export_qonnx(random_model(rng, make_graph((2, 4, 4), [conv(rng, "a", "x", 2, 2)])))
    graph = proto.graph
    quant = next(node for node in graph.node if node.input[0] == "x")
    quant.input[0] = before[-1].output[0] if before else "x"
    if behind:
        reader = next(node for node in graph.node if node.output[0] == "a_out")
        reader.output[0] = "held"
    nodes = [*before, *graph.node, *behind]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name) for name, value in constants)
    onnx.save(proto, folder / "net.onnx")
    return folder / "net.onnx"


TWO = ("two", np.float32([[[2.0]], [[3.0]]]))
make = helper.make_node


@pytest.mark.parametrize(("before", "constants"), [
    ([make("Mul", ["x", "two"], ["m"]), make("Sub", ["m", "two"], ["s"])], [TWO]),
    ([make("Div", ["x", "two"], ["s"])], [TWO]),
    ([make("Mul", ["x", "two"], ["m"])], [("two", np.float32([[[2.0]], [[-3.0]]]))]),
    ([make("Mul", ["x", "two"], ["m"])], [("two", np.full((4, 4), 2, np.float32))]),
    ([make("Pad", ["x", "pads", "fill"], ["p"])],
     [("pads", np.array([0, 0, 1, 0, 0, 0, -1, 0])), ("fill", np.float32(0))]),
])
def test_other_steps_at_the_input(folder, before, constants):
    path = _file(folder, before, constants)
    with pytest.raises(ModelError) as caught:
        import_quantized(path)
    assert str(caught.value) == (
        f"{path}: the network's input 'x' must be quantized before anything is done with it but "
        "Pad with zeros, Sub and then Mul, with a positive number for each channel; quantize it, "
        "or give the float network to 'quantize'")


def test_result_that_is_scaled_at_the_very_end(folder):
    """Of another tool, perhaps: the scaled tensor is the output."""
    path = _file(folder, [], [("half", np.float32(1.5)), ("more", np.float32([[[-4.0]]]))], [
        make("Mul", ["half", "held"], ["m"]), make("Add", ["m", "more"], ["a_out"])])
    found = import_quantized(path)
    assert np.exp2(-found.graph.exponents["held"]).tolist() == [1.5, 1.5]
    assert found.graph.offsets["held"].tolist() == [-4, -4]


def test_result_with_a_factor_a_channel(folder):
    """The largest code would no longer be the largest number."""
    path = _file(folder, [], [TWO], [make("Mul", ["held", "two"], ["a_out"])])
    with pytest.raises(ModelError) as caught:
        import_quantized(path)
    assert "its result 'a_out' must be quantized before it is read" in str(caught.value)
