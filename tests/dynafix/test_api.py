"""The Python API on a small network: files, results, and refusals between the steps."""

import base64
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from arch.config import preset
from dynafix import api
from dynafix.errors import UsageError, VerificationError
from dynafix.options import Dram, Options
from dynafix.steps import Steps
from quantizer.execute import run as execute
from quantizer.storage import load


@pytest.fixture(scope="session")
def quantized(network, images, tmp_path_factory):
    """Output folder of a quantized and compiled network."""
    folder = tmp_path_factory.mktemp("quantized")
    api.quantize(network, images, folder)
    api.compile(folder, config="tiny")
    return folder


@pytest.fixture
def folder(quantized, tmp_path):
    """Return a copy of it that a test may change."""
    return shutil.copytree(quantized, tmp_path / "out")


def _refused(action, *arguments, kind=UsageError, **options):
    with pytest.raises(kind) as caught:
        action(*arguments, **options)
    return str(caught.value)


def _files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_run(network, images, tmp_path, stand_in):
    folder = tmp_path / "out"
    found = api.run(network, images, folder, config="tiny", images=3, dram=Dram(20, 2.0),
                    command="dynafix run small.onnx", clock_mhz=100.0)
    assert json.loads((folder / "results.json").read_text()) == found
    assert {"report.html", "results.json", "simulation/simulation.json", "verilog/accelerator.v",
            "program/manifest.json", "quantized/formats.json", "quantized/evaluation.json",
            } <= set(_files(folder))
    assert not [name for name in _files(folder) if "/." in name or name.startswith(".")]
    assert (found["schema"], found["network"], found["images_simulated"]) == (1, "small", 3)
    assert (found["dram"], found["clock_mhz"]) == ({"latency": 20, "bytes_per_cycle": 2.0}, 100.0)
    assert found["provenance"]["command"] == "dynafix run small.onnx"
    layers = found["layers"]
    assert [layer["name"] for layer in layers] == ["conv1", "conv2", "pool", "fc"]
    for total, part in (("cycles_per_image", "cycles"), ("predicted_cycles", "predicted_cycles"),
                        ("dram_bytes", "dram_bytes"), ("macs", "macs")):
        assert found[total] == sum(layer[part] for layer in layers)
    for layer in layers:
        assert sum(layer["dram_by_stream"].values()) == layer["dram_bytes"]
        assert layer["range"][0] <= layer["range"][1]
        assert (layer["weight_format"] is None) == (layer["macs"] == 0)
    assert found["utilization"] == found["macs"] / (8 * found["cycles_per_image"])
    assert found["engines_equal"] is True


def test_run_rounded_and_refined(network, images, tmp_path, stand_in):
    class Lines(Steps):
        def line(self, step, text):
            lines[step] = text

    lines = {}
    options = Options(weight_bits=3, weight_rounding="learned", refine=True)
    found = api.run(network, images, tmp_path, config="tiny", images=2, options=options,
                    steps=Lines())
    assert found["engines_equal"] is True
    assert found["options"]["weight_rounding"] == "learned"
    assert re.fullmatch(
        r"\d+ fractional lengths moved; output -?\d+\.\d dB before, -?\d+\.\d dB after, on images "
        "that did not choose", lines["refine"])


def test_run_with_widths(network, images, tmp_path, stand_in):
    widths = {"conv1": 5, "conv1.weights": 3, "conv2.weights": 2, "add": 6}
    found = api.run(network, images, tmp_path, config="tiny", images=2,
                    options=Options(widths=widths))
    assert found["engines_equal"] is True
    assert [layer["weight_format"] and layer["weight_format"][:2] for layer in found["layers"]] == [
        "s3", "s2", None, "s8"]


def test_accuracies_and_predictions(images, folder, stand_in):
    api.simulate(folder, images=3)
    found = api.report(folder)
    model, data = load(folder / "quantized"), np.load(images)
    inputs = data["eval_x"][:, np.newaxis].astype(np.float32) / 255
    outputs = execute(model, inputs)
    assert found["quantized_accuracy"] == np.mean(outputs.argmax(1) == data["eval_y"])
    for index, prediction in enumerate(found["predictions"]):
        assert prediction["index"] == index
        assert prediction["label"] == data["eval_y"][index]
        assert prediction["predicted"] == outputs[index].argmax()
        assert prediction["probabilities"] == pytest.approx(outputs[index], abs=2e-6)
        assert base64.b64decode(prediction["png"].split(",")[1]).startswith(b"\x89PNG")


