"""Concat and Slice: free where they can be, right where they cannot."""

import numpy as np
import pytest

from arch.config import preset
from arch.formats import Format
from arch.isa import Opcode
from compiler import CompileError, compile_model, load, save
from sim.functional import run_functional

from .check import assert_runs
from .configs import MIXED, NANO, NANO16, SINGLE, SMALL16, SQUARE
from .networks import NetworkBuilder, random_codes


every_config = pytest.mark.parametrize(
    "config", [NANO, SINGLE, preset("small"), preset("large")], ids=lambda config: config.name)
SAME = {"strides": (1, 1), "pads": (1, 1, 1, 1)}


def build(shape=(5, 6, 7), **options):
    return NetworkBuilder(np.random.default_rng(5), shape, **options)


def join(b, *parts):
    """Join maps of one format."""
    b.same_format(*parts)
    joined = b.concat(*parts)
    b.formats[joined] = b.formats[parts[0]]
    return joined


def moved(program):
    """Return the names of the Concats and Slices that have instructions."""
    busy = {item.layer for item in program.instructions}
    return [layer.name for layer in program.layers
            if layer.operator in ("Concat", "Slice") and layer.index in busy]


@every_config
def test_fire_modules_are_free(config):
    lanes = config.out_lanes
    b = build()
    x = "input"
    for _ in range(2):
        x = b.conv(x, 3, (1, 1))
        x = join(b, b.conv(x, 2 * lanes, (1, 1)), b.conv(x, lanes + 1, **SAME))
    program = assert_runs(b.model(b.conv(b.max_pool(x), 6, (1, 1))), config)
    assert moved(program) == []
    assert program.parts["conv1_out"] == ("concat3_out", 0)
    assert program.parts["conv2_out"] == ("concat3_out", 2)
    layer = program.prediction.layers[3]
    assert (layer.cycles, layer.bytes, layer.bound_by) == (0, 0, "hidden")


def test_fire_module_parts(tmp_path):
    config = preset("small")
    b = build()
    x = join(b, b.conv("input", 16, (1, 1)), b.conv("input", 9, **SAME))
    model = b.model(b.conv(x, 4, (1, 1)))
    program = compile_model(model, config)
    assert program.parts == {"conv0_out": (x, 0), "conv1_out": (x, 2)}
    assert x in program.places or program.scratch_size
    save(program, tmp_path / "program")
    again = load(tmp_path / "program")
    assert again.parts == program.parts
    codes = random_codes(np.random.default_rng(0), model)[0]
    _, rows = run_functional(again, again.input_layout.pack(codes))
    assert again.tensors_from_rows(rows).keys() == {"conv0_out", "conv1_out", x, "conv3_out"}


@every_config
@pytest.mark.parametrize("channels", [(3, 5), (1, 1, 1), (9, 4, 9), (32, 2)])
def test_parts_anywhere(config, channels):
    b = build((3, 5, 6))
    parts = [b.conv("input", count, (1, 1)) for count in channels]
    x = join(b, *parts)
    program = assert_runs(b.model(b.conv(x, 7, **SAME)), config)
    starts = np.cumsum(channels)[:-1]
    assert bool(moved(program)) == bool(np.any(starts % config.out_lanes))


@every_config
@pytest.mark.parametrize(("apart", "up"), [(0, 3), (2, 0), (12, 6), (4, -3)])
def test_formats_differ(config, apart, up):
    b = build((3, 5, 6))
    parts = [b.conv("input", 32, (1, 1), relu=relu) for relu in ("relu", None)]
    x = b.concat(*parts)
    frac = b.formats[parts[0]].frac - apart
    b.formats[parts[1]] = Format(8, frac, True)
    b.formats[x] = Format(8, frac + up, True)
    assert moved(assert_runs(b.model(x), config)) == [x.removesuffix("_out")]


def test_formats_too_far_apart_are_refused():
    b = build((3, 5, 6))
    x = b.concat(b.conv("input", 8, (1, 1)), "input")
    b.formats[x] = Format(8, b.formats["input"].frac + 7, True)
    with pytest.raises(CompileError) as error:
        compile_model(b.model(x), preset("small"))
    assert "Layer 'concat1': shifts must be at most 6 bits left and 31 right, not" in str(
        error.value)


