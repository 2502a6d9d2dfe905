"""``dynafix evaluate``: what is measured, how it is proved, and what is refused."""

import json
import shutil

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from dynafix import api
from dynafix.api.accuracy import ranks
from dynafix.errors import VerificationError
from dynafix.intervals import mean_interval, paired_interval, wilson_interval
from dynafix.options import Options
from quantizer.execute import run
from quantizer.export import QdqSession
from quantizer.reference import FloatReference
from quantizer.storage import load


def test_figures_are_those_of_numpy(folder, images):
    found = api.evaluate(folder)
    model = load(folder / "quantized")
    with np.load(images) as data:
        inputs, labels = data["eval_x"][:, None] / np.float32(255), data["eval_y"]
    exact, rounded = FloatReference(model.graph).run(inputs), run(model, inputs)
    assert found["metric"] == "classes"
    assert found["images"] == 20
    for name, values in (("float", exact), ("quantized", rounded)):
        right = int((values.argmax(1) == labels).sum())
        assert found[name]["top1"] == right / 20
        assert found[name]["top1_interval"] == list(wilson_interval(right, 20))
        assert "top5" not in found[name]  # of 3 classes
    assert found["loss"]["top1"] == pytest.approx(
        100 * (found["float"]["top1"] - found["quantized"]["top1"]))
    low, high = found["loss"]["top1_interval"]
    assert low < found["loss"]["top1"] < high
    assert found["agreement"] == (exact.argmax(1) == rounded.argmax(1)).mean()


def test_losses_are_those_of_quantize(folder):
    found = api.evaluate(folder)
    stored = json.loads((folder / "quantized" / "evaluation.json").read_text())["tensors"]
    assert [layer["name"] for layer in found["layers"]] == [
        "input", "conv1", "conv2", "pool", "fc"]
    for layer in found["layers"]:
        assert layer["snr_db"] == pytest.approx(stored[layer["tensor"]]["snr_db"])
    assert found["logits_snr_db"] == pytest.approx(found["layers"][-1]["snr_db"])


def test_command(folder, dynafix):
    code, printed, _ = dynafix("evaluate", folder, "--images", 7)
    assert code == 0
    assert "prove      4/4 images   numpy = onnxruntime on every layer" in printed
    assert "evaluate   7/7 images" in printed
    assert "agreement" in printed
    path = folder / "evaluation" / "results.json"
    assert f"written    {path}" in printed
    stored = json.loads(path.read_text())
    assert stored["images"] == 7
    code, printed, _ = dynafix("evaluate", folder, "--images", 7, "--json")
    again = json.loads(printed)
    assert code == 0
    assert {**again, "seconds": 0} == {**stored, "seconds": 0}


def test_quantizing_again_removes_the_results(folder, network, images):
    api.evaluate(folder, images=1)
    api.quantize(network, images, folder)
    assert not (folder / "evaluation" / "results.json").exists()


def test_difference_names_the_layer(folder, monkeypatch):
    found = QdqSession.run

    def spoiled(self, inputs):
        output, codes = found(self, inputs)
        codes["p"][0, 3, 2, 1] += 1
        return output, codes

    monkeypatch.setattr(QdqSession, "run", spoiled)
    with pytest.raises(VerificationError) as caught:
        api.evaluate(folder)
    assert str(caught.value).startswith(
        "layer pool, image 0: onnxruntime differs from numpy at (k 3, h 2, w 1): ")


def test_other_images(folder, tmp_path):
    rng = np.random.default_rng(5)
    path = tmp_path / "other.npz"
    np.savez(path, eval_x=rng.integers(0, 256, (6, 8, 8), dtype=np.uint8), eval_y=[0, 1, 2] * 2)
    assert api.evaluate(folder, data=path)["images"] == 6


def test_folder_of_pictures(network, tmp_path):
    rng = np.random.default_rng(6)
    for label in "abc":
        (tmp_path / "data" / label).mkdir(parents=True)
        for index in range(4):
            Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(
                tmp_path / "data" / label / f"{index}.png")
    api.quantize(network, tmp_path / "data", tmp_path / "out")
    # Half of them are for calibration; in a folder of others, all are for evaluation.
    assert api.evaluate(tmp_path / "out", data=tmp_path / "data")["images"] == 6
    moved = shutil.copytree(tmp_path / "data", tmp_path / "more")
    (moved / "a" / "0.png").unlink()
    assert api.evaluate(tmp_path / "out", data=moved)["images"] == 11


def _save(path, **arrays):
    np.savez(path, **arrays)
    return path


