"""Builds are made once, and failures say what to do."""

import pytest

from sim.build import build
from sim.errors import SimulationError
from sim.toolchain import check_tools, verilator_command


WIRE = {"wire.sv": "module wire_through #(parameter int W = 4) "
                   "(input logic [W-1:0] i, output logic [W-1:0] o); assign o = i; endmodule\n"}


@pytest.mark.verilator
def test_cached_by_content(tmp_path):
    cache = tmp_path / "a folder with spaces"
    first = build(WIRE, "wire_through", public=True, cache=cache)
    again = build(WIRE, "wire_through", public=True, cache=cache)
    assert (first.cached, again.cached) == (False, True)
    assert first.folder == again.folder
    assert (first.folder / "wire_through").exists()
    assert (first.folder / "build.log").exists()
    wider = build(WIRE, "wire_through", parameters={"W": 8}, public=True, cache=cache)
    assert not wider.cached
    assert wider.folder != first.folder
    # Nothing is left of the work.
    assert {path.name for path in cache.iterdir()} == {first.folder.name, wider.folder.name}


def test_bad_source(tmp_path):
    with pytest.raises(SimulationError, match=r"^Verilator cannot build 'm': %Error: .*m\.sv:1:"):
        build({"m.sv": "module m; assign = 1; endmodule\n"}, "m", cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SimulationError, match=(
            r"^Compiled simulations cannot be stored in '.*/file': .*; choose another folder$")):
        build(WIRE, "wire_through", cache=tmp_path / "file")


def test_missing_tool(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SimulationError, match=(
            "^Verilator needs 'make', which is not on PATH; on Debian or Ubuntu: "
            r"apt install g\+\+ make perl$")):
        check_tools()


def test_verilator_is_the_installed_package():
    assert verilator_command().endswith("site-packages/verilator/bin/verilator")
