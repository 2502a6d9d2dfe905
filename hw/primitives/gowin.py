"""Gowin GW1N and GW2A: MULT9X9 and MULT18X18 with their registers, SDPX9B and SDPB.

Source: Gowin, Arora and LittleBee DSP User Guide, UG287, and BSRAM and SSRAM User Guide, UG285.
"""

from amaranth import *

from .blocks import MODES_18K, block_address, block_memory, initial_bytes
from .generic import Generic


__all__ = ("Gowin",)


class Gowin(Generic):
    """Primitives of GW1N and GW2A."""

    name = "gowin"

    def multiply(self, m, a, b, *, load_b, enable, platform):
        """Add a MULT9X9 or MULT18X18; wider factors are left to synthesis.

        They have one clock enable, so that the register of ``b`` is outside where it has another.
        """
        width = next((width for width in (9, 18) if max(len(a), len(b)) <= width), None)
        if width is None:
            return super().multiply(
                m, a, b, load_b=load_b, enable=enable, platform=platform)
        factor_a, factor_b = Signal(signed(width)), Signal(signed(width))
        product = Signal(signed(2 * width))
        m.d.comb += factor_a.eq(a)
        inside = all(isinstance(each, int) and each == 1 for each in (load_b, enable))
        if inside:
            m.d.comb += factor_b.eq(b)
        else:
            b_reg = Signal(b.shape())
            with m.If(load_b):
                m.d.sync += b_reg.eq(b)
            m.d.comb += factor_b.eq(b_reg)
        m.submodules += Instance(
            f"MULT{width}X{width}",
            p_AREG=C(1, 1), p_BREG=C(inside, 1), p_PIPE_REG=C(1, 1), p_OUT_REG=C(1, 1),
            p_ASIGN_REG=C(0, 1), p_BSIGN_REG=C(0, 1), p_SOA_REG=C(0, 1),
            p_MULT_RESET_MODE="SYNC",
            i_CLK=ClockSignal(), i_CE=enable, i_RESET=0, i_A=factor_a, i_B=factor_b,
            i_ASIGN=1, i_BSIGN=1, i_ASEL=0, i_BSEL=0, i_SIA=C(0, width), i_SIB=C(0, width),
            o_DOUT=product)
        return product[:len(a) + len(b)].as_signed()

    def row_memory(self, ports):
        """Return a memory made of SDPX9B and SDPB."""
        return block_memory(ports, MODES_18K, _add_block)


def _add_block(m, name, mode, *, w_en, w_row, w_data, r_en, r_row, o_en, init):
    """Add a block: words of bytes of 9 bits in a SDPX9B, narrower ones in a SDPB."""
    with_bytes = mode.width >= 9
    w_address = block_address(mode, w_row)
    if mode.width > mode.lane_width:
        # The lowest bits of the address are write enables.
        w_address, w_en = Cat(w_en, w_address[len(w_en):]), w_en.any()
    width = 36 if with_bytes else 32
    i, o = Signal(width), Signal(width)
    m.d.comb += i.eq(w_data)
    m.submodules[name] = Instance(
        "SDPX9B" if with_bytes else "SDPB",
        p_READ_MODE=C(1, 1), p_BIT_WIDTH_0=mode.width, p_BIT_WIDTH_1=mode.width,
        p_BLK_SEL_0=C(0, 3), p_BLK_SEL_1=C(0, 3), p_RESET_MODE="SYNC",
        **_initial(mode, init),
        i_CLKA=ClockSignal(), i_CEA=w_en, i_RESETA=0, i_ADA=w_address, i_DI=i,
        i_CLKB=ClockSignal(), i_CEB=r_en, i_OCE=o_en, i_RESETB=0,
        i_ADB=block_address(mode, r_row), o_DO=o, i_BLKSELA=C(0, 3), i_BLKSELB=C(0, 3))
    return o


def _initial(mode, words):
    """Return the parameters for initial contents, 32 bytes each, of 9 bits or of 8."""
    width = 9 if mode.width >= 9 else 8
    contents = initial_bytes(mode, words)
    values = [
        sum(byte << (place * width) for place, byte in enumerate(contents[first:first + 32]))
        for first in range(0, len(contents), 32)]
    return {
        f"p_INIT_RAM_{number:02X}": C(value, 32 * width)
        for number, value in enumerate(values) if value}
