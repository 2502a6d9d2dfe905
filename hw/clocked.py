"""Registers of generated Verilog, written with their conditions where they are clocked."""

import re
from collections import Counter


__all__ = ("clocked",)


_REGISTER = re.compile(
    r"^  always @\(posedge clk\)\n    (?P<register>\\\S+ |\w+) <= (?P<next>\\\$\d+ );\n",
    re.MULTILINE)
_NEXT = re.compile(
    r"^  always @\* begin\n    if \(\\\$auto\$\S+ \) begin end\n"
    r"(?P<body>    (?P<next>\\\$\d+ ) = .*\n(?:    .*\n)*)  end\n", re.MULTILINE)
_DECLARATION = re.compile(r"^  reg (?:\[\d+:0\] )?(?P<next>\\\$\d+ );\n", re.MULTILINE)
_USE = re.compile(r"\\\$\d+ ")
_ASSIGNMENT = re.compile(r"^( +)(\\\S+ |\w+)( \[\S+\]|\[\S+\] ?)? = ", re.MULTILINE)
_RESET = re.compile(r"    if \(rst\) begin\n(?P<reset>      .*\n)    end\n\Z")


def clocked(text: str) -> str:
    r"""Move what decides on the next value of each register to where the register takes it.

    Yosys writes a register of Amaranth as a variable for its next value, which a combinational
    block computes, and a clocked block that copies it::

        always @* begin                             always @(posedge clk)
          \$371 = b_reg;                              if (rst) begin
          if (load) begin                               b_reg <= 8'h00;
            \$371 = w;                                end else begin
          end                           becomes         if (load) begin
          if (rst) begin                                  b_reg <= w;
            \$371 = 8'h00;                              end
          end                                         end
        end
        always @(posedge clk)
          b_reg <= \$371;

    To a simulator the left side is work in every cycle, for all registers; the right side is none
    for those that hold. What is written in another way stays as it is.

    Parameters
    ----------
    text : str
        What ``amaranth.back.verilog.convert`` returns.
    """
    return "endmodule\n".join(_module(module) for module in text.split("endmodule\n"))


def _module(text: str) -> str:
    """Do so for the text of one module."""
    uses = Counter(_USE.findall(text))
    registers = {found["next"]: found["register"] for found in _REGISTER.finditer(text)}
    written = {}
    for block in _NEXT.finditer(text):
        name, body = block["next"], block["body"]
        own = {found[2] for found in _ASSIGNMENT.finditer(body)} == {name}
        # Besides, it is declared and copied.
        if own and name in registers and uses[name] == body.count(name) + 2:
            written[name] = _process(registers[name], name, body)
    for pattern, texts in ((_REGISTER, written), (_NEXT, {}), (_DECLARATION, {})):
        text = pattern.sub(
            lambda found, texts=texts:
                texts.get(found["next"], "") if found["next"] in written else found[0], text)
    return text


def _process(register: str, name: str, body: str) -> str:
    """Return the clocked block of a register from the body of the block for its next value."""
    first, _, rest = body.partition("\n")
    if first == f"    {name} = {register};":
        body = rest
    body = _ASSIGNMENT.sub(
        lambda found: f"{found[1]}{register}{found[3] or ''} <= ", body)
    reset = _RESET.search(body)
    if reset is None:
        return f"  always @(posedge clk) begin\n{body}  end\n"
    body = re.sub(r"^", "  ", body[:reset.start()], flags=re.MULTILINE).rstrip(" ")
    other = f"    end else begin\n{body}    end\n" if body else "    end\n"
    return f"  always @(posedge clk)\n    if (rst) begin\n{reset['reset']}{other}"
