"""Lattice ECP5: MULT18X18D with all its registers, DP16KD with its output register.

Source: Lattice, ECP5 and ECP5-5G sysDSP Usage Guide, FPGA-TN-02205, and Memory Usage Guide,
FPGA-TN-02204.
"""

from amaranth import *

from .blocks import MODES_18K, block_address, block_memory, initial_bytes
from .generic import Generic
from .pins import input_pins, output_pins


__all__ = ("Ecp5",)


_FACTOR = 18
_PORT = 18


class Ecp5(Generic):
    """Primitives of ECP5."""

    name = "ecp5"

    def multiply(self, m, a, b, *, load_b, enable, platform):
        """Add a MULT18X18D; wider factors are left to synthesis.

        Factors stand in its upper bits: constants below cost no wires, copies of a sign above do.
        """
        if max(len(a), len(b)) > _FACTOR:
            return super().multiply(
                m, a, b, load_b=load_b, enable=enable, platform=platform)
        factor_a, factor_b = Signal(signed(_FACTOR)), Signal(signed(_FACTOR))
        product = Signal(signed(2 * _FACTOR))
        m.d.comb += [
            factor_a.eq(a << (_FACTOR - len(a))), factor_b.eq(b << (_FACTOR - len(b)))]
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
        return product[-len(a) - len(b):].as_signed()

    def row_memory(self, ports):
        """Return a memory made of DP16KD."""
        return block_memory(ports, MODES_18K, _add_block)


def _add_block(m, name, mode, *, w_en, w_row, w_data, r_en, r_row, o_en, init):
    """Add a DP16KD that port A writes and port B reads; words of 36 bits take both for both."""
    w_address, r_address = block_address(mode, w_row), block_address(mode, r_row)
    if mode.width > mode.lane_width:
        # The lowest bits of the address are write enables.
        w_address, w_en = Cat(w_en, w_address[len(w_en):]), 1
    i, o = Signal(2 * _PORT), Signal(2 * _PORT)
    m.d.comb += i.eq(w_data)
    is_wide = mode.width > _PORT
    m.submodules[name] = Instance(
        "DP16KD",
        p_DATA_WIDTH_A=mode.width, p_DATA_WIDTH_B=mode.width,
        p_REGMODE_A="OUTREG" if is_wide else "NOREG", p_REGMODE_B="OUTREG",
        p_GSR="DISABLED", **_initial(mode, init),
        i_CLKA=ClockSignal(), i_CEA=1, i_WEA=w_en, i_RSTA=0, i_OCEA=o_en if is_wide else 0,
        i_CLKB=ClockSignal(), i_CEB=r_en, i_WEB=0, i_RSTB=0, i_OCEB=o_en,
        **input_pins("CSA", C(0, 3)), **input_pins("CSB", C(0, 3)),
        **input_pins("ADA", w_address), **input_pins("ADB", r_address),
        **input_pins("DIA", i[:_PORT]), **input_pins("DIB", i[_PORT:]),
        **output_pins("DOA", o[:_PORT]), **output_pins("DOB", o[_PORT:]))
    return o if is_wide else o[_PORT:]


def _initial(mode, words):
    """Return the parameters for initial contents: 32 bytes of 9 bits each, two in 20 bits."""
    contents = initial_bytes(mode, words)
    values = [
        sum(byte << (place // 2 * 20 + place % 2 * 9)
            for place, byte in enumerate(contents[first:first + 32]))
        for first in range(0, len(contents), 32)]
    return {
        f"p_INITVAL_{number:02X}": C(value, 320) for number, value in enumerate(values) if value}
