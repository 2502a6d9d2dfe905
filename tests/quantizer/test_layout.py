"""Memory layouts: known bytes, and exact inverses."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantizer.layout import (
    pack_codes,
    pack_map,
    pack_params,
    pack_planes,
    pack_weight_tile,
    pack_weights,
    unpack_codes,
    unpack_map,
    unpack_params,
    unpack_planes,
    unpack_weight_tile,
    unpack_weights,
    weight_tiles,
)


seeds = st.integers(0, 10_000)
lanes = st.sampled_from([1, 2, 4, 8])
sizes = st.sampled_from([1, 2])


def codes_of(rng, shape, code_size, signed=True):
    bits = 8 * code_size
    lo = -(1 << (bits - 1)) if signed else 0
    return rng.integers(lo, lo + (1 << bits), shape)


@given(seeds, lanes, lanes, sizes, st.integers(1, 3))
def test_tile_inverse(seed, in_lanes, out_lanes, code_size, count):
    codes = codes_of(np.random.default_rng(seed), (count, out_lanes, in_lanes), code_size)
    data = pack_weight_tile(codes, code_size=code_size)
    assert len(data) == codes.size * code_size
    back = unpack_weight_tile(data, out_lanes, in_lanes, code_size=code_size)
    np.testing.assert_array_equal(back, codes)


def test_tile_bytes():
    codes = np.arange(-4, 4).reshape(4, 2)
    data = pack_weight_tile(codes)
    for out_lane in range(4):
        for in_lane in range(2):
            assert data[in_lane + out_lane * 2] == codes[out_lane, in_lane] % 256


@given(seeds, st.integers(1, 16), st.integers(0, 70))
def test_codes_inverse(seed, bits, count):
    codes = np.random.default_rng(seed).integers(-(1 << (bits - 1)), 1 << (bits - 1), count)
    data = pack_codes(codes, bits)
    assert len(data) == -(-count * bits // 8)
    np.testing.assert_array_equal(unpack_codes(data, count, bits), codes)


@given(st.integers(1, 16), st.binary(min_size=1, max_size=40))
def test_packed_bytes_inverse(bits, data):
    count = len(data) * 8 // bits
    data = data[:-(-count * bits // 8)]
    whole = int.from_bytes(data, "little") & ((1 << count * bits) - 1)
    back = pack_codes(unpack_codes(whole.to_bytes(len(data), "little"), count, bits), bits)
    assert int.from_bytes(back, "little") == whole


def test_packed_codes_are_digits_of_one_number():
    codes = np.random.default_rng(0).integers(-16, 16, 37)
    number = sum(int(code) % 32 << 5 * place for place, code in enumerate(codes))
    assert pack_codes(codes, 5) == number.to_bytes(24, "little")


@given(seeds, st.integers(1, 8), st.integers(0, 70), st.booleans())
def test_planes_inverse(seed, bits, count, pairs):
    codes = np.random.default_rng(seed).integers(-(1 << (bits - 1)), 1 << (bits - 1), count)
    data = pack_planes(codes, bits, 16, pairs=pairs)
    assert len(data) == -(-count // (16 << pairs)) * (2 * bits << pairs)
    np.testing.assert_array_equal(unpack_planes(data, count, bits, 16, pairs=pairs), codes)


def test_planes_of_odd_codes_meet_with_their_lowest():
    rng = np.random.default_rng(0)
    codes = rng.integers(-4, 4, (2, 8))
    planes = [sum((int(code) >> place & 1) << lane for lane, code in enumerate(chunk))
              for chunk, places in zip(codes, ((2, 1, 0), (0, 2, 1)), strict=True)
              for place in places]
    assert list(pack_planes(codes, 3, 8)) == planes


def test_planes_of_pairs():
    rng = np.random.default_rng(1)
    codes = rng.integers(-2, 2, (8, 2))
    planes = [sum((int(code) >> place & 1) << lane for lane, code in enumerate(codes[:, which]))
              for place in (1, 0) for which in (1, 0)]
    assert list(pack_planes(codes, 2, 8, pairs=True)) == planes


@given(seeds, lanes, st.integers(1, 3))
def test_params_inverse(seed, out_lanes, rows):
    rng = np.random.default_rng(seed)
    bias = rng.integers(-(1 << 39), 1 << 39, (rows, out_lanes))
    shift = rng.integers(0, 64, (rows, out_lanes))
    upper = rng.integers(-(1 << 15), 1 << 16, (rows, out_lanes))
    data = pack_params(bias, shift, upper)
    assert len(data) == 8 * rows * out_lanes
    back = unpack_params(data, out_lanes)
    np.testing.assert_array_equal(back[0], bias)
    np.testing.assert_array_equal(back[1], shift)
    np.testing.assert_array_equal(back[2], upper & 0xFFFF)


@given(seeds, st.integers(1, 9), st.integers(1, 4), st.integers(1, 4), lanes, st.booleans(), sizes)
def test_map_inverse(seed, channels, height, width, lane_count, signed, code_size):
    shape = (channels, height, width)
    codes = codes_of(np.random.default_rng(seed), shape, code_size, signed)
    data = pack_map(codes, lane_count, code_size=code_size)
    back = unpack_map(data, shape, lane_count, signed, code_size=code_size)
    np.testing.assert_array_equal(back, codes)


def test_map_bytes():
    codes = np.arange(3 * 2 * 2).reshape(3, 2, 2) + 1
    data = pack_map(codes, 2)
    expected = np.zeros(2 * 2 * 2 * 2)
    for c, y, x in np.ndindex(3, 2, 2):
        expected[((y * 2 + x) * 2 + c // 2) * 2 + c % 2] = codes[c, y, x]
    assert list(data) == expected.tolist()


@given(seeds, st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.integers(1, 3), lanes,
       lanes, st.integers(1, 3), sizes)
def test_weights_inverse(seed, k, c, r, s, in_lanes, out_lanes, groups, code_size):
    shape = (k * groups, c, r, s)
    codes = codes_of(np.random.default_rng(seed), shape, code_size)
    data = pack_weights(codes, in_lanes, out_lanes, groups=groups, code_size=code_size)
    back = unpack_weights(data, shape, in_lanes, out_lanes, groups=groups, code_size=code_size)
    np.testing.assert_array_equal(back, codes)


def test_tile_order():
    codes = np.random.default_rng(0).integers(-128, 128, (5, 3, 2, 2))
    tiles = weight_tiles(codes, 2, 4)
    assert tiles.shape == (2, 2, 2, 2, 4, 2)
    for k, c, r, s in np.ndindex(codes.shape):
        assert tiles[k // 4, c // 2, r, s, k % 4, c % 2] == codes[k, c, r, s]
    assert tiles.sum() == codes.sum()


def test_grouped_tiles_are_dense_with_zeros():
    codes = np.random.default_rng(0).integers(1, 9, (6, 2, 1, 1))
    tiles = weight_tiles(codes, 1, 1, groups=3)
    for k, c in np.ndindex(6, 6):
        expected = codes[k, c % 2, 0, 0] if c // 2 == k // 2 else 0
        assert tiles[k, c, 0, 0, 0, 0] == expected


@pytest.mark.parametrize(("call", "message"), [
    (lambda: pack_weight_tile([[128]]), "Weight codes must be in -128..127, not 128..128"),
    (lambda: pack_codes([7, -9], 4), "Codes of 4 bits must be in -8..7, not -9..7"),
    (lambda: unpack_codes(b"123", 4, 4), "Packed codes must be 2 bytes, not 3"),
    (lambda: pack_params([1 << 39], [0], [0]),
     f"Biases must be in {-(1 << 39)}..{(1 << 39) - 1}, not {1 << 39}..{1 << 39}"),
    (lambda: pack_params([0], [64], [0]), "Shifts must be in 0..63, not 64..64"),
    (lambda: pack_map(np.full((1, 1, 1), 256), 4),
     "Codes of a map must be in 0..255, not 256..256"),
    (lambda: pack_map(np.array([[[-1, 128]]]), 4),
     "Codes of a map must be in -128..127, not -1..128"),
    (lambda: pack_map(np.zeros((1, 1, 1)), 4, code_size=3),
     "code_size must be 1 or 2 bytes, not 3"),
    (lambda: unpack_map(b"123", (1, 1, 1), 4, True), "Packed map must be 4 bytes, not 3"),
    (lambda: unpack_params(b"123", 1), "Parameter rows must be a multiple of 8 bytes, not 3"),
    (lambda: unpack_weight_tile(b"123", 2, 2),
     "Weight tiles must be a multiple of 4 bytes, not 3"),
    (lambda: unpack_weights(b"123", (1, 1, 1, 1), 2, 2), "Packed weights must be 4 bytes, not 3"),
])
def test_refuses(call, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call()
