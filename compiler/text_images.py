"""Memory images as text: words for ``$readmemh``, Intel HEX, and files of FPGA tools."""

import numpy as np
from numpy.typing import NDArray


__all__ = (
    "coe",
    "intel_hex",
    "mif",
    "readmemh",
)


_DIGITS = np.frombuffer(
    "".join(f"{byte:02x}" for byte in range(256)).encode(), np.uint8).reshape(256, 2)
_UPPER = np.frombuffer(
    "".join(f"{byte:02X}" for byte in range(256)).encode(), np.uint8).reshape(256, 2)
_RECORD = 32
_SEGMENT = 1 << 16


def _words(data: bytes, word_size: int, ends: str) -> NDArray[np.uint8]:
    """Return a line a word, hexadecimal, first byte least significant, with an end of its own."""
    words = np.frombuffer(data, np.uint8).reshape(-1, word_size)[:, ::-1]
    lines = np.empty((len(words), 2 * word_size + len(ends)), np.uint8)
    lines[:, :2 * word_size] = _DIGITS[words].reshape(len(words), 2 * word_size)
    lines[:, 2 * word_size:] = np.frombuffer(ends.encode(), np.uint8)
    return lines


def readmemh(data: bytes, word_size: int) -> bytes:
    r"""Return an image as text for ``$readmemh``: a word a line, first byte least significant.

    Parameters
    ----------
    data : bytes
        Image; a multiple of ``word_size`` bytes.
    word_size : int
        Bytes of a word.

    Examples
    --------
    >>> readmemh(bytes([1, 2, 3, 4]), 2)
    b'0201\n0403\n'
    """
    return _words(data, word_size, "\n").tobytes()


def coe(data: bytes, word_size: int) -> bytes:
    r"""Return an image as a coefficient file, for memories of Vivado's IP catalog.

    Parameters
    ----------
    data : bytes
        Image; a multiple of ``word_size`` bytes, at least one word.
    word_size : int
        Bytes of a word; the first byte is the least significant.

    Examples
    --------
    >>> print(coe(bytes([1, 2, 3, 4]), 2).decode(), end="")
    memory_initialization_radix=16;
    memory_initialization_vector=
    0201,
    0403;

    Source: Xilinx, Block Memory Generator Product Guide, PG058, "COE File".
    """
    lines = _words(data, word_size, ",\n")
    lines[-1, -2] = ord(";")
    head = b"memory_initialization_radix=16;\nmemory_initialization_vector=\n"
    return head + lines.tobytes()


def mif(data: bytes, word_size: int) -> bytes:
    r"""Return an image as a memory initialization file, for memories of Quartus.

    Parameters
    ----------
    data : bytes
        Image; a multiple of ``word_size`` bytes, at least one word.
    word_size : int
        Bytes of a word; the first byte is the least significant.

    Examples
    --------
    >>> print(mif(bytes([1, 2, 3, 4]), 2).decode(), end="")
    DEPTH = 2;
    WIDTH = 16;
    ADDRESS_RADIX = HEX;
    DATA_RADIX = HEX;
    CONTENT BEGIN
    00000000 : 0201;
    00000001 : 0403;
    END;

    Source: Intel Quartus Prime Help, "Memory Initialization File (.mif) Definition".
    """
    words = _words(data, word_size, ";\n")
    numbers = np.arange(len(words), dtype=">u4").view(np.uint8).reshape(-1, 4)
    addresses = _DIGITS[numbers].reshape(-1, 8)
    colons = np.broadcast_to(np.frombuffer(b" : ", np.uint8), (len(words), 3))
    head = (f"DEPTH = {len(words)};\nWIDTH = {8 * word_size};\nADDRESS_RADIX = HEX;\n"
            f"DATA_RADIX = HEX;\nCONTENT BEGIN\n")
    lines = np.concatenate([addresses, colons, words], axis=1)
    return head.encode() + lines.tobytes() + b"END;\n"


def _records(address: NDArray[np.int64], data: NDArray[np.uint8]) -> bytes:
    """Return data records of equal length, (n, length), as text."""
    count, length = data.shape
    body = np.zeros((count, length + 5), np.uint8)
    body[:, 0] = length
    body[:, 1] = address >> 8 & 0xFF
    body[:, 2] = address & 0xFF
    body[:, 4:-1] = data
    body[:, -1] = -body.sum(axis=1, dtype=np.int64) & 0xFF
    lines = np.full((count, 2 * length + 12), ord("\n"), np.uint8)
    lines[:, 0] = ord(":")
    lines[:, 1:-1] = _UPPER[body].reshape(count, 2 * length + 10)
    return lines.tobytes()


def _upper_address(segment: int) -> bytes:
    body = bytes([2, 0, 0, 4, segment >> 8, segment & 0xFF])
    return b":" + (body + bytes([-sum(body) & 0xFF])).hex().upper().encode() + b"\n"


def intel_hex(data: bytes) -> bytes:
    """Return an image as Intel HEX, from address 0.

    Parameters
    ----------
    data : bytes
        Image, at most 4 GB.

    Examples
    --------
    >>> print(intel_hex(bytes([1, 2])).decode(), end="")
    :020000040000FA
    :020000000102FB
    :00000001FF
    """
    parts = []
    for start in range(0, len(data), _SEGMENT):
        segment = np.frombuffer(data[start:start + _SEGMENT], np.uint8)
        parts.append(_upper_address(start // _SEGMENT))
        whole = len(segment) // _RECORD * _RECORD
        address = np.arange(0, whole, _RECORD)
        parts.append(_records(address, segment[:whole].reshape(-1, _RECORD)))
        if whole < len(segment):
            parts.append(_records(np.array([whole]), segment[None, whole:]))
    return b"".join([*parts, b":00000001FF\n"])
