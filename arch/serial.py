"""The serial protocol between a host and a board: frames, commands, answers, checksum.

The host asks, the board answers; one request at a time. A request is a header with a checksum of
its own, so that address and length can be trusted before anything is done, and for commands that
write a payload with another checksum. An answer ends with its status, so that a bus error in the
middle of the data can be told. Numbers are little-endian but checksums, which come most
significant byte first: over data and its checksum, the checksum is then 0.
"""

import binascii
import enum
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


__all__ = (
    "ANSWER_FIELDS",
    "ANSWER_START",
    "Answer",
    "BLOCK_SIZE",
    "CHECKSUM_INIT",
    "CHECKSUM_SIZE",
    "COMMAND_BITS",
    "COMMAND_TEXTS",
    "Command",
    "FrameField",
    "INFO_FIELDS",
    "INFO_SIZE",
    "PAGE_SIZE",
    "PROTOCOL_VERSION",
    "REGISTER_SIZE",
    "REQUEST_FIELDS",
    "REQUEST_START",
    "STATUS_TEXTS",
    "Status",
    "TRANSMISSION_ERRORS",
    "checksum",
    "decode_answer",
    "decode_info",
    "encode_answer",
    "encode_info",
    "encode_request",
    "field_size",
)


PROTOCOL_VERSION = 1
"""Second byte of every frame; a board refuses requests of another version."""

REQUEST_START = 0x3C
ANSWER_START = 0xC3

BLOCK_SIZE = 2048
"""Bytes that a host should read or write at once: what a damaged frame costs is small still."""

PAGE_SIZE = 4096
"""Bytes; a block is shorter, and lies between two multiples of this."""

REGISTER_SIZE = 4

CHECKSUM_INIT = 0xFFFF
CHECKSUM_SIZE = 2

COMMAND_BITS = 4
"""Lower bits of a command byte; the upper ones are a tag, which the answer repeats."""


class Command(enum.IntEnum):
    """What a request asks for; bit 0 says that a payload follows."""

    READ_REGISTERS = 2
    WRITE_REGISTER = 3
    READ_MEMORY = 4
    WRITE_MEMORY = 5
    INFO = 6

    @property
    def writes(self) -> bool:
        """Whether a payload follows the header."""
        return bool(self & 1)


COMMAND_TEXTS = {
    Command.INFO: "read what the board is; `address` 0, `length` 16",
    Command.READ_REGISTERS: "read registers of the accelerator; `address` is that of the first, "
                            "`length` a multiple of 4",
    Command.WRITE_REGISTER: "write one register, after its checksum was found right; `length` 4",
    Command.READ_MEMORY: "read memory; `address` and `length` are multiples of a beat, the block "
                         "lies in one page of 4096 bytes",
    Command.WRITE_MEMORY: "write memory, beat by beat as the bytes arrive; rules as for reading",
}


class Status(enum.IntEnum):
    """How a request ended."""

    DONE = 0
    HEADER = 1
    PAYLOAD = 2
    INCOMPLETE = 3
    LINE = 4
    VERSION = 5
    COMMAND = 6
    LENGTH = 7
    ADDRESS = 8
    BUS = 9
    BUS_TIMEOUT = 10


STATUS_TEXTS = {
    Status.DONE: "done",
    Status.HEADER: "the checksum of the header is wrong; nothing was done",
    Status.PAYLOAD: "the checksum of the payload is wrong; no register was written, a block of "
                    "memory has to be written again",
    Status.INCOMPLETE: "the line was silent inside a frame",
    Status.LINE: "a byte came without its stop bit, or before the bus had taken those before it",
    Status.VERSION: "the frame has another version of the protocol",
    Status.COMMAND: "there is no such command",
    Status.LENGTH: "the length breaks the rule of the command",
    Status.ADDRESS: "the address is no multiple of a beat, or the block leaves its page or the "
                    "registers",
    Status.BUS: "memory or registers answered with an error, as for an address at which there is "
                "nothing",
    Status.BUS_TIMEOUT: "memory or registers did not answer; the board must be reset",
}

TRANSMISSION_ERRORS = frozenset((Status.HEADER, Status.PAYLOAD, Status.INCOMPLETE, Status.LINE))
"""What a repetition mends."""


@dataclass(frozen=True)
class FrameField:
    """One field of a frame.

    Parameters
    ----------
    name : str
        Name.
    size : int
        Bytes; 0 for as many as ``length`` says.
    text : str
        Meaning, for the manual.
    """

    name: str
    size: int
    text: str


REQUEST_FIELDS = (
    FrameField("start", 1, f"0x{REQUEST_START:02X}"),
    FrameField("version", 1, f"version of the protocol, {PROTOCOL_VERSION}"),
    FrameField("command", 1, "bits 3..0: command; bits 7..4: tag, any number"),
    FrameField("length", 2, f"bytes to read or write, fewer than {PAGE_SIZE}"),
    FrameField("address", 4, "first byte"),
    FrameField("checksum", 2, "of the fields before it but `start`"),
    FrameField("payload", 0, "for commands that write"),
    FrameField("checksum", 2, "of the payload, for commands that write"),
)

ANSWER_FIELDS = (
    FrameField("start", 1, f"0x{ANSWER_START:02X}"),
    FrameField("version", 1, f"version of the protocol, {PROTOCOL_VERSION}"),
    FrameField("command", 1, "as in the request"),
    FrameField("length", 2, "bytes read; 0 if the request was refused"),
    FrameField("payload", 0, "the bytes read"),
    FrameField("status", 1, "how it ended; the bytes read count if it is 0"),
    FrameField("checksum", 2, "of all fields before it but `start`"),
)

