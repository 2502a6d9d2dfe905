# amaranth: UnusedElaboratable=no

"""Primitives of every family against the generic ones, and what synthesis makes of them."""

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

from .primitive_pairs import Pairs


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
