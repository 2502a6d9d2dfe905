"""The command line on bad input: the full text of errors, and what is left behind."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from dynafix.cli import main

from .conftest import small_model


ROOT = Path(__file__).resolve().parents[2]


def test_verilog_without_a_program(dynafix, tmp_path, stand_in):
    code, _, err = dynafix("verilog", "--config", "small", "--output", tmp_path)
    assert (code, err) == (0, "")
    assert (tmp_path / "verilog" / "accelerator.v").exists()
    assert dynafix("verilog", "--config", "small") == (
        2, "", "error: verilog needs FOLDER, or --config and --output\n")


def test_explain_unknown_layer(dynafix, folder):
    code, _, err = dynafix("explain", folder, "conv22")
    assert (code, err) == (
        2, "error: 'conv22' must be a layer or tensor of 'small'; did you mean 'conv2'?\n")


def test_unsupported_operator(dynafix, elu, images, tmp_path):
    code, out, err = dynafix("run", elu, "--data", images, "--output", tmp_path / "out")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {elu}: node 'act1' (Elu): ")
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_calibration_with_a_single_color(dynafix, network, tmp_path):
    gray = np.full((2, 8, 8), 7, np.uint8)
    np.savez(tmp_path / "gray.npz", calib_x=gray, eval_x=gray, eval_y=[0, 1])
    code, _, err = dynafix("quantize", network, "--data", tmp_path / "gray.npz", "--output",
                           tmp_path / "out")
    assert (code, err) == (
        2, ("error: gray.npz: calib_x: calibration images must differ from a single color, or "
                "no range can be chosen; all numbers of all 2 are 0.027451. Give images like those "
                "that the network will see\n"))
    assert not (tmp_path / "out").exists()


def test_labels_are_looked_at_first(dynafix, network, images, tmp_path, monkeypatch):
    """Not after minutes of searching."""
    monkeypatch.setattr("dynafix.api.quantization.search_formats", None)
    with np.load(images) as arrays:
        np.savez(tmp_path / "data.npz", **{**arrays, "eval_y": np.full(20, 3)})
    assert dynafix("quantize", network, "--data", tmp_path / "data.npz", "--output",
                   tmp_path / "out") == (
        2, "", "error: data.npz: eval_y: labels must be in 0..2, the network's outputs, not 3\n")


def test_not_onnx(dynafix, images, tmp_path):
    path = tmp_path / "text.onnx"
    path.write_text("hello")
    assert dynafix("quantize", path, "--data", images, "--output", tmp_path / "out") == (
        2, "", f"error: {path}: not an ONNX file\n")


def test_nan_in_weights(dynafix, images, tmp_path):
    model = small_model()
    weights = onnx.numpy_helper.to_array(model.graph.initializer[0]).copy()
    weights[0, 0, 0, 0] = np.nan
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weights, "w1"))
    onnx.save(model, tmp_path / "nan.onnx")
    code, out, err = dynafix("quantize", tmp_path / "nan.onnx", "--data", images, "--output",
                             tmp_path / "out")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ")
    assert "NaN" in err


def test_no_preprocessing_known(dynafix, images, tmp_path):
    onnx.save(small_model(preprocess=False), tmp_path / "bare.onnx")
    path = tmp_path / "bare.onnx"
    assert dynafix("quantize", path, "--data", images, "--output", tmp_path / "out") == (
        2, "", (f"error: {path} has no 'preprocess' metadata, and small.npz: calib_x holds uint8 "
               "values. Say how they become the network's input, for example --mean 0 --std 255\n"))


def test_unwritable_output(dynafix, network, images, tmp_path):
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "out"
    assert dynafix("run", network, "--data", images, "--output", folder) == (
        2, "", (f"error: --output {folder}: cannot be written (Not a directory). Choose a folder "
               f"that you may write to\n"))


def test_unknown_preset(dynafix, network, images, tmp_path):
    assert dynafix("run", network, "--data", images, "--config", "ecp5", "--output",
                   tmp_path / "out") == (
        2, "", ("error: --config must be one of tiny, small, up5k, ecp5_85f, large, large16, "
               "ulx3s, colorlight-i5, ecpix5, icebreaker, tang-nano-20k, or a JSON file, not "
               "'ecp5'; did you mean ecpix5?\n"))


def test_config_too_small(dynafix, tmp_path):
    onnx.save(small_model(side=16), tmp_path / "large.onnx")
    pictures = np.zeros((2, 16, 16), np.uint8)
    pictures[:, 0] = 1
    np.savez(tmp_path / "large.npz", calib_x=pictures, eval_x=pictures, eval_y=[0, 1])
    config = tmp_path / "cramped.json"
    config.write_text('{"in_lanes": 2, "out_lanes": 4, "dram_width": 4, "feature_depth": 64, '
                      '"feature_banks": 1}')
    code, _, err = dynafix("run", tmp_path / "large.onnx", "--data", tmp_path / "large.npz",
                           "--config", config, "--output", tmp_path / "out")
    assert (code, err) == (2, (
        "error: Layer 'fc': one output position needs 65 rows of 4 bytes of feature memory (its "
        "windows and its result), config 'cramped' has 64; use a feature_depth of at least 128, or "
        "preset tiny or small or ecp5_85f or large\n"))


def test_weights_that_do_not_match(dynafix, folder):
    weights = folder / "program" / "weights.bin"
    weights.write_bytes(bytes([weights.read_bytes()[0] ^ 1]) + weights.read_bytes()[1:])
    code, out, err = dynafix("simulate", folder)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ")
    assert "weights.bin" in err


def test_diff_refuses(dynafix, folder, stand_in, tmp_path):
    assert dynafix("diff", folder, "--image", 20) == (
        2, "", "error: --image must be in 0..19, not 20\n")
    path = tmp_path / "none.v"
    assert dynafix("diff", folder, "--verilog", path) == (
        2, "", (f"error: --verilog {path}: not readable as Verilog. Make one with: dynafix "
               f"verilog --config PRESET --output FOLDER\n"))


@pytest.mark.parametrize(("words", "message"), [
    (("rum",), "No such command 'rum'. Did you mean 'run'? See: dynafix --help"),
    (("run",), "Missing argument 'MODEL'. See: dynafix run --help"),
    (("run", "m", "--data", "d"), "Missing option '--output'. See: dynafix run --help"),
    (("simulate", "f", "--images", "x"),
     "Invalid value for '--images': 'x' is not a valid integer. See: dynafix simulate --help"),
    (("run", "m", "--data", "d", "--output", "o", "--mean", "1,a"),
     "--mean must be numbers separated by commas, not '1,a'"),
    (("run", "m", "--data", "d", "--output", "o", "--resize", "3x"),
     "--resize must be a number of pixels or HEIGHTxWIDTH, not '3x'"),
    (("run", "m", "--data", "d", "--output", "o", "--mean", ""),
     "--mean must be numbers separated by commas, not ''"),
    (("inspect", ""), "MODEL must not be empty"),
    (("inspect", "dynafix"), "dynafix: is a folder, must be an ONNX file"),
    (("inspect", "no.onnx"), "no.onnx: no such file"),
    (("compile", ""), "FOLDER must not be empty"),
    (("verilog", "--config", "tiny", "--output", ""), "--output must not be empty"),
    (("verilog", "f", "--config", "tiny", "--output", ""), "--output must not be empty"),
    (("run", "m", "--data", "d", "--output", "o", "--data-bits", "32"),
     "--data-bits must be in 2..16 bits, not 32"),
])
def test_mistyped(dynafix, words, message):
    assert dynafix(*words) == (2, "", f"error: {message}\n")


@pytest.mark.parametrize(("option", "value"), [("--data", ""), ("--output", "")])
def test_empty_path(dynafix, network, images, tmp_path, monkeypatch, option, value):
    monkeypatch.chdir(tmp_path)
    paths = {"--data": images, "--output": tmp_path / "out", option: value}
    words = [word for pair in paths.items() for word in pair]
    assert dynafix("quantize", network, *words) == (2, "", f"error: {option} must not be empty\n")
    assert not list(tmp_path.iterdir())


def test_failure_leaves_no_folder(dynafix, network, images, tmp_path):
    words = ("quantize", network, "--data", images, "--resize", "9x9", "--output")
    message = ("error: small.npz: calib_x: images must be 1×8×8, the network's input, not 1×9×9. "
               "Give --resize 8x8\n")
    code, _, err = dynafix(*words, tmp_path / "a" / "b")
    assert (code, err) == (2, message)
    assert not list(tmp_path.iterdir())
    (tmp_path / "mine").mkdir()
    dynafix(*words, tmp_path / "mine")
    assert (tmp_path / "mine").is_dir()


def test_huge_resize(dynafix, network, images, tmp_path):
    assert dynafix("quantize", network, "--data", images, "--output", tmp_path / "out",
                   "--resize", "99999999") == (
        2, "", "error: --resize must be at most 4096 pixels, not 99999999\n")


def test_overrides(dynafix, network, images, tmp_path):
    path, folder = tmp_path / "formats.json", tmp_path / "out"
    words = ("quantize", network, "--data", images, "--output", folder, "--formats", path)
    assert dynafix(*words) == (
        2, "", f"error: --formats {path}: cannot be read: No such file or directory\n")
    path.write_text('{"conv9": {"bits": 8, "frac": 3}}')
    assert dynafix(*words) == (
        2, "", (f"error: --formats {path}: Override 'conv9' must name a tensor or layer of "
                "'small', or a convolution followed by .weights; did you mean 'conv2'? Layers are "
                "conv1, conv2, add, pool, fc\n"))
    path.write_text('{"conv1": {"bits": 8, "frac": 3, "signed": false}, '
                    '"conv1.weights": {"bits": 8, "frac": 5}}')
    assert dynafix(*words)[0] == 0
    out = dynafix("explain", folder, "conv1")[1]
    assert ' --formats  {"a1": {"bits": 8, "frac": 3, "signed": false}}\n' in out
    assert ' --formats  {"conv1.weights": {"bits": 8, "frac": 5, "signed": true}}\n' in out


def test_widths(dynafix, network, images, tmp_path):
    path, folder = tmp_path / "widths.toml", tmp_path / "out"
    words = ("quantize", network, "--data", images, "--output", folder)
    both = f"not both '{path}' and 1 more"
    for values, message in (
            (("conv1:4",), "--width conv1:4: cannot be read: No such file or directory"),
            (("conv1=four",),
             "--width must be NAME=BITS, such as conv1.weights=4, not 'conv1=four'"),
            (("conv1=4", "conv1=5"), "--width must name 'conv1' once"),
            (("conv1=4", path),
             f"--width must be one FILE, or NAME=BITS for each layer, {both}"),
            (("conv1=17",), "--width: Width of 'conv1' must be in 2..16 bits, not 17")):
        options = [word for value in values for word in ("--width", value)]
        assert dynafix(*words, *options) == (2, "", f"error: {message}\n")
    path.write_text("conv1.weights = 4\nadd = 6\n")
    assert dynafix(*words, "--width", path)[0] == 0
    out = dynafix("explain", folder, "conv1")[1]
    assert ' --formats  {"conv1.weights": {"bits": 4, ' in out
    assert '{"s": {"bits": 6, ' in dynafix("explain", folder, "add")[1]


def test_interrupted(dynafix, network, monkeypatch):
    def interrupt(model):
        raise KeyboardInterrupt
    monkeypatch.setattr("dynafix.api.inspect", interrupt)
    assert dynafix("inspect", network) == (130, "", "\nerror: interrupted\n")


def test_disk_full(dynafix, network, monkeypatch):
    def fail(model):
        raise OSError(28, "No space left on device", "/out/results.json")
    monkeypatch.setattr("dynafix.api.inspect", fail)
    assert dynafix("inspect", network) == (
        2, "", "error: /out/results.json: No space left on device\n")


def test_our_own_mistakes_are_not_hidden(network, monkeypatch):
    def fail(model):
        raise ValueError("negative shift count")
    monkeypatch.setattr("dynafix.api.inspect", fail)
    with pytest.raises(ValueError, match="negative shift count"):
        main(["inspect", str(network)])