@every_config
def test_input_and_one_map_twice(config):
    b = build((4, 5, 6))
    a = b.conv("input", 32, (1, 1), signed=True)
    b.formats[a] = b.formats["input"]
    x = join(b, a, "input", a)
    program = assert_runs(b.model(b.conv(x, 4, (2, 2))), config)
    assert moved(program) == [x.removesuffix("_out")]


@every_config
def test_concat_of_concat(config):
    b = build((4, 5, 6))
    parts = [b.conv("input", 32, (1, 1)) for _ in range(4)]
    b.same_format(*parts)
    inner = join(b, parts[1], parts[2])
    outer = join(b, parts[0], inner, parts[3])
    program = assert_runs(b.model(b.conv(outer, 4, (1, 1))), config)
    assert moved(program) == []
    blocks = 32 // config.out_lanes
    assert program.parts[inner] == (outer, blocks)
    assert program.parts[parts[2]] == (outer, 2 * blocks)


@pytest.mark.parametrize(
    "config", [SINGLE, preset("small"), preset("large")], ids=lambda config: config.name)
def test_dense_block(config):
    b = build((4, 5, 6))
    parts = [b.conv("input", 32, (1, 1))]
    x = parts[0]
    for _ in range(3):
        parts.append(b.conv(x, 32, **SAME))
        x = join(b, *parts)
    program = assert_runs(b.model(b.conv(x, 4, (1, 1))), config)
    assert moved(program) == []


@every_config
def test_everything_writes_into_parts(config):
    b = build((32, 6, 7))
    first = b.conv("input", 32, (1, 1), relu=None)
    second = b.conv("input", 32, (3, 3), pads=(1, 1, 1, 1), groups=32, relu=None)
    total = b.add(first, second, relu=None)
    pool = b.max_pool(total, (3, 3), **SAME)
    mean = b.average_pool(total, (3, 3), **SAME)
    other = b.add(pool, mean, relu=None)
    again = b.conv(first, 32, (3, 3), pads=(1, 1, 1, 1), groups=32, relu=None)
    deep = b.max_pool(again, (2, 2), strides=(1, 1), pads=(0, 0, 1, 1))
    for name in (total, pool, mean, other, again, deep):
        b.formats[name] = b.formats[total]
    x = b.concat(other, deep, again)
    b.formats[x] = b.formats[total]
    program = assert_runs(b.model(b.conv(x, 5, (1, 1))), config)
    assert moved(program) == []
    assert {other, deep, again} == set(program.parts)


@every_config
def test_parts_that_others_read(config):
    b = build((4, 6, 7))
    a, c = b.conv("input", 32, (1, 1)), b.conv("input", 32, (1, 1))
    x = join(b, a, c)
    y = b.conv(a, 32, (3, 3), groups=32, pads=(1, 1, 1, 1))
    z = b.max_pool(b.conv(c, 32, (2, 2), pads=(1, 0, 0, 1)), (1, 1), strides=(1, 1))
    w = b.average_pool(a, (3, 3), **SAME)
    program = assert_runs(b.model(b.conv(b.concat(x, y, z, w), 4, (1, 1))), config)
    assert a in program.parts
    assert c in program.parts


@every_config
def test_add_reads_no_parts(config):
    b = build((4, 6, 7))
    a, c = b.conv("input", 32, (1, 1)), b.conv("input", 32, (1, 1))
    x = join(b, a, c)
    y = b.conv(x, 32, (1, 1))
    program = assert_runs(b.model(b.add(y, a)), config)
    assert moved(program) == [x.removesuffix("_out")]


@every_config
def test_output_of_the_network(config):
    b = build((4, 6, 7))
    a, c = b.conv("input", 32, (1, 1)), b.conv("input", 5, (1, 1))
    assert moved(assert_runs(b.model(join(b, a, c)), config)) == []


@every_config
def test_a_part_is_the_output_of_the_network(config):
    b = build((4, 6, 7))
    a, c = b.conv("input", 32, (1, 1)), b.conv("input", 32, (1, 1))
    x = join(b, a, c)
    b.conv(x, 2, (1, 1))
    assert moved(assert_runs(b.model(a), config)) == [x.removesuffix("_out")]


