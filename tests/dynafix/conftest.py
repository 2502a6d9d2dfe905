"""A small network with its images, and a simulation without Verilator."""

import json
import shutil

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import sim.simulate
from dynafix import api
from dynafix.cli import main
from sim.build import Build
from sim.functional import run_functional
from sim.result import ImageRun, SimulationResult


def small_model(*, preprocess=True, operator="Relu", side=8, host=False):
    """Return a network of 2 convolutions, an Add, a pooling and a classifier of 3 classes.

    With ``host``, there is an LRN between the first convolution and the second.
    """
    rng = np.random.default_rng(0)
    weights = {
        "w1": rng.standard_normal((4, 1, 3, 3)) / 3, "b1": rng.standard_normal(4) / 4,
        "w2": rng.standard_normal((4, 4, 3, 3)) / 6,
        "w3": rng.standard_normal((3, 4 * (side // 2) ** 2)) / 8, "b3": rng.standard_normal(3) / 4,
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["t1"], "conv1", pads=[1, 1, 1, 1]),
        helper.make_node(operator, ["t1"], ["a1"], "act1"),
        *([helper.make_node("LRN", ["a1"], ["n1"], "norm", size=3)] if host else []),
        helper.make_node("Conv", ["n1" if host else "a1", "w2"], ["t2"], "conv2",
                         pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["a1", "t2"], ["s"], "add"),
        helper.make_node("MaxPool", ["s"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["g"], "fc", transB=1),
        helper.make_node("Softmax", ["g"], ["y"], "softmax"),
    ]
    graph = helper.make_graph(
        nodes, "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, side, side])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(value.astype(np.float32), name)
         for name, value in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    if preprocess:
        entry = model.metadata_props.add()
        entry.key = "preprocess"
        entry.value = json.dumps({"color": "GRAY", "mean": [0], "std": [255]})
    return model


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    """Path of a small network."""
    path = tmp_path_factory.mktemp("network") / "small.onnx"
    onnx.save(small_model(), path)
    return path


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """Path of images for it."""
    rng = np.random.default_rng(1)
    path = tmp_path_factory.mktemp("images") / "small.npz"
    np.savez(path, calib_x=rng.integers(0, 256, (10, 8, 8), dtype=np.uint8),
             eval_x=rng.integers(0, 256, (20, 8, 8), dtype=np.uint8),
             eval_y=rng.integers(0, 3, 20))
    return path


class StandIn:
    """Functional simulation in the place of Verilator's.

    ``spoil`` is a function of the rows that an image writes.
    """

    def __init__(self, folder):
        self.folder = folder
        self.calls = []
        self.spoil = lambda rows: None

    def build(self, config):
        return Build(self.folder, "top", cached=True)

    def verilog(self, config, family="generic"):
        return f"module dynafix_accelerator; // {config.name} {family}\nendmodule\n"

    def simulate(self, program, inputs, *, dram, waves=None, layer=None, verilog=None,
                 progress=lambda stage, done, total: None):
        self.calls.append({"dram": dram, "waves": waves, "layer": layer, "verilog": verilog})
        runs = []
        for index, data in enumerate(inputs):
            progress("simulate", index, len(inputs))
            runs.append(self._image(program, data))
        progress("simulate", len(inputs), len(inputs))
        return SimulationResult(runs, 0.5, True)

    def _image(self, program, data):
        output, rows = run_functional(program, data)
        self.spoil(rows)
        events, counters, cycle = [], {}, 0
        for layer, predicted in zip(program.layers, program.prediction.layers, strict=True):
            events.append((cycle + 1, "calc", "start", layer.index))
            cycle += predicted.cycles
            events.append((cycle, "calc", "done", layer.index))
            moved = predicted.bytes - predicted.traffic["program"]
            for engine in ("load", "calc", "save"):
                counters[layer.index, engine] = dict.fromkeys(("busy", "wait", "stall", "beats"), 0)
            counters[layer.index, "load"]["beats"] = moved // program.config.dram_width
        return ImageRun(
            cycle, output, rows, np.arange(len(rows)), counters, events,
            dram_read_bytes=program.prediction.bytes)


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """Functional simulation in the place of Verilator's."""
    stand_in = StandIn(tmp_path)
    monkeypatch.setattr("sim.build.build_accelerator", stand_in.build)
    monkeypatch.setattr("sim.build.accelerator_verilog", stand_in.verilog)
    monkeypatch.setattr(sim.simulate, "simulate", stand_in.simulate)
    return stand_in


@pytest.fixture
def dynafix(capsys):
    """Return a function that runs the command line and returns exit code, output and errors."""
    def run(*words):
        with pytest.raises(SystemExit) as exit_:
            main([str(word) for word in words])
        printed = capsys.readouterr()
        return exit_.value.code, printed.out, printed.err
    return run


@pytest.fixture(scope="session")
def compiled(network, images, tmp_path_factory):
    """Output folder of a compiled network."""
    folder = tmp_path_factory.mktemp("compiled")
    api.quantize(network, images, folder)
    api.compile(folder, config="tiny")
    return folder


@pytest.fixture
def folder(compiled, tmp_path):
    """Return a copy of it that a test may change."""
    return shutil.copytree(compiled, tmp_path / "out")


@pytest.fixture
def elu(tmp_path):
    """Path of a network with an operator that is not supported."""
    onnx.save(small_model(operator="Elu"), tmp_path / "elu.onnx")
    return tmp_path / "elu.onnx"
