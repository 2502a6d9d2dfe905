"""A board with an accelerator, over a serial line."""

from .board import DEFAULT_BAUD, Board, BoardInfo, BoardRun
from .errors import RunError, SerialError, TransmissionError
from .ports import Port, open_port


__all__ = (
    "DEFAULT_BAUD",
    "Board",
    "BoardInfo",
    "BoardRun",
    "Port",
    "RunError",
    "SerialError",
    "TransmissionError",
    "open_port",
)
