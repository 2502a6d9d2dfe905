"""Parameters of output channels where only biases are needed all at once."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.isa import PARAM_FIELDS

from .primitives import RowMemory


__all__ = (
    "ParamMemory",
    "lane_params",
)


_START = {field.name: sum(other.width for other in PARAM_FIELDS[:place])
          for place, field in enumerate(PARAM_FIELDS)}


class ParamMemory(wiring.Component):
    """Biases by rows, shifts and upper bounds by parts of rows; bits that nobody reads left out.

    Block RAM is narrow: a row of all parameters side by side would take many blocks of which
    little is used. Reads answer :attr:`RowMemory.latency` cycles later, and hold.

    Parameters
    ----------
    config : AcceleratorConfig
        Sizes; with 8-bit data and beats of 4 or 8 bytes.

    Members
    -------
    w_en : In(columns)
        Beats of a row to write, 8 bytes a lane.
    w_row : In(range(config.param_depth))
        Row to write.
    w_data : In(config.dram_width * 8)
        Beat.
    r_row : In(range(config.param_depth))
        Row to read.
    bias_en : In(1)
        Read the biases of all lanes.
    bias : Out(ArrayLayout(signed(config.acc_bits), config.out_lanes))
        Those.
    scale_en : In(1)
        Read shifts and upper bounds of some lanes.
    part : In(range(config.requantizer_steps))
        Which: ``config.requantizer_lanes`` from ``part * config.requantizer_lanes`` on.
    shift : Out(ArrayLayout(5, config.requantizer_lanes))
        Shifts.
    upper : Out(ArrayLayout(config.data_bits, config.requantizer_lanes))
        Upper bounds.
    """

    def __init__(self, config):
        self._config = config
        lanes = config.requantizer_lanes
        super().__init__({
            "w_en": In(config.param_row_size // config.dram_width),
            "w_row": In(range(config.param_depth)),
            "w_data": In(config.dram_width * 8),
            "r_row": In(range(config.param_depth)),
            "bias_en": In(1),
            "bias": Out(data.ArrayLayout(signed(config.acc_bits), config.out_lanes)),
            "scale_en": In(1),
            "part": In(range(config.requantizer_steps)),
            "shift": Out(data.ArrayLayout(5, lanes)),
            "upper": Out(data.ArrayLayout(config.data_bits, lanes)),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        width = config.dram_width * 8
        columns = len(self.w_en) // config.out_lanes  # of a lane
        word = self.w_data.replicate(columns)         # of a lane, its beats all the same
        shift = word[_START["shift"]:][:5]
        upper = word[_START["upper"]:][:config.data_bits]

        m.submodules.biases = biases = RowMemory(
            columns=config.out_lanes, column_width=config.acc_bits, depth=config.param_depth)
        m.submodules.scales = scales = RowMemory(
            columns=config.requantizer_lanes, column_width=len(shift) + len(upper),
            depth=config.param_depth * config.requantizer_steps)
        part = Signal.like(self.part)
        m.d.comb += [
            biases.w_row.eq(self.w_row),
            biases.w_data.eq(word[:config.acc_bits].replicate(config.out_lanes)),
            biases.r_en.eq(self.bias_en),
            biases.r_row.eq(self.r_row),
            self.bias.eq(biases.r_data),
            scales.w_row.eq(Cat(part, self.w_row)),
            scales.w_data.eq(Cat(shift, upper).replicate(config.requantizer_lanes)),
            scales.r_en.eq(self.scale_en),
            scales.r_row.eq(Cat(self.part, self.r_row)),
        ]
        for lane in range(config.out_lanes):
            first = lane * columns
            m.d.comb += biases.w_en[lane].eq(self.w_en[first])
            with m.If(self.w_en[first + _START["shift"] // width]):
                m.d.comb += [
                    part.eq(lane // config.requantizer_lanes),
                    scales.w_en.eq(1 << lane % config.requantizer_lanes)]
        for place in range(config.requantizer_lanes):
            scale = scales.r_data.word_select(place, len(shift) + len(upper))
            m.d.comb += [
                self.shift[place].eq(scale[:len(shift)]),
                self.upper[place].eq(scale[len(shift):])]
        return m


def lane_params(memory, lane):
    """Return what the row just read of a memory with rows of all parameters has for a lane."""
    layout = data.StructLayout({
        field.name: signed(field.width) if field.signed else field.width
        for field in PARAM_FIELDS})
    return data.View(layout, memory.r_data.word_select(lane, layout.size))
