"""A network with a step of the host through the command line, to the report."""

import json

import onnx
import pytest

from tests.dynafix.conftest import small_model


@pytest.fixture
def normalized(tmp_path):
    """Path of a network with LRN in the middle."""
    onnx.save(small_model(host=True), tmp_path / "norm.onnx")
    return tmp_path / "norm.onnx"


def test_run(normalized, images, tmp_path, dynafix, stand_in):
    folder = tmp_path / "out"
    code, out, err = dynafix("run", normalized, "--data", images, "--config", "tiny",
                             "--images", 2, "--output", folder)
    assert code == 0, err
    assert "stops once for the host" in out + err
    assert "computes norm (LRN 3) while the program has stopped; its time is not counted" in out
    found = json.loads((folder / "results.json").read_text())
    assert found["host_steps"] == [{"layer": 1, "name": "norm", "operator": "LRN 3"}]
    layer = found["layers"][1]
    assert (layer["bound_by"], layer["cycles"], layer["macs"]) == ("host", 0, 0)
    assert layer["snr_db"] > 20
    page = (folder / "report.html").read_text()
    assert "runs on the host" in page
    assert "For norm the program stops and the host computes" in page


def test_inspect_explain_and_compile(normalized, images, tmp_path, dynafix, stand_in):
    code, out, _ = dynafix("inspect", normalized)
    assert code == 0
    (line,) = [line for line in out.splitlines() if "LRN" in line]
    assert "host" in line
    assert "the program stops for it" in line
    folder = tmp_path / "out"
    assert dynafix("quantize", normalized, "--data", images, "--output", folder)[0] == 0
    code, out, err = dynafix("explain", folder, "norm")
    assert code == 0, err
    code, out, err = dynafix("compile", folder, "--config", "tiny", "--explain")
    assert code == 0, err
    (line,) = [line for line in out.splitlines() if line.split()[:2] == ["norm", "LRN"]]
    assert line.split()[2:6] == ["3", "0", "0", "host"]
    code, out, err = dynafix("diff", folder)
    assert code == 0, err
