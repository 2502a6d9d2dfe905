"""The link to a host: UART, frames of :mod:`arch.serial`, masters of the buses."""

from .axi_mux import AXI4Mux
from .host_link import HostLink
from .uart import UARTReceiver, UARTTransmitter


__all__ = (
    "AXI4Mux",
    "HostLink",
    "UARTReceiver",
    "UARTTransmitter",
)
