"""Lattice ECP5: MULT18X18D with all its registers, DP16KD with its output register.

Source: Lattice, ECP5 and ECP5-5G sysDSP Usage Guide, FPGA-TN-02205, and Memory Usage Guide,
FPGA-TN-02204.
"""

from amaranth import *

from .blocks import Mode, block_memory
from .generic import Generic
from .pins import input_pins, output_pins


__all__ = ("Ecp5",)


_FACTOR = 18
_PORT = 18
_ADDRESS = 14


class Ecp5(Generic):
    """Primitives of ECP5."""

    name = "ecp5"

    modes = (
        Mode(36, 9, 512), Mode(18, 9, 1024), Mode(9, 9, 2048), Mode(4, 4, 4096), Mode(2, 2, 8192),
        Mode(1, 1, 16384))

    def multiply(self, m, a, b, *, load_b, enable):
        """Add a MULT18X18D; wider factors are left to synthesis."""
        if max(len(a), len(b)) > _FACTOR:
            return super().multiply(m, a, b, load_b=load_b, enable=enable)
        factor_a, factor_b = Signal(signed(_FACTOR)), Signal(signed(_FACTOR))
        product = Signal(signed(2 * _FACTOR))
        m.d.comb += [factor_a.eq(a), factor_b.eq(b)]
        m.submodules += Instance(
            "MULT18X18D",
            p_REG_INPUTA_CLK="CLK0", p_REG_INPUTA_CE="CE0",
            p_REG_INPUTB_CLK="CLK0", p_REG_INPUTB_CE="CE1",
            p_REG_PIPELINE_CLK="CLK0", p_REG_PIPELINE_CE="CE0",
            p_REG_OUTPUT_CLK="CLK0", p_REG_OUTPUT_CE="CE0",
            p_GSR="DISABLED",
            i_CLK0=ClockSignal(), i_CE0=enable, i_CE1=load_b, i_RST0=0,
            **input_pins("A", factor_a), **input_pins("B", factor_b),
            **input_pins("C", C(0, _FACTOR)),
            i_SIGNEDA=1, i_SIGNEDB=1, i_SOURCEA=0, i_SOURCEB=0,
            **output_pins("P", product))
        return product[:len(a) + len(b)].as_signed()

    def row_memory(self, ports):
        """Return a memory made of DP16KD."""
        return block_memory(ports, self.modes, _add_block)


def _add_block(m, name, mode, *, w_en, w_row, w_data, r_en, r_row, o_en):
    """Add a DP16KD that port A writes and port B reads; words of 36 bits take both for both."""
    lanes = mode.width // mode.lane_width
    skipped = _ADDRESS - (mode.depth - 1).bit_length()
    w_address, r_address = Signal(_ADDRESS), Signal(_ADDRESS)
    m.d.comb += [w_address[skipped:].eq(w_row), r_address[skipped:].eq(r_row)]
    if lanes > 1:
        # The lowest bits of the address are write enables.
        m.d.comb += w_address[:lanes].eq(w_en)
    i, o = Signal(2 * _PORT), Signal(2 * _PORT)
    m.d.comb += i.eq(w_data)
    is_wide = mode.width > _PORT
    m.submodules[name] = Instance(
        "DP16KD",
        p_DATA_WIDTH_A=mode.width, p_DATA_WIDTH_B=mode.width,
        p_REGMODE_A="OUTREG" if is_wide else "NOREG", p_REGMODE_B="OUTREG",
        p_GSR="DISABLED",
        i_CLKA=ClockSignal(), i_CEA=1, i_WEA=1 if lanes > 1 else w_en, i_RSTA=0,
        i_OCEA=o_en if is_wide else 0,
        i_CLKB=ClockSignal(), i_CEB=r_en, i_WEB=0, i_RSTB=0, i_OCEB=o_en,
        **input_pins("CSA", C(0, 3)), **input_pins("CSB", C(0, 3)),
        **input_pins("ADA", w_address), **input_pins("ADB", r_address),
        **input_pins("DIA", i[:_PORT]), **input_pins("DIB", i[_PORT:]),
        **output_pins("DOA", o[:_PORT]), **output_pins("DOB", o[_PORT:]))
    return o if is_wide else o[_PORT:]
