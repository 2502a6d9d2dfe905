"""Quantized files of other tools: onnxruntime's static quantization, files made by hand."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    base_quantizer,
    qdq_quantizer,
    quant_utils,
    quantize_static,
)

from quantizer.errors import ModelError
from quantizer.execute import run
from quantizer.quantized_import import import_quantized
from tests.quantizer.onnx_models import Builder


def run_file(path, inputs):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: image[None]})[0] for image in inputs])


class Images(CalibrationDataReader):
    def __init__(self, images):
        self.left = iter([{"x": image[None]} for image in images])

    def get_next(self):
        return next(self.left, None)


def round_up_scales(monkeypatch):
    """Let onnxruntime's quantizer take powers of two."""
    compute = quant_utils.compute_scale_zp

    def power_of_two(*arguments, **keywords):
        zero, scale = compute(*arguments, **keywords)
        exact = np.exp2(np.ceil(np.log2(scale.astype(np.float64))))
        return [zero, np.array(exact, scale.dtype)]

    for module in (quant_utils, base_quantizer, qdq_quantizer):
        if hasattr(module, "compute_scale_zp"):
            monkeypatch.setattr(module, "compute_scale_zp", power_of_two)


@pytest.mark.parametrize("per_channel", [False, True])
def test_static_quantization_of_onnxruntime(tmp_path, monkeypatch, per_channel):
    round_up_scales(monkeypatch)
    file = Builder((1, 3, 9, 9))
    first = file.node("Relu", file.conv("x", 8, 3, 3, 3, pads=[1, 1, 1, 1]))
    second = file.conv(first, 8, 1, 3, 3, pads=[1, 1, 1, 1], group=8)
    pooled = file.node(
        "MaxPool", file.node("Add", first, second), kernel_shape=[2, 2], strides=[2, 2])
    mean = file.node("Flatten", file.node("GlobalAveragePool", pooled))
    weights, bias = file.random(5, 8, scale=0.5), file.random(5, scale=0.1)
    path = file.save(tmp_path, file.node("Gemm", mean, weights, bias, transB=1))
    images = np.random.default_rng(2).standard_normal((6, 3, 9, 9)).astype(np.float32)
    quantize_static(
        path, tmp_path / "quantized.onnx", Images(images), quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QInt8, weight_type=QuantType.QInt8, per_channel=per_channel,
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True})
    model = import_quantized(tmp_path / "quantized.onnx")
    assert any(np.ptp(weights.frac) > 0 for weights in model.weights.values()) == per_channel
    more = np.random.default_rng(3).standard_normal((40, 3, 9, 9)).astype(np.float32)
    assert np.array_equal(run(model, more), run_file(tmp_path / "quantized.onnx", more))


