"""What is done to a network before it is quantized; it computes the same afterwards."""

from .channels import ChannelClasses
from .equalize import Widths, choose_exponents
from .scale import ScaledReference, multiplied, scale_graph
from .statistics import ChannelStatistics, channel_statistics


__all__ = (
    "ChannelClasses",
    "ChannelStatistics",
    "ScaledReference",
    "Widths",
    "channel_statistics",
    "choose_exponents",
    "multiplied",
    "scale_graph",
)
