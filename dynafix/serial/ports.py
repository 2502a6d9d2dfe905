"""Serial ports."""

from typing import Protocol

from .errors import SerialError


__all__ = (
    "Port",
    "open_port",
)


class Port(Protocol):
    """What a board needs of a serial port; an open ``serial.Serial`` of pyserial is one.

    Parameters
    ----------
    timeout : float or None
        Seconds that :meth:`read` waits.
    """

    timeout: float | None

    def read(self, size: int) -> bytes:
        """Return ``size`` bytes, or those that came until ``timeout``."""

    def write(self, data: bytes) -> int | None:
        """Send bytes."""

    def close(self) -> None:
        """Give the port back."""


def open_port(name: str, *, baud: int) -> Port:
    """Open a serial port of this computer.

    Parameters
    ----------
    name : str
        Device, such as ``/dev/ttyUSB0``, or a URL of pyserial, such as ``socket://host:port``.
    baud : int
        Bits in a second.

    Raises
    ------
    SerialError
        If it cannot be opened.
    """
    import serial
    from serial.tools import list_ports

    try:
        return serial.serial_for_url(name, baudrate=baud)
    except (serial.SerialException, ValueError) as error:
        others = [port.device for port in list_ports.comports()]
        known = f"ports here are {', '.join(others)}" if others else "no port is here"
        raise SerialError(f"{name}: cannot be opened at {baud} baud ({error}); {known}") from error
