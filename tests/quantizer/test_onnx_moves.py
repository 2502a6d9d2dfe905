"""Import of Resize, Upsample, ConvTranspose and Pad against onnxruntime, or refused."""

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from quantizer.errors import ModelError
from quantizer.graph import ConvTranspose, Pad, Resize, Window
from quantizer.onnx_import import load_graph
from quantizer.reference import FloatReference
from tests.quantizer.onnx_models import Builder, check, kinds, run_onnxruntime


def resize(shape, opset=13, *, scales=None, sizes=None, **attributes):
    """Return a file of one Resize, or Upsample where the opset is 9."""
    net = Builder(["n", *shape], opset=opset)
    attributes = {"mode": "nearest", **attributes}
    if opset <= 10:
        operator = "Upsample" if opset < 10 else "Resize"
        net.node(operator, "x", net.constant([1, 1, *scales]), **attributes)
    else:
        empty = net.constant([]) if opset < 13 else ""
        operands = (net.constant([1, 1, *scales]),) if sizes is None else (
            empty, net.integers(1, *sizes))
        net.node("Resize", "x", empty, *operands, **attributes)
    return net


def refusal(path):
    with pytest.raises(ModelError) as error:
        load_graph(path)
    return str(error.value).partition("): ")[2]


# Resize

@pytest.mark.parametrize("opset", [9, 10, 11, 13, 18, 19, 21])
def test_resize_by_whole_factors(tmp_path, opset):
    mode = {} if opset <= 10 else {
        "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    net = resize((2, 3, 5), opset, scales=[2, 3], **mode)
    (node,) = check(net.save(tmp_path))
    assert (node.repeats, node.steps, node.offsets) == ((2, 3), (1, 1), (0, 0))


def test_resize_with_axes(tmp_path):
    net = Builder(["n", 2, 3, 4], opset=18)
    net.node("Resize", "x", "", net.constant([2, 4]), axes=[3, 2], mode="nearest")
    (node,) = check(net.save(tmp_path))
    assert node.repeats == (4, 2)


def test_resize_to_the_size_of_another_map(tmp_path):
    net = Builder(["n", 3, 7, 9])
    small = net.conv("x", 4, 3, 3, 3, strides=[2, 2], pads=[1, 1, 1, 1])
    size = net.node("Shape", "x")
    size = net.node("Concat", net.node("Slice", net.node("Shape", small), net.integers(0),
                                       net.integers(2)),
                    net.node("Slice", size, net.integers(2), net.integers(4)), axis=0)
    up = net.node("Resize", small, "", "", size, mode="nearest", nearest_mode="floor",
                  coordinate_transformation_mode="asymmetric")
    net.node("Concat", up, "x", axis=1)
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Conv", "Resize", "Concat"]
    assert graph.nodes[1].repeats == (2, 2)


def test_relu_and_scaling_around_resize(tmp_path):
    net = Builder(["n", 2, 3, 4])
    y = net.node("Resize", "x", "", net.constant([1, 1, 2, 2]), mode="nearest")
    y = net.node("Relu", y)
    net.conv(net.batch_normalization(y, 2), 3, 2, 3, 3)
    assert kinds(check(net.save(tmp_path))) == ["Resize", "Conv"]


def test_resize_by_nothing(tmp_path):
    net = resize((2, 3, 5), scales=[1, 1], mode="linear")
    net.conv("t0", 3, 2, 3, 3)
    assert kinds(check(net.save(tmp_path))) == ["Conv"]


modes = st.sampled_from([
    "asymmetric", "half_pixel", "pytorch_half_pixel", "align_corners", "tf_half_pixel_for_nn",
    "half_pixel_symmetric"])
roundings = st.sampled_from(["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"])
factors = st.one_of(st.integers(1, 7), st.integers(2, 7).map(lambda n: 1 / n))


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 12), factors, modes, roundings, st.sampled_from([11, 13, 19]),
       st.booleans())
