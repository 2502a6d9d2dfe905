"""Quantizers in a row: values that are rounded twice, as AMD Quark's power-of-two mode writes."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from arch.config import preset
from compiler import compile_model
from quantizer.errors import ModelError, NodeError
from quantizer.execute import execute, run
from quantizer.export import export_qdq, export_qonnx, ort_tensors
from quantizer.quantized_import import import_quantized
from tests.quantizer.test_quantized_files import run_file
from tests.quantizer.test_quantized_import import assert_same_integers, reimported


SHAPE = (4, 5, 5)
INPUTS = np.random.default_rng(5).standard_normal((12, *SHAPE)).astype(np.float32) * 3


class Chain:
    """A QDQ file: x, quantized, a Conv 1 x 1, and what is put behind it."""

    def __init__(self, x_frac=5):
        rng = np.random.default_rng(7)
        self.nodes, self.constants, self.count = [], {}, 0
        self.value, self.shape = "x", list(SHAPE)
        self.quantize(x_frac)
        weights = rng.integers(-99, 99, (4, 4, 1, 1)).astype(np.int8)
        weight = self.node("DequantizeLinear", self.constant(weights), self.constant(
            np.float32(2**-6)), axis=0)
        bias = self.node("DequantizeLinear", self.constant(
            rng.integers(-900, 900, 4).astype(np.int32)), self.constant(
                np.float32(2.0**-(x_frac + 6))), axis=0)
        self.value = self.node("Conv", self.value, weight, bias)

    def constant(self, value):
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name

    def node(self, operator, *inputs, **attributes):
        self.count += 1
        name = f"{operator.lower()}{self.count}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name, **attributes))
        return name

    def quantize(self, frac, dtype=np.uint8, zero=128):
        """Quantize; by default as Quark does, unsigned codes around 128."""
        step, zero = self.constant(np.float32(2.0**-frac)), self.constant(dtype(zero))
        codes = self.node("QuantizeLinear", self.value, step, zero)
        self.value = self.node("DequantizeLinear", codes, step, zero)

    def add(self, operator, *inputs, **attributes):
        self.value = self.node(operator, self.value, *inputs, **attributes)

    def pool(self, kind):
        self.add(kind, kernel_shape=[2, 2])
        self.shape[1:] = [size - 1 for size in self.shape[1:]]

    def cut(self):
        self.add("Slice", *(self.constant(np.array([each])) for each in (1, self.shape[0], 1)))
        self.shape[0] -= 1

    def bounds(self):
        """Bound each channel from above: a ReLU6 of channels that were multiplied by factors."""
        upper = np.resize(np.float32([1, 3, 2, 2.5]), (self.shape[0], 1, 1))
        self.add("Min", self.constant(upper))

    def double(self):
        self.value = self.node("Concat", self.value, self.value, axis=1)
        self.shape[0] *= 2

    def save(self, folder):
        graph = helper.make_graph(
            self.nodes, "chain",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *SHAPE])],
            [helper.make_tensor_value_info(self.value, TensorProto.FLOAT, ["N", *self.shape])],
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()])
        path = folder / "net.onnx"
        onnx.save(helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
        return path


def check(chain, folder):
    """Import, and compare with onnxruntime: the file, and every tensor of its export."""
    path = chain.save(folder)
    model = import_quantized(path)
    assert np.array_equal(run(model, INPUTS), run_file(path, INPUTS))
    codes = execute(model, model.formats["x"].quantize(INPUTS))
    for name, found in ort_tensors(model, INPUTS).items():
        assert np.array_equal(found, codes[name]), name
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("chains")


@pytest.mark.parametrize("frac", [-2, 2, 5, 7])
def test_second_scale(folder, frac):
    """Coarser steps round for a second time; finer ones saturate."""
    chain = Chain()
    chain.quantize(3)
    chain.quantize(frac)
    model = check(chain, folder)
    assert [type(node).__name__ for node in model.graph] == ["Conv", "Pool"]
    node = model.graph.nodes[1]
    assert (node.kind, node.window.kernel) == ("average", (1, 1))
    assert [model.formats[each.output].frac for each in model.graph] == [3, frac]


def test_each_rounding_counts(folder):
    """0.4375 is 0.5 in steps of a quarter, halves to even, and that is 0 in whole steps."""
    chain = Chain()
    chain.nodes, chain.value = chain.nodes[:2], chain.nodes[1].output[0]
    chain.quantize(2)
    chain.quantize(0)
    model = check(chain, folder)
    inputs = np.zeros((1, *SHAPE), np.float32)
    inputs[0, 0, 0, :5] = 0.4375, 0.59375, 0.625, 0.65625, 1.4375
    assert run(model, inputs)[0, 0, 0].tolist() == [0, 0, 0, 1, 2]


def test_like_quark(folder):
    """A pooling, and a view of its result, each with a scale of its own."""
    chain = Chain()
    chain.add("Relu")
    chain.quantize(3)
    chain.pool("AveragePool")
    chain.add("Mul", chain.constant(np.float32(1)))
    chain.quantize(3)
    chain.add("Flatten")
    chain.quantize(5)
    chain.shape = [int(np.prod(chain.shape))]
    model = check(chain, folder)
    assert [node.kind for node in model.graph.nodes[1:]] == ["average", "average"]


def test_relu_between(folder):
    chain = Chain()
    chain.quantize(4)
    chain.add("Relu")
    chain.quantize(6, zero=0)
    assert [node.lo for node in check(chain, folder).graph] == [-np.inf, 0]


def test_maximum_with_another_scale(folder):
    chain = Chain()
    chain.quantize(3)
    chain.pool("MaxPool")
    chain.add("Relu")
    chain.quantize(2)
    assert [node.kind for node in check(chain, folder).graph.nodes[1:]] == ["max", "average"]


def test_clamp_behind_concat(folder):
    chain = Chain()
    chain.quantize(3)
    chain.double()
    chain.quantize(2)
    chain.add("Relu")
    chain.quantize(2)
    assert [type(node).__name__ for node in check(chain, folder).graph] == [
        "Conv", "Concat", "Pool"]


def test_both_are_read(folder):
    chain = Chain()
    chain.quantize(3)
    first = chain.value
    chain.quantize(1)
    chain.add("Add", first)
    chain.quantize(2)
    assert [type(node).__name__ for node in check(chain, folder).graph] == ["Conv", "Pool", "Add"]


def test_bounds_for_each_channel(folder):
    """Also where steps become finer, and behind what is not quantized before it is bounded."""
    def quantized_before(chain):
        chain.quantize(4)

    def sum_with_itself(chain):
        chain.quantize(4)
        first = chain.value
        chain.add("Relu")
        chain.quantize(4)
        chain.add("Add", first)

    def mean(chain):
        chain.quantize(4)
        chain.pool("AveragePool")

    for before in (quantized_before, sum_with_itself, mean):
        for frac in (1, 4, 6, 13):
            chain = Chain()
            before(chain)
            chain.bounds()
            chain.quantize(frac)
            model = check(chain, folder)
            last = model.graph.nodes[-1]
            assert model.uppers(last).tolist() == [
                min(int(each * 2**frac), 127) for each in (1, 3, 2, 2.5)]
            for config in ("tiny", "ecp5_85f"):
                assert compile_model(model, preset(config)).layers


def test_bounds_of_channels_below_others(folder):
    chain = Chain()
    chain.quantize(4)
    chain.add("Max", chain.constant(np.float32([[[0]], [[1]], [[0]], [[0]]])))
    chain.quantize(4)
    with pytest.raises(NodeError) as caught:
        import_quantized(chain.save(folder))
    assert str(caught.value) == (
        f"{folder / 'net.onnx'}: node 'max8' (Max): the constant must be the same for all "
        "channels; the accelerator has no lower bound for each channel; take one constant for all "
        "channels")


def test_too_far_apart(folder):
    chain = Chain()
    chain.quantize(3)
    chain.quantize(20)
    with pytest.raises(ModelError) as caught:
        import_quantized(chain.save(folder))
    assert str(caught.value) == (
        f"{folder / 'net.onnx'}: node 'quantizer of dequantizelinear9': left shift of an operand "
        "must be in 0..15 bits, not 17; choose other fractional lengths for conv5, "
        "dequantizelinear9")


def test_padding_between_two_codes(folder):
    chain = Chain()
    chain.quantize(3)
    chain.add("Pad", chain.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1])),
              chain.constant(np.float32(0.3)))
    before = chain.value
    chain.shape[1:] = [7, 7]
    chain.quantize(3)
    assert check(chain, folder).graph.nodes[1].value == np.float32(0.3)
    chain.value = before
    chain.pool("MaxPool")
    chain.quantize(3)
    with pytest.raises(ModelError) as caught:
        import_quantized(chain.save(folder))
    assert str(caught.value) == (
        f"{folder / 'net.onnx'}: node 'pad8': pads with 0.3, which must be a code of its input, in "
        "steps of 0.125; pad with such a number, or quantize the result alike")


QUANTIZERS = st.tuples(st.integers(0, 6), st.sampled_from([
    (np.uint8, 128), (np.uint8, 0), (np.int8, 0), (np.int16, 0)]))
REFUSED = ("clamps its result at", "keep the format", "pads with")
STEPS = st.lists(st.one_of(QUANTIZERS, QUANTIZERS, st.sampled_from(
    ["relu", "clip", "bounds", "max", "average", "cut", "double", "pad"])), max_size=5)


@settings(max_examples=40, deadline=None)
@given(STEPS, QUANTIZERS, QUANTIZERS)
def test_any_chain(folder, steps, first, last):
    """Import is exact, or refuses; it never computes something else."""
    chain = Chain()
    for step in (first, *steps, last):
        match step:
            case "relu":
                chain.add("Relu")
            case "clip":
                chain.add("Clip", *map(chain.constant, (np.float32(-1), np.float32(2))))
            case "bounds":
                chain.bounds()
            case "max" | "average":
                if min(chain.shape[1:]) > 1:
                    chain.pool("MaxPool" if step == "max" else "AveragePool")
                    if step == "average":
                        chain.quantize(3)
            case "cut":
                if chain.shape[0] > 1:
                    chain.cut()
            case "double":
                chain.double()
                chain.quantize(3)
            case "pad":
                chain.add("Pad", chain.constant(np.array([0, 0, 1, 0, 0, 0, 0, 1])),
                          chain.constant(np.float32(0.375)))
                chain.shape[1:] = [size + 1 for size in chain.shape[1:]]
            case (frac, (dtype, zero)):
                chain.quantize(frac, dtype, zero)
    try:
        model = check(chain, folder)
    except ModelError as error:
        if any(text in str(error) for text in REFUSED):
            return
        raise
    wide = any(fmt.bits > 8 for fmt in model.formats.values())
    compile_model(model, preset("large16" if wide else "tiny"), optimize=False)
    assert_same_integers(reimported(folder, export_qdq(model)), model)
    codes = model.formats["x"].quantize(INPUTS)
    again = reimported(folder, export_qonnx(model))  # without nodes that do nothing
    expected, found = execute(model, codes), execute(again, codes)
    assert np.array_equal(expected[model.graph.output], found[again.graph.output])
    for name in expected.keys() & found.keys():
        assert np.array_equal(expected[name], found[name]), name
