"""`dynafix ip`: which files there are, and that they belong together."""

import json
import re

import pytest

from arch.config import preset
from compiler import load
from dynafix import api
from dynafix.errors import UsageError
from hw.ip import register_header


HARDWARE = {
    "package_ip.tcl", "hdl/accelerator.v", "hdl/dynafix_axi.v", "accelerator.json",
    "c/dynafix.h", "c/dynafix.c", "c/dynafix_maps.c", "c/dynafix_regs.h",
    "python/dynafix_pynq.py"}
NETWORK = {
    "network.json", "c/small.h", "c/small.c", "c/small_images.S",
    *(f"images/{image}.{kind}" for image in ("program", "weights")
      for kind in ("bin", "coe", "mif"))}


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_of_a_network(folder, stand_in):
    path = api.ip(folder)
    assert path == folder / "ip"
    assert files(path) == HARDWARE | NETWORK
    program = load(folder / "program")
    assert (path / "images" / "weights.bin").read_bytes() == program.weight_image
    for image in ("program", "weights"):
        data = (path / "images" / f"{image}.bin").read_bytes()
        words = [data[n:n + 4][::-1].hex() for n in range(0, len(data), 4)]
        coe = (path / "images" / f"{image}.coe").read_text()
        assert re.findall(r"^([0-9a-f]{8})[,;]$", coe, re.M) == words
        assert coe.count(";") == 2
        mif = (path / "images" / f"{image}.mif").read_text()
        assert re.findall(r"^[0-9a-f]{8} : ([0-9a-f]{8});$", mif, re.M) == words
        assert f"DEPTH = {len(words)};\nWIDTH = 32;\n" in mif
    network = json.loads((path / "network.json").read_text())
    assert network["layers"] == [layer.name for layer in program.layers]
    # Gray pictures, divided by 255, which the host scales so that their codes are their bytes.
    table, = network["pixel_codes"]
    assert table == list(range(256))
    assert network["config_hash"] == json.loads(
        (path / "accelerator.json").read_text())["config_hash"]


def test_of_a_config(tmp_path, stand_in):
    path = api.ip(config="small", output=tmp_path, clock_mhz=142.5)
    assert files(path) == HARDWARE
    assert (path / "c" / "dynafix_regs.h").read_text() == register_header(preset("small"))
    assert (path / "hdl" / "accelerator.v").read_text().startswith("module dynafix_accelerator;")
    assert 'set frequency "142500000"' in (path / "package_ip.tcl").read_text()


def test_elsewhere(folder, tmp_path, stand_in):
    assert api.ip(folder, output=tmp_path / "there") == tmp_path / "there" / "ip"
    assert not (folder / "ip").exists()


@pytest.mark.parametrize("given", [
    {}, {"config": "tiny"}, {"output": "there"}, {"folder": "out", "config": "tiny"}])
def test_arguments_that_do_not_fit(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="^ip needs FOLDER with a program, or --config and --out"):
        api.ip(**given)


def test_command(dynafix, folder, stand_in):
    code, out, err = dynafix("ip", folder)
    assert (code, err) == (0, "")
    assert f"tiny, {len(HARDWARE | NETWORK)} files; package it with: vivado -mode batch " in out
    assert out.endswith(f"written    {folder}/ip\n")
    code, out, _ = dynafix("ip", "--config", "tiny", "--output", folder / "other", "--json")
    assert json.loads(out) == {"folder": str(folder / "other" / "ip")}
    code, _, err = dynafix("ip", folder, "--clock", 0)
    assert (code, err) == (2, "error: --clock must be a positive number of MHz, not 0\n")