def test_steps_are_the_run(network, images, tmp_path, stand_in):
    together = api.run(network, images, tmp_path / "a", config="tiny", images=2)
    folder = tmp_path / "b"
    api.quantize(network, images, folder)
    api.compile(folder, config="tiny")
    assert api.verilog(folder).read_text().startswith("module dynafix_accelerator; // tiny")
    api.simulate(folder, images=2)
    apart = api.report(folder)
    assert {**apart, "provenance": None} == {**together, "provenance": None}
    assert _files(folder) == _files(tmp_path / "a")


def test_options_reach_the_search(network, images, tmp_path):
    options = Options(data_bits=6, weight_bits=4, first_last_bits=8, precision="static",
                      ranges="l1", calibration=4)
    found = api.quantize(network, images, tmp_path, options=options,
                         preprocess={"std": [128.0]})
    assert [each.bits for each in found.model.weights.values()] == [8, 4, 8]
    assert found.model.formats["a1"].bits == 6
    assert found.evaluation["static_accuracy"] is None
    assert found.model.preprocess["std"] == [128.0]
    assert len(found.data.calibration) == 4


def test_formats_file(network, images, tmp_path):
    path = tmp_path / "formats.json"
    path.write_text('{"s": {"bits": 7, "frac": 2}, "conv2.weights": {"bits": 5, "frac": 3}}')
    found = api.quantize(network, images, tmp_path / "out", options=Options(formats=path))
    assert str(found.model.formats["s"]) == "s7 .2"
    assert found.model.weights["conv2"].frac.tolist() == [3] * 4


def test_explain(quantized):
    found = api.explain(quantized, "conv1")
    assert found.layer == "conv1"
    assert [candidate.chosen for candidate in found.candidates] == [False, True, False]
    assert found.weights.name == "conv1.weights"


def test_dram_of_the_program_is_the_default(folder, stand_in):
    api.compile(folder, config="tiny", dram=Dram(50, 1.0))
    api.simulate(folder, images=1)
    dram = stand_in.calls[0]["dram"]
    assert (dram.latency, dram.bytes_per_cycle) == (50, 1.0)


def test_waveform_of_a_layer(folder, stand_in):
    found = api.simulate(folder, image=3, layer="pool", waves=True)
    first, second = stand_in.calls  # the pooling is in conv2, whose map a second program writes
    assert first == {
        "dram": first["dram"], "layer": 1, "verilog": None,
        "waves": folder / "simulation" / "image3_pool.fst"}
    assert second == {**first, "layer": None, "waves": None}
    assert found["images"] == [3]
    assert not (folder / "simulation" / "simulation.json").exists()


def test_rtl_that_differs(folder, stand_in):
    def spoil(rows):
        rows[64 + 5, 2] ^= 1
    stand_in.spoil = spoil
    message = _refused(api.simulate, folder, image=1, kind=VerificationError)
    head, tail = message.split(": ", 1)
    assert head == "layer pool, image 1"
    assert tail.startswith("RTL differs from numpy at (k 2, h 1, w 1): ")
    assert tail.endswith(f". Waveform: dynafix simulate {folder} --image 1 --layer pool --waves")
    assert not (folder / "simulation" / "simulation.json").exists()


def test_onnxruntime_that_differs(folder, stand_in, monkeypatch):
    from quantizer.export import ort_tensors

    def spoiled(model, inputs):
        tensors = ort_tensors(model, inputs)
        tensors["p"][1, 3, 2, 1] += 1
        return tensors

    monkeypatch.setattr("quantizer.export.ort_tensors", spoiled)
    message = _refused(api.simulate, folder, images=2, kind=VerificationError)
    assert message.startswith(
        "layer pool, image 1: onnxruntime differs from numpy at (k 3, h 2, w 1): ")


def test_model_missing(images, tmp_path):
    path = tmp_path / "no.onnx"
    assert _refused(api.quantize, path, images, tmp_path) == f"{path}: no such file"
    assert _refused(api.inspect, path) == f"{path}: no such file"


def test_folder_missing(tmp_path):
    folder = tmp_path / "no"
    made = f"Make it with: dynafix quantize MODEL.onnx --data DATA --output {folder}"
    assert _refused(api.compile, folder) == f"{folder}: no such folder. {made}"
    folder.mkdir()
    assert _refused(api.compile, folder) == f"{folder}: holds no quantized network. {made}"


