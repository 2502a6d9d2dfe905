"""Xilinx 7 series: DSP48E1 with its registers, RAMB18E1 with output register.

Source: Xilinx, 7 Series DSP48E1 Slice User Guide, UG479, and 7 Series FPGAs Memory Resources User
Guide, UG473.
"""

from amaranth import *

from .blocks import MODES_18K, block_address, block_memory, initial_bytes
from .generic import Generic


__all__ = ("Xilinx7",)


_FACTOR_A = 25
_FACTOR_B = 18


class Xilinx7(Generic):
    """Primitives of Xilinx 7."""

    name = "xilinx7"

    def multiply(self, m, a, b, *, load_b, enable, platform):
        """Add a DSP48E1; wider factors are left to synthesis."""
        if len(a) > _FACTOR_A or len(b) > _FACTOR_B:
            return super().multiply(
                m, a, b, load_b=load_b, enable=enable, platform=platform)
        factor_a, factor_b = Signal(signed(30)), Signal(signed(_FACTOR_B))
        product = Signal(48)
        m.d.comb += [factor_a.eq(a), factor_b.eq(b)]
        m.submodules += Instance(
            "DSP48E1",
            p_AREG=1, p_ACASCREG=1, p_BREG=1, p_BCASCREG=1, p_MREG=1, p_PREG=1,
            p_CREG=0, p_DREG=0, p_ADREG=0, p_INMODEREG=0, p_OPMODEREG=0, p_ALUMODEREG=0,
            p_CARRYINREG=0, p_CARRYINSELREG=0, p_USE_MULT="MULTIPLY", p_USE_DPORT="FALSE",
            i_CLK=ClockSignal(), i_A=factor_a, i_B=factor_b, i_C=C(0, 48), i_D=C(0, 25),
            i_CEA1=0, i_CEA2=enable, i_CEB1=0, i_CEB2=load_b, i_CEM=enable, i_CEP=enable,
            # P = M, both of whose parts X and Y take; the multiplier has the second registers.
            i_OPMODE=C(0b0000101, 7), i_ALUMODE=C(0, 4), i_INMODE=C(0, 5), i_CARRYINSEL=C(0, 3),
            i_CARRYIN=0, o_P=product,
            **{f"i_CE{name}": 0 for name in (
                "AD", "ALUMODE", "C", "CARRYIN", "CTRL", "D", "INMODE")},
            **{f"i_RST{name}": 0 for name in (
                "A", "ALLCARRYIN", "ALUMODE", "B", "C", "CTRL", "D", "INMODE", "M", "P")})
        return product[:len(a) + len(b)].as_signed()

    def row_memory(self, ports):
        """Return a memory made of RAMB18E1."""
        return block_memory(ports, MODES_18K, _add_block)


def _add_block(m, name, mode, *, w_en, w_row, w_data, r_en, r_row, o_en, init):
    """Add a block that port B writes and port A reads; words of 36 bits take both for both."""
    is_wide = mode.width == 36
    lanes = mode.width // mode.lane_width
    # The ninth bit of each byte has pins of its own.
    i, parity = Signal(32), Signal(4)
    o, o_parity = Signal(32), Signal(4)
    word = o
    if mode.lane_width == 9:
        m.d.comb += [
            i.eq(Cat(*(w_data.word_select(lane, 9)[:8] for lane in range(lanes)))),
            parity.eq(Cat(*(w_data.word_select(lane, 9)[8:] for lane in range(lanes)))),
        ]
        word = Cat(*(Cat(o.word_select(lane, 8), o_parity[lane]) for lane in range(4)))
    else:
        m.d.comb += i.eq(w_data)
    lower, lower_parity = (i[:16], parity[:2]) if is_wide else (C(0, 16), C(0, 2))
    upper, upper_parity = (i[16:], parity[2:]) if is_wide else (i[:16], parity[:2])
    # Words of 18 bits have two write enables, narrower ones all alike.
    written = Signal()
    m.d.comb += written.eq(w_en.any())
    enables = w_en if lanes > 1 else w_en.replicate(2)
    m.submodules[name] = Instance(
        "RAMB18E1",
        p_RAM_MODE="SDP" if is_wide else "TDP", p_READ_WIDTH_A=mode.width, p_READ_WIDTH_B=0,
        p_WRITE_WIDTH_A=0, p_WRITE_WIDTH_B=mode.width, p_DOA_REG=1, p_DOB_REG=int(is_wide),
        p_WRITE_MODE_A="READ_FIRST", p_WRITE_MODE_B="READ_FIRST", p_SIM_DEVICE="7SERIES",
        **_initial(mode, init),
        i_CLKARDCLK=ClockSignal(), i_ENARDEN=r_en, i_REGCEAREGCE=o_en, i_WEA=C(0, 2),
        i_ADDRARDADDR=block_address(mode, r_row), i_DIADI=lower, i_DIPADIP=lower_parity,
        i_CLKBWRCLK=ClockSignal(), i_ENBWREN=written, i_REGCEB=0,
        i_WEBWE=Cat(enables, C(0, 4))[:4], i_ADDRBWRADDR=block_address(mode, w_row),
        i_DIBDI=upper, i_DIPBDIP=upper_parity,
        i_RSTRAMARSTRAM=0, i_RSTRAMB=0, i_RSTREGARSTREG=0, i_RSTREGB=0,
        o_DOADO=o[:16], o_DOBDO=o[16:], o_DOPADOP=o_parity[:2], o_DOPBDOP=o_parity[2:])
    return word


def _initial(mode, words):
    """Return the parameters for initial contents: 32 bytes each, and 256 ninth bits each."""
    contents = initial_bytes(mode, words)
    parameters = {}
    for name, values, width in (
            ("INIT", [byte & 255 for byte in contents], 8),
            ("INITP", [byte >> 8 for byte in contents], 1)):
        each = 256 // width
        for number, first in enumerate(range(0, len(values), each)):
            value = sum(
                bits << (place * width)
                for place, bits in enumerate(values[first:first + each]))
            if value:
                parameters[f"p_{name}_{number:02X}"] = C(value, 256)
    return parameters
