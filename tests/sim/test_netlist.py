"""Netlists with the models of their cells."""

import pytest

from sim.errors import SimulationError
from sim.netlist import netlist_verilog


_NETLIST = """
module top(input a, output y);
  wire \\odd.name (x ;
  MULT18X18D #(
    .GSR("DISABLED")
  ) \\calc.array.U$0 (
    .A0(a), .P0(y)
  );
  LUT4 lut (
    .A(a)
  );
endmodule
"""


_CELLS = """
`file_push "cells_sim.v"
(* abc9_lut=1 *)
module LUT4(input A, output Z);
  LUT2 inner (.A(A), .Z(Z));
  specify
    (A => Z) = 141;
  endspecify
endmodule
module LUT2 (input A, output Z);
endmodule
(* blackbox *)
module MULT18X18D(input A0);
endmodule
module LUT9(input A);
endmodule
"""


def test_models_of_cells_and_of_theirs():
    text = netlist_verilog(_NETLIST, cells=_CELLS)
    assert [text.count(f"module {name}") for name in ("LUT4", "LUT2", "MULT18X18D", "LUT9")] == [
        1, 1, 1, 0]
    assert "REG_PIPELINE_CLK" in text
    assert not any(word in text for word in ("specify", "abc9", "`file_push"))
    assert text.endswith(_NETLIST)


def test_packages_of_models_come_first():
    text = netlist_verilog("""
module top(input c, d, output q);
  TRELLIS_FF #(
    .GSR("ENABLED")
  ) _0_ (
    .CLK(c), .DI(d), .Q(q)
  );
endmodule
""")
    assert 0 <= text.index("package ecp5_global;") < text.index("module TRELLIS_FF")
    assert "module GSR" not in text


def test_pins_have_the_model_of_their_direction():
    text = netlist_verilog('''
module top(input a, output y);
  TRELLIS_IO #(
    .DIR("INPUT")
  ) _1_ (
    .B(a)
  );
  TRELLIS_IO #(
    .DIR("OUTPUT")
  ) _2_ (
    .B(y)
  );
endmodule
''')
    assert "module TRELLIS_INPUT (" in text
    assert "module TRELLIS_OUTPUT (" in text
    assert "  TRELLIS_OUTPUT _2_ (" in text
    assert "TRELLIS_IO" not in text.partition("module top")[2]


def test_cell_without_a_model():
    with pytest.raises(SimulationError, match="^No model of cell LUT4 is known$"):
        netlist_verilog(_NETLIST)