class Qdq:
    """A QDQ file under construction: x -> Conv 1x1 -> Relu -> y, everything quantized."""

    def __init__(self):
        rng = np.random.default_rng(4)
        self.constants = {
            "x_scale": np.float32(2**-5), "x_zero": np.int8(0),
            "w": rng.integers(-99, 99, (4, 3, 1, 1)).astype(np.int8),
            "w_scale": np.float32(2**-7), "w_zero": np.int8(0),
            "b": rng.integers(-4000, 4000, 4).astype(np.int32), "b_scale": np.float32(2**-12),
            "y_scale": np.float32(2**-6), "y_zero": np.uint8(0)}
        make = helper.make_node
        self.nodes = [
            make("QuantizeLinear", ["x", "x_scale", "x_zero"], ["x_codes"], "quantize x"),
            make("DequantizeLinear", ["x_codes", "x_scale", "x_zero"], ["x_map"], "dequantize x"),
            make("DequantizeLinear", ["w", "w_scale", "w_zero"], ["w_map"], "dequantize w", axis=0),
            make("DequantizeLinear", ["b", "b_scale"], ["b_map"], "dequantize b", axis=0),
            make("Conv", ["x_map", "w_map", "b_map"], ["c"], "conv"),
            make("Relu", ["c"], ["r"], "relu"),
            make("QuantizeLinear", ["r", "y_scale", "y_zero"], ["y_codes"], "quantize y"),
            make("DequantizeLinear", ["y_codes", "y_scale", "y_zero"], ["y"], "dequantize y")]

    def node(self, name):
        return next(node for node in self.nodes if node.name == name)

    def set(self, name, value):
        self.constants[name] = value

    def drop(self, *names):
        self.nodes = [node for node in self.nodes if node.name not in names]

    def read(self, name, old, new):
        inputs = self.node(name).input
        inputs[list(inputs).index(old)] = new

    def insert(self, index, *arguments, **attributes):
        self.nodes.insert(index, helper.make_node(*arguments, **attributes))

    def save(self, folder):
        graph = helper.make_graph(
            self.nodes, "by hand",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 4, 4])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4, 4, 4])],
            [numpy_helper.from_array(np.asarray(value), name)
             for name, value in self.constants.items()])
        path = folder / "net.onnx"
        onnx.save(helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
        return path


def check(file, folder):
    path = file.save(folder)
    model = import_quantized(path)
    inputs = np.random.default_rng(5).standard_normal((20, 3, 4, 4)).astype(np.float32) * 2
    assert np.array_equal(run(model, inputs), run_file(path, inputs))
    return model


def test_by_hand(tmp_path):
    model = check(Qdq(), tmp_path)
    assert [str(model.formats[name]) for name in ("x", "r")] == ["s8 .5", "u8 .6"]
    assert model.weights["conv"].bits == 8
    assert model.weights["conv"].frac.tolist() == [7] * 4


def test_scale_a_channel(tmp_path):
    file = Qdq()
    file.set("w_scale", np.float32([2**-7, 2**-6, 2**-7, 2**-8]))
    file.set("w_zero", np.zeros(4, np.int8))
    file.set("b_scale", np.float32([2**-12, 2**-11, 2**-12, 2**-13]))
    assert check(file, tmp_path).weights["conv"].frac.tolist() == [7, 6, 7, 8]


def test_zero_points_in_the_middle(tmp_path):
    """Unsigned codes around 128 are signed ones, signed codes from -128 are unsigned ones."""
    file = Qdq()
    file.set("x_zero", np.uint8(128))
    file.set("w", (file.constants["w"].astype(int) + 128).astype(np.uint8))
    file.set("w_zero", np.uint8(128))
    file.set("y_zero", np.int8(-128))
    model = check(file, tmp_path)
    assert [str(model.formats[name]) for name in ("x", "r")] == ["s8 .5", "u8 .6"]
    assert np.array_equal(model.weights["conv"].codes, Qdq().constants["w"])


def test_any_order_of_nodes(tmp_path):
    """Quark writes nodes before what they read; onnxruntime sorts them."""
    file = Qdq()
    file.nodes = file.nodes[::-1]
    check(file, tmp_path)


def test_factor_of_one(tmp_path):
    """Quark puts a factor behind an average pooling, also where it is 1."""
    file = Qdq()
    file.drop("relu")
    file.insert(5, "QuantizeLinear", ["c", "c_scale", "c_zero"], ["c_codes"], "quantize c")
    file.insert(6, "DequantizeLinear", ["c_codes", "c_scale", "c_zero"], ["c_map"], "dequantize c")
    file.insert(7, "AveragePool", ["c_map"], ["mean"], "mean", kernel_shape=[2, 2])
    file.insert(8, "Mul", ["mean", "one"], ["scaled"], "scale")
    file.set("c_scale", np.float32(2**-5))
    file.set("c_zero", np.int8(0))
    file.set("one", np.float32(1))
    file.read("quantize y", "r", "scaled")
    path = file.save(tmp_path)
    proto = onnx.load(path)
    for axis in (2, 3):
        proto.graph.output[0].type.tensor_type.shape.dim[axis].dim_value = 3
    onnx.save(proto, path)
    model = import_quantized(path)
    assert [node.name for node in model.graph] == ["conv", "mean"]
    inputs = np.random.default_rng(5).standard_normal((20, 3, 4, 4)).astype(np.float32)
    assert np.array_equal(run(model, inputs), run_file(path, inputs))


def test_four_bit_weights(tmp_path):
    file = Qdq()
    file.set("w_zero", np.int8(0))
    codes = np.clip(file.constants["w"] // 13, -8, 7)
    path = file.save(tmp_path)
    proto = onnx.load(path)
    for tensor in proto.graph.initializer:
        if tensor.name in ("w", "w_zero"):
            values = codes if tensor.name == "w" else np.zeros((), int)
            tensor.CopyFrom(helper.make_tensor(
                tensor.name, TensorProto.INT4, values.shape, values.reshape(-1)))
    onnx.save(proto, path)
    model = import_quantized(path)
    assert model.weights["conv"].bits == 4
    assert np.array_equal(model.weights["conv"].codes, codes)


def test_weights_quantized_in_the_file(tmp_path):
    file = Qdq()
    file.insert(2, "QuantizeLinear", ["w_float", "w_scale", "w_zero"], ["w_codes"], "quantize w")
    weights = np.random.default_rng(6).uniform(-1.2, 1.2, (4, 3, 1, 1))
    file.set("w_float", weights.astype(np.float32))
    file.read("dequantize w", "w", "w_codes")
    check(file, tmp_path)


def test_quantized_before_and_behind_relu(tmp_path):
    file = Qdq()
    file.set("c_zero", np.int8(0))
    file.insert(5, "QuantizeLinear", ["c", "y_scale", "c_zero"], ["c_codes"], "quantize c")
    file.insert(6, "DequantizeLinear", ["c_codes", "y_scale", "c_zero"], ["c_map"], "dequantize c")
    file.read("relu", "c", "c_map")
    model = check(file, tmp_path)
    assert model.bounds(model.graph.node("conv")) == (0, 127)


def test_bounds_at_codes_only(tmp_path):
    file = Qdq()
    file.drop("relu")
    file.insert(5, "Clip", ["c", "low", "high"], ["r"], "clip")
    file.set("low", np.float32(0.5))
    file.set("high", np.float32(2.25))
    model = check(file, tmp_path)
    assert model.bounds(model.graph.node("conv")) == (32, 144)
    file.set("high", np.float32(2.3))
    assert _message(file, tmp_path) == (
        "node 'conv': clamps its result at 2.3, which is no multiple of its step 0.015625; clip at "
        "a multiple, or use a smaller scale")


def _message(file, folder):
    path = file.save(folder)
    with pytest.raises(ModelError) as caught:
        import_quantized(path)
    return str(caught.value).removeprefix(f"{path}: ")


def _set(name, value):
    return lambda file: file.set(name, value)


def _without(*names):
    def change(file):
        file.drop(*names)
        if "dequantize x" in names:
            file.read("conv", "x_map", "x")
        if "dequantize w" in names:
            file.set("w_map", np.full((4, 3, 1, 1), 0.3, np.float32))
        if "dequantize b" in names:
            file.set("b_map", np.full(4, 0.3, np.float32))
        if "dequantize y" in names:
            file.node("relu").output[0] = "y"
    return change


def _integer_operator(file):
    file.insert(1, "MaxPool", ["x_codes"], ["x_pooled"], "pool", kernel_shape=[1, 1])
    file.read("dequantize x", "x_codes", "x_pooled")


def _input_channels(file):
    file.set("w", np.full((3, 3, 1, 1), 77, np.int8))
    file.set("b", np.zeros(3, np.int32))
    file.set("w_scale", np.float32([2**-7, 2**-6, 2**-7]))
    file.set("w_zero", np.zeros(3, np.int8))
    node = file.node("dequantize w")
    node.ClearField("attribute")
    node.attribute.append(helper.make_attribute("axis", 1))


@pytest.mark.parametrize(("change", "message"), [
    (_set("x_scale", np.float32(0.03)),
     ("node 'quantize x' (QuantizeLinear): scale must be a power of two, such as 0.03125, not "
      "0.029999999329447746; quantize again with power-of-two scales, or give the float network to "
      "'quantize'")),
    (_set("w_scale", np.float32(0.0)),
     ("node 'dequantize w' (DequantizeLinear): scale must be a power of two, not 0.0; quantize "
      "again with power-of-two scales, or give the float network to 'quantize'")),
    (_set("x_zero", np.int8(3)),
     ("node 'quantize x' (QuantizeLinear): zero point must be 0, or -128 with which codes are "
      "unsigned, not 3; quantize symmetrically (onnxruntime: extra_options ActivationSymmetric and "
      "WeightSymmetric), with unsigned codes only for what is never negative")),
    (lambda file: (file.set("x_scale", np.float32([2**-5, 2**-4, 2**-5])),
                   file.set("x_zero", np.zeros(3, np.int8))),
     ("node 'dequantize x' (DequantizeLinear): data must have one scale, not one for each channel; "
      "quantize data per tensor; weights may have a scale for each output channel")),
    (_without("quantize x", "dequantize x"),
     ("the network's input 'x' must be quantized before anything is done with it but Pad with "
      "zeros, Sub and then Mul, with a positive number for each channel; quantize it, or give the "
      "float network to 'quantize'")),
    (_without("quantize y", "dequantize y"),
     ("node 'conv': its result 'y' must be quantized before it is read; quantize it, or give the "
      "float network to 'quantize'")),
    (_without("dequantize w"),
     ("node 'conv': its weights must be quantized, to at most 16 bits; quantize it, or give the "
      "float network to 'quantize'")),
    (_without("dequantize b"),
     ("node 'conv': bias 0.30000001192092896 of output channel 0 must be a multiple of 2^-12, the "
      "step of data times weights; quantize biases to 32 bits with that scale")),
    (_integer_operator,
     ("node 'pool' (MaxPool): reads the codes 'x_codes'; put it behind the DequantizeLinear, and a "
      "QuantizeLinear and DequantizeLinear behind it")),
    (_input_channels,
     ("node 'conv': the 3 scales of its weights must be those of its 3 output channels, along axis "
      "0, not along axis 1; quantize weights per tensor or per output channel")),
    (lambda file: (file.set("other", np.float32(2**-4)),
                   file.read("dequantize y", "y_scale", "other")),
     ("node 'dequantize y' (DequantizeLinear): must have scale and zero point of {path}: node "
      "'quantize y' (QuantizeLinear), whose codes it reads; quantize again in one step")),
    (_set("w", np.full((4, 3, 1, 1), 200, np.uint8)), None),
    (lambda file: file.insert(0, "QLinearConv", ["x"], ["z"], "old"),
     ("node 'old' (QLinearConv): computes with codes; export in QDQ form (onnxruntime: "
      "quant_format=QuantFormat.QDQ)")),
])
def test_refused(tmp_path, change, message):
    file = Qdq()
    change(file)
    if message is None:
        file.set("w_zero", np.uint8(0))
        message = (
            "node 'conv': unsigned weights must be codes of 8 bits, signed, in steps of 2^-7 also "
            "where what stands behind the quantizer is merged into them; merge scalings such as "
            "BatchNormalization before quantizing")
    assert _message(file, tmp_path) == message.format(path=tmp_path / "net.onnx")


def test_nothing_to_accelerate(tmp_path):
    file = Qdq()
    file.nodes = [*file.nodes[:2], helper.make_node("Softmax", ["x_map"], ["y"], axis=1)]
    proto = onnx.load(file.save(tmp_path))
    proto.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 3
    onnx.save(proto, tmp_path / "net.onnx")
    with pytest.raises(ModelError) as caught:
        import_quantized(tmp_path / "net.onnx")
    assert str(caught.value) == (
        f"{tmp_path / 'net.onnx'}: the network holds no operator for the accelerator")


def test_no_quantizers(tmp_path):
    file = Qdq()
    for name in ("w", "b"):
        file.set(f"{name}_map", file.constants[name].astype(np.float32))
    file.nodes = [file.node("conv"), file.node("relu")]
    file.read("conv", "x_map", "x")
    file.node("relu").output[0] = "y"
    assert _message(file, tmp_path) == "holds no quantizers; give a float network to 'quantize'"
