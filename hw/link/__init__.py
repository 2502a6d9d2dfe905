"""The link to a host: UART, frames of :mod:`arch.serial`, masters of the buses."""

from .host_link import HostLink
from .uart import UARTReceiver, UARTTransmitter


__all__ = (
    "HostLink",
    "UARTReceiver",
    "UARTTransmitter",
)
