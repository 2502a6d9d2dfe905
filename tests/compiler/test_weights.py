"""Weights: cut into units, their bytes, and the ring."""

from dataclasses import replace

import numpy as np
import pytest

from arch.config import CHUNK_BEATS, preset
from compiler import compile_model
from compiler.plan import plan_layers
from compiler.weights import Ring, WeightImage, cut_weights, group_units
from quantizer.layout import pack_weights, unpack_params, unpack_planes, weight_tiles

from .configs import CONFIGS, NANO
from .networks import NetworkBuilder


def conv_task(config, *, channels=10, kernels=20, kernel=(3, 2), groups=1, bits=8):
    b = NetworkBuilder(np.random.default_rng(6), (channels, 12, 12))
    b.conv("input", kernels, kernel, groups=groups, relu=None, per_channel=True,
           weight_bits=bits)
    (task,) = plan_layers(b.model(), config)
    return task


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize("kernel", [(1, 1), (3, 2), (5, 9)])
def test_units_cover_every_pass_in_order(config, kernel):
    task = conv_task(config, kernel=kernel)
    units = cut_weights(task, config)
    passes = []
    for unit in units:
        assert unit.rows == sum(piece.passes for piece in unit.pieces) <= config.weight_depth // 2
        row = 0
        for piece in unit.pieces:
            assert piece.offset == row
            row += piece.passes
            passes += [
                (piece.block, word, r, s) for word in range(*piece.words)
                for r in range(*piece.lines) for s in range(*piece.columns)]
    words = -(-10 // config.in_lanes)
    assert passes == [
        (block, word, r, s) for block in range(task.output.blocks) for word in range(words)
        for r in range(kernel[0]) for s in range(kernel[1])]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_image_is_what_the_layout_says(config):
    task = conv_task(config)
    image = WeightImage(config)
    assert image.add_params(task) == 0
    for unit in cut_weights(task, config):
        image.add_unit(task, unit)
    data = image.to_bytes()
    assert len(data) == image.size
    start = task.output.blocks * config.param_row_size
    bias, shift, upper = unpack_params(data[:start], config.out_lanes)
    np.testing.assert_array_equal(bias.ravel()[:20], task.bias)
    np.testing.assert_array_equal(shift.ravel()[:20], task.shift)
    np.testing.assert_array_equal(upper.ravel()[:20], task.upper)
    assert not bias.ravel()[20:].any()
    assert image_with_all_columns(config, task, data[start:]) == pack_weights(
        task.codes, config.in_lanes, config.out_lanes)


def image_with_all_columns(config, task, data):
    """Return the weights of a task with zeros for the columns that were left out."""
    whole = b""
    for unit in cut_weights(task, config):
        size = unit.size(config)
        rows = np.frombuffer(data[:size], np.uint8).reshape(unit.rows, -1)
        whole += np.pad(rows, ((0, 0), (0, config.weight_row_size - rows.shape[1]))).tobytes()
        data = data[size:]
    assert not data
    return whole


@pytest.mark.parametrize(("kernels", "bits", "columns"), [
    (18, 8, [0, 1]), (21, 8, [0, 3]), (22, 8, [0, 3]), (23, 8, [0]), (24, 8, [0]), (3, 8, [2]),
    (18, 5, [0])])
def test_idle_lanes_are_left_out_where_that_saves_enough(kernels, bits, columns):
    """A row of ``small`` has 4 columns of 2 output lanes; narrow weights fill all of them."""
    config = preset("small")
    task = conv_task(config, channels=64, kernels=kernels, kernel=(3, 3), bits=bits)
    units = cut_weights(task, config)
    found = [unit.columns for unit in units]
    assert [*dict.fromkeys(found)] == columns
    if columns[-1]:
        assert units[-1].blocks == range(task.output.blocks - 1, task.output.blocks)
        assert units[-1].size(config) == units[-1].rows * columns[-1] * 8


def test_narrow_weights_leave_out_whole_chunks():
    config = preset("ecp5_85f")  # rows of 16 columns, chunks of 4
    task = conv_task(config, channels=64, kernels=18, kernel=(3, 3), bits=4)
    unit = cut_weights(task, config)[-1]
    assert (unit.rows, unit.columns) == (72, 4)
    assert unit.size(config) == 72 * 4 * 8 // 2


def test_few_saved_bytes_are_worth_no_load():
    task = conv_task(preset("small"), channels=4, kernels=10, kernel=(3, 3))
    assert [unit.columns for unit in cut_weights(task, preset("small"))] == [0]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize("bits", range(2, 8))
def test_narrow_image(config, bits):
    task = conv_task(config, bits=bits)
    image = WeightImage(config)
    units = cut_weights(task, config)
    addresses = [image.add_unit(task, unit) for unit in units]
    data = image.to_bytes()
    assert len(data) == image.size
    tiles = []
    for unit, start, stop in zip(units, addresses, [*addresses[1:], image.size], strict=True):
        assert start % config.dram_width == 0
        kept = unit.columns * config.dram_width or config.multipliers
        count = unit.rows * kept
        chunk = CHUNK_BEATS * config.dram_width
        size = -(-count // chunk) * chunk * bits // 8
        assert size <= stop - start < size + config.dram_width
        assert not any(data[start + size:stop])
        rows = unpack_planes(data[start:start + size], count, bits, chunk).reshape(-1, kept)
        tiles.append(np.pad(rows, ((0, 0), (0, config.multipliers - kept))).ravel())
    np.testing.assert_array_equal(
        np.concatenate(tiles),
        weight_tiles(task.codes, config.in_lanes, config.out_lanes).ravel())


def test_narrow_units_have_more_rows():
    """A LOAD brings about as many bytes at any width."""
    config = preset("ecp5_85f")
    rows = [
        max(unit.rows for unit in cut_weights(
            replace(conv_task(config, channels=64, kernels=1024, bits=bits), index=1), config))
        for bits in (8, 4, 2)]
    assert rows == [144, 288, 480]


def test_first_units_of_the_first_layer_are_small():
    config = preset("ecp5_85f")
    task = conv_task(config, channels=16, kernels=1024, kernel=(1, 1))
    assert [unit.rows for unit in cut_weights(task, config)] == [4, 8, 16, 32, 64, 4]


def test_grouped_image_leaves_out_the_other_groups():
    config = preset("small")
    task = conv_task(config, channels=32, kernels=64, groups=32)
    units = cut_weights(task, config)
    assert sum(unit.rows for unit in units) == 8 * 1 * 6  # blocks, words of each, taps


def test_depthwise_tiles_hold_the_newest_code_first():
    config = preset("small")  # a window of 4 codes
    task = conv_task(config, channels=10, kernels=10, kernel=(2, 3), groups=10)
    image = WeightImage(config)
    (unit,) = cut_weights(task, config)
    image.add_unit(task, unit)
    tiles = np.frombuffer(image.to_bytes(), np.int8).reshape(2, 2, 8, 4)
    for k in range(10):
        expected = task.codes[k, 0, :, ::-1]
        np.testing.assert_array_equal(tiles[k // 8, :, k % 8, :3], expected)
    assert not tiles[:, :, :, 3].any()
    assert not tiles[1, :, 2:].any()


def test_sections_hold_whole_blocks():
    config = replace(NANO, weight_depth=32)
    task = conv_task(config, channels=8, kernels=20, kernel=(3, 3))
    units = cut_weights(task, config)
    for limit in (0, 16, 100):
        sections = group_units(units, limit)
        assert [unit for section in sections for unit in section] == units
        for section in sections:
            assert section[0].pieces[0].first
            assert section[-1].pieces[-1].last
    one_block = [unit for unit in units if unit.blocks.start == 0]
    assert len(one_block) > 1
    assert group_units(units, 0)[0] == one_block


def test_ring_forgets_what_it_overwrites():
    ring = Ring(10)
    assert ring.allocate("a", 4) == 0
    assert ring.allocate("b", 4) == 4
    assert ring.find("a") == 0
    assert ring.allocate("c", 4) == 0
    assert ring.find("a") is None
    assert ring.find("b") == 4
    assert ring.allocate("d", 3) == 4
    assert ring.find("b") is None


@pytest.mark.parametrize(("start", "sizes", "first"), [
    (3, [4, 4], 3),
    (7, [5, 5], 7),      # 7..11, then 0..4
    (7, [5, 5, 5], 11),  # 11..15, then 0..9
    (7, [9, 7], 7), (7, [9, 6, 1], 7), (7, [8, 8], 8),
    (0, [8, 8], 0), (5, [8, 8], 8), (9, [8, 8], 0),
])
def test_ring_goes_on_at_the_start(start, sizes, first):
    ring = Ring(16)
    if start:
        ring.allocate("before", start)
    ring.reserve_parts(sizes)
    assert ring.allocate(0, sizes[0]) == first
    for number, size in enumerate(sizes[1:], 1):
        ring.allocate(number, size)
    assert all(ring.find(number) is not None for number in range(len(sizes)))


def test_ring_keeps_reserved_rows_together():
    ring = Ring(10)
    ring.allocate("a", 4)
    ring.reserve(9)
    assert [ring.allocate(name, 3) for name in "bcd"] == [0, 3, 6]
    assert all(ring.find(name) is not None for name in "bcd")


def test_biases_of_32_bits_are_packed():
    b = NetworkBuilder(np.random.default_rng(6), (1, 1, 1))
    b.conv("input", 1, (1, 1), relu=None)
    model = b.model()
    model.weights["conv0"].bias[:] = -(1 << 30)
    program = compile_model(model, preset("tiny"))
    bias, _, _ = unpack_params(program.weight_image[:32], 4)
    assert bias.tolist() == [[-(1 << 30), 0, 0, 0]]