@pytest.mark.parametrize("free", [True, False])
@pytest.mark.parametrize("config", [SQUARE, SINGLE], ids=lambda config: config.name)
def test_spilled(config, free):
    b = build((3, 20, 13))
    a = b.conv("input", 16 if free else 15, (1, 1))
    x = join(b, a, b.conv("input", 8, **SAME), b.max_pool(a, (3, 3), **SAME))
    x = b.conv(x, 8, **SAME)
    program = assert_runs(b.model(b.max_pool(b.concat(x, "input"), (3, 3))), config)
    assert program.scratch_size
    assert bool(program.parts) == free


def test_pool_over_more_than_the_memory_holds():
    b = build((6, 12, 14))
    x = b.conv("input", 30, (1, 1))
    x = b.average_pool(x, (12, 14), strides=(1, 1))
    program = assert_runs(b.model(b.fc(x, 3)), NANO)
    vectors = [item for item in program.instructions if item.opcode == Opcode.VECTOR]
    assert len(vectors) == 8


@every_config
def test_slices(config):
    b = build((4, 6, 7))
    x = b.conv("input", 96, (1, 1))
    cut = [b.slice(x, 0, 32), b.slice(x, 32, 37), b.slice(x, 64, 96), b.slice(x, 3, 70)]
    y = b.conv(cut[0], 4, (2, 2))
    z = b.conv(b.conv(cut[1], 5, (3, 3), groups=5), 4, (1, 1))
    w = b.max_pool(b.average_pool(cut[2], (3, 3), strides=(1, 1)), (2, 2), strides=(1, 1))
    v = b.max_pool(cut[3], (3, 3), strides=(1, 1))
    program = assert_runs(b.model(b.conv(b.concat(v, z), 4, (1, 1))), config)
    assert moved(program)[0] == cut[3].removesuffix("_out")
    assert set(cut[:3]) <= set(program.parts)
    for name in (y, w):
        assert name in program.tensors


@every_config
def test_slice_into_concat_and_add(config):
    b = build((4, 6, 7))
    x = b.conv("input", 64, (1, 1))
    left, right = b.slice(x, 0, 32), b.slice(x, 32, 64)
    y = b.conv(left, 32, (3, 3), pads=(1, 1, 1, 1))
    b.formats[y] = b.formats[x]
    joined = join(b, right, y)
    total = b.add(b.slice(joined, 32, 64), b.slice(joined, 0, 32))
    program = assert_runs(b.model(total), config)
    assert [name[:5] for name in moved(program)] == ["slice"] * 3
    assert program.parts[right] == (joined, 0)


@every_config
def test_slices_of_the_ends(config):
    b = build((40, 6, 7))
    assert_runs(b.model(b.slice("input", 32, 40)), config)
    b = build((5, 6, 7))
    x = b.slice(b.slice(b.conv("input", 96, (1, 1)), 32, 96), 32, 50)
    program = assert_runs(b.model(b.conv(x, 3, (1, 1))), config)
    assert program.parts[x] == ("conv0_out", 64 // config.out_lanes)
    y = b.conv("input", 40, (1, 1))
    b.conv(y, 3, (1, 1))
    assert_runs(b.model(b.slice(y, 32, 39)), config)


@pytest.mark.parametrize("start", [16, 15])
@pytest.mark.parametrize("config", [SQUARE, SINGLE], ids=lambda config: config.name)
def test_spilled_slices(config, start):
    b = build((3, 20, 13))
    x = b.conv("input", 32, (1, 1))
    y = b.conv(b.slice(x, start, 30), 8, **SAME)
    program = assert_runs(b.model(b.conv(b.concat(y, x), 3, (1, 1))), config)
    assert program.scratch_size


@pytest.mark.parametrize("config", [NANO16, SMALL16, MIXED], ids=lambda config: config.name)
def test_wide_codes(config):
    b = build((3, 5, 6), bits=16)
    a, c = b.conv("input", 5, (1, 1), bits=16), b.conv("input", 32, (1, 1), bits=16)
    x = join(b, a, c)
    x = join(b, b.slice(x, 3, 35), b.conv(x, 8, (2, 2), pads=(0, 0, 1, 1), bits=16))
    b.formats[x] = b.formats["conv1_out"]
    program = assert_runs(b.model(b.conv(b.slice(x, 32, 40), 4, (1, 1), bits=16)), config)
    assert len(moved(program)) >= 2
