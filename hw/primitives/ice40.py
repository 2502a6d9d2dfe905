"""Lattice iCE40 UltraPlus: SB_MAC16 with its registers, SB_SPRAM256KA.

Its block RAM has no output register. It keeps what it gave last, so that a row memory has a
register for the request instead, which is narrower.

Source: Lattice, DSP Function Usage Guide for iCE40 Devices, FPGA-TN-02007, and iCE40 SPRAM Usage
Guide, FPGA-TN-02022.
"""

from weakref import WeakKeyDictionary

from amaranth import *
from amaranth.lib import data, memory

from .generic import NO_COLLISIONS, Generic, split_rows


__all__ = ("Ice40",)


_MULTIPLIERS = 8
"""SB_MAC16 of the UP5K."""

_FACTOR = 16
_SPRAM_WIDTH = 16
_SPRAM_DEPTH = 16384


class Ice40(Generic):
    """Primitives of iCE40 UltraPlus."""

    name = "ice40"

    def __init__(self):
        self._used = WeakKeyDictionary()  # multipliers by platform

    def multiply(self, m, a, b, *, load_b, enable, platform):
        """Add a SB_MAC16; wider factors, and more of them than there are, are left to synthesis.

        A second factor of one bit more goes in without its sign: where that is set, the adder
        behind the product takes the first factor off its upper half.
        """
        width = len(a) + len(b)
        with_sign = len(b) == _FACTOR + 1
        used = self._used.get(platform, 0)
        if (len(a) > _FACTOR or len(b) > _FACTOR + with_sign or width > 2 * _FACTOR
                or used == _MULTIPLIERS):
            return super().multiply(
                m, a, b, load_b=load_b, enable=enable, platform=platform)
        self._used[platform] = used + 1
        factor_a, factor_b = Signal(signed(_FACTOR)), Signal(signed(_FACTOR))
        product = Signal(2 * _FACTOR)
        m.d.comb += [factor_a.eq(a), factor_b.eq(b)]
        if with_sign:
            a_reg, sign_reg = Signal(signed(_FACTOR)), Signal()
            with m.If(enable):
                m.d.sync += a_reg.eq(a)
            with m.If(load_b):
                m.d.sync += sign_reg.eq(b[-1])
            # Upper half + C + 1.
            adder = {
                "p_C_REG": C(1, 1), "i_C": ~(a_reg & sign_reg.replicate(_FACTOR)),
                "p_TOPADDSUB_LOWERINPUT": C(2, 2), "p_TOPADDSUB_UPPERINPUT": C(1, 1),
                "p_TOPADDSUB_CARRYSELECT": C(1, 2), "p_TOPOUTPUT_SELECT": C(1, 2),
                "p_BOTADDSUB_LOWERINPUT": C(2, 2), "p_BOTADDSUB_UPPERINPUT": C(1, 1),
                "p_BOTOUTPUT_SELECT": C(1, 2), "p_PIPELINE_16x16_MULT_REG2": C(0, 1),
            }
        else:
            adder = {
                "i_C": C(0, _FACTOR), "p_TOPOUTPUT_SELECT": C(3, 2),
                "p_BOTOUTPUT_SELECT": C(3, 2), "p_PIPELINE_16x16_MULT_REG2": C(1, 1),
            }
        m.submodules += Instance(
            "SB_MAC16",
            p_A_REG=C(1, 1), p_B_REG=C(1, 1), p_A_SIGNED=C(1, 1), p_B_SIGNED=C(not with_sign, 1),
            p_TOP_8x8_MULT_REG=C(1, 1), p_BOT_8x8_MULT_REG=C(1, 1),
            p_PIPELINE_16x16_MULT_REG1=C(1, 1), **adder,
            i_CLK=ClockSignal(), i_CE=enable, i_A=factor_a, i_B=factor_b, i_D=C(0, _FACTOR),
            i_AHOLD=0, i_BHOLD=~Value.cast(load_b)[0], i_CHOLD=0, i_DHOLD=0,
            i_IRSTTOP=0, i_IRSTBOT=0, i_ORSTTOP=0, i_ORSTBOT=0, i_OLOADTOP=0, i_OLOADBOT=0,
            i_OHOLDTOP=0, i_OHOLDBOT=0, i_ADDSUBTOP=0, i_ADDSUBBOT=0, i_CI=0, i_ACCUMCI=0,
            i_SIGNEXTIN=0, o_O=product)
        return product[:width].as_signed()

    def row_memory(self, ports):
        """Return the module of a :class:`hw.primitives.RowMemory`: block RAM by synthesis."""
        if ports.prompt:
            return super().row_memory(ports)
        m = Module()
        m.submodules.array = array = memory.Memory(
            shape=data.ArrayLayout(ports.column_width, ports.columns), depth=ports.depth,
            init=split_rows(ports), attrs=NO_COLLISIONS)
        write = array.write_port(granularity=1)
        read = array.read_port()
        asked, row = Signal(), Signal.like(ports.r_row)
        with m.If(~ports.r_hold):
            m.d.sync += [asked.eq(ports.r_en), row.eq(ports.r_row)]
        m.d.comb += [
            write.en.eq(ports.w_en),
            write.addr.eq(ports.w_row),
            write.data.eq(ports.w_data),
            read.en.eq(asked & ~ports.r_hold),
            read.addr.eq(row),
            ports.r_data.eq(read.data),
        ]
        return m

    def bulk_memory(self, ports):
        """Return a memory made of SB_SPRAM256KA.

        Raises
        ------
        ValueError
            If it is to have initial contents.
        """
        if any(ports.init):
            raise ValueError(
                "Memory of iCE40 cannot have initial contents: SPRAM starts with anything; load "
                "it after the start")
        m = Module()
        low = (_SPRAM_DEPTH - 1).bit_length()
        segment = ports.row[low:]
        segments = -(-ports.depth // _SPRAM_DEPTH)
        writes = ports.w_en.any()
        words = []
        for number in range(segments):
            chosen = ports.en & (segment == number) if segments > 1 else ports.en
            word = Signal(ports.width)
            for start in range(0, ports.width, _SPRAM_WIDTH):
                data = Signal(_SPRAM_WIDTH)
                m.d.comb += word[start:start + _SPRAM_WIDTH].eq(data)
                mask = Cat(*(bit.replicate(2) for bit in ports.w_en[start // 8:start // 8 + 2]))
                m.submodules[f"spram_{number}_{start}"] = Instance(
                    "SB_SPRAM256KA",
                    i_CLOCK=ClockSignal(), i_CHIPSELECT=chosen, i_WREN=writes,
                    i_ADDRESS=Cat(ports.row[:low], C(0, low))[:low], i_MASKWREN=mask,
                    i_DATAIN=ports.w_data[start:start + _SPRAM_WIDTH],
                    i_STANDBY=0, i_SLEEP=0, i_POWEROFF=1, o_DATAOUT=data)
            words.append(word)
        answer = words[0]
        answered = Signal()
        with m.If(~ports.hold):
            m.d.sync += answered.eq(ports.en & ~writes)
        if segments > 1:
            answering = Signal.like(segment)
            with m.If(~ports.hold):
                m.d.sync += answering.eq(segment)
            answer = Array(words)[answering]
        # A write leaves anything at the output: what waits there is kept.
        waiting, kept = Signal(), Signal(ports.width)
        m.d.sync += waiting.eq(ports.hold & answered)
        with m.If(~waiting):
            m.d.sync += kept.eq(answer)
        with m.If(~ports.hold & answered):
            m.d.sync += ports.r_data.eq(Mux(waiting, kept, answer))
        return m
