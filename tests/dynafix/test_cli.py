"""The command line: what it prints, exit codes, and the full text of errors."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from arch.config import PRESETS
from dynafix import api
from dynafix.api.quantized import open_quantized
from dynafix.cli import main

from .conftest import small_model


ROOT = Path(__file__).resolve().parents[2]


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


def _steps(out):
    return [line.split()[0] for line in out.splitlines() if line.strip()]


def test_run(dynafix, network, images, tmp_path, stand_in):
    folder = tmp_path / "out"
    words = ("run", network, "--data", images, "--config", "tiny", "--images", 2,
             "--output", folder)
    code, out, err = dynafix(*words)
    assert (code, err) == (0, "")
    assert _steps(out) == [
        "import", "read", "weights", "formats", "static", "evaluate", "losses", "compile",
        "verilog", "verilate", "simulate", "compare",
        "layer", "conv1", "conv2", "add", "pool", "fc", "total", "DRAM",
        "engines", "predicted", "accuracy", "speed", "report"]
    assert out.splitlines()[0] == (
        " import     small.onnx: 7 operators, 0.01 M MAC, 379 parameters; input 1×8×8, GRAY, "
        "(x − 0) / 255, from the model's metadata")
    assert "\x1b" not in out
    assert json.loads((folder / "results.json").read_text())["provenance"]["command"] == (
        "dynafix " + " ".join(map(str, words)))


def test_quiet(dynafix, network, images, tmp_path, stand_in):
    code, out, _ = dynafix("run", network, "--data", images, "--config", "tiny", "--images", 1,
                           "--output", tmp_path, "--quiet")
    assert code == 0
    assert _steps(out) == ["engines", "predicted", "accuracy", "speed", "report"]


def test_json(dynafix, network, images, tmp_path, stand_in):
    _, out, _ = dynafix("run", network, "--data", images, "--config", "tiny", "--images", 1,
                        "--output", tmp_path, "--json")
    assert json.loads(out) == json.loads((tmp_path / "results.json").read_text())


def test_steps(dynafix, network, images, tmp_path, stand_in):
    folder = tmp_path / "out"
    code, out, _ = dynafix("quantize", network, "--data", images, "--output", folder,
                           "--weight-bits", 6, "--std", "128")
    assert code == 0
    assert "(x − 0) / 128, from options over the model's metadata" in out
    assert "s6 ." in out
    assert dynafix("compile", folder, "--config", "tiny")[0] == 0
    assert dynafix("verilog", folder)[1].endswith(f"written    {folder}/verilog/accelerator.v\n")
    code, out, _ = dynafix("simulate", folder, "--images", 2)
    assert (code, _steps(out)[-3:]) == (0, ["engines", "predicted", "speed"])
    code, out, _ = dynafix("report", folder, "--clock", 50)
    assert code == 0
    assert " at 50 MHz" in out


@pytest.mark.parametrize(("words", "key"), [
    (("compile", "FOLDER", "--config", "tiny"), "config"), (("verilog", "FOLDER"), "file"),
    (("simulate", "FOLDER", "--images", "1"), "cycles"),
    (("explain", "FOLDER", "pool"), "candidates"),
])
def test_json_of_steps(dynafix, folder, stand_in, words, key):
    code, out, err = dynafix(*(folder if word == "FOLDER" else word for word in words), "--json")
    assert (code, err) == (0, "")
    assert key in json.loads(out)


def test_compile_explain(dynafix, folder):
    code, out, err = dynafix("compile", folder, "--config", "tiny", "--explain", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert [layer["name"] for layer in found["layers"]] == ["conv1", "conv2", "add", "pool", "fc"]
    assert sum(sum(layer["parts"].values()) for layer in found["layers"]) == found["cycles"]
    code, out, err = dynafix("compile", folder, "--config", "tiny", "--explain")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    header = next(line for line in lines if line.startswith(" layer"))
    assert header.split("  ")[-1] == "overhead"
    for layer in found["layers"]:
        line = next(line for line in lines if line.startswith(f" {layer['name']} "))
        assert f" {layer['bound_by']} {100 * layer['share']:.0f} %" in line
    assert lines[-2].startswith(" predicted  ")
    assert "overhead" not in dynafix(
        "compile", folder, "--config", "tiny", "--explain", "--quiet")[1].splitlines()[0]


def test_json_of_quantize(dynafix, network, images, tmp_path):
    _, out, _ = dynafix("quantize", network, "--data", images, "--output", tmp_path, "--json")
    assert set(json.loads(out)["formats"]) == {"x", "a1", "t2", "s", "p", "g"}


def test_verilog_without_a_program(dynafix, tmp_path, stand_in):
    code, _, err = dynafix("verilog", "--config", "small", "--output", tmp_path)
    assert (code, err) == (0, "")
    assert (tmp_path / "verilog" / "accelerator.v").exists()
    assert dynafix("verilog", "--config", "small") == (
        2, "", "error: verilog needs FOLDER, or --config and --output\n")


def test_explain(dynafix, folder):
    code, out, err = dynafix("explain", folder, "conv1")
    assert (code, err) == (0, "")
    assert " conv1 output (Conv), u8, frac " in out
    assert " conv1 weights, s8, frac " in out
    assert out.count("▸") == 2


def test_explain_unknown_layer(dynafix, folder):
    code, _, err = dynafix("explain", folder, "conv22")
    assert (code, err) == (
        2, "error: 'conv22' must be a layer or tensor of 'small'; did you mean 'conv2'?\n")


def test_inspect(dynafix, network):
    code, out, err = dynafix("inspect", network)
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[1:9]] == [
        "conv1", "act1", "conv2", "add", "pool", "flatten", "fc", "softmax"]
    assert out.splitlines()[-1] == " inspect    8 of 8 nodes can run; 0.01 M MAC on the array"
    assert len(json.loads(dynafix("inspect", network, "--json")[1])) == 8


@pytest.fixture
def tanh(tmp_path):
    """Path of a network with an operator that is not supported."""
    onnx.save(small_model(operator="Tanh"), tmp_path / "tanh.onnx")
    return tmp_path / "tanh.onnx"


def test_inspect_unsupported(dynafix, tanh):
    code, out, err = dynafix("inspect", tanh)
    assert (code, err) == (2, "")
    assert out.splitlines()[-2].startswith(" refused    node 'act1' (Tanh): ")
    assert out.splitlines()[-1] == " inspect    1 of 8 nodes cannot run"


def test_unsupported_operator(dynafix, tanh, images, tmp_path):
    code, out, err = dynafix("run", tanh, "--data", images, "--output", tmp_path / "out")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {tanh}: node 'act1' (Tanh): ")
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


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
        2, "", ("error: --config must be one of tiny, small, ecp5_85f, large, large16, or a JSON "
               "file, not 'ecp5'; did you mean ecp5_85f?\n"))


def test_config_too_small(dynafix, tmp_path):
    onnx.save(small_model(side=16), tmp_path / "large.onnx")
    pictures = np.zeros((2, 16, 16), np.uint8)
    np.savez(tmp_path / "large.npz", calib_x=pictures + 1, eval_x=pictures, eval_y=[0, 1])
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


def test_difference_has_its_own_exit_code(dynafix, folder, stand_in):
    def spoil(rows):
        rows[0, 0] ^= 1
    stand_in.spoil = spoil
    code, _, err = dynafix("simulate", folder, "--images", 1)
    assert code == 1
    assert err.startswith(
        "error: layer conv1, image 0: RTL differs from numpy at (k 0, h 0, w 0): ")


def test_diff_of_equal_engines(dynafix, folder, stand_in):
    code, out, err = dynafix("diff", folder, "--image", 2)
    assert (code, err) == (0, "")
    assert out.splitlines()[-3:] == [
        f" diff       ✓ {engine} = numpy on every value of image 2"
        for engine in ("onnxruntime", "instructions", "RTL")]


def test_diff_names_tile_and_values(dynafix, folder, stand_in, tmp_path):
    def spoil(rows):
        rows[0, 0] ^= 1
    stand_in.spoil = spoil
    (tmp_path / "broken.v").write_text("module broken; endmodule\n")
    code, out, err = dynafix("diff", folder, "--verilog", tmp_path / "broken.v")
    assert (code, err) == (1, "")
    assert stand_in.calls[-1]["verilog"] == "module broken; endmodule\n"
    lines = out.splitlines()
    assert [line.split()[1] for line in lines] == ["✓", "✓", "✗"]
    assert lines[2].startswith(
        " diff       ✗ RTL differs from numpy: layer 0, 'conv1', tile 0 of ")
    assert "position (k=0, h=0, w=0): " in lines[2]
    found = json.loads(dynafix("diff", folder, "--json")[1])
    assert found["equal"] is False
    assert found["differences"]["onnxruntime"] is None
    difference = found["differences"]["RTL"]
    assert difference["expected"] ^ difference["got"] == 1
    assert difference["position"] == [0, 0, 0]


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


def test_bare(dynafix):
    code, out, err = dynafix()
    assert (code, err) == (0, "")
    assert out.startswith("Usage: dynafix [OPTIONS] COMMAND [ARGS]...")


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


def test_collapse_warns(dynafix, network, images, tmp_path):
    path = tmp_path / "formats.json"
    path.write_text('{"fc": {"bits": 8, "frac": -8}}')
    code, out, err = dynafix("quantize", network, "--data", images, "--output", tmp_path / "out",
                             "--formats", path)
    assert (code, err) == (0, "")
    (line,) = [line for line in out.splitlines() if line.startswith(" warning ")]
    assert "; fc loses most, " in line
    assert line.endswith(" dB. Try --per-channel or more bits (--data-bits 16 --weight-bits 16, "
                         "with dynafix quantize only)")


def test_more_images_than_there_are(dynafix, folder, stand_in):
    out = dynafix("simulate", folder, "--images", 21)[1]
    assert " images     21 asked for, 20 evaluation images are there: all of them run\n" in out
    assert " images " not in dynafix("simulate", folder, "--images", 20)[1].splitlines()[0]


def test_long_simulation_is_announced(dynafix, folder, stand_in, monkeypatch):
    assert "about" not in dynafix("simulate", folder, "--images", 2)[1]
    monkeypatch.setattr("dynafix.api.simulation.USUAL_SPEED", 1)
    out = dynafix("simulate", folder, "--images", 2)[1]
    (line,) = [line for line in out.splitlines() if " about " in line]
    assert line.startswith(" simulate   2 images of ")
    assert line.endswith(" at 1 cycles/s; --images sets how many")


def test_waves_say_that_they_take_time(dynafix):
    out = " ".join(dynafix("simulate", "--help")[1].split())
    assert "compiles a second model, which takes minutes the first time" in out


def test_data_path_as_given(dynafix, network, images, tmp_path, monkeypatch):
    monkeypatch.chdir(images.parent)
    dynafix("quantize", network, "--data", images.name, "--output", tmp_path)
    assert open_quantized(tmp_path).provenance["data_file"] == images.name


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


def _fresh(*words):
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_help_and_version_of_the_module():
    found = _fresh("-m", "dynafix", "--help")
    assert found.returncode == 0
    for command in ("run", "quantize", "compile", "verilog", "simulate", "diff", "report",
                    "inspect", "explain"):
        assert f"\n  {command} " in found.stdout
    assert _fresh("-m", "dynafix", "--version").stdout.startswith("dynafix ")


def test_help_names_every_preset(dynafix):
    code, out, _ = dynafix("run", "--help")
    assert code == 0
    assert all(name in out for name in PRESETS)


def test_command_line_loads_nothing_heavy():
    found = _fresh("-c", "import dynafix.cli, sys; print(' '.join(sys.modules))")
    heavy = {"numpy", "onnx", "onnxruntime", "amaranth", "plotly", "rich", "PIL"}
    assert not heavy & set(found.stdout.split())


@pytest.mark.verilator
def test_lenet_on_the_verilog(dynafix, lenet, mnist, tmp_path):
    code, out, err = dynafix("run", lenet, "--data", mnist, "--config", "ecp5_85f", "--images", 2,
                             "--output", tmp_path)
    assert (code, err) == (0, "")
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["engines_equal"] is True
    assert found["images_simulated"] == 2
    assert found["float_accuracy"] - found["quantized_accuracy"] <= 0.003
    assert abs(found["predicted_cycles"] / found["cycles_per_image"] - 1) < 0.1
    assert found["dram_bytes"] == sum(layer["dram_bytes"] for layer in found["layers"])
    for layer in found["layers"]:
        assert layer["dram_bytes"] == sum(layer["dram_by_stream"].values())
    assert found["cycles_per_image"] == sum(layer["cycles"] for layer in found["layers"])
    assert {span["engine"] for span in found["timeline"]} == {"load", "calc", "save"}
    assert (tmp_path / "report.html").stat().st_size > 100_000
