"""What is done to a network before it is quantized; it computes the same afterwards."""

from .absorb import ShiftedReference, choose_shifts, less, shift_graph
from .channels import ChannelClasses
from .equalize import choose_exponents
from .fit_input import TakingReference, choose_intake, fit_input
from .fit_output import choose_result, fit_output
from .scale import ScaledReference, multiplied, scale_graph
from .statistics import ChannelStatistics, channel_statistics
from .terms import Widths


__all__ = (
    "ChannelClasses",
    "ChannelStatistics",
    "ScaledReference",
    "ShiftedReference",
    "TakingReference",
    "Widths",
    "channel_statistics",
    "choose_exponents",
    "choose_intake",
    "choose_result",
    "choose_shifts",
    "fit_input",
    "fit_output",
    "less",
    "multiplied",
    "scale_graph",
    "shift_graph",
)
