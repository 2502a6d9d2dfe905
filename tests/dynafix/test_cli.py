"""The command line: what it prints, and exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from arch.config import PRESETS
from dynafix.api.quantized import open_quantized
from hw.primitives import FAMILIES


ROOT = Path(__file__).resolve().parents[2]


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
        "compare", "layer", "conv1", "conv2", "pool", "fc", "total", "DRAM",
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
    assert "tiny for gowin, 2 lines" in dynafix("verilog", folder, "--family", "gowin")[1]
    code, out, _ = dynafix("simulate", folder, "--images", 2)
    assert (code, _steps(out)[-3:]) == (0, ["engines", "predicted", "speed"])
    code, out, _ = dynafix("report", folder, "--clock", 50)
    assert code == 0
    assert " at 50 MHz" in out


def test_families(dynafix, tmp_path):
    """The cells of a family, in a small accelerator."""
    words = ("verilog", "--config", "tiny", "--output", tmp_path, "--family")
    code, out, err = dynafix(*words, "xilinx7")
    assert (code, err) == (0, "")
    assert "tiny for xilinx7, " in out
    text = (tmp_path / "verilog" / "accelerator.v").read_text()
    assert "DSP48E1 #(" in text
    assert "RAMB18E1 #(" in text
    assert dynafix(*words, "xilinx") == (2, "", (
        "error: --family must be one of generic, ecp5, ice40, gowin, xilinx7, not 'xilinx'; did "
        "you mean xilinx7?\n"))
    assert (tmp_path / "verilog" / "accelerator.v").read_text() == text
    help_ = dynafix("verilog", "--help")[1]
    assert all(family in help_ for family in FAMILIES)


@pytest.mark.parametrize(("words", "key"), [
    (("compile", "FOLDER", "--config", "tiny"), "config"), (("verilog", "FOLDER"), "file"),
    (("simulate", "FOLDER", "--images", "1"), "cycles"),
    (("explain", "FOLDER", "pool"), "candidates"),
])
def test_json_of_steps(dynafix, folder, stand_in, words, key):
    code, out, err = dynafix(*(folder if word == "FOLDER" else word for word in words), "--json")
    assert (code, err) == (0, "")
    assert key in json.loads(out)


def test_compile_for_a_slow_link(dynafix, folder):
    out = dynafix("compile", folder, "--config", "tiny", "--input-cycles", 500)[1]
    assert " weight bytes, 256 bytes an input; " in out


def test_compile_explain(dynafix, folder):
    code, out, err = dynafix("compile", folder, "--config", "tiny", "--explain", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert [layer["name"] for layer in found["layers"]] == ["conv1", "conv2", "pool", "fc"]
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
    assert set(json.loads(out)["formats"]) == {"x", "a1", "s", "p", "g"}


@pytest.mark.parametrize(("words", "expected"), [
    ((), False), (("--absorb-bias",), True), (("--no-absorb-bias",), False)])
def test_absorb_bias(dynafix, network, images, tmp_path, words, expected):
    code, _, err = dynafix("quantize", network, "--data", images, "--output", tmp_path, *words)
    assert (code, err) == (0, "")
    assert open_quantized(tmp_path).model.provenance["options"]["absorb"] is expected


def test_explain(dynafix, folder):
    code, out, err = dynafix("explain", folder, "conv1")
    assert (code, err) == (0, "")
    assert " conv1 output (Conv), u8, frac " in out
    assert " conv1 weights, s8, frac " in out
    assert out.count("▸") == 2


def test_inspect(dynafix, network):
    code, out, err = dynafix("inspect", network)
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[1:9]] == [
        "conv1", "act1", "conv2", "add", "pool", "flatten", "fc", "softmax"]
    assert out.splitlines()[-1] == " inspect    8 of 8 nodes can run; 0.01 M MAC on the array"
    assert len(json.loads(dynafix("inspect", network, "--json")[1])) == 8


def test_inspect_unsupported(dynafix, elu):
    code, out, err = dynafix("inspect", elu)
    assert (code, err) == (2, "")
    assert out.splitlines()[-2].startswith(" refused    node 'act1' (Elu): ")
    assert out.splitlines()[-1] == " inspect    1 of 8 nodes cannot run"


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


def test_bare(dynafix):
    code, out, err = dynafix()
    assert (code, err) == (0, "")
    assert out.startswith("Usage: dynafix [OPTIONS] COMMAND [ARGS]...")


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


def _fresh(*words):
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_help_and_version_of_the_module():
    found = _fresh("-m", "dynafix", "--help")
    assert found.returncode == 0
    for command in ("run", "quantize", "compile", "verilog", "simulate", "diff", "report",
                    "inspect", "explain", "ip"):
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
