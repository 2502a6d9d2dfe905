"""What can go wrong on the way to a board and on it."""

from ..errors import UsageError


__all__ = (
    "RunError",
    "SerialError",
    "TransmissionError",
)


class SerialError(UsageError):
    """The board cannot be used, or refused a request; the message names the port."""


class TransmissionError(SerialError):
    """Requests or answers were lost or damaged, however often they were repeated."""


class RunError(SerialError):
    """The accelerator stopped with an error, or did not end."""