def test_resize_is_onnxruntime_or_refused(
        tmp_path_factory, size, factor, transform, rounding, opset, by_size):
    if transform == "tf_half_pixel_for_nn":
        opset = 11
    elif transform == "half_pixel_symmetric":
        opset = 19
    count = int(np.floor(size * np.float32(factor)))
    assume(count > 0)
    given_as = {"sizes": [1, count, 2]} if by_size else {"scales": [factor, 1]}
    net = resize(
        (1, size, 2), opset, coordinate_transformation_mode=transform, nearest_mode=rounding,
        **given_as)
    path = net.save(tmp_path_factory.mktemp("resize"))
    ramp = np.repeat(np.arange(size, dtype=np.float32)[:, None], 2, axis=1)[None, None]
    expected = run_onnxruntime(path, ramp).reshape(-1, 2)[:, 0]
    try:
        (node,) = load_graph(path)
    except ModelError:
        step = np.diff(expected)
        assert len(set(step)) > 1
        return
    if isinstance(node, Resize):
        found = node.offsets[0] + np.arange(count) // node.repeats[0] * node.steps[0]
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_array_equal(expected, np.arange(size))


@pytest.mark.parametrize(("factor", "transform"), [
    (2, "asymmetric"), (3, "half_pixel"), (4, "half_pixel"), (5, "pytorch_half_pixel"),
    (1 / 2, "half_pixel"), (1 / 3, "half_pixel"), (1 / 4, "asymmetric")])
def test_what_is_accepted(tmp_path, factor, transform):
    net = resize((1, 12, 12), scales=[factor] * 2, coordinate_transformation_mode=transform)
    if transform == "asymmetric":
        net.nodes[0].attribute.append(onnx.helper.make_attribute("nearest_mode", "floor"))
    assert isinstance(check(net.save(tmp_path)).nodes[0], Resize)


@pytest.mark.parametrize(("arguments", "message"), [
    ({"scales": [2, 2], "mode": "linear"}, "mode must be 'nearest', not 'linear'"),
    ({"scales": [1.5, 1], "nearest_mode": "floor"},
     ("takes lines [0, 0, 1, 1, 2, 3] of 4; possible are all of them, each as often as the "
      "others, or every n-th one: scale by a whole number, with nearest_mode 'floor' and "
      "coordinate_transformation_mode 'asymmetric'")),
    ({"scales": [1, 3], "coordinate_transformation_mode": "align_corners"},
     ("takes columns [0, 0, 1, 1, 1, 1, 2, 2, …] of 5; possible are all of them, each as often "
      "as the others, or every n-th one: scale by a whole number, with nearest_mode 'floor' and "
      "coordinate_transformation_mode 'asymmetric'")),
    ({"scales": [1, 2], "coordinate_transformation_mode": "tf_crop_and_resize"},
     "coordinate_transformation_mode must not be 'tf_crop_and_resize'"),
    ({"sizes": [4, 4, 5]},
     ("resizes batch or channels, from (1, 2, 4, 5) to (1, 4, 4, 5); only lines and columns can "
      "be resized")),
], ids=str)
def test_resize_refused(tmp_path, arguments, message):
    assert refusal(resize((2, 4, 5), **arguments).save(tmp_path)) == message


# ConvTranspose