PIXELS = np.zeros((2, 8, 8), np.uint8)


@pytest.mark.parametrize(("arrays", "message"), [
    ({"eval_x": PIXELS},
     "{path}: 'eval_y' is missing: the labels of the 2 images of 'eval_x', one integer each"),
    ({"pictures": PIXELS},
     "{path}: 'eval_x' is missing: the evaluation images. The file holds pictures"),
    ({"eval_x": PIXELS[:0], "eval_y": np.zeros(0, int)},
     "{path}: 'eval_x' is empty: at least one evaluation image is needed"),
    ({"eval_x": PIXELS[:, :, :4], "eval_y": [0, 1]},
     "data.npz: eval_x: images must be 1×8×8, the network's input, not 1×8×4"),
    ({"eval_x": PIXELS, "eval_y": [0, 3]},
     "data.npz: eval_y: labels must be in 0..2, the network's outputs, not 3"),
    ({"eval_x": PIXELS, "eval_y": [0.5, 1]},
     ("{path}: 'eval_y' must hold 2 integers, one label an image, or 2 outputs of the "
      "network, finite in float32, not float64 of shape (2,)")),
    ({"eval_x": PIXELS, "eval_y": np.full((2, 3), 1e300)},
     ("{path}: 'eval_y' must hold 2 integers, one label an image, or 2 outputs of the "
      "network, finite in float32, not float64 of shape (2, 3)")),
    ({"eval_x": PIXELS, "eval_y": np.zeros((2, 4))},
     ("data.npz: eval_y: must hold (2, 3), the shape of the network's output for each image, "
      "not (2, 4)")),
])
def test_refused(folder, dynafix, tmp_path, arrays, message):
    path = _save(tmp_path / "data.npz", **arrays)
    code, _, error = dynafix("evaluate", folder, "--data", path)
    assert code == 2
    assert message.format(path=path) in error


def test_refused_arguments(folder, dynafix, tmp_path):
    assert dynafix("evaluate", folder, "--images", 0)[::2] == (
        2, "error: --images must be at least 1, not 0\n")
    path = tmp_path / "no.npz"
    assert dynafix("evaluate", folder, "--data", path)[::2] == (
        2, f"error: --data {path}: no such file or folder\n")
    code, _, error = dynafix("evaluate", tmp_path / "nothing")
    assert code == 2
    assert "no such folder" in error


def test_mean_square_error(tmp_path):
    """A network that returns its input times a half, on targets that are the input."""
    weight = numpy_helper.from_array(np.eye(4, dtype=np.float32) / 2, "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], "half")], "half",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])], [weight])
    onnx.save(helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), tmp_path / "half.onnx")
    x = np.random.default_rng(7).integers(-8, 8, (9, 4)).astype(np.float32)
    labels = _save(tmp_path / "labels.npz", calib_x=x, eval_x=x, eval_y=np.zeros(9, int))
    targets = _save(tmp_path / "targets.npz", eval_x=x, eval_y=x)
    api.quantize(
        tmp_path / "half.onnx", labels, tmp_path / "out", options=Options(fit_ends=False))
    found = api.evaluate(tmp_path / "out", data=targets)
    assert found["metric"] == "mean square error"
    assert found["agreement"] is None
    assert found["float"]["error"] == pytest.approx(np.square(x / 2).mean())
    assert found["loss"]["error"] == 0
    assert found["logits_snr_db"] is None


def test_ranks_of_equal_outputs():
    outputs = np.array([[2.0, 1.0, 2.0, 3.0]] * 4)
    assert ranks(outputs, np.arange(4)).tolist() == [1, 3, 2, 0]


def test_wilson_interval():
    # R. G. Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson_interval(0, 10)[0] == 0
    assert wilson_interval(10, 10)[1] == pytest.approx(1)


def test_paired_interval_holds_the_difference_19_times_of_20():
    rng = np.random.default_rng(8)
    inside = 0
    for _ in range(2000):
        gained, lost, _ = rng.multinomial(400, [0.03, 0.06, 0.91])
        low, high = paired_interval(gained, lost, 400)
        inside += low <= -0.03 <= high
    assert 0.935 < inside / 2000 < 0.97


def test_mean_interval():
    low, high = mean_interval(np.array([1.0, 2.0, 3.0]))
    assert (low, high) == pytest.approx((2 - 1.96 / 3**0.5, 2 + 1.96 / 3**0.5), abs=1e-4)
    assert mean_interval(np.array([4.0])) == (4, 4)
