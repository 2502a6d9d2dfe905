"""``dynafix import`` and ``dynafix export``."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from dynafix import api
from dynafix.errors import UsageError
from quantizer.execute import execute, quantize_input
from quantizer.export import QdqSession
from quantizer.storage import load


@pytest.mark.parametrize("form", ["qdq", "qonnx"])
def test_round_trip(folder, network, images, dynafix, stand_in, tmp_path, form):
    file, again, copy = tmp_path / "net.onnx", tmp_path / "again.onnx", tmp_path / "copy"
    assert dynafix("export", folder, "--format", form, "--output", file)[0] == 0
    code, printed, error = dynafix("import", file, "--data", images, "--output", copy)
    assert code == 0, error
    assert " warning " not in printed
    assert ("what was imported = the file, in onnxruntime" in printed) == (form == "qdq")
    model, found = load(folder / "quantized"), load(copy / "quantized")
    assert model.graph.intake is not None
    assert found.graph.intake.to_json() == model.graph.intake.to_json()
    assert found.formats == model.formats
    inputs = np.random.default_rng(1).random((3, 1, 8, 8), np.float32)
    expected, got = (execute(each, quantize_input(each, inputs)) for each in (model, found))
    for name, codes in expected.items():
        assert np.array_equal(codes, got[name])
    assert dynafix("export", copy, "--format", form, "--output", again)[0] == 0
    assert list(onnx.load(again).graph.node) == list(onnx.load(file).graph.node)
    assert dynafix("compile", copy, "--config", "tiny")[0] == 0
    assert dynafix("simulate", copy, "--images", 2)[0] == 0
    assert dynafix("report", copy)[0] == 0
    assert dynafix("evaluate", copy)[0] == 0
    assert dynafix("explain", copy, "conv1")[0] == 0


def test_preprocessing_comes_back(folder, images, tmp_path):
    for form in ("qdq", "qonnx"):
        file = api.export(folder, tmp_path / "net.onnx", form=form)
        found = api.import_model(file, images, tmp_path / form)
        stored = load(folder / "quantized").preprocess
        assert {**found.rule.to_json(), "source": ""} == {**stored, "source": ""}


def test_difference_is_refused(folder, images, dynafix, monkeypatch, tmp_path):
    file = api.export(folder, tmp_path / "net.onnx")
    found = QdqSession.run
    monkeypatch.setattr(QdqSession, "run", lambda self, x: (found(self, x)[0] + 1, {}))
    code, _, error = dynafix("import", file, "--data", images, "--output", tmp_path / "copy")
    assert code == 1
    assert error == (
        f"error: {file}, image 0: onnxruntime computes other results from the file, by up to 1; "
        f"sums of more than 24 bits are not exact in float32, quantize to fewer bits\n")
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("change", ["twice", "two scales"])
def test_file_that_does_not_run(folder, images, dynafix, tmp_path, change):
    file = api.export(folder, tmp_path / "net.onnx")
    proto = onnx.load(file)
    del proto.metadata_props[:]
    proto.metadata_props.add(key="preprocess", value='{"mean": [0], "std": [255]}')
    node = next(node for node in proto.graph.node if node.op_type == "QuantizeLinear")
    if change == "twice":
        proto.graph.node.append(node)
    else:
        scale = next(each for each in proto.graph.initializer if each.name == node.input[1])
        scale.CopyFrom(numpy_helper.from_array(
            np.repeat(numpy_helper.to_array(scale), 2), scale.name))
    onnx.save(proto, file)
    code, _, error = dynafix("import", file, "--data", images, "--output", tmp_path / "copy")
    assert code == 2
    assert error.startswith(f"error: {file}: onnxruntime does not run the file (")
    assert error.endswith("); export it again\n")
    assert error.count("\n") == 1
    assert not (tmp_path / "copy").exists()


def test_float_network_is_refused(network, images, dynafix, tmp_path):
    code, _, error = dynafix("import", network, "--data", images, "--output", tmp_path / "copy")
    assert code == 2
    assert error == (
        f"error: {network}: holds no quantizers; give a float network to 'quantize'\n")


def test_export_refuses(folder, tmp_path):
    with pytest.raises(UsageError) as caught:
        api.export(folder, tmp_path / "net.onnx", form="tflite")
    assert str(caught.value) == "--format must be qdq or qonnx, not 'tflite'"
    with pytest.raises(UsageError) as caught:
        api.export(folder, tmp_path)
    assert str(caught.value) == f"--output {tmp_path}: is a folder, must be a file"
