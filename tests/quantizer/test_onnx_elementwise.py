"""BatchNormalization, clamps, sums and arithmetic with constants: folded where it is right."""

import numpy as np
import pytest

from quantizer.errors import ModelError
from quantizer.graph import Add, Conv, Pool
from quantizer.onnx_import import load_graph

from .onnx_models import Builder, check, kinds


# BatchNormalization

@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_batch_normalization_goes_into_conv(tmp_path, bias, groups):
    net = Builder(["n", 4, 5, 5])
    y = net.conv("x", 8, 4 // groups, 3, 3, bias=bias, group=groups, pads=[1, 1, 1, 1])
    net.batch_normalization(y, 8, epsilon=1e-3)
    (node,) = check(net.save(tmp_path))
    assert node.sources == ("conv0", "batchnormalization1")
    assert node.output == "t1"


def test_batch_normalization_goes_into_gemm(tmp_path):
    net = Builder(["n", 2, 3, 3])
    y = net.node("Gemm", net.node("Flatten", "x"), net.random(18, 5), net.random(5))
    net.node("Relu", net.batch_normalization(y, 5))
    (node,) = check(net.save(tmp_path))
    assert node.lo == 0


def test_batch_normalization_behind_relu_goes_into_conv_without_pads(tmp_path):
    net = Builder(["n", 2, 6, 6])
    y = net.batch_normalization(net.node("Relu", net.conv("x", 4, 2, 3, 3)), 4)
    net.conv(y, 6, 2, 3, 3, group=2)
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Conv", "Conv"]
    assert graph.nodes[1].sources == ("batchnormalization2", "conv3")


def test_batch_normalization_behind_relu_stays_before_pads(tmp_path):
    net = Builder(["n", 2, 6, 6])
    y = net.batch_normalization(net.node("Relu", net.conv("x", 4, 2, 3, 3)), 4)
    net.conv(y, 6, 4, 3, 3, pads=[1, 1, 1, 1])
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Conv", "Conv", "Conv"]
    assert (graph.nodes[1].groups, graph.nodes[1].window.kernel) == (4, (1, 1))


def test_batch_normalization_first(tmp_path):
    net = Builder(["n", 3, 6, 6])
    net.conv(net.batch_normalization("x", 3), 4, 3, 3, 3)
    assert kinds(check(net.save(tmp_path))) == ["Conv"]


def test_batch_normalization_behind_pool_and_before_relu(tmp_path):
    net = Builder(["n", 2, 6, 6])
    y = net.node("MaxPool", net.conv("x", 4, 2, 3, 3), kernel_shape=[2, 2])
    net.node("Relu", net.batch_normalization(y, 4))
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Conv", "Pool", "Conv"]
    assert graph.nodes[2].lo == 0


def test_preactivation_block(tmp_path):
    net = Builder(["n", 4, 6, 6])
    x = net.conv("x", 4, 4, 3, 3, pads=[1, 1, 1, 1])
    y = net.node("Relu", net.batch_normalization(x, 4))
    y = net.conv(y, 4, 4, 3, 3, pads=[1, 1, 1, 1])
    net.node("Add", x, y)
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Conv", "Conv", "Conv", "Add"]
    assert graph.nodes[0].sources == ("conv0",)


def test_shared_conv_keeps_its_result(tmp_path):
    net = Builder(["n", 2, 5, 5])
    y = net.conv("x", 3, 2, 3, 3)
    net.node("Add", net.batch_normalization(y, 3), net.node("Relu", y))
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Conv", "Conv", "Pool", "Add"]
    assert graph.nodes[0].output == "t0"


def test_batch_normalization_of_dead_channel(tmp_path):
    net = Builder(["n", 1, 4, 4])
    weight = np.array([1e-30, 1.0], np.float32).reshape(2, 1, 1, 1)
    y = net.node("Conv", "x", net.constant(weight))
    parameters = [net.constant(v) for v in ([3.0, 2.0], [0.5, -1.0], [1e-30, 0.0], [1e-36, 1.0])]
    net.node("BatchNormalization", y, *parameters, epsilon=0.001)
    (node,) = check(net.save(tmp_path))
    scale = 3 / np.sqrt(np.float64(np.float32(1e-36)) + np.float32(0.001))
    assert node.weight.reshape(-1)[0] == np.float32(1e-30) * scale
    assert node.weight.dtype == np.float64


@pytest.mark.parametrize("size", [1e38, 1e-38, 1e-45])
def test_huge_and_denormal_weights_stay_finite(tmp_path, size):
    net = Builder(["n", 2, 4, 4])
    y = net.node("Conv", "x", net.constant(np.full((3, 2, 1, 1), size)))
    y = net.node("Mul", y, net.constant(size))
    net.batch_normalization(y, 3)
    graph = load_graph(net.save(tmp_path))
    assert all(np.isfinite(node.weight).all() and np.isfinite(node.bias).all() for node in graph)
    expected = float(np.float32(size)) ** 2
    ratio = graph.nodes[0].weight[:, 0, 0, 0] / expected
    assert np.all((np.abs(ratio) > 1e-3) & (np.abs(ratio) < 1e3))


def test_what_overflows_is_not_folded(tmp_path):
    net = Builder(["n", 2, 4, 4])
    y = net.node("Relu", net.node("Conv", "x", net.constant(np.ones((2, 2, 1, 1)))))
    for _ in range(12):
        y = net.node("Mul", y, net.constant(1e38))
    net.node("Conv", y, net.constant(np.full((2, 2, 1, 1), 1e38)))
    graph = load_graph(net.save(tmp_path))
    assert len(graph.nodes) > 2
    assert all(np.isfinite(node.weight).all() and np.isfinite(node.bias).all() for node in graph)


@pytest.mark.parametrize(("arrange", "message"), [
    (lambda net: net.node("BatchNormalization", "x", *[net.constant([1.0, 1.0])] * 3,
                          net.constant([1.0, -1.0])),
     r"variance \+ epsilon must be positive, not -0\.99999"),
    (lambda net: net.node("BatchNormalization", "x", *[net.constant([1.0])] * 4),
     r"scale must have the shape \(2,\), not \(1,\)"),
    (lambda net: net.node("BatchNormalization", "x", *[net.constant([1.0, np.nan])] * 4),
     r"scale 'c0' must be finite numbers, but holds NaN or infinity"),
    (lambda net: net.batch_normalization("x", 2, training_mode=1),
     "must be in inference mode; export the model for inference"),
    (lambda net: net.node("Relu", net.node("Transpose", net.conv("x", 2, 2, 2, 2),
                                           perm=[0, 2, 3, 1])),
     "reads a transposed map; Transpose is supported only where it leads to Gemm or MatMul"),
    (lambda net: net.batch_normalization(net.node("Reshape", "x", net.integers(32)), 32),
     r"its input must be \(n, c, \.\.\.\), not \(32,\)"),
], ids=range(6))
def test_batch_normalization_refused(tmp_path, arrange, message):
    net = Builder(["n", 2, 4, 4], opset=14)
    arrange(net)
    with pytest.raises(ModelError, match=message):
        load_graph(net.save(tmp_path))


# Arithmetic with constants

SHAPES = [(), (1,), (1, 3, 1, 1), (3, 1, 1)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("first", [True, False])
def test_arithmetic_goes_into_conv(tmp_path, operator, shape, first):
    net = Builder(["n", 2, 5, 5])
    y = net.conv("x", 3, 2, 3, 3)
    c = net.constant(net.rng.uniform(0.5, 2, shape))
    operands = (y, c) if first else (c, y)
    net.node(operator, *operands)
    path = net.save(tmp_path)
    if operator == "Div" and not first:
        with pytest.raises(ModelError, match=r"\(Div\): the divisor must be a constant"):
            load_graph(path)
        return
    (node,) = check(path)
    assert isinstance(node, Conv)


def test_arithmetic_behind_flatten_goes_into_conv(tmp_path):
    net = Builder(["n", 2, 3, 3])
    y = net.node("Flatten", net.conv("x", 3, 2, 3, 3))
    net.node("Mul", net.node("Add", y, net.random(3)), net.random(1, 3))
    assert kinds(check(net.save(tmp_path))) == ["Conv"]


def test_scale_of_one_leaves_weights_alone(tmp_path):
    net = Builder(["n", 2, 5, 5])
    net.node("Add", net.conv("x", 3, 2, 3, 3, bias=False), net.random(3, 1, 1))
    (node,) = check(net.save(tmp_path))
    assert node.weight.dtype == np.float32


def test_normalization_in_the_network_goes_into_first_conv(tmp_path):
    net = Builder(["n", 3, 5, 5])
    y = net.node("Sub", net.node("Div", "x", net.constant(255.0)), net.random(3, 1, 1))
    net.conv(net.node("Div", y, net.constant([[[0.5]], [[0.25]], [[2.0]]])), 4, 3, 3, 3)
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Conv"]
    assert graph.nodes[0].inputs == ("x",)


def test_normalization_without_shift_goes_into_padded_conv(tmp_path):
    net = Builder(["n", 3, 5, 5])
    net.conv(net.node("Mul", "x", net.random(3, 1, 1)), 4, 3, 3, 3, pads=[1, 1, 1, 1])
    assert kinds(check(net.save(tmp_path))) == ["Conv"]


def test_twice_a_map(tmp_path):
    net = Builder(["n", 2, 5, 5])
    y = net.node("Relu", net.conv("x", 3, 2, 3, 3))
    net.node("Add", y, y)
    assert kinds(check(net.save(tmp_path))) == ["Conv", "Conv"]


@pytest.mark.parametrize(("arrange", "message"), [
    (lambda net: net.node("Add", "x", net.random(4, 4)),
     (r"\(Add\): a constant of shape \(4, 4\) must hold one number for each of the 3 channels, the "
      r"same at all positions")),
    (lambda net: net.node("Mul", "x", net.random(2, 3, 1, 1)),
     r"\(Mul\): a constant of shape \(2, 3, 1, 1\) must be broadcast to the shape \(1, 3, 4, 4\)"),
    (lambda net: net.node("Sub", "x", net.node("Relu", "x")),
     (r"\(Sub\): one operand must be a constant; of two maps only the sum and the product are "
      r"supported")),
    (lambda net: net.node("Div", "x", net.constant(0.0)), r"\(Div\): the divisor must not be 0"),
    (lambda net: net.node("Add", "x", net.constant(np.inf)),
     r"\(Add\): the constant 'c0' must be finite numbers"),
    (lambda net: net.node("Add", net.conv("x", 1, 3, 1, 1), "x"),
     (r"\(Add\): two maps must have the same shape, or one must be a vector \(n, c, 1, 1\) of a "
      r"number for each channel of the other, not \(1, 3, 4, 4\) and \(1, 1, 4, 4\)")),
], ids=range(6))
def test_arithmetic_refused(tmp_path, arrange, message):
    net = Builder(["n", 3, 4, 4])
    arrange(net)
    with pytest.raises(ModelError, match=message):
        load_graph(net.save(tmp_path))


# Clamps

def test_relu_goes_into_add(tmp_path):
    net = Builder(["n", 2, 5, 5])
    net.node("Relu", net.node("Add", net.conv("x", 3, 2, 3, 3), net.conv("x", 3, 2, 3, 3)))
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Conv", "Conv", "Add"]
    assert isinstance(graph.nodes[2], Add)
    assert graph.nodes[2].lo == 0


@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool"])
def test_relu_goes_into_pool(tmp_path, operator):
    net = Builder(["n", 2, 5, 5])
    net.node("Relu", net.node(operator, "x", kernel_shape=[2, 2]))
    (node,) = check(net.save(tmp_path))
    assert (node.lo, node.kind) == (0, operator[:-4].lower())


def test_relu_on_input(tmp_path):
    net = Builder(["n", 2, 5, 5])
    net.node("Relu", "x")
    (node,) = check(net.save(tmp_path))
    assert isinstance(node, Pool)
    assert (node.kind, node.window.kernel, node.lo) == ("max", (1, 1), 0)


def test_relu_of_a_shared_map_stays(tmp_path):
    net = Builder(["n", 2, 5, 5])
    y = net.conv("x", 2, 2, 3, 3, pads=[1, 1, 1, 1])
    net.node("Add", net.node("Relu", y), y)
    assert kinds(check(net.save(tmp_path))) == ["Conv", "Pool", "Add"]


def test_clamps_are_composed(tmp_path):
    net = Builder(["n", 2, 5, 5])
    y = net.node("Clip", net.conv("x", 3, 2, 3, 3), net.constant(-0.5), net.constant(2.0))
    y = net.node("Clip", net.node("Relu", y), "", net.constant(1.0))
    (node,) = check(net.save(tmp_path))
    assert (node.lo, node.hi) == (0, 1)


@pytest.mark.parametrize(("first", "second"), [
    ((0, 1), (2, 3)), ((2, 3), (0, 1)), ((0, 9), (3, 1))])
def test_disjoint_clamps(tmp_path, first, second):
    net = Builder(["n", 2, 5, 5])
    y = net.conv("x", 3, 2, 3, 3)
    for lo, hi in (first, second):
        y = net.node("Clip", y, net.constant(lo), net.constant(hi))
    (node,) = check(net.save(tmp_path))
    assert node.lo == node.hi


@pytest.mark.parametrize(("lo", "hi", "bounds"), [
    (0.0, 6.0, (0, 6)), (None, 6.0, (-np.inf, 6)), (0.5, None, (0.5, np.inf)),
    (-1.0, float(np.finfo(np.float32).max), (-1, np.inf)),
    (float(np.finfo(np.float32).min), np.inf, (-np.inf, np.inf)), (None, None, (-np.inf, np.inf)),
])
@pytest.mark.parametrize("opset", [9, 13])
def test_clip(tmp_path, opset, lo, hi, bounds):
    net = Builder(["n", 2, 5, 5], opset=opset)
    y = net.conv("x", 3, 2, 3, 3)
    if opset < 11:
        net.node("Clip", y, **{k: v for k, v in (("min", lo), ("max", hi)) if v is not None})
    else:
        net.node("Clip", y, *("" if v is None else net.constant(v) for v in (lo, hi)))
    (node,) = check(net.save(tmp_path))
    assert (node.lo, node.hi) == bounds


def test_clip_bounds_are_computed_from_constants(tmp_path):
    net = Builder(["n", 2, 5, 5])
    six = net.node("Cast", net.constant(6, np.int64), to=1)
    net.node("Clip", "x", net.node("Constant", value_float=0.0), six)
    (node,) = check(net.save(tmp_path))
    assert (node.lo, node.hi) == (0, 6)


@pytest.mark.parametrize(("arrange", "message"), [
    (lambda net: net.node("Clip", "x", net.constant(np.nan)), "min must be one number, not nan"),
    (lambda net: net.node("Clip", "x", net.constant([1.0, 2.0])),
     r"min must be one number, not \[1\.0, 2\.0\]"),
    (lambda net: net.node("Clip", "x", net.constant(np.inf)),
     "min and max must leave finite values"),
], ids=range(3))
def test_clip_refused(tmp_path, arrange, message):
    net = Builder(["n", 3, 4, 4])
    arrange(net)
    with pytest.raises(ModelError, match=rf"\(Clip\): {message}"):
        load_graph(net.save(tmp_path))


# Min and Max

BOUNDS = np.array([0.5, 0.25, 1.0], np.float32).reshape(3, 1, 1)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize(("operator", "bounds"), [("Min", (-np.inf, 0.5)), ("Max", (0.5, np.inf))])
def test_min_and_max_with_one_constant_are_clamps(tmp_path, operator, bounds, swapped):
    net = Builder(["n", 2, 5, 5])
    operands = [net.conv("x", 3, 2, 3, 3), net.constant(0.5)]
    net.node(operator, *(reversed(operands) if swapped else operands))
    (node,) = check(net.save(tmp_path))
    assert (node.lo, node.hi, node.upper.size) == (*bounds, 0)


def test_min_for_each_channel_goes_into_conv_behind_relu(tmp_path):
    net = Builder(["n", 2, 5, 5])
    y = net.node("Min", net.node("Relu", net.conv("x", 3, 2, 3, 3)), net.constant(BOUNDS))
    y = net.node("Min", y, net.constant(0.75))
    (node,) = check(net.save(tmp_path))
    assert (node.lo, node.hi, node.upper.tolist()) == (0, 0.75, [0.5, 0.25, 0.75])


def test_mins_for_each_channel_are_composed(tmp_path):
    net = Builder(["n", 2, 5, 5])
    y = net.node("Min", net.conv("x", 3, 2, 3, 3), net.constant(BOUNDS))
    net.node("Min", y, net.constant(BOUNDS[::-1].copy()))
    (node,) = check(net.save(tmp_path))
    assert (node.hi, node.upper.tolist()) == (0.5, [0.5, 0.25, 0.5])


def test_min_for_each_channel_below_the_lower_bound_stays(tmp_path):
    net = Builder(["n", 2, 5, 5])
    net.node("Min", net.node("Relu", net.conv("x", 3, 2, 3, 3)), net.constant(BOUNDS - 0.5))
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Conv", "Conv"]
    assert graph.nodes[1].upper.tolist() == [0, -0.25, 0.5]


def test_min_for_each_channel_behind_pool_stays(tmp_path):
    net = Builder(["n", 3, 6, 6])
    y = net.node("MaxPool", "x", kernel_shape=[2, 2])
    net.batch_normalization(net.node("Min", y, net.constant(BOUNDS)), 3)
    assert kinds(check(net.save(tmp_path))) == ["Pool", "Conv", "Conv"]


def test_max_for_each_channel_is_refused(tmp_path):
    net = Builder(["n", 3, 5, 5])
    net.node("Max", "x", net.constant(BOUNDS))
    with pytest.raises(ModelError, match=r"'max0' \(Max\).*the same for all channels"):
        load_graph(net.save(tmp_path))


def test_min_of_two_maps_is_refused(tmp_path):
    net = Builder(["n", 3, 5, 5])
    net.node("Min", "x", net.node("Relu", "x"))
    with pytest.raises(ModelError, match=r"\(Min\).*of which one is a constant"):
        load_graph(net.save(tmp_path))