def test_program_missing(folder):
    shutil.rmtree(folder / "program")
    assert _refused(api.simulate, folder) == (
        f"{folder}: holds no program. Make it with: dynafix compile {folder}")
    assert _refused(api.verilog, folder) == (
        f"{folder}: holds no program, so its config is unknown. Give --config, or compile first: "
        f"dynafix compile {folder}")


def test_bytes_of_the_input_count(folder):
    sizes = [api.compile(folder, config=config, input_cycles=cycles).input_size
             for config, cycles in (("colorlight-i5", 0), ("colorlight-i5", 500),
                                    ("colorlight-i5", None), ("tiny", None))]
    assert sizes == [256, 64, 64, 256]
    assert _refused(api.compile, folder, input_cycles=-1) == (
        "--input-cycles must be a number of at least 0, not -1")


def test_simulation_missing(folder):
    assert _refused(api.report, folder) == (
        f"{folder / 'simulation' / 'simulation.json'}: missing. Make it with: dynafix simulate "
        f"{folder}")


def test_program_of_another_network(folder, network, images):
    api.quantize(network, images, folder, options=Options(weight_bits=5))
    assert _refused(api.simulate, folder) == (
        f"{folder}: the program was made for another quantized network. Compile again: dynafix "
        f"compile {folder} --config tiny")


def test_simulation_of_another_program(folder, stand_in):
    api.simulate(folder, images=1)
    api.compile(folder, config="small")
    assert _refused(api.report, folder) == (
        f"{folder}: the simulation ran another program. Simulate again: dynafix simulate {folder}")


def test_evaluation_of_another_network(folder):
    path = folder / "quantized" / "evaluation.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_hash": "0"}))
    assert _refused(api.compile, folder) == (
        f"{folder}: evaluation.json is of another quantized network. Make it again with: dynafix "
        f"quantize MODEL.onnx --data DATA --output {folder}")


@pytest.fixture
def moved(network, images, tmp_path):
    """Output folder whose images are gone, and where they were."""
    path = shutil.copy(images, tmp_path / "old.npz")
    api.quantize(network, path, tmp_path / "out")
    api.compile(tmp_path / "out", config="tiny")
    path.unlink()
    return tmp_path / "out", path


def test_images_moved(moved, images, stand_in):
    folder, path = moved
    assert _refused(api.simulate, folder) == (
        f"{path}: the images that {folder} was made with are gone. Say where they are with --data")
    assert api.simulate(folder, data=images, images=1)["images"] == [0]
    assert api.report(folder)["images_simulated"] == 1


def test_other_images(moved, tmp_path):
    folder, path = moved
    np.savez(path, calib_x=np.zeros((1, 8, 8), np.uint8), eval_x=np.zeros((1, 8, 8), np.uint8),
             eval_y=[0])
    assert _refused(api.simulate, folder) == (
        f"{path}: not the images that {folder} was made with. Quantize again, or give the same "
        f"images with --data")


@pytest.mark.parametrize(("options", "message"), [
    ({"images": 0}, "--images must be at least 1, not 0"),
    ({"image": 20}, "--image must be in 0..19, not 20"),
    ({"image": 0, "layer": "conv9"},
     "--layer must be one of conv1, conv2, pool, fc, not 'conv9'"),
    ({"layer": "pool"}, "--layer needs --waves: it says what the waveform shows"),
    ({"waves": True}, "--waves needs --image: waveforms are written of one image"),
])
def test_bad_arguments_of_simulate(quantized, options, message):
    assert _refused(api.simulate, quantized, **options) == message


@pytest.mark.parametrize(("options", "message"), [
    ({"images": 0}, "--images must be at least 1, not 0"),
    ({"clock_mhz": 0.0}, "--clock must be a positive number of MHz, not 0"),
    ({"config": "huge"}, ("--config must be one of tiny, small, up5k, ecp5_85f, large, large16, "
                         "ulx3s, colorlight-i5, ecpix5, icebreaker, tang-nano-20k, or a JSON "
                         "file, not 'huge'")),
])
def test_bad_arguments_of_run_come_before_any_work(options, message, tmp_path):
    assert _refused(api.run, "no.onnx", "no.npz", tmp_path / "out", **options) == message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("options", "message"), [
    (Options(data_bits=16), "--data-bits must be at most 8"),
    (Options(weight_bits=9), "--weight-bits must be at most 8"),
    (Options(first_last_bits=12), "--first-last-bits must be at most 8"),
])
def test_widths_that_the_config_has_not(options, message, tmp_path):
    assert _refused(api.run, "no.onnx", "no.npz", tmp_path / "out", options=options) == (
        f"{message}, the width of config 'ecp5_85f', not "
        f"{max(options.data_bits, options.weight_bits, options.first_last_bits or 0)}. To see the "
        f"accuracy without hardware: dynafix quantize")


