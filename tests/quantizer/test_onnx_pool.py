"""Pooling against onnxruntime."""

import pytest

from quantizer.errors import ModelError
from quantizer.graph import Pool
from quantizer.onnx_import import load_graph

from .onnx_models import Builder, check


PADS = ([0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1], [1, 0, 0, 1])


def _pool(folder, operator, shape=(2, 7, 8), opset=13, **attributes):
    net = Builder(["n", *shape], opset=opset)
    net.node(operator, "x", **attributes)
    graph = check(net.save(folder))
    (node,) = graph
    assert isinstance(node, Pool)
    return node


@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("ceil_mode", [0, 1])
@pytest.mark.parametrize("pads", PADS, ids=str)
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [2, 3])
def test_pool(tmp_path, operator, kernel, stride, pads, ceil_mode):
    _pool(tmp_path, operator, kernel_shape=[kernel, kernel], strides=[stride, stride], pads=pads,
          ceil_mode=ceil_mode)


@pytest.mark.parametrize("opset", [11, 19, 21])
@pytest.mark.parametrize("ceil_mode", [0, 1])
@pytest.mark.parametrize("pads", PADS, ids=str)
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_count_include_pad(tmp_path, stride, pads, ceil_mode, opset):
    node = _pool(tmp_path, "AveragePool", opset=opset, kernel_shape=[3, 2],
                 strides=[stride, stride], pads=pads, ceil_mode=ceil_mode, count_include_pad=1)
    assert node.count_pad


@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("ceil_mode", [0, 1])
@pytest.mark.parametrize(("stride", "pads"), [(1, PADS[0]), (2, PADS[1]), (3, PADS[2])])
@pytest.mark.parametrize("counted", [0, 1])
def test_dilations(tmp_path, operator, stride, pads, ceil_mode, counted):
    attributes = {"count_include_pad": counted} if operator == "AveragePool" else {}
    node = _pool(tmp_path, operator, opset=19, kernel_shape=[2, 3], strides=[stride, stride],
                 pads=pads, dilations=[3, 2], ceil_mode=ceil_mode, **attributes)
    assert node.window.dilations == (3, 2)


@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [2, 3, 4])
@pytest.mark.parametrize("ceil_mode", [0, 1])
def test_auto_pad(tmp_path, operator, mode, stride, kernel, ceil_mode):
    _pool(tmp_path, operator, kernel_shape=[kernel, kernel], strides=[stride, stride],
          auto_pad=mode, ceil_mode=ceil_mode)


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER"])
def test_auto_pad_count_include_pad(tmp_path, mode):
    _pool(tmp_path, "AveragePool", kernel_shape=[4, 3], strides=[2, 2], auto_pad=mode,
          count_include_pad=1)


def test_ceil_mode_adds_pads_that_are_never_counted(tmp_path):
    node = _pool(tmp_path, "AveragePool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1,
                 count_include_pad=1, pads=[1, 1, 0, 0])
    assert node.window.pads == (1, 1, 1, 0)
    assert node.ceil_pads == (1, 0)


def test_ceil_mode_drops_a_window_that_starts_in_the_padding(tmp_path):
    node = _pool(tmp_path, "MaxPool", shape=(1, 5, 5), kernel_shape=[2, 2], strides=[2, 2],
                 pads=[1, 1, 1, 1], ceil_mode=1)
    assert node.window.output_size(5, 5) == (3, 3)


@pytest.mark.parametrize("operator", ["GlobalAveragePool", "GlobalMaxPool"])
def test_global(tmp_path, operator):
    assert _pool(tmp_path, operator).window.kernel == (7, 8)


@pytest.mark.parametrize(("opset", "keepdims"), [(13, 0), (13, 1), (18, 0), (18, 1)])
def test_reduce_mean(tmp_path, opset, keepdims):
    net = Builder(["n", 3, 4, 5], opset=opset)
    if opset < 18:
        net.node("ReduceMean", "x", axes=[-1, 2], keepdims=keepdims)
    else:
        net.node("ReduceMean", "x", net.integers(2, 3), keepdims=keepdims)
    graph = check(net.save(tmp_path))
    assert graph.output_dims == ((3, 1, 1) if keepdims else (3,))


def test_indices_may_be_there_unread(tmp_path):
    net = Builder(["n", 2, 4, 4])
    net.node("Relu", net.node("MaxPool", "x", kernel_shape=[2, 2], outputs=2))
    check(net.save(tmp_path))


@pytest.mark.parametrize(("operator", "attributes", "message"), [
    ("MaxPool", {"auto_pad": "SAME_LOWER", "kernel_shape": [3, 3], "dilations": [2, 2]},
     ("auto_pad SAME_LOWER with dilations [2, 2] is not supported, because onnxruntime refuses or "
      "ignores it; write pads=[2, 2, 2, 2] instead of auto_pad")),
    ("AveragePool", {"auto_pad": "SAME_UPPER", "kernel_shape": [1, 1], "strides": [4, 4]},
     ("auto_pad SAME_UPPER with stride 4 over kernel 1 means negative pads, on which runtimes "
      "differ; write pads instead of auto_pad")),
    ("MaxPool", {"kernel_shape": [2, 2], "pads": [2, 0, 0, 0]},
     ("pads [2, 0, 0, 0] must be smaller than the kernel (2, 2), because onnxruntime refuses "
      "others")),
    ("MaxPool", {"kernel_shape": [2, 2], "pads": [1, 0, 1, 0], "dilations": [8, 1]},
     "pads [1, 0, 1, 0] hold a whole window of kernel (2, 2); every window must reach the input"),
    ("MaxPool", {"kernel_shape": [8, 2]},
     "kernel (8, 2) with dilations (1, 1) is larger than the input (7, 7) with pads [0, 0, 0, 0]"),
    ("ReduceMean", {"axes": [1]}, "axes must be lines and columns, [2, 3], not [1]"),
    ("ReduceMean", {}, "axes must be lines and columns, [2, 3], not None"),
], ids=str)
def test_refused(tmp_path, operator, attributes, message):
    net = Builder(["n", 2, 7, 7])
    net.node(operator, "x", name="p", **attributes)
    path = net.save(tmp_path)
    with pytest.raises(ModelError) as error:
        load_graph(path)
    assert str(error.value) == f"{path}: node 'p' ({operator}): {message}"


def test_indices_refused(tmp_path):
    net = Builder(["n", 2, 4, 4])
    net.node("MaxPool", "x", kernel_shape=[2, 2], outputs=2)
    net.node("Cast", "t0_1", to=1)
    path = net.save(tmp_path)
    with pytest.raises(ModelError) as error:
        load_graph(path)
    assert str(error.value) == (f"{path}: node 'maxpool0' (MaxPool): its output 't0_1' is read; "
                                f"only the first output is supported")


def test_one_dimension_refused(tmp_path):
    net = Builder(["n", 2, 9])
    net.node("MaxPool", "x", kernel_shape=[2])
    with pytest.raises(ModelError, match=r"is 1-D \(input of shape \(1, 2, 9\)\)"):
        load_graph(net.save(tmp_path))
