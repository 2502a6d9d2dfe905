"""Integers in memory layout: weight tiles, parameters and maps, packed to bytes and back.

The layouts are those of the accelerator; logical arrays are ``(k, c, r, s)`` and ``(c, h, w)``.

* A *weight tile* is ``out_lanes`` rows of ``in_lanes`` codes; byte ``in_lane + out_lane *
  in_lanes``. The tiles of a convolution follow each other by output block, then input block,
  then kernel line ``r``, then kernel column ``s`` (the last runs fastest); lanes past the last
  channel are zero. A grouped convolution is a dense one with zeros between the groups.
* A *parameter row* is 8 bytes for each output lane, little-endian: the bias in bits 39..0, two's
  complement, the right shift in byte 5, and in bytes 6 and 7 the upper bound of a result, a code
  whose sign is that of the lower bound.
* A *map* is HWC with the channels in blocks of ``lanes``: code ``(c, y, x)`` is at
  ``((y * w + x) * blocks + c // lanes) * lanes + c % lanes``; lanes past the last channel are zero.

A code is ``code_size`` bytes, little-endian, two's complement when signed. *Packed codes* of fewer
bits follow each other without gaps, the first in the lowest bits of the first byte. In *planes*
they come in chunks of a fixed number of codes, a bit of all codes of a chunk at a time, the highest
first. If their bits are odd, two chunks meet with their lowest bits: of every second chunk, that
one comes first.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arch.isa import PARAM_FIELDS


__all__ = (
    "BIAS_BITS",
    "pack_codes",
    "pack_map",
    "pack_params",
    "pack_planes",
    "pack_weight_tile",
    "pack_weights",
    "unpack_codes",
    "unpack_map",
    "unpack_params",
    "unpack_planes",
    "unpack_weight_tile",
    "unpack_weights",
    "weight_tiles",
)


BIAS_BITS, _SHIFT_BITS, _UPPER_BITS = (field.width for field in PARAM_FIELDS)
_PARAM_SIZE = (BIAS_BITS + _SHIFT_BITS + _UPPER_BITS) // 8


def _checked(codes: ArrayLike, lo: int, hi: int, what: str) -> NDArray[np.int64]:
    values = np.asarray(codes)
    if values.size and not lo <= values.min() <= values.max() <= hi:
        raise ValueError(
            f"{what} must be in {lo}..{hi}, not {values.min()}..{values.max()}")
    return values.astype(np.int64)


def _code_type(code_size: int, signed: bool) -> np.dtype[Any]:
    if code_size not in (1, 2):
        raise ValueError(f"code_size must be 1 or 2 bytes, not {code_size!r}")
    return np.dtype(f"<{'i' if signed else 'u'}{code_size}")


def _sized(data: bytes, size: int, what: str) -> bytes:
    if len(data) != size:
        raise ValueError(f"{what} must be {size} bytes, not {len(data)}")
    return data


def pack_weight_tile(codes: ArrayLike, *, code_size: int = 1) -> bytes:
    """Pack weight tiles.

    Parameters
    ----------
    codes : int, (..., out_lanes, in_lanes)
        Signed weight codes; leading axes are further tiles, in order.
    code_size : int
        Bytes of a code, 1 or 2.

    Returns
    -------
    bytes
        The tiles, one after the other.

    Examples
    --------
    >>> pack_weight_tile([[1, 2], [-1, 3]]).hex(" ")
    '01 02 ff 03'
    """
    kind = _code_type(code_size, signed=True)
    info = np.iinfo(kind)
    return _checked(codes, info.min, info.max, "Weight codes").astype(kind).tobytes()


def unpack_weight_tile(
    data: bytes, out_lanes: int, in_lanes: int, *, code_size: int = 1
) -> NDArray[np.int64]:
    """Return the (tiles, out_lanes, in_lanes) codes of packed tiles."""
    tile_size = out_lanes * in_lanes * code_size
    if len(data) % tile_size:
        raise ValueError(
            f"Weight tiles must be a multiple of {tile_size} bytes, not {len(data)}")
    codes = np.frombuffer(data, _code_type(code_size, signed=True))
    return codes.reshape(-1, out_lanes, in_lanes).astype(np.int64)


def pack_codes(codes: ArrayLike, bits: int) -> bytes:
    """Pack signed codes of ``bits`` bits, without gaps.

    Parameters
    ----------
    codes : int, any shape
        Codes, in order.
    bits : int
        Width of a code, 1 to 16 bits.

    Returns
    -------
    bytes
        ``ceil(codes * bits / 8)``; the spare bits of the last byte are zero.

    Examples
    --------
    >>> pack_codes([1, -1, 3], 4).hex(" ")
    'f1 03'
    """
    half = 1 << (bits - 1)
    values = _checked(codes, -half, half - 1, f"Codes of {bits} bits").ravel()
    places = (values[:, None] >> np.arange(bits) & 1).astype(np.uint8)
    return np.packbits(places.ravel(), bitorder="little").tobytes()


def unpack_codes(data: bytes, count: int, bits: int) -> NDArray[np.int64]:
    """Return the ``count`` codes of packed ones; inverse of :func:`pack_codes`."""
    raw = np.frombuffer(_sized(data, -(-count * bits // 8), "Packed codes"), np.uint8)
    places = np.unpackbits(raw, bitorder="little")[:count * bits].reshape(count, bits)
    values = places @ (1 << np.arange(bits, dtype=np.int64))
    return np.asarray(values - (values >> (bits - 1) << bits))


def pack_planes(codes: ArrayLike, bits: int, chunk: int, *, pairs: bool = False) -> bytes:
    """Pack signed codes of ``bits`` bits in planes.

    Parameters
    ----------
    codes : int, any shape
        Codes, in order; the last chunk is filled up with zeros.
    bits : int
        Width of a code, 1 to 16 bits.
    chunk : int
        Codes, or pairs, whose bits lie together; a multiple of 8.
    pairs : bool
        The codes are pairs: each plane of the second codes is followed by that of the first ones.

    Returns
    -------
    bytes
        ``bits * chunk / 8`` for each chunk, twice that for pairs.

    Examples
    --------
    >>> pack_planes([1, -1, 3, 0, 0, 0, 0, -4], 3, 8).hex(" ")
    '82 06 07'
    """
    half = 1 << (bits - 1)
    values = _checked(codes, -half, half - 1, f"Codes of {bits} bits").ravel()
    values = np.pad(values, (0, -values.size % (chunk << pairs)))
    places = values.reshape(-1, chunk, 1 + pairs, 1) >> np.arange(bits) & 1
    planes = places.transpose(0, 3, 2, 1)[:, ::-1, ::-1].copy()
    if bits % 2 and not pairs:
        planes[1::2] = np.roll(planes[1::2], 1, axis=1)
    return np.packbits(planes.astype(np.uint8).ravel(), bitorder="little").tobytes()


def unpack_planes(
    data: bytes, count: int, bits: int, chunk: int, *, pairs: bool = False
) -> NDArray[np.int64]:
    """Return the first ``count`` codes of planes; inverse of :func:`pack_planes`."""
    size = bits * chunk << pairs
    raw = np.frombuffer(
        _sized(data, -(-count // (chunk << pairs)) * size // 8, "Planes of codes"), np.uint8)
    planes = np.unpackbits(raw, bitorder="little").reshape(-1, bits, 1 + pairs, chunk)
    if bits % 2 and not pairs:
        planes[1::2] = np.roll(planes[1::2], -1, axis=1)
    places = planes[:, ::-1, ::-1].transpose(0, 3, 2, 1).reshape(-1, bits)[:count]
    values = places @ (1 << np.arange(bits, dtype=np.int64))
    return np.asarray(values - (values >> (bits - 1) << bits))


def pack_params(bias: ArrayLike, shift: ArrayLike, upper: ArrayLike) -> bytes:
    """Pack parameter rows.

    Parameters
    ----------
    bias : int, (..., out_lanes)
        Biases; leading axes are further rows, in order.
    shift : int, broadcast against ``bias``
        Right shifts, in bits, 0 to 63.
    upper : int, broadcast against ``bias``
        Upper bounds of the results, as codes of at most 16 bits.

    Returns
    -------
    bytes
        8 for each output lane.

    Examples
    --------
    >>> pack_params([-2, 5], [7, 8], [255, -1]).hex(" ")
    'fe ff ff ff ff 07 ff 00 05 00 00 00 00 08 ff ff'
    """
    values = _checked(bias, -(1 << (BIAS_BITS - 1)), (1 << (BIAS_BITS - 1)) - 1, "Biases")
    shifts = _checked(np.broadcast_to(np.asarray(shift), values.shape), 0, 63, "Shifts")
    uppers = _checked(
        np.broadcast_to(np.asarray(upper), values.shape), -(1 << (_UPPER_BITS - 1)),
        (1 << _UPPER_BITS) - 1, "Upper bounds")
    words = values & ((1 << BIAS_BITS) - 1) | shifts << BIAS_BITS
    return (words | uppers << (BIAS_BITS + _SHIFT_BITS)).astype("<i8").tobytes()


def unpack_params(
    data: bytes, out_lanes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return bias, shift and upper bound, each (rows, out_lanes), of packed parameter rows.

    Upper bounds come without a sign, 0 to 65535.
    """
    if len(data) % (out_lanes * _PARAM_SIZE):
        raise ValueError(
            f"Parameter rows must be a multiple of {out_lanes * _PARAM_SIZE} bytes, "
            f"not {len(data)}")
    words = np.frombuffer(data, "<i8").astype(np.int64).reshape(-1, out_lanes)
    spare = 64 - BIAS_BITS
    return (
        (words << spare) >> spare, words >> BIAS_BITS & ((1 << _SHIFT_BITS) - 1),
        words >> (BIAS_BITS + _SHIFT_BITS) & ((1 << _UPPER_BITS) - 1))


