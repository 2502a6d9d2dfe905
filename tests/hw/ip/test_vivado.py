"""The packaging script, run by Tcl with a stand-in for Vivado's commands."""

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from arch.config import preset
from arch.registers import REGISTERS
from hw.ip import package_script, wrapper_verilog


STUB = Path(__file__).with_name("vivado_stub.tcl")
INTERFACES = "s_axi m_axi aclk aresetn interrupt"

TKINTER = """
import sys, tkinter
tcl = tkinter.Tcl()
tcl.call("set", "argv", tuple(sys.argv[2:]))
try:
    tcl.call("source", sys.argv[1])
except tkinter.TclError as error:
    sys.exit(str(error))
"""


def interpreter():
    """Return the command of a Tcl interpreter: its own, or the one inside of Python."""
    if shutil.which("tclsh"):
        return ["tclsh"]
    if importlib.util.find_spec("_tkinter"):
        return [sys.executable, "-c", TKINTER]
    return None


pytestmark = pytest.mark.skipif(
    interpreter() is None, reason="needs Tcl (Debian, Ubuntu: apt install tcl)")


@pytest.fixture
def package(tmp_path):
    """Return a function that runs the script of a config and returns exit code, output, errors."""
    def run(config, *arguments, interfaces=INTERFACES):
        (tmp_path / "hdl").mkdir(exist_ok=True)
        (tmp_path / "hdl" / "dynafix_axi.v").write_text(wrapper_verilog(config))
        script = tmp_path / "package_ip.tcl"
        script.write_text(package_script(config, clock_mhz=142.5))
        done = subprocess.run(
            [*interpreter(), str(STUB), str(script), *arguments], capture_output=True, text=True,
            check=False, env={**os.environ, "STUB_INTERFACES": interfaces})
        return done.returncode, done.stdout, done.stderr
    return run


def test_core(package, tmp_path):
    config = preset("ecp5_85f")
    code, out, err = package(config, "xc7z045ffg900-2")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    top = tmp_path / "dynafix_axi"
    assert lines[0] == f"package_ip.tcl: dynafix:accelerator:dynafix_axi:1.0 is in {top}"
    calls = [line.removeprefix("call ") for line in lines if line.startswith("call ")]
    assert calls[0] == (
        f"create_project -force package_ip {tmp_path / 'vivado'} -part xc7z045ffg900-2")
    assert calls[1] == f"add_files -norecurse {tmp_path / 'hdl' / 'dynafix_axi.v'}"
    assert [call.split()[0] for call in calls[-5:]] == [
        "ipx::create_xgui_files", "ipx::update_checksums", "ipx::check_integrity",
        "ipx::save_core", "close_project"]
    for bus in ("s_axi", "m_axi"):
        assert f"ipx::associate_bus_interfaces -busif {bus} -clock aclk core/ip/core" in calls
    objects = {line.split()[1]: line for line in lines if line.startswith("object ")}
    core = "core/ip/core"
    assert (f"p:description {{ecp5_85f: 8 x 16 multipliers, 8-bit data, bus of 64 bits, config "
            f"hash {config.hash:#018x}}}") in objects[core]
    clock = objects[f"parameter/bus/{core}/aclk/FREQ_HZ"]
    assert "p:value 142500000 p:value_resolve_type user" in clock
    assert "p:range 4G p:width 32" in objects[f"space/{core}/m_axi"]
    assert not any("inferred" in name for name in objects)
    assert "p:slave_memory_map_ref s_axi" in objects[f"bus/{core}/s_axi"]


def test_every_register_and_field(package):
    code, out, _ = package(preset("tiny"))
    assert code == 0
    objects = {line.split()[1]: line for line in out.splitlines() if line.startswith("object ")}
    block = "block/map/core/ip/core/s_axi/registers"
    for entry in REGISTERS:
        line = objects[f"register/{block}/{entry.name}"]
        access = {"ro": "read-only", "rw": "read-write"}[entry.access]
        assert f"p:address_offset 0x{entry.offset:02X} p:size 32 p:access {access} " in line
        assert entry.meaning in line
        for field in entry.fields:
            line = objects[f"field/register/{block}/{entry.name}/{field.name}"]
            assert f"p:bit_offset {field.first} p:bit_width {field.width} " in line
    assert sum(name.startswith("register/") for name in objects) == len(REGISTERS)


def test_interface_that_is_not_found(package):
    code, _, err = package(preset("tiny"), interfaces="s_axi aclk aresetn interrupt")
    assert code == 1
    assert err.startswith("package_ip.tcl: the packager must find one interface m_axi, not 0\n")


def test_name_with_special_characters(package):
    """What a person calls a config is text, not Tcl."""
    name = 'mine {1} [exit 3] "$argv" \\'
    code, out, _ = package(replace(preset("tiny"), name=name))
    assert code == 0
    line = next(line for line in out.splitlines() if line.startswith("object core/ip/core"))
    assert "[exit 3]" in line.replace("\\", "")
