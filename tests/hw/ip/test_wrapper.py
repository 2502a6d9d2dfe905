"""The wrapper for systems on chip: its ports, and runs of what is inside through it."""

import re

import numpy as np
import pytest

from arch.config import PRESETS, preset
from hw.ip import WRAPPER_NAME, wrapper_verilog
from sim.lint import lint
from sim.simulate import simulate
from tests.sim.stand_in import StandInProgram, stand_in_verilog

from .adapter import packaged_verilog


# Source: ARM IHI 0022, table A2-2 to A2-6 and B1-1, signals that Vivado's interfaces require.
ADDRESS = ("addr", "len", "size", "burst", "lock", "cache", "prot", "qos", "valid", "ready", "id")
FULL = {
    *(f"{channel}{name}" for channel in ("aw", "ar") for name in ADDRESS),
    "wdata", "wstrb", "wlast", "wvalid", "wready", "bid", "bresp", "bvalid", "bready",
    "rid", "rdata", "rresp", "rlast", "rvalid", "rready"}
LITE = {
    *(f"{channel}{name}" for channel in ("aw", "ar")
      for name in ("addr", "prot", "valid", "ready")),
    "wdata", "wstrb", "wvalid", "wready", "bresp", "bvalid", "bready",
    "rdata", "rresp", "rvalid", "rready"}


def ports(text):
    """Return direction and bits of every port."""
    head = text[:text.index("\n);")]
    return {
        name: (direction, int(high or 0) + 1) for direction, high, name in
        re.findall(r"(input|output) +wire (?:\[(\d+):0\] )?(\w+)", head)}


@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
def test_ports(config):
    found = ports(wrapper_verilog(config))
    assert {name for name in found if "axi" not in name} == {"aclk", "aresetn", "interrupt"}
    for bus, signals in (("m_axi", FULL), ("s_axi", LITE)):
        assert {name.removeprefix(f"{bus}_") for name in found if bus in name} == signals
    assert found["m_axi_wdata"] == ("output", 8 * config.dram_width)
    assert found["m_axi_rdata"] == ("input", 8 * config.dram_width)
    assert found["s_axi_awaddr"] == ("input", 8)
    assert found["m_axi_awcache"] == ("output", 4)
    assert found["s_axi_arprot"] == ("input", 3)


def test_text():
    text = wrapper_verilog(preset("large"))
    assert text.splitlines()[0].endswith(f"config hash {preset('large').hash:#018x}")
    assert "DATA_WIDTH 256, ADDR_WIDTH 32, ID_WIDTH 1, HAS_BURST 1, MAX_BURST_LENGTH 128" in text
    assert '"ASSOCIATED_BUSIF s_axi:m_axi, ASSOCIATED_RESET aresetn"' in text
    assert "assign m_axi_awcache = M_AXI_CACHE;" in text
    assert "assign m_axi_arqos = 4'b0000;" in text


@pytest.mark.verilator
@pytest.mark.parametrize("name", ["tiny", "large16"])
def test_lint(name):
    """Every pin of the accelerator is connected, at its width."""
    config = preset(name)
    text = stand_in_verilog(config) + wrapper_verilog(config)
    assert [line for line in lint(text, WRAPPER_NAME) if "'trace__" not in line] == []


@pytest.mark.verilator
def test_runs_through_the_wrapper():
    """Reads, writes, registers and the interrupt of a stand-in pass the wrapper unchanged."""
    config = preset("tiny")
    program = StandInProgram(config)
    data = np.random.default_rng(5).bytes(program.input_size)
    run, = simulate(
        program, [data], verilog=packaged_verilog(config, stand_in_verilog(config))).images
    assert run.output == (np.frombuffer(data, np.uint8) + 1).astype(np.uint8).tobytes()
