"""Primitives of every family against the generic ones, and what synthesis makes of them."""

from pathlib import Path

import pytest
from amaranth.back import verilog

import sim
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