INFO_FIELDS = (
    FrameField("version", 1, f"version of the protocol, {PROTOCOL_VERSION}"),
    FrameField("beat", 1, "bytes of a beat of memory"),
    FrameField("block", 2, "bytes that a host should read or write at once"),
    FrameField("memory", 4, "bytes of memory, from address 0"),
    FrameField("clock", 4, "clock of the accelerator, in Hz; 0 if unknown"),
    FrameField("timeout", 4, "cycles of silence that end a frame"),
)
"""Answer to :attr:`Command.INFO`."""

_HEADER = struct.Struct("<BBHI")
_ANSWER = struct.Struct("<BBBH")
_INFO = struct.Struct("<BBHIII")
INFO_SIZE = _INFO.size


def field_size(fields: Iterable[FrameField]) -> int:
    """Return the bytes of the fields that always have the same size."""
    return sum(field.size for field in fields)


def checksum(data: bytes, value: int = CHECKSUM_INIT) -> int:
    """Return the checksum of some bytes, most significant bit first.

    Source: Greg Cook, Catalogue of parametrised CRC algorithms, CRC-16/IBM-3740.

    Parameters
    ----------
    data : bytes
        Bytes.
    value : int
        Checksum of what came before.

    Examples
    --------
    >>> hex(checksum(b"123456789"))
    '0x29b1'
    >>> checksum(b"123456789" + bytes([0x29, 0xB1]))
    0
    """
    return binascii.crc_hqx(data, value)


def _sealed(data: bytes) -> bytes:
    return data + checksum(data).to_bytes(CHECKSUM_SIZE, "big")


def encode_request(
    command: int, address: int, *, length: int | None = None, payload: bytes = b"", tag: int = 0,
    version: int = PROTOCOL_VERSION,
) -> bytes:
    """Return the frame of a request.

    Parameters
    ----------
    command : int
        One of :class:`Command`.
    address : int
        First byte, of 32 bits.
    length : int, optional
        Bytes to read; those of ``payload`` if not given.
    payload : bytes
        Bytes to write.
    tag : int
        Number in 0..15 that the answer repeats.
    version : int
        Version of the protocol.

    Examples
    --------
    >>> encode_request(Command.READ_REGISTERS, 0x14, length=4, tag=7).hex(" ")
    '3c 01 72 04 00 14 00 00 00 45 98'
    """
    if not 0 <= tag < 1 << 8 - COMMAND_BITS:
        raise ValueError(f"Tag must be in 0..{(1 << 8 - COMMAND_BITS) - 1}, not {tag!r}")
    count = len(payload) if length is None else length
    header = _sealed(_HEADER.pack(version, command | tag << COMMAND_BITS, count, address))
    return bytes([REQUEST_START]) + header + (_sealed(payload) if payload else b"")


@dataclass(frozen=True)
class Answer:
    """A frame of the board.

    Parameters
    ----------
    version : int
        Version of the protocol.
    command, tag : int
        As in the request.
    data : bytes
        Bytes read.
    status : int
        One of :class:`Status`.
    """

    version: int
    command: int
    tag: int
    data: bytes
    status: int


def encode_answer(answer: Answer) -> bytes:
    """Return the frame of an answer."""
    head = _ANSWER.pack(ANSWER_START, answer.version,
                        answer.command | answer.tag << COMMAND_BITS, len(answer.data))
    body = head[1:] + answer.data + bytes([answer.status])
    return head[:1] + _sealed(body)


def decode_answer(frame: bytes) -> Answer:
    """Inverse of :func:`encode_answer`.

    Raises
    ------
    ValueError
        If the frame has a wrong start, length or checksum.

    Examples
    --------
    >>> decode_answer(encode_answer(Answer(1, 4, 9, bytes(8), 0))).tag
    9
    """
    least = field_size(ANSWER_FIELDS)
    if len(frame) < least:
        raise ValueError(f"An answer must have at least {least} bytes, not {len(frame)}")
    start, version, command, length = _ANSWER.unpack_from(frame)
    if start != ANSWER_START:
        raise ValueError(f"An answer must begin with {ANSWER_START:#04x}, not {start:#04x}")
    if len(frame) != least + length:
        raise ValueError(
            f"An answer of {length} bytes must have {least + length} bytes, not {len(frame)}")
    if checksum(frame[1:]):
        raise ValueError(f"The checksum of an answer must be 0, not {checksum(frame[1:]):#06x}")
    data = frame[_ANSWER.size:_ANSWER.size + length]
    return Answer(version, command & (1 << COMMAND_BITS) - 1, command >> COMMAND_BITS, data,
                  frame[_ANSWER.size + length])


def encode_info(*, beat: int, memory: int, clock: int, timeout: int) -> bytes:
    """Return the answer to :attr:`Command.INFO`.

    Examples
    --------
    >>> decode_info(encode_info(beat=4, memory=131072, clock=12_000_000, timeout=65536))["beat"]
    4
    """
    return _INFO.pack(PROTOCOL_VERSION, beat, BLOCK_SIZE, memory, clock, timeout)


def decode_info(data: bytes) -> Mapping[str, int]:
    """Inverse of :func:`encode_info`: the fields by name."""
    return dict(zip((field.name for field in INFO_FIELDS), _INFO.unpack(data), strict=True))
