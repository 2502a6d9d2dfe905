"""PRelu, functions of one number, and products and sums with a channel vector."""

import numpy as np
import pytest

from quantizer.errors import ModelError
from quantizer.graph import Activation, Conv, Mul, PRelu
from quantizer.onnx_import import load_graph

from .onnx_models import Builder, check, kinds


def gate(net, source, *, divide=False):
    """Return ``clip(source + 3, 0, 6)``, and how the sixth of a tensor is spelled."""
    y = net.node("Clip", net.node("Add", source, net.constant(3.0)), net.constant(0.0),
                 net.constant(6.0))

    def sixth(tensor):
        if divide:
            return net.node("Div", tensor, net.constant(6.0))
        return net.node("Mul", tensor, net.constant(1 / 6))

    return y, sixth


@pytest.mark.parametrize(("operator", "kind", "opset"), [
    ("Sigmoid", "sigmoid", 11), ("Tanh", "tanh", 13), ("HardSigmoid", "hard_sigmoid", 11),
    ("HardSwish", "hard_swish", 14), ("HardSwish", "hard_swish", 21),
])
def test_operator(tmp_path, operator, kind, opset):
    net = Builder(["n", 3, 4, 4], opset=opset)
    net.node(operator, net.node("MaxPool", "x", kernel_shape=[2, 2]))
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Pool", "Activation"]
    assert graph.nodes[1].kind == kind


def test_clamp_goes_into_activation(tmp_path):
    net = Builder(["n", 3, 4, 4])
    net.node("Relu", net.node("Tanh", "x"))
    (node,) = check(net.save(tmp_path))
    assert (node.kind, node.lo) == ("tanh", 0)


def test_activation_of_a_vector(tmp_path):
    net = Builder(["n", 6])
    y = net.node("Sigmoid", net.node("Gemm", "x", net.random(6, 5), net.random(5)))
    net.node("Gemm", y, net.random(5, 2))
    assert kinds(check(net.save(tmp_path))) == ["Conv", "Activation", "Conv"]


def test_hard_sigmoid_goes_into_conv(tmp_path):
    net = Builder(["n", 3, 4, 4])
    y = net.node("HardSigmoid", net.conv("x", 5, 3, 1, 1), alpha=1 / 6, beta=0.5)
    net.node("Clip", y, net.constant(0.25))
    (node,) = check(net.save(tmp_path))
    assert isinstance(node, Conv)
    assert (node.lo, node.hi) == (0.25, 1)


def test_hard_sigmoid_of_a_shared_conv_stays(tmp_path):
    net = Builder(["n", 3, 4, 4])
    y = net.conv("x", 5, 3, 1, 1)
    net.node("Add", net.node("HardSigmoid", y), y)
    assert kinds(check(net.save(tmp_path))) == ["Conv", "Activation", "Add"]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(("operator", "kind"), [
    ("Sigmoid", "silu"), ("HardSigmoid", "hard_swish")])
def test_product_with_the_argument(tmp_path, operator, kind, first):
    net = Builder(["n", 3, 4, 4])
    x = net.conv("x", 5, 3, 1, 1)
    y = net.node(operator, x)
    net.node("Mul", *((x, y) if first else (y, x)))
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Conv", "Activation"]
    assert graph.nodes[1].kind == kind
    assert len(graph.nodes[1].sources) == 2


@pytest.mark.parametrize("divide", [True, False])
@pytest.mark.parametrize("order", ["product first", "sixth first", "sixth of x"])
def test_hard_swish_in_parts(tmp_path, order, divide):
    net = Builder(["n", 3, 4, 4])
    x = net.conv("x", 5, 3, 3, 3)
    y, sixth = gate(net, x, divide=divide)
    match order:
        case "product first":
            sixth(net.node("Mul", x, y))
        case "sixth first":
            net.node("Mul", sixth(y), x)
        case "sixth of x":
            net.node("Mul", sixth(x), y)
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Conv", "Activation"]
    node = graph.nodes[1]
    assert node.kind == "hard_swish"
    assert (node.alpha, node.beta) == (pytest.approx(1 / 6), pytest.approx(0.5))
    assert len(node.sources) == 4


def test_hard_swish_with_a_clip_to_one(tmp_path):
    net = Builder(["n", 3, 4, 4])
    x = net.conv("x", 5, 3, 3, 3)
    y = net.node("Add", net.node("Mul", x, net.constant(1 / 6)), net.constant(0.5))
    net.node("Mul", net.node("Clip", y, net.constant(0.0), net.constant(1.0)), x)
    assert kinds(check(net.save(tmp_path))) == ["Conv", "Activation"]


def test_hard_sigmoid_in_parts(tmp_path):
    net = Builder(["n", 3, 4, 4])
    y, sixth = gate(net, "x")
    sixth(y)
    (node,) = check(net.save(tmp_path))
    assert node.kind == "hard_sigmoid"


