"""A network whose convolution pools its results, from the command line to the report."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dynafix.report import advice
from dynafix.report.layers import layers


@pytest.fixture(scope="module")
def pooled_network(tmp_path_factory):
    """Path of a convolution, a pooling and a classifier."""
    rng = np.random.default_rng(0)
    weights = {"w1": rng.standard_normal((4, 1, 3, 3)) / 3,
               "w2": rng.standard_normal((3, 64)) / 8}
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["t"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["t"], ["a"], "relu"),
        helper.make_node("MaxPool", ["a"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "w2"], ["y"], "fc", transB=1),
    ]
    graph = helper.make_graph(
        nodes, "pooled", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(value.astype(np.float32), name)
         for name, value in weights.items()])
    path = tmp_path_factory.mktemp("pooled") / "pooled.onnx"
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    entry = model.metadata_props.add()
    entry.key = "preprocess"
    entry.value = json.dumps({"color": "GRAY", "mean": [0], "std": [255]})
    onnx.save(model, path)
    return path


def results(dynafix, network, images, folder, *words, config="tiny"):
    """Run everything; return the printed lines and ``results.json``."""
    code, out, err = dynafix(
        "run", network, "--data", images, "--config", config, "--images", 2, "--output", folder,
        *words)
    assert (code, err) == (0, "")
    return out.splitlines(), json.loads((folder / "results.json").read_text())


def test_fused_layers_are_marked(dynafix, pooled_network, images, tmp_path, stand_in):
    lines, found = results(dynafix, pooled_network, images, tmp_path)
    conv, pool, fc = found["layers"]
    assert (conv["fused"], pool["fused"], fc["fused"]) == ("pool", "", "")
    assert conv["engines_equal"]
    assert pool["engines_equal"]
    assert any(line.endswith("1 map inside fused layers: numpy = RTL, in a program without fusing")
               for line in lines)
    assert conv["operator"] == "Conv 3×3 + ReLU + MaxPool 2×2/2"
    assert (pool["operator"], pool["cycles"]) == ("MaxPool 2×2/2 (fused)", 0)
    assert next(line for line in lines if line.startswith(" conv ")).endswith("  ✓")
    assert "In all 2 layers that write a map" in advice.works(found, layers(found))[1]
    assert "<td>fused" in (tmp_path / "report.html").read_text().replace(" class=\"\"", "")


def test_an_accelerator_that_cannot_keep_every_map(
        dynafix, pooled_network, images, tmp_path, stand_in):
    """Without a vector unit, and without counters."""
    lines, found = results(dynafix, pooled_network, images, tmp_path, config="icebreaker")
    conv, pool, fc = found["layers"]
    assert [layer["engines_equal"] for layer in (conv, pool, fc)] == [None, True, True]
    assert found["not_compared"] == ["a"]
    assert any("1 map inside fused layers: not compared" in line for line in lines)
    assert " engines    numpy = onnxruntime = RTL on every map that is written of 2 images" in lines
    assert conv["counters"] == {}
    assert conv["dram_bytes"] == sum(conv["dram_by_stream"].values()) > 0
    assert "In all 2 layers that write a map" in advice.works(found, layers(found))[1]


def test_a_map_inside_a_fused_layer_is_compared(
        dynafix, pooled_network, images, tmp_path, stand_in):
    def spoil(rows):
        if len(rows) > 64:  # the map of the convolution is among them
            rows[3, 0] ^= 1

    stand_in.spoil = spoil
    code, out, err = dynafix(
        "run", pooled_network, "--data", images, "--config", "tiny", "--images", 2, "--output",
        tmp_path)
    assert code == 1
    assert "layer conv, image 0: RTL differs from numpy at" in out + err
    assert "in a program that keeps every map" in out + err


def test_no_fuse_keeps_every_map(dynafix, pooled_network, images, tmp_path, stand_in):
    _, found = results(dynafix, pooled_network, images, tmp_path, "--no-fuse")
    assert [layer["fused"] for layer in found["layers"]] == ["", "", ""]
    assert all(layer["engines_equal"] for layer in found["layers"])
    assert dynafix("compile", tmp_path, "--config", "tiny")[0] == 0
    manifest = json.loads((tmp_path / "program" / "manifest.json").read_text())
    assert [layer["fused"] for layer in manifest["layers"]] == ["pool", "", ""]
    assert dynafix("compile", tmp_path, "--config", "tiny", "--no-fuse")[0] == 0
    manifest = json.loads((tmp_path / "program" / "manifest.json").read_text())
    assert [layer["fused"] for layer in manifest["layers"]] == ["", "", ""]


def test_diff_names_the_pooled_map(dynafix, pooled_network, images, tmp_path, stand_in):
    assert dynafix("quantize", pooled_network, "--data", images, "--output", tmp_path)[0] == 0
    assert dynafix("compile", tmp_path, "--config", "tiny")[0] == 0

    def spoil(rows):
        rows[0, 0] ^= 1

    stand_in.spoil = spoil
    code, out, _ = dynafix("diff", tmp_path, "--json")
    found = json.loads(out)["differences"]
    assert code == 1
    assert found["instructions"] is found["onnxruntime"] is None
    assert (found["RTL"]["layer"], found["RTL"]["position"]) == ("pool", [0, 0, 0])
    assert found["RTL"]["instruction"] is not None
