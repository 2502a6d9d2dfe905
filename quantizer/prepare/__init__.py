"""What is done to a network before it is quantized; it computes the same afterwards."""

from .absorb import ShiftedReference, choose_shifts, less, shift_graph
from .channels import ChannelClasses
from .equalize import choose_exponents
from .scale import ScaledReference, multiplied, scale_graph
from .statistics import ChannelStatistics, channel_statistics
from .terms import Widths


__all__ = (
    "ChannelClasses",
    "ChannelStatistics",
    "ScaledReference",
    "ShiftedReference",
    "Widths",
    "channel_statistics",
    "choose_exponents",
    "choose_shifts",
    "less",
    "multiplied",
    "scale_graph",
    "shift_graph",
)
