import re

import pytest
from amaranth.back import verilog as backend

from hw.clocked import clocked
from hw.requantizer import Requantizer


HOLD = r"""
  reg [7:0] \$371 ;
  reg [7:0] \b_reg$5  = 8'h00;
  always @(posedge clk)
    \b_reg$5  <= \$371 ;
  always @* begin
    if (\$auto$verilog_backend.cc:2355:dump_module$5 ) begin end
    \$371  = \b_reg$5 ;
    if (load) begin
      \$371 [3:0] = w[7:4];
    end
    if (rst) begin
      \$371  = 8'h00;
    end
  end
endmodule
"""

HELD = r"""
  reg [7:0] \b_reg$5  = 8'h00;
  always @(posedge clk)
    if (rst) begin
      \b_reg$5  <= 8'h00;
    end else begin
      if (load) begin
        \b_reg$5 [3:0] <= w[7:4];
      end
    end
endmodule
"""


def test_condition_moves_to_the_register():
    assert clocked(HOLD) == HELD


def test_register_without_reset_or_hold():
    text = HOLD.replace("\\b_reg$5 ;\n    if", "w;\n    if").replace("if (rst)", "if (x)")
    assert clocked(text).endswith(r"""
  always @(posedge clk) begin
    \b_reg$5  <= w;
    if (load) begin
      \b_reg$5 [3:0] <= w[7:4];
    end
    if (x) begin
      \b_reg$5  <= 8'h00;
    end
  end
endmodule
""")


@pytest.mark.parametrize("text", [
    HOLD.replace("endmodule", "  assign o = \\$371 ;\nendmodule"),
    HOLD.replace("\\$371  = 8'h00", "\\other  = 8'h00"),
    HOLD.replace("\\b_reg$5  <= \\$371", "\\b_reg$5  <= \\$372"),
])
def test_next_values_that_others_see_stay(text):
    assert clocked(text) == text


def test_all_registers_of_a_component_are_moved():
    """Fails when Yosys writes registers in another way, which costs nothing but time."""
    text = backend.convert(
        Requantizer(lanes=2, acc_width=32, code_width=8), emit_src=False,
        strip_internal_attrs=True)

    def copied(verilog):
        blocks = set(re.findall(r"^ +(\\\$\d+ ) ?= ", verilog, re.MULTILINE))
        return blocks & set(re.findall(r"<= (\\\$\d+ );", verilog))

    assert len(copied(text)) > 20
    assert copied(clocked(text)) == set()
    assert clocked(clocked(text)) == clocked(text)
