"""The netlist for place and route computes what numpy does."""

import importlib.util
from pathlib import Path

import pytest

from hw.build.tools import TOOLS


ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def check_netlist():
    spec = importlib.util.spec_from_file_location(
        "check_netlist", ROOT / "scripts" / "check_netlist.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_unknown_preset(check_netlist, capsys):
    assert check_netlist.main(["huge"]) == 2
    assert capsys.readouterr().err.startswith("error: Config must be one of tiny, small, ")


def test_unknown_board(check_netlist, capsys):
    assert check_netlist.main(["--board", "icebreaker"]) == 2
    assert capsys.readouterr().err == (
        "error: Board must be one of ulx3s, colorlight-i5, ecpix5, not 'icebreaker'\n")


@pytest.mark.slow
@pytest.mark.verilator
def test_netlist_of_a_board(check_netlist, capsys):
    if TOOLS["yosys"].find() is None:
        pytest.skip("needs yosys: ./scripts/setup --synth")
    assert check_netlist.main(["--board", "colorlight-i5"]) == 0
    assert "netlist = numpy over the serial line" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.verilator
def test_netlist_of_lenet(check_netlist, capsys):
    if TOOLS["yosys"].find() is None:
        pytest.skip("needs yosys: ./scripts/setup --synth")
    assert check_netlist.main([]) == 0
    assert "netlist = numpy in every layer" in capsys.readouterr().out
