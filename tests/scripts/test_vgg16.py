"""VGG-16 for measurements: its structure, and its program for 16-bit data."""

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import pytest

from arch.config import preset
from arch.formats import Format
from compiler import DramTiming, compile_model
from quantizer.execute import execute
from quantizer.graph import Conv
from quantizer.model import QuantizedModel, QuantizedWeights
from quantizer.onnx_import import load_graph
from sim.functional import run_functional


ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def vgg16():
    spec = importlib.util.spec_from_file_location("vgg16", ROOT / "scripts" / "vgg16.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.vgg16


def convolutions(vgg16, size, folder):
    """Return its convolutions with 16-bit weights, formats chosen without images."""
    path = folder / "vgg16.onnx"
    onnx.save(vgg16(convolutions_only=True, size=size), path)
    graph = load_graph(path)
    formats, weights = {graph.input: Format(16, 13)}, {}
    for node in graph:
        formats[node.output] = formats[node.inputs[0]]
        if isinstance(node, Conv):
            fmt = Format(16, 14 - int(np.ceil(np.log2(np.abs(node.weight).max()))))
            weights[node.name] = QuantizedWeights(
                fmt.quantize(node.weight), 16, np.full(len(node.weight), fmt.frac),
                np.zeros(len(node.weight), np.int64))
            formats[node.output] = Format(16, 12, signed=False)
    return QuantizedModel(graph, formats, weights)


def test_structure(vgg16):
    graph = vgg16(size=32).graph
    assert [node.op_type for node in graph.node].count("Conv") == 13
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    assert shapes["conv5_3.weight"] == [512, 512, 3, 3]
    assert shapes["fc6.weight"] == [4096, 512]
    assert shapes["fc8.bias"] == [1000]


def test_rank_cuts_the_first_fully_connected_layer(vgg16):
    graph = vgg16(size=32, rank=20).graph
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    assert shapes["fc6_v.weight"] == [20, 512]
    assert shapes["fc6.weight"] == [4096, 20]
    assert shapes["fc7.weight"] == [4096, 4096]


def test_small_image_is_right_on_the_functional_model(vgg16, tmp_path):
    model = convolutions(vgg16, 32, tmp_path)
    program = compile_model(model, preset("large16"))
    codes = np.random.default_rng(0).integers(-8192, 8192, (1, 3, 32, 32))
    _, rows = run_functional(program, program.input_layout.pack(codes[0]))
    expected = execute(model, codes)
    for name, tensor in program.tensors_from_rows(rows).items():
        np.testing.assert_array_equal(tensor, expected[name][0], err_msg=name)
        assert tensor.max() > 2000


@pytest.mark.slow
def test_program_is_close_to_the_roofline(vgg16, tmp_path):
    model = convolutions(vgg16, 224, tmp_path)
    program = compile_model(
        model, preset("large16"), dram=DramTiming(bytes_per_cycle=28))
    macs = sum(layer.macs for layer in program.layers)
    assert round(macs / 1e9, 2) == 15.35
    cycles = program.prediction.cycles
    assert cycles < 1.055 * program.roofline_cycles
    assert macs / program.config.multipliers / cycles > 0.945