@pytest.mark.parametrize("name", ["conv1", "conv1.weights"])
def test_widths_of_single_layers_that_a_config_does_not_have(tmp_path, name):
    path = tmp_path / "widths.json"
    path.write_text(json.dumps({name: 9}))
    for widths in ({name: 9}, path):
        assert _refused(
            api.run, "no.onnx", "no.npz", tmp_path / "out", config="tiny",
            options=Options(widths=widths)) == (
            f"--width of '{name}' must be at most 8, the width of config 'tiny', not 9. To see the "
            "accuracy without hardware: dynafix quantize")


def test_widths_of_a_config_with_wide_data_and_narrow_weights(tmp_path):
    config = replace(preset("tiny"), data_bits=16, acc_bits=48)
    message = _refused(
        api.run, "no.onnx", "no.npz", tmp_path / "out", config=config,
        options=Options(data_bits=16, weight_bits=16))
    assert message.startswith("--weight-bits must be at most 8, the width of config 'tiny', not 16")


@pytest.mark.parametrize(("weight_bits", "options"), [
    (16, Options(data_bits=16, weight_bits=16)), (8, Options(data_bits=16)), (16, Options()),
    (16, Options(first_last_bits=16)),
])
def test_config_of_16_bits(network, images, tmp_path, stand_in, weight_bits, options):
    config = replace(
        preset("tiny"), name="tiny16", data_bits=16, weight_bits=weight_bits, acc_bits=48)
    found = api.run(network, images, tmp_path / "out", config=config, images=2, options=options)
    assert found["engines_equal"]
    assert load(tmp_path / "out" / "quantized").provenance["limits"]["acc_bits"] == 48


def test_folder_of_pictures(network, tmp_path, stand_in):
    rng = np.random.default_rng(0)
    for label in ("cat", "dog", "owl"):
        (tmp_path / "pictures" / label).mkdir(parents=True)
        for index in range(4):
            pixels = rng.integers(0, 256, (10, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / label / f"{index}.png")
    found = api.run(network, tmp_path / "pictures", tmp_path / "out", config="tiny", images=2,
                    preprocess={"crop": 8})
    assert (found["images_evaluated"], found["class_names"]) == (6, ["cat", "dog", "owl"])
    assert found["preprocess"]["source"] == "options over the model's metadata"
    assert found["predictions"][0]["png"].startswith("data:image/png;base64,")


def test_per_channel_is_beside_plain_static(network, images, tmp_path):
    found = api.quantize(network, images, tmp_path, options=Options(per_channel=True))
    assert len(set(found.model.weights["conv1"].frac.tolist())) > 1
    assert found.evaluation["static_accuracy"] is not None


def test_images_of_another_shape(network, tmp_path):
    path = tmp_path / "wide.npz"
    np.savez(path, calib_x=np.zeros((2, 9, 8), np.uint8), eval_x=np.zeros((2, 9, 8), np.uint8),
             eval_y=[0, 1])
    assert _refused(api.quantize, network, path, tmp_path / "out") == (
        "wide.npz: calib_x: images must be 1×8×8, the network's input, not 1×9×8. "
        "Give --resize 8x8")


def test_failure_leaves_no_half_results(folder, stand_in, monkeypatch):
    api.simulate(folder, images=1)

    def fail(results, path):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("dynafix.report.write_report", fail)
    with pytest.raises(OSError, match="No space left"):
        api.report(folder)
    assert not (folder / "report.html").exists()
    assert not [name for name in _files(folder) if "/." in name or name.startswith(".")]


@pytest.mark.parametrize("step", ["quantize", "compile", "simulate"])
def test_step_discards_results_that_are_out_of_date(folder, network, images, stand_in, step):
    api.simulate(folder, images=1)
    api.report(folder)
    assert (folder / "results.json").exists()
    if step == "quantize":
        api.quantize(network, images, folder)
    elif step == "compile":
        api.compile(folder, config="tiny")
    else:
        api.simulate(folder, images=1)
    assert not (folder / "results.json").exists()
    assert not (folder / "report.html").exists()