def transposed(net, source, channels, kernels, *kernel, groups=1, bias=True, **attributes):
    operands = [source, net.random(channels, kernels // groups, *kernel, scale=0.5)]
    if bias:
        operands.append(net.random(kernels))
    return net.node("ConvTranspose", *operands, group=groups, **attributes)


sizes = st.tuples(st.integers(1, 5), st.integers(1, 5))
few = st.tuples(st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=120, deadline=None)
@given(sizes, sizes, few, few, st.tuples(*[st.integers(0, 3)] * 4), few,
       st.sampled_from([(1, 3), (2, 4), (4, 4), (2, 2)]), st.booleans())
def test_conv_transpose(
        tmp_path_factory, size, kernel, strides, dilations, pads, added, grouping, bias):
    groups, kernels = grouping
    net = Builder(["n", 4, *size])
    added = [min(more, stride) - 1 for more, stride in zip(added, strides, strict=True)]
    transposed(net, "x", 4, kernels, *kernel, groups=groups, bias=bias, strides=strides,
               dilations=dilations, pads=pads, output_padding=added)
    path = net.save(tmp_path_factory.mktemp("transposed"))
    full = ConvTranspose("", (), "", window=Window(kernel, strides, pads, dilations),
                         output_padding=tuple(added)).output_size(*size)
    if min(full) < 1:
        assert "has no line or no column" in refusal(path)
        return
    (node,) = check(path)
    if strides != (1, 1):
        assert isinstance(node, ConvTranspose)


def test_conv_transpose_without_strides_is_a_convolution(tmp_path):
    net = Builder(["n", 2, 5, 5])
    transposed(net, "x", 2, 3, 3, 3, pads=[1, 1, 1, 1])
    assert kinds(check(net.save(tmp_path))) == ["Conv"]


def test_neighbors_of_conv_transpose(tmp_path):
    net = Builder(["n", 3, 4, 5])
    y = net.batch_normalization("x", 3)
    y = transposed(net, y, 3, 4, 4, 4, strides=[2, 2], pads=[1, 1, 1, 1])
    net.node("Clip", net.batch_normalization(y, 4), net.constant(0), net.constant(6))
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Conv", "ConvTranspose"]  # a shift before it cannot be folded
    assert (graph.nodes[1].lo, graph.nodes[1].hi) == (0, 6)
    assert graph.macs(graph.nodes[1]) == 4 * 5 * 3 * 4 * 16


def test_padding_before_conv_transpose_stays(tmp_path):
    net = Builder(["n", 3, 4, 5])
    y = net.node("Pad", "x", net.integers(0, 0, 1, 1, 0, 0, 1, 1))
    transposed(net, y, 3, 4, 2, 2, strides=[2, 2])
    assert kinds(check(net.save(tmp_path))) == ["Pad", "ConvTranspose"]


@pytest.mark.parametrize("attributes", [
    {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
    {"auto_pad": "VALID", "strides": [3, 2]}, {"output_shape": [8, 10], "strides": [2, 2]},
], ids=str)
def test_conv_transpose_pads_worked_out(tmp_path, attributes):
    net = Builder(["n", 3, 4, 5])
    transposed(net, "x", 3, 2, 4, 4, **attributes)
    assert kinds(check(net.save(tmp_path))) == ["ConvTranspose"]


def test_conv_transpose_odd_pads_refused(tmp_path):
    net = Builder(["n", 3, 4, 5])
    transposed(net, "x", 3, 2, 3, 3, strides=[2, 2], auto_pad="SAME_UPPER")
    assert refusal(net.save(tmp_path)) == (
        "auto_pad or output_shape must cut an even number of lines and columns from the full "
        "output [9, 11], not [1, 1], because ONNX and onnxruntime differ; write pads and "
        "output_padding instead")


# Pad

def test_pad_values_and_cropping(tmp_path):
    net = Builder(["n", 2, 6, 5])
    y = net.node("Pad", "x", net.integers(0, 0, 1, -1, 0, 0, -2, 2), net.constant(1.5))
    net.conv(y, 3, 2, 3, 3)
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Pad", "Conv"]
    assert (graph.nodes[0].pads, graph.nodes[0].value) == ((1, -1, -2, 2), 1.5)


@pytest.mark.parametrize("value", [-np.inf, np.finfo(np.float32).min])
def test_lowest_padding_goes_into_max_pool(tmp_path, value):
    net = Builder(["n", 2, 6, 5])
    y = net.node("Pad", "x", net.integers(0, 0, 0, 0, 0, 0, 1, 1), net.constant(value))
    net.node("MaxPool", y, kernel_shape=[3, 3], strides=[2, 2])
    graph = load_graph(net.save(tmp_path))
    assert kinds(graph) == ["Pool"]
    image = np.random.default_rng(0).standard_normal((1, 2, 6, 5)).astype(np.float32)
    np.testing.assert_array_equal(
        FloatReference(graph).run(image).ravel(), run_onnxruntime(graph.source, image).ravel())


@pytest.mark.parametrize("mode", ["edge", "reflect"])
def test_padding_from_the_map_stays(tmp_path, mode):
    net = Builder(["n", 2, 6, 5])
    y = net.node("Pad", "x", net.integers(0, 0, 1, 2, 0, 0, 0, 3), mode=mode)
    net.conv(y, 3, 2, 3, 3)
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Pad", "Conv"]
    assert graph.nodes[0].mode == mode


def test_pad_before_concat(tmp_path):
    net = Builder(["n", 2, 6, 5])
    y = net.conv("x", 3, 2, 3, 3)
    net.node("Concat", net.node("Pad", y, net.integers(0, 0, 1, 1, 0, 0, 1, 1)), "x", axis=1)
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Conv", "Pad", "Concat"]
    assert isinstance(graph.nodes[1], Pad)