def pack_map(codes: ArrayLike, lanes: int, *, code_size: int = 1) -> bytes:
    """Pack a map.

    Parameters
    ----------
    codes : int, (c, h, w)
        Codes; negative ones make the map signed.
    lanes : int
        Channels of one block.
    code_size : int
        Bytes of a code, 1 or 2.

    Returns
    -------
    bytes
        ``h * w * ceil(c / lanes) * lanes`` codes.

    Examples
    --------
    >>> pack_map([[[1, 2]], [[3, 4]], [[5, -1]]], 2).hex(" ")
    '01 03 05 00 02 04 ff 00'
    """
    values = np.asarray(codes)
    signed = bool(values.size and values.min() < 0)
    kind = _code_type(code_size, signed)
    info = np.iinfo(kind)
    values = _checked(values, info.min, info.max, "Codes of a map")
    channels, height, width = values.shape
    rows = np.zeros((height, width, -(-channels // lanes) * lanes), kind)
    rows[:, :, :channels] = values.transpose(1, 2, 0)
    return rows.tobytes()


def unpack_map(
    data: bytes, shape: tuple[int, int, int], lanes: int, signed: bool, *, code_size: int = 1
) -> NDArray[np.int64]:
    """Return the (c, h, w) codes of a packed map; inverse of :func:`pack_map`."""
    channels, height, width = shape
    padded = -(-channels // lanes) * lanes
    _sized(data, height * width * padded * code_size, "Packed map")
    rows = np.frombuffer(data, _code_type(code_size, signed)).reshape(height, width, padded)
    return rows[:, :, :channels].transpose(2, 0, 1).astype(np.int64)


def _dense(codes: NDArray[np.int64], groups: int) -> NDArray[np.int64]:
    """Return grouped kernels as dense ones, zeros between the groups."""
    if groups == 1:
        return codes
    kernels, channels, height, width = codes.shape
    dense = np.zeros((groups, kernels // groups, groups, channels, height, width), np.int64)
    index = np.arange(groups)
    dense[index, :, index] = codes.reshape(groups, -1, channels, height, width)
    return dense.reshape(kernels, groups * channels, height, width)


def weight_tiles(
    codes: NDArray[np.int64], in_lanes: int, out_lanes: int, *, groups: int = 1
) -> NDArray[np.int64]:
    """Cut the kernels of a convolution into tiles, in memory order.

    Parameters
    ----------
    codes : int64, (k, c / groups, r, s)
        Weight codes.
    in_lanes, out_lanes : int
        Shape of a tile.
    groups : int
        Groups of the convolution.

    Returns
    -------
    int64, (output blocks, input blocks, r, s, out_lanes, in_lanes)
        Tiles; zeros past the last channel.
    """
    dense = _dense(np.asarray(codes, np.int64), groups)
    kernels, channels, height, width = dense.shape
    dense = np.pad(dense, ((0, -kernels % out_lanes), (0, -channels % in_lanes), (0, 0), (0, 0)))
    blocks = dense.reshape(-1, out_lanes, dense.shape[1] // in_lanes, in_lanes, height, width)
    return blocks.transpose(0, 2, 4, 5, 1, 3)


def pack_weights(
    codes: NDArray[np.int64], in_lanes: int, out_lanes: int, *, groups: int = 1,
    code_size: int = 1,
) -> bytes:
    """Pack all kernels of a convolution, tile after tile; see :func:`weight_tiles`."""
    return pack_weight_tile(
        weight_tiles(codes, in_lanes, out_lanes, groups=groups), code_size=code_size)


def unpack_weights(
    data: bytes, shape: tuple[int, int, int, int], in_lanes: int, out_lanes: int, *,
    groups: int = 1, code_size: int = 1,
) -> NDArray[np.int64]:
    """Return the (k, c / groups, r, s) codes of packed kernels; inverse of :func:`pack_weights`."""
    kernels, per_group, height, width = shape
    channels = per_group * groups
    blocks = (-(-kernels // out_lanes), -(-channels // in_lanes), height, width)
    tiles = unpack_weight_tile(
        _sized(data, int(np.prod(blocks)) * out_lanes * in_lanes * code_size, "Packed weights"),
        out_lanes, in_lanes, code_size=code_size,
    ).reshape(*blocks, out_lanes, in_lanes)
    dense = tiles.transpose(0, 4, 1, 5, 2, 3).reshape(
        blocks[0] * out_lanes, blocks[1] * in_lanes, height, width)[:kernels, :channels]
    if groups == 1:
        return dense
    index = np.arange(groups)
    split = dense.reshape(groups, kernels // groups, groups, per_group, height, width)
    return split[index, :, index].reshape(shape)
