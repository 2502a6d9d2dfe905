"""Saving, loading, and files that do not belong together."""

import dataclasses
import json

import numpy as np
import onnx
import pytest

from arch.formats import Rounding
from quantizer.errors import ModelError
from quantizer.execute import execute, quantize_input, run
from quantizer.graph import Conv
from quantizer.storage import load, save
from tests.quantizer.networks import inputs_for, quantized, small_graph


def assert_equal_models(a, b):
    assert a.formats == b.formats
    assert a.rounding is b.rounding
    assert a.preprocess == b.preprocess
    assert a.provenance == b.provenance
    assert a.weights.keys() == b.weights.keys()
    for name, weights in a.weights.items():
        for field in dataclasses.fields(weights):
            x, y = getattr(weights, field.name), getattr(b.weights[name], field.name)
            np.testing.assert_array_equal(x, y)
            assert not isinstance(x, np.ndarray) or x.dtype == y.dtype
    for field in dataclasses.fields(a.graph):
        if field.name not in ("nodes", "source"):
            assert getattr(a.graph, field.name) == getattr(b.graph, field.name)
    for x, y in zip(a.graph.nodes, b.graph.nodes, strict=True):
        assert type(x) is type(y)
        for field in dataclasses.fields(x):
            np.testing.assert_array_equal(getattr(x, field.name), getattr(y, field.name))
    for x, y in zip(a.graph.nodes, b.graph.nodes, strict=True):
        if isinstance(x, Conv):
            assert x.weight.dtype == y.weight.dtype


@pytest.fixture
def model():
    return quantized(
        small_graph(softmax=True), per_channel=True, rounding=Rounding.HALF_AWAY,
        preprocess={"mean": [0.5, 1], "std": [2]})


@pytest.fixture
def saved(model, tmp_path):
    save(model, tmp_path / "deep" / "folder")
    return tmp_path / "deep" / "folder"


def test_round_trip(model, saved):
    loaded = load(saved)
    assert_equal_models(model, loaded)
    inputs = inputs_for(model.graph)
    np.testing.assert_array_equal(run(loaded, inputs), run(model, inputs))
    assert sorted(path.name for path in saved.iterdir()) == [
        "formats.json", "model.onnx", "network.npz"]


def test_same_bytes_each_time(model, saved, tmp_path):
    save(model, tmp_path / "again")
    save(load(saved), saved)
    for path in saved.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_formats_are_readable(model, saved):
    content = json.loads((saved / "formats.json").read_text())
    assert content["schema"] == 3
    assert content["formats"]["conv1_out"] == model.formats["conv1_out"].to_json()
    assert content["weights"]["fc"]["bits"] == 8


def test_onnx_file_is_the_export(model, saved):
    import onnxruntime
    onnx.checker.check_model(onnx.load(saved / "model.onnx"))
    inputs = inputs_for(model.graph, 2)
    session = onnxruntime.InferenceSession(saved / "model.onnx")
    np.testing.assert_allclose(
        session.run(None, {"x": inputs})[0], run(model, inputs), rtol=1e-5)


def test_float_network_comes_along(tmp_path, lenet, mnist):
    from quantizer.onnx_import import load_graph
    from quantizer.reference import FloatReference
    from quantizer.search import quantize
    graph = load_graph(lenet)
    images = np.load(mnist)["calib_x"][:8, None].astype(np.float32) / 255
    model = quantize(graph, images)
    save(model, tmp_path)
    loaded = load(tmp_path)
    assert_equal_models(model, loaded)
    assert loaded.graph.source == str(tmp_path / "float.onnx")
    np.testing.assert_array_equal(
        FloatReference(loaded.graph).run(images), FloatReference(graph).run(images))
    save(loaded, tmp_path)
    assert load(tmp_path).graph.source == loaded.graph.source
    codes = quantize_input(model, images)
    for name, value in execute(loaded, codes).items():
        np.testing.assert_array_equal(value, execute(model, codes)[name])
    assert str(lenet) not in (tmp_path / "formats.json").read_text()


def message_of(folder):
    with pytest.raises(ModelError) as error:
        load(folder)
    return str(error.value)


@pytest.mark.parametrize("name", ["model.onnx", "network.npz"])
def test_refuses_changed_file(saved, name):
    data = bytearray((saved / name).read_bytes())
    data[len(data) // 2] ^= 1
    (saved / name).write_bytes(data)
    assert message_of(saved) == (
        f"{saved / name}: does not belong to formats.json beside it (SHA-256 differs); quantize "
        "the network again")


def test_refuses_files_of_another_model(saved, tmp_path):
    save(quantized(small_graph(3)), tmp_path / "other")
    (saved / "network.npz").write_bytes((tmp_path / "other" / "network.npz").read_bytes())
    assert "network.npz: does not belong to" in message_of(saved)


def test_refuses_missing_files(saved):
    (saved / "network.npz").unlink()
    assert message_of(saved) == (
        f"{saved / 'network.npz'}: cannot be read: No such file or directory; a quantized model "
        "is a folder with formats.json, model.onnx and network.npz, as 'save' writes it")
    assert "formats.json: cannot be read" in message_of(saved / "nowhere")


def test_refuses_edited_formats(saved):
    path = saved / "formats.json"
    path.write_text(path.read_text().replace('"bits": 8', '"bits": 7', 1))
    assert message_of(saved) == (
        f"{path}: was changed after it was written; set formats when quantizing, or quantize the "
        "network again")
    path.write_text("{")
    assert message_of(saved).startswith(f"{path}: must be JSON: ")
    path.write_text('{"schema": 7}')
    assert message_of(saved) == (
        f"{path}: schema must be 3, not 7; quantize the network again")
    path.write_text("[]")
    assert message_of(saved) == (
        f"{path}: schema must be 3, not None; quantize the network again")
    path.write_bytes(b"\xff")
    assert message_of(saved).startswith(f"{path}: must be JSON: ")


def test_refuses_folder_that_cannot_be_written(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError) as error:
        save(model, tmp_path / "file")
    assert str(error.value) == f"{tmp_path / 'file'}: cannot be written: File exists"


def test_interrupted_save_leaves_no_half_file(model, saved, monkeypatch):
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    written = []

    def fail(self, target):
        written.append(target.name)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(ModelError, match="cannot be written: No space left on device"):
        save(quantized(small_graph(5)), saved)
    assert written == ["model.onnx"]
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before
    assert_equal_models(load(saved), model)


def test_refuses_provenance_that_is_not_json(model, tmp_path):
    model.provenance["x"] = {1, 2}
    with pytest.raises(ModelError) as error:
        save(model, tmp_path)
    assert str(error.value) == (
        "Preprocessing and provenance of a model must be plain JSON: set has no form in JSON")


def test_numpy_numbers_in_provenance(model, tmp_path):
    model.provenance["x"] = {"a": np.float32(0.5), "b": np.arange(2), "c": tmp_path}
    save(model, tmp_path / "m")
    assert load(tmp_path / "m").provenance["x"] == {"a": 0.5, "b": [0, 1], "c": str(tmp_path)}
