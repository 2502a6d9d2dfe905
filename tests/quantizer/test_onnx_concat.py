"""Import of Concat: maps along channels, or refused."""

import numpy as np
import pytest

from quantizer.errors import ModelError
from quantizer.onnx_import import load_graph

from .onnx_models import Builder, check, kinds


@pytest.mark.parametrize("axis", [1, -3])
def test_fire_module(tmp_path, axis):
    net = Builder(["n", 3, 6, 7])
    x = net.node("Relu", net.conv("x", 4, 3, 1, 1))
    a = net.node("Relu", net.conv(x, 5, 4, 1, 1))
    b = net.node("Relu", net.conv(x, 6, 4, 3, 3, pads=[1, 1, 1, 1]))
    net.conv(net.node("Concat", a, b, axis=axis), 2, 11, 2, 2)
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Conv", "Conv", "Conv", "Concat", "Conv"]
    assert graph.nodes[3].inputs == (a, b)
    assert graph.shapes[graph.nodes[3].output] == (11, 6, 7)


def test_input_pool_and_the_same_map_twice(tmp_path):
    net = Builder(["n", 3, 6, 6])
    pool = net.node("MaxPool", "x", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    y = net.node("Concat", "x", pool, "x", axis=1)
    net.node("Concat", y, pool, axis=1)
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Pool", "Concat", "Concat"]
    assert graph.shapes[graph.output] == (12, 6, 6)


def test_arithmetic_behind_concat(tmp_path):
    net = Builder(["n", 4, 5, 5])
    y = net.node("Concat", "x", net.conv("x", 4, 4, 3, 3, pads=[1, 1, 1, 1]), axis=1)
    net.conv(net.node("Relu", net.batch_normalization(y, 8)), 3, 8, 1, 1)
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Conv", "Concat", "Conv", "Conv"]
    assert not graph.nodes[1].clamped


def test_clamp_behind_concat_stays(tmp_path):
    net = Builder(["n", 4, 5, 5])
    net.node("Relu", net.node("Concat", "x", net.conv("x", 4, 4, 1, 1), axis=1))
    assert kinds(check(net.save(tmp_path))) == ["Conv", "Concat", "Pool"]


def test_vectors(tmp_path):
    net = Builder(["n", 10])
    a = net.node("Gemm", "x", net.random(10, 4), net.random(4))
    b = net.node("Relu", net.node("Gemm", "x", net.random(10, 3), net.random(3)))
    net.node("Gemm", net.node("Concat", a, b, axis=-1), net.random(7, 2), net.random(2))
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Conv", "Conv", "Concat", "Conv"]


def test_one_input_is_another_name(tmp_path):
    net = Builder(["n", 2, 5, 5])
    net.conv(net.node("Concat", "x", axis=1), 3, 2, 3, 3)
    assert kinds(check(net.save(tmp_path))) == ["Conv"]


def test_nothing_negative_behind_pads(tmp_path):
    net = Builder(["n", 2, 6, 6])
    y = [net.node("Relu", net.conv("x", 3, 2, 1, 1)) for _ in range(2)]
    y = net.node("Pad", net.node("Concat", *y, axis=1), net.integers(0, 0, 1, 1, 0, 0, 1, 1))
    net.node("MaxPool", y, kernel_shape=[3, 3])
    assert kinds(check(net.save(tmp_path))) == ["Conv", "Conv", "Concat", "Pool"]


def refused(path):
    with pytest.raises(ModelError) as error:
        load_graph(path)
    return str(error.value).split(": ", 1)[1]


@pytest.mark.parametrize("axis", [0, 2, -1])
def test_other_axes_are_refused(tmp_path, axis):
    net = Builder([1, 2, 5, 5])
    net.node("Concat", "x", net.conv("x", 2, 2, 1, 1), axis=axis)
    assert refused(net.save(tmp_path)) == (
        f"node 'concat1' (Concat): maps can be joined along channels (axis 1) only, not along "
        f"axis {axis % 4}")


def test_constants_are_refused(tmp_path):
    net = Builder([1, 2, 5, 5])
    net.node("Concat", "x", net.constant(np.zeros((1, 1, 5, 5), np.float32)), axis=1)
    assert refused(net.save(tmp_path)) == (
        "node 'concat0' (Concat): all inputs must be computed from the network's input; joining "
        "a map and a constant is not possible")


def test_flattened_maps_are_refused(tmp_path):
    net = Builder(["n", 2, 5, 5])
    a = net.node("Flatten", net.conv("x", 2, 2, 1, 1))
    net.node("Concat", a, a, axis=1)
    assert refused(net.save(tmp_path)) == (
        "node 'concat2' (Concat): input 0 is a flattened map (2, 5, 5); only vectors and whole "
        "maps can be joined, so join before the Flatten")
