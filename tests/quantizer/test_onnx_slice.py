"""Import of Slice and Split: channels that follow each other, or refused."""

import pytest

from quantizer.errors import ModelError
from quantizer.graph import Slice
from quantizer.inspect import inspect_model
from quantizer.onnx_import import load_graph

from .networks import inputs_for, quantized
from .onnx_models import Builder, check, kinds


@pytest.mark.parametrize(("first", "last", "axis", "start", "channels"), [
    (2, 5, 1, 2, 3), (-3, -1, 1, 5, 2), (0, 3, -3, 0, 3), (6, 99, 1, 6, 2)])
def test_slice(tmp_path, first, last, axis, start, channels):
    net = Builder(["n", 3, 6, 7])
    x = net.conv("x", 8, 3, 1, 1)
    y = net.node("Slice", x, net.integers(first), net.integers(last), net.integers(axis))
    net.conv(y, 2, channels, 2, 2)
    graph = check(net.save(tmp_path))
    assert kinds(graph) == ["Conv", "Slice", "Conv"]
    assert graph.nodes[1].start == start


def test_slice_of_everything_is_another_name(tmp_path):
    net = Builder(["n", 3, 6, 7])
    y = net.node("Slice", "x", net.integers(0, 0), net.integers(9, 6), net.integers(1, 2))
    net.conv(y, 2, 3, 2, 2)
    assert kinds(check(net.save(tmp_path))) == ["Conv"]


def test_split(tmp_path):
    net = Builder(["n", 3, 6, 7])
    x = net.conv("x", 8, 3, 1, 1)
    y = net.node("Split", x, net.integers(3, 4, 1), outputs=3, axis=1)
    net.node("Concat", net.conv(f"{y}_2", 2, 1, 1, 1), y, axis=1)
    path = net.save(tmp_path)
    graph = check(path)
    assert kinds(graph) == ["Conv", "Slice", "Slice", "Conv", "Concat"]
    assert [node.start for node in graph if isinstance(node, Slice)] == [0, 7]
    report = inspect_model(path)[1]
    assert (report.runs_on, report.note) == (
        "array", "free where it starts at a multiple of out_lanes channels")


def test_split_of_a_vector_in_equal_parts(tmp_path):
    net = Builder(["n", 10])
    x = net.node("Gemm", "x", net.random(10, 6), net.random(6))
    y = net.node("Split", x, outputs=2, axis=-1)
    net.node("Add", y, net.node("Relu", f"{y}_1"))
    assert kinds(check(net.save(tmp_path))) == ["Conv", "Slice", "Slice", "Pool", "Add"]


def test_formats_are_those_of_the_input(tmp_path):
    net = Builder(["n", 3, 6, 7])
    y = net.node("Split", net.node("Relu", net.conv("x", 8, 3, 1, 1)), outputs=2, axis=1)
    net.node("Concat", f"{y}_1", net.conv(y, 4, 4, 1, 1), axis=1)
    graph = load_graph(net.save(tmp_path))
    model = quantized(graph, inputs_for(graph))
    source = graph.nodes[0].output
    assert model.formats[y] == model.formats[f"{y}_1"] == model.formats[source]
    assert not model.formats[y].signed


def refused(path):
    with pytest.raises(ModelError) as error:
        load_graph(path)
    return str(error.value).split(": ", 1)[1]


def test_other_axes_and_steps_are_refused(tmp_path):
    net = Builder([1, 8, 5, 5])
    net.node("Slice", "x", net.integers(1), net.integers(3), net.integers(2))
    assert refused(net.save(tmp_path)) == (
        "node 'slice0' (Slice): maps can be cut along channels (axis 1) only, not along axis 2")
    net = Builder([1, 8, 5, 5])
    net.node("Slice", "x", *(net.integers(n) for n in (0, 8, 1, 2)))
    assert refused(net.save(tmp_path)) == (
        "node 'slice0' (Slice): steps must be 1, not 2; channels must follow each other")
    net = Builder([1, 8, 6, 5])
    net.conv(net.node("Split", "x", outputs=2, axis=2), 2, 8, 1, 1)
    assert refused(net.save(tmp_path)) == (
        "node 'split0' (Split): maps can be cut along channels (axis 1) only, not along axis 2")


def test_flattened_maps_are_refused(tmp_path):
    net = Builder([1, 2, 5, 5])
    y = net.node("Flatten", net.conv("x", 2, 2, 1, 1))
    net.node("Slice", y, net.integers(0), net.integers(3), net.integers(1))
    assert refused(net.save(tmp_path)) == (
        "node 'slice2' (Slice): its input is a flattened map (2, 5, 5); only vectors and whole "
        "maps can be cut, so cut before the Flatten")
