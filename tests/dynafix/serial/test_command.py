"""`dynafix serial`, with a board in Python."""

import json

import numpy as np
import pytest
from PIL import Image

from dynafix import api
from dynafix.api.quantized import open_quantized
from quantizer.execute import run

from .scripted import FunctionalPort


@pytest.fixture
def port(compiled, monkeypatch):
    ports = []

    def open_port(name, *, baud):
        ports[0].opened = name, baud
        return ports[0]

    ports.append(FunctionalPort(api.compilation.open_program(open_quantized(compiled))))
    monkeypatch.setattr("dynafix.serial.board.open_port", open_port)
    return ports[0]


def test_classes(compiled, images, port, dynafix, tmp_path):
    picture = tmp_path / "picture.png"
    Image.fromarray(np.load(images)["eval_x"][3]).save(picture)
    code, out, err = dynafix("serial", compiled, "0", "5", picture, "--port", "/dev/board",
                             "--json")
    assert (code, err) == (0, "")
    assert port.opened == ("/dev/board", 1_000_000)
    found = json.loads(out)
    network = open_quantized(compiled)
    evaluation = network.data.evaluation
    expected = run(network.model, network.inputs(evaluation, [0, 5, 3]))
    assert found["loaded"]
    for image, output in zip(found["images"], expected, strict=True):
        assert np.allclose(image["output"], output, rtol=1e-6)
        assert image["class"] == output.argmax()
        assert image["confidence"] == pytest.approx(output.max())
        assert image["cycles"] == 1234
    assert [image["label"] for image in found["images"]] == [
        *(int(label) for label in evaluation.labels[[0, 5]]), None]


def test_text(compiled, port, dynafix):
    port.program.name = "small"
    code, out, err = dynafix("serial", compiled, "2", "--port", "here", "--baud", "115200")
    assert (code, err, port.opened) == (0, "", ("here", 115200))
    lines = [line.strip() for line in out.splitlines()]
    assert any(line.startswith("board") and "1 048 576 bytes of memory" in line for line in lines)
    image, = (line for line in lines if line.startswith("image"))
    assert " %)" in image
    assert "1 234 cycles, " in image
    _, out, _ = dynafix("serial", compiled, "--port", "here")
    assert "holds small already" in out
    port.requests.clear()
    dynafix("serial", compiled, "--port", "here", "--load")
    assert len(port.requests) > 5


@pytest.mark.parametrize(("image", "message"), [
    ("20", "IMAGE must be a picture, or a number in 0..19 of an evaluation image, not 20"),
    ("none.png", "none.png: no such picture"),
])
def test_images_that_are_none(compiled, port, dynafix, image, message):
    code, _, err = dynafix("serial", compiled, image, "--port", "here")
    assert (code, err) == (2, f"error: {message}\n")


def test_port_is_needed(compiled, dynafix):
    code, _, err = dynafix("serial", compiled)
    assert code == 2
    assert "Missing option '--port'" in err


@pytest.mark.verilator
@pytest.mark.slow
def test_simulated_memory(compiled, dynafix):
    """Program, weights and image go into the SDRAM of ULX3S, bit by bit; every rule is checked."""
    code, out, err = dynafix(
        "serial", compiled, "3", "--port", "simulation-external", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    network = open_quantized(compiled)
    expected, = run(network.model, network.inputs(network.data.evaluation, [3]))
    assert (found["memory_bytes"], found["clock_hz"]) == (32 << 20, 50_000_000)
    assert (found["loaded"], found["repeated_requests"]) == (True, 0)
    assert np.allclose(found["images"][0]["output"], expected, rtol=1e-6)
