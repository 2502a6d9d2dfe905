"""Memory images as text: words for ``$readmemh``, and Intel HEX."""

import numpy as np
from numpy.typing import NDArray


__all__ = (
    "intel_hex",
    "readmemh",
)


_DIGITS = np.frombuffer(
    "".join(f"{byte:02x}" for byte in range(256)).encode(), np.uint8).reshape(256, 2)
_UPPER = np.frombuffer(
    "".join(f"{byte:02X}" for byte in range(256)).encode(), np.uint8).reshape(256, 2)
_RECORD = 32
_SEGMENT = 1 << 16


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
    words = np.frombuffer(data, np.uint8).reshape(-1, word_size)[:, ::-1]
    lines = np.full((len(words), 2 * word_size + 1), ord("\n"), np.uint8)
    lines[:, :-1] = _DIGITS[words].reshape(len(words), 2 * word_size)
    return lines.tobytes()


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
