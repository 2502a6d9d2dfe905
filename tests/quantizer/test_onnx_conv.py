"""Convolution and zero padding against onnxruntime."""

import numpy as np
import pytest

from quantizer.errors import ModelError
from quantizer.graph import Conv, Pool
from quantizer.onnx_import import load_graph

from .onnx_models import Builder, check, kinds


@pytest.mark.parametrize(("kernel", "attributes"), [
    ((3, 3), {}),
    ((3, 3), {"pads": [1, 1, 1, 1]}),
    ((3, 3), {"pads": [0, 1, 2, 3]}),
    ((3, 2), {"pads": [2, 0, 0, 1], "strides": [2, 1]}),
    ((3, 3), {"strides": [2, 3]}),
    ((3, 3), {"dilations": [2, 2]}),
    ((3, 2), {"dilations": [2, 3], "pads": [2, 1, 0, 3], "strides": [1, 2]}),
    ((1, 5), {"pads": [0, 2, 0, 2]}),
    ((1, 1), {"strides": [2, 2]}),
    ((1, 1), {"pads": [1, 1, 1, 1]}),
    ((7, 8), {}),
    ((3, 3), {"auto_pad": "VALID", "strides": [2, 2]}),
    ((3, 3), {"auto_pad": "VALID", "dilations": [2, 2]}),
    ((2, 3), {"kernel_shape": [2, 3]}),
], ids=str)
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_conv(tmp_path, kernel, attributes, groups):
    net = Builder(["n", 4, 7, 8])
    net.conv("x", 8, 4 // groups, *kernel, group=groups, **attributes)
    graph = check(net.save(tmp_path))
    (node,) = graph
    assert isinstance(node, Conv)
    assert node.groups == groups


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("size", [(7, 8), (8, 7), (5, 6)])
@pytest.mark.parametrize("kernel", [(1, 2), (2, 3), (3, 4)])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_conv_auto_pad(tmp_path, mode, size, kernel, stride):
    net = Builder(["n", 2, *size])
    net.conv("x", 3, 2, *kernel, auto_pad=mode, strides=[stride, stride])
    graph = check(net.save(tmp_path))
    assert graph.shapes[graph.output] == (3, -(-size[0] // stride), -(-size[1] // stride))


def test_same_upper_and_lower_differ(tmp_path):
    pads = []
    for mode in ("SAME_UPPER", "SAME_LOWER"):
        net = Builder(["n", 1, 8, 8])
        net.conv("x", 1, 1, 3, 3, auto_pad=mode, strides=[2, 2])
        pads.append(load_graph(net.save(tmp_path)).nodes[0].window.pads)
    assert pads == [(0, 0, 1, 1), (1, 1, 0, 0)]


def test_depthwise_with_multiplier(tmp_path):
    net = Builder(["n", 3, 6, 6])
    net.conv("x", 6, 1, 3, 3, group=3, bias=False, pads=[1, 0, 0, 1])
    (node,) = check(net.save(tmp_path))
    assert node.weight.shape == (6, 1, 3, 3)
    assert not node.bias.any()


@pytest.mark.parametrize("opset", [9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21])
def test_every_opset(tmp_path, opset):
    net = Builder([1, 2, 6, 6], opset=opset)
    y = net.batch_normalization(net.conv("x", 4, 2, 3, 3), 4)
    if opset < 11:
        y = net.node("Clip", y, min=0.0, max=6.0)
    else:
        y = net.node("Clip", y, net.constant(0.0), net.constant(6.0))
    y = net.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    y = net.node("AveragePool", y, kernel_shape=[2, 2])
    y = net.node("Dropout", y)
    if opset < 13:
        y = net.node("Squeeze", y, axes=[2, 3])
    else:
        y = net.node("Squeeze", y, net.integers(2, 3))
    y = net.node("Gemm", y, net.random(3, 4), net.random(3), transB=1)
    net.node("Softmax", y)
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Conv", "Pool", "Pool", "Conv", "Softmax"]
    assert (graph.nodes[0].lo, graph.nodes[0].hi) == (0, 6)
    assert graph.output_dims == (3,)


# Padding

def _padded(pads, opset=13, value=None, mode=None, shape=("n", 2, 6, 6), axes=None):
    net = Builder(list(shape), opset=opset)
    attributes = {} if mode is None else {"mode": mode}
    if opset < 11:
        return net, net.node("Pad", "x", pads=pads, **attributes)
    operands = ["x", net.integers(*pads)]
    if value is not None or axes is not None:
        operands.append(net.constant(value or 0.0))
    if axes is not None:
        operands.append(net.integers(*axes))
    return net, net.node("Pad", *operands, **attributes)


@pytest.mark.parametrize("opset", [10, 11, 13, 18, 21])
def test_pad_goes_into_conv(tmp_path, opset):
    net, y = _padded([0, 0, 1, 2, 0, 0, 3, 0], opset, value=None if opset == 10 else 0.0)
    net.conv(y, 3, 2, 3, 3, pads=[1, 0, 0, 1])
    (node,) = check(net.save(tmp_path))
    assert node.window.pads == (2, 2, 3, 1)
    assert node.sources == ("pad0", "conv1")


def test_pad_with_axes(tmp_path):
    net, y = _padded([1, 2, 0, 1], opset=18, axes=[2, -1])
    net.conv(y, 3, 2, 3, 3)
    (node,) = check(net.save(tmp_path))
    assert node.window.pads == (1, 2, 0, 1)


def test_pad_goes_into_all_that_read_it(tmp_path):
    net, y = _padded([0, 0, 1, 1, 0, 0, 1, 1])
    net.node("Add", net.conv(y, 3, 2, 3, 3), net.conv(y, 3, 2, 3, 3))
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Conv", "Conv", "Add"]


def test_pad_read_by_pool_that_cannot_take_it(tmp_path):
    net, y = _padded([0, 0, 1, 1, 0, 0, 1, 1])
    a = net.conv(y, 2, 2, 3, 3)
    b = net.node("MaxPool", y, kernel_shape=[3, 3])
    net.node("Add", a, b)
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Pad", "Conv", "Pool", "Add"]
    assert graph.node("conv1").inputs == ("x",)


@pytest.mark.parametrize("attributes", [
    {}, {"count_include_pad": 1}, {"count_include_pad": 1, "pads": [1, 0, 0, 1]},
    {"ceil_mode": 1}, {"ceil_mode": 1, "count_include_pad": 1, "pads": [1, 1, 1, 1]},
], ids=str)
def test_pad_goes_into_average_pool(tmp_path, attributes):
    net, y = _padded([0, 0, 1, 1, 0, 0, 2, 0])
    net.node("AveragePool", y, kernel_shape=[5, 3], strides=[2, 2], **attributes)
    (node,) = check(net.save(tmp_path))
    assert isinstance(node, Pool)
    assert node.count_pad


def test_pad_before_average_pool_that_does_not_count_its_own(tmp_path):
    net, y = _padded([0, 0, 1, 1, 0, 0, 1, 1])
    net.node("AveragePool", y, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    assert kinds(check(net.save(tmp_path))) == ["Pad", "Pool"]


def test_pad_goes_into_max_pool_of_nonnegative_map(tmp_path):
    net = Builder(["n", 2, 6, 6])
    y = net.node("Relu", net.conv("x", 3, 2, 3, 3))
    y = net.node("Pad", y, net.integers(0, 0, 1, 1, 0, 0, 1, 1))
    net.node("MaxPool", y, kernel_shape=[3, 3], strides=[2, 2])
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Conv", "Pool"]
    assert graph.nodes[1].window.pads == (1, 1, 1, 1)


def test_pad_before_max_pool_of_signed_map_stays(tmp_path):
    net = Builder(["n", 2, 6, 6])
    y = net.node("Clip", net.conv("x", 3, 2, 3, 3), net.constant(-1.0), net.constant(-0.5))
    y = net.node("Pad", y, net.integers(0, 0, 1, 1, 0, 0, 1, 1))
    net.node("MaxPool", y, kernel_shape=[3, 3], strides=[2, 2])
    assert kinds(check(net.save(tmp_path))) == ["Conv", "Pad", "Pool"]


@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool"])
def test_pad_as_large_as_the_kernel_stays_before_pool(tmp_path, operator):
    net = Builder(["n", 2, 4, 4])
    y = net.node("Pad", net.node("Relu", "x"), net.integers(0, 0, 0, 0, 0, 0, 0, 2))
    net.node(operator, y, kernel_shape=[2, 2])
    assert kinds(check(net.save(tmp_path))) == ["Pool", "Pad", "Pool"]


def test_pad_that_holds_whole_windows_stays_before_max_pool(tmp_path):
    net = Builder(["n", 2, 4, 4])
    y = net.node("Pad", net.node("Relu", "x"), net.integers(0, 0, 1, 1, 0, 0, 1, 1))
    net.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2], dilations=[5, 5])
    assert kinds(check(net.save(tmp_path))) == ["Pool", "Pad", "Pool"]


def test_pad_then_relu(tmp_path):
    net, y = _padded([0, 0, 1, 0, 0, 0, 0, 1])
    net.node("Relu", y)
    (node,) = check(net.save(tmp_path))
    assert node.lo == 0


def test_pad_then_batch_normalization(tmp_path):
    net, y = _padded([0, 0, 1, 0, 0, 0, 0, 1])
    net.conv(net.batch_normalization(y, 2), 3, 2, 3, 3)
    assert kinds(check(net.save(tmp_path))) == ["Conv", "Conv"]


def test_pad_of_channels(tmp_path):
    net, y = _padded([0, 1, 0, 1, 0, 2, 1, 0])
    net.node("Relu", y)
    graph = check(net.save(tmp_path))
    assert graph.shapes[graph.output] == (5, 7, 7)


def test_pad_by_nothing(tmp_path):
    net, y = _padded([0] * 8, value=3.0, mode="reflect")
    net.conv(y, 3, 2, 3, 3)
    assert kinds(check(net.save(tmp_path))) == ["Conv"]


@pytest.mark.parametrize(("arguments", "message"), [
    ({"value": [1.5, 2.5]}, "the padding value must be one number, not [1.5, 2.5]"),
    ({"mode": "wrap"}, "mode must be 'constant', 'edge' or 'reflect', not 'wrap'"),
    ({"mode": "reflect", "pads": [0, 0, 6, 0, 0, 0, 0, 0]},
     "pads in mode 'reflect' must be smaller than the map (6, 6), not [0, 0, 6, 0, 0, 0, 0, 0]"),
    ({"mode": "edge", "pads": [0, 1, 0, 0, 0, 0, 0, 0]},
     ("pads in mode 'edge' must be at least 0, and 0 for channels, not "
      "[0, 1, 0, 0, 0, 0, 0, 0]")),
    ({"value": -np.inf},
     ("padding of -inf is possible only right before a MaxPool whose windows all reach the map; "
      "use a value that the map can have")),
    ({"pads": [0, 0, -1, 0, 0, 0, -5, 0]},
     "pads [0, 0, -1, 0, 0, 0, -5, 0] must leave a line and a column of the map (6, 6)"),
    ({"pads": [0, 1, -1, 0, 0, 0, 0, 0]},
     ("channels can be padded with zeros only, not pads [0, 1, -1, 0, 0, 0, 0, 0] of value 0")),
    ({"pads": [1, 0, 0, 0, 0, 0, 0, 0]},
     "pads the batch; only channels, lines and columns can be padded"),
], ids=str)
def test_pad_refused(tmp_path, arguments, message):
    net, _ = _padded(**{"pads": [0, 0, 1, 1, 0, 0, 1, 1], **arguments})
    path = net.save(tmp_path)
    with pytest.raises(ModelError) as error:
        load_graph(path)
    assert str(error.value) == f"{path}: node 'pad0' (Pad): {message}"


# Refusals

@pytest.mark.parametrize(("attributes", "message"), [
    ({"auto_pad": "SAME_UPPER", "dilations": [2, 2]},
     ("auto_pad SAME_UPPER with dilations [2, 2] is not supported, because onnxruntime refuses or "
      "ignores it; write pads=[2, 2, 2, 2] instead of auto_pad")),
    ({"pads": [-1, 0, 0, 0]}, "pads must be four integers of at least 0, not [-1, 0, 0, 0]"),
    ({"strides": [0, 1]}, "strides must be two positive integers, not [0, 1]"),
    ({"dilations": [4, 1]},
     "kernel (3, 3) with dilations (4, 1) is larger than the input (6, 6) with pads [0, 0, 0, 0]"),
    ({"group": 3}, "weight (4, 2, 3, 3) in 3 groups must fit 2 input channels"),
    ({"auto_pad": "SAME"},
     "auto_pad must be NOTSET, VALID, SAME_UPPER or SAME_LOWER, not 'SAME'"),
], ids=str)
def test_conv_refused(tmp_path, attributes, message):
    net = Builder(["n", 2, 6, 6])
    net.conv("x", 4, 2, 3, 3, **attributes)
    path = net.save(tmp_path)
    with pytest.raises(ModelError) as error:
        load_graph(path)
    assert str(error.value) == f"{path}: node 'conv0' (Conv): {message}"


def test_explicit_pads_of_the_message_are_right(tmp_path):
    net = Builder(["n", 1, 6, 6])
    net.conv("x", 1, 1, 3, 3, pads=[2, 2, 2, 2], dilations=[2, 2])
    graph = check(net.save(tmp_path))
    assert graph.shapes[graph.output] == (1, 6, 6)


@pytest.mark.parametrize(("shape", "kernel", "dims"), [
    (["n", 2, 9], (3,), 1), (["n", 2, 5, 5, 5], (3, 3, 3), 3)])
def test_only_two_dimensions(tmp_path, shape, kernel, dims):
    net = Builder(shape)
    net.conv("x", 4, 2, *kernel)
    message = rf"node 'conv0' \(Conv\): is {dims}-D .* supported is 2-D, on inputs \(n, c, h, w\)"
    with pytest.raises(ModelError, match=message):
        load_graph(net.save(tmp_path))


def test_weight_must_be_constant(tmp_path):
    net = Builder(["n", 2, 6, 6])
    net.node("Conv", "x", net.node("Relu", "x"))
    with pytest.raises(ModelError, match="weight must be a constant, not 't0', which is computed"):
        load_graph(net.save(tmp_path))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("operand", ["weight", "bias"])
def test_weight_must_be_finite(tmp_path, value, operand):
    net = Builder(["n", 1, 4, 4])
    weight, bias = np.ones((1, 1, 3, 3)), np.ones(1)
    (weight if operand == "weight" else bias).reshape(-1)[-1] = value
    net.node("Conv", "x", net.constant(weight), net.constant(bias))
    with pytest.raises(ModelError, match=rf"'conv0' \(Conv\): {operand} 'c[01]' must be finite "
                                         rf"numbers, but holds NaN or infinity"):
        load_graph(net.save(tmp_path))


def test_weight_of_size_zero(tmp_path):
    net = Builder(["n", 1, 4, 4])
    net.node("Conv", "x", net.constant(np.zeros((0, 1, 3, 3))))
    with pytest.raises(ModelError, match="'conv0'"):
        load_graph(net.save(tmp_path))


@pytest.mark.parametrize(("shape", "bias", "attributes", "message"), [
    ((4, 2, 3, 3), 4, {"kernel_shape": [3, 2]},
     "kernel_shape must be that of the weight, [3, 3], not [3, 2]"),
    ((4, 2, 3, 3), 3, {}, "bias must have the shape (4,), not (3,)"),
    ((4, 2, 3), 4, {}, "weight must have the shape (k, c / group, r, s), not (4, 2, 3)"),
    ((4, 2, 3, 3), 4, {"pads": [1, 1]}, "pads must be four integers of at least 0, not [1, 1]"),
    ((4, 2, 3, 3), 4, {"strides": [2]}, "strides must be two positive integers, not [2]"),
], ids=range(5))
def test_shapes_that_do_not_fit(tmp_path, shape, bias, attributes, message):
    net = Builder(["n", 2, 6, 6])
    net.node("Conv", "x", net.random(*shape), net.random(bias), **attributes)
    path = net.save(tmp_path)
    with pytest.raises(ModelError) as error:
        load_graph(path)
    assert str(error.value) == f"{path}: node 'conv0' (Conv): {message}"


@pytest.mark.parametrize(("pads", "axes", "message"), [
    ([1, 1, 1], None, r"pads must hold two integers for each of 4 axes, not \[1, 1, 1\]"),
    ([1, 1, 1, 1], [2, 4], r"axes must be in -4\.\.3, not \[2, 4\]"),
])
def test_pads_that_do_not_fit(tmp_path, pads, axes, message):
    net, _ = _padded(pads, opset=18, axes=axes)
    with pytest.raises(ModelError, match=message):
        load_graph(net.save(tmp_path))