@pytest.mark.parametrize("arrange", [
    lambda net, x, y, sixth: net.node("Mul", x, y),                      # six times hard swish
    lambda net, x, y, sixth: net.node("Add", sixth(y), y),               # the gate is read twice
    lambda net, x, y, sixth: net.node("Mul", net.node("Relu", x), sixth(y)),
    lambda net, x, y, sixth: net.node("Mul", y, net.constant(0.5)),      # another factor
], ids=range(4))
def test_what_is_no_pattern(tmp_path, arrange):
    net = Builder(["n", 3, 4, 4])
    x = net.node("MaxPool", "x", kernel_shape=[2, 2])
    arrange(net, x, *gate(net, x))
    graph = check(net.save(tmp_path))
    assert not any(
        isinstance(node, Activation) and node.kind == "hard_swish" for node in graph)


def test_sigmoid_of_another_map_is_a_product(tmp_path):
    net = Builder(["n", 3, 4, 4])
    net.node("Mul", "x", net.node("Sigmoid", net.conv("x", 3, 3, 1, 1)))
    assert kinds(check(net.save(tmp_path))) == ["Conv", "Activation", "Mul"]


def test_leaky_relu(tmp_path):
    net = Builder(["n", 3, 4, 4])
    net.node("Clip", net.node("LeakyRelu", net.conv("x", 5, 3, 1, 1), alpha=0.1), "",
             net.constant(1.0))
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Conv", "PRelu"]
    node = graph.nodes[1]
    assert isinstance(node, PRelu)
    np.testing.assert_array_equal(node.slope, np.full(5, np.float32(0.1)))
    assert node.hi == 1


def test_leaky_relu_without_slope_is_relu(tmp_path):
    net = Builder(["n", 3, 4, 4])
    net.node("LeakyRelu", net.conv("x", 5, 3, 1, 1), alpha=0.0)
    (node,) = check(net.save(tmp_path))
    assert node.lo == 0


@pytest.mark.parametrize("shape", [(1,), (3, 1, 1), (1, 3, 1, 1)], ids=str)
def test_prelu(tmp_path, shape):
    net = Builder(["n", 3, 4, 4])
    net.node("PRelu", "x", net.random(*shape))
    (node,) = check(net.save(tmp_path))
    assert isinstance(node, PRelu)
    assert node.slope.shape == (3,)


def test_prelu_refused(tmp_path):
    net = Builder(["n", 3, 4, 4])
    net.node("PRelu", "x", net.random(3, 4, 4))
    with pytest.raises(ModelError, match="must hold one number for each of the 3 channels, the "):
        load_graph(net.save(tmp_path))


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("operator", ["Add", "Mul"])
def test_channel_vector(tmp_path, operator, first):
    net = Builder(["n", 3, 4, 4])
    x = net.conv("x", 5, 3, 1, 1)
    y = net.node("GlobalAveragePool", x)
    net.node("Relu", net.node(operator, *((x, y) if first else (y, x))))
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Conv", "Pool", operator]
    node = graph.nodes[2]
    assert [graph.shapes[name] for name in node.inputs] == [(5, 4, 4), (5, 1, 1)]
    assert node.lo == 0


def test_square(tmp_path):
    net = Builder(["n", 3, 4, 4])
    net.node("Mul", "x", "x")
    (node,) = check(net.save(tmp_path))
    assert isinstance(node, Mul)


@pytest.mark.parametrize("dense", [True, False])
def test_squeeze_and_excitation(tmp_path, dense):
    net = Builder(["n", 3, 6, 6])
    x = net.conv("x", 8, 3, 3, 3)
    y = net.node("GlobalAveragePool", x)
    if dense:
        y = net.node("Flatten", y)
        y = net.node("Relu", net.node("Gemm", y, net.random(8, 4), net.random(4)))
        y = net.node("Gemm", y, net.random(4, 8), net.random(8))
        y = net.node("Reshape", y, net.integers(-1, 8, 1, 1))
    else:
        y = net.conv(net.node("Relu", net.conv(y, 4, 8, 1, 1)), 8, 4, 1, 1)
    net.node("Mul", x, net.node("HardSigmoid", y, alpha=1 / 6))
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Conv", "Pool", "Conv", "Conv", "Mul"]
    assert (graph.nodes[3].lo, graph.nodes[3].hi) == (0, 1)


def test_spatial_product_refused(tmp_path):
    net = Builder(["n", 3, 4, 4])
    y = net.node("ReduceMean", net.conv("x", 3, 3, 1, 1), axes=[2, 3])
    y = net.node("Reshape", net.conv(y, 16, 3, 1, 1), net.integers(1, 1, 4, 4))
    net.node("Mul", "x", y)
    with pytest.raises(ModelError, match=(
            r"\(Mul\): two maps must have the same shape, or one must be a vector \(n, c, 1, 1\) "
            r"of a number for each channel of the other, not \(1, 3, 4, 4\) and \(1, 1, 4, 4\)")):
        load_graph(net.save(tmp_path))


@pytest.mark.parametrize("alpha", [np.inf, np.nan])
def test_slope_that_is_no_number(tmp_path, alpha):
    net = Builder(["n", 3, 4, 4])
    net.node("LeakyRelu", "x", alpha=float(alpha))
    with pytest.raises(ModelError, match=r"\(LeakyRelu\): alpha must be a finite number, not"):
        load_graph(net.save(tmp_path))
