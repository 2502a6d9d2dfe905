"""Requests to a board, repeated until they are answered."""

from arch.serial import (
    ANSWER_FIELDS,
    ANSWER_START,
    PROTOCOL_VERSION,
    STATUS_TEXTS,
    TRANSMISSION_ERRORS,
    Answer,
    Command,
    Status,
    decode_answer,
    encode_request,
    field_size,
)

from .errors import SerialError, TransmissionError
from .ports import Port


__all__ = (
    "REPETITIONS",
    "Requester",
)


REPETITIONS = 4
"""Times that a request is sent before it is given up."""

_LEAST = field_size(ANSWER_FIELDS)
_TAGS = 16


class Requester:
    """Sends requests over a port and takes their answers.

    Parameters
    ----------
    port : Port
        Where the board is.
    name : str
        Name of the port, for messages.
    timeout : float
        Seconds without a byte after which an answer is given up; longer than the silence that ends
        a frame for the board.

    Attributes
    ----------
    repeated : int
        Requests that had to be sent again so far.
    """

    def __init__(self, port: Port, name: str, *, timeout: float) -> None:
        self.name = name
        self.timeout = timeout
        self.repeated = 0
        self._port = port
        self._tag = 0

    def ask(
        self, command: Command, address: int, *, length: int | None = None, payload: bytes = b"",
        repetitions: int = REPETITIONS,
    ) -> bytes:
        """Send a request and return the bytes that it reads.

        Parameters
        ----------
        command : Command
            What to ask for.
        address : int
            First byte.
        length : int, optional
            Bytes to read.
        payload : bytes
            Bytes to write.
        repetitions : int
            Times that it is sent at most.

        Raises
        ------
        TransmissionError
            If no attempt got through.
        SerialError
            If the board refused.
        """
        troubles = []
        for attempt in range(repetitions):
            self.repeated += attempt > 0
            self._tag = (self._tag + 1) % _TAGS
            self._send(encode_request(
                command, address, length=length, payload=payload, tag=self._tag))
            try:
                answer = self._answer()
            except ValueError as error:
                troubles.append(str(error))
                self._drain()
                continue
            if answer.status not in TRANSMISSION_ERRORS:
                return self._checked(answer, command, address, length)
            troubles.append(f"the board says: {STATUS_TEXTS[Status(answer.status)]}")
            self._drain()
        times = f"{repetitions} times" if repetitions > 1 else "once"
        raise TransmissionError(
            f"{self.name}: {command.name} was sent {times} without success: {troubles[-1]}. Check "
            "the port, its speed (--baud) and that the board is configured")

    def _checked(
        self, answer: Answer, command: Command, address: int, length: int | None
    ) -> bytes:
        """Return the data of an answer, unless it says that something is wrong."""
        if answer.version != PROTOCOL_VERSION:
            raise SerialError(
                f"{self.name}: the board speaks version {answer.version} of the protocol, this "
                f"program version {PROTOCOL_VERSION}; build the board anew")
        if answer.status:
            known = answer.status in set(Status)
            text = STATUS_TEXTS[Status(answer.status)] if known else f"status {answer.status}"
            raise SerialError(
                f"{self.name}: {command.name} at address {address:#x} was refused: {text}")
        if len(answer.data) != (length or 0):
            raise SerialError(
                f"{self.name}: {command.name} must give {length or 0} bytes, "
                f"not {len(answer.data)}")
        return answer.data

    def _answer(self) -> Answer:
        """Take the answer that has the tag of the request; ``ValueError`` if none comes."""
        while True:
            answer = decode_answer(self._frame())
            # Where the board could not read the header, it does not know the tag.
            if answer.tag == self._tag or answer.status in TRANSMISSION_ERRORS:
                return answer

    def _frame(self) -> bytes:
        """Take a frame; ``ValueError`` if it does not end."""
        self._port.timeout = self.timeout
        frame = bytearray()
        missing = _LEAST
        while missing > 0:
            more = self._port.read(missing)
            if not more:
                what = f"an answer broke off after {len(frame)} bytes" if frame else "no answer"
                raise ValueError(f"{what} within {self.timeout:g} s")
            frame += more
            start = frame.find(ANSWER_START)
            del frame[:start if start >= 0 else len(frame)]
            length = int.from_bytes(frame[3:5], "little") if len(frame) >= _LEAST else 0
            missing = _LEAST + length - len(frame)
        return bytes(frame)

    def _send(self, frame: bytes) -> None:
        try:
            self._port.write(frame)
        except OSError as error:
            raise SerialError(f"{self.name}: cannot be written ({error})") from error

    def _drain(self) -> None:
        """Take what is still on its way, until the line is silent."""
        self._port.timeout = self.timeout
        while self._port.read(256):
            pass
