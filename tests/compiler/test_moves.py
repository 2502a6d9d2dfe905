"""Resize, Pad and transposed convolution: right everywhere, and in few instructions."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import compiler.compile
import compiler.fusion
from arch.config import preset
from arch.isa import Opcode
from compiler import DramTiming, compile_model, load, save
from sim.functional import run_functional

from .check import assert_runs
from .configs import MIXED, NANO, NANO16, SINGLE, SMALL16, SQUARE
from .networks import NetworkBuilder, random_codes


every_config = pytest.mark.parametrize(
    "config", [NANO, SINGLE, MIXED, SQUARE, preset("small")], ids=lambda config: config.name)
pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
configs = st.sampled_from([NANO, MIXED, preset("tiny"), preset("small")])


def build(shape=(5, 6, 7), seed=5, **options):
    return NetworkBuilder(np.random.default_rng(seed), shape, **options)


def counted(program, name):
    """Return the CALC instructions of a layer."""
    (index,) = [layer.index for layer in program.layers if layer.name == name]
    return len([item for item in program.instructions
                if item.layer == index and item.opcode in (Opcode.CONV, Opcode.VECTOR)])


# Resize

@every_config
@pytest.mark.parametrize("repeats", [(2, 2), (1, 3), (4, 1), (2, 1)])
def test_resize(config, repeats):
    b = build()
    x = b.conv("input", 9, (1, 1), relu=None)
    x = b.resize(x, repeats, relu="clip")
    assert_runs(b.model(b.conv(x, 4, (3, 3), pads=(1, 1, 1, 1))), config)


@every_config
def test_resize_of_input_and_to_output(config):
    b = build((9, 4, 5))
    assert_runs(b.model(b.resize("input")), config)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 20), st.integers(1, 6), st.integers(1, 6), pair, pair, configs, st.data())
def test_any_resize(channels, height, width, repeats, steps, config, data):
    b = build((channels, height, width))
    offsets = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    most = [((n - 1 - o) // s + 1) * r for n, o, s, r in zip(
        (height, width), offsets, steps, repeats, strict=True)]
    size = [data.draw(st.integers(1, count)) for count in most]
    x = b.resize(b.clamp("input"), repeats, steps=steps, offsets=offsets, size=size)
    assert_runs(b.model(b.clamp(x)), config)


@pytest.mark.parametrize(("channels", "repeats", "most"), [
    (8, (2, 2), 2), (16, (2, 2), 4), (40, (2, 1), 1), (8, (1, 2), 1), (40, (2, 2), 10)])
def test_instructions_of_resize(channels, repeats, most):
    b = build((channels, 12, 10))
    program = assert_runs(b.model(b.clamp(b.resize(b.clamp("input"), repeats))), preset("small"))
    assert counted(program, "resize1") <= most


def test_resize_into_concat_is_free_of_copies():
    b = build((8, 6, 6))
    low = b.conv("input", 8, (3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
    side = b.conv("input", 8, (1, 1))
    b.same_format(low, side)
    up = b.resize(low)
    b.formats[up] = b.formats[low]
    joined = b.concat(up, side)
    b.formats[joined] = b.formats[low]
    program = assert_runs(b.model(b.conv(joined, 5, (3, 3))), preset("small"))
    assert program.parts == {up: (joined, 0), side: (joined, 1)}


# Pad

@every_config
@pytest.mark.parametrize("code", [0, 5, -128, 127, -7])
@pytest.mark.parametrize("pads", [(1, 2, 3, 0), (0, 1, 0, 1), (-1, 2, 1, -3), (0, 0, 4, 0)])
def test_pad(config, code, pads):
    b = build()
    x = b.pad(b.conv("input", 9, (1, 1), relu=None), pads, code=code)
    assert_runs(b.model(b.max_pool(x, (2, 2), strides=(1, 1))), config)


@every_config
@pytest.mark.parametrize("mode", ["edge", "reflect"])
@pytest.mark.parametrize("pads", [(1, 2, 3, 0), (5, 6, 5, 6), (0, 0, 4, 1)])
def test_pad_from_the_map(config, mode, pads):
    b = build()
    x = b.pad(b.conv("input", 9, (1, 1), relu=None), pads, mode=mode, relu="clip")
    assert_runs(b.model(b.max_pool(x, (2, 2), strides=(1, 1))), config)


def test_clamp_holds_for_padding():
    b = build((3, 4, 4))
    x = b.pad("input", code=-5, relu="relu")
    assert_runs(b.model(b.pad(x, code=100, relu="clip")), preset("small"))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 20), st.tuples(*[st.integers(-1, 3)] * 4), st.integers(-128, 127), configs)
def test_any_pad(channels, pads, code, config):
    b = build((channels, 3, 4))
    assert_runs(b.model(b.clamp(b.pad(b.clamp("input"), pads, code=code))), config)


# Transposed convolution

@every_config
@pytest.mark.parametrize(("kernel", "options"), [
    ((4, 4), {"pads": (1, 1, 1, 1)}), ((2, 2), {}), ((3, 3), {"output_padding": (1, 1)}),
    ((3, 2), {"strides": (1, 2), "pads": (1, 0, 1, 0)}), ((1, 1), {"strides": (3, 2)}),
    ((3, 3), {"strides": (2, 3), "dilations": (2, 3), "pads": (1, 2, 0, 3)}),
    ((4, 3), {"groups": 2}), ((3, 3), {"groups": 6, "pads": (1, 1, 1, 1)}),
], ids=str)
def test_conv_transpose(config, kernel, options):
    b = build((4, 5, 6))
    x = b.conv_transpose(b.conv("input", 6, (1, 1)), 12, kernel, **options)
    assert_runs(b.model(b.conv(x, 3, (1, 1))), config)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 9), st.integers(1, 5), st.integers(1, 5), pair, pair, pair,
       st.sampled_from([(1, 1), (1, 5), (2, 2)]), configs, st.data())
def test_any_conv_transpose(
        channels, height, width, kernel, strides, dilations, multiple, config, data):
    groups, kernels = multiple
    depthwise = groups == 1 and data.draw(st.booleans())
    channels, groups = channels * groups, channels if depthwise else groups
    kernels *= channels if depthwise else groups
    full = [(n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(
        (height, width), strides, dilations, kernel, strict=True)]
    pads = [data.draw(st.integers(0, (size - 1) // 2)) for size in full * 2]
    added = [data.draw(st.integers(0, s - 1)) for s in strides]
    b = build((channels, height, width))
    x = b.conv_transpose("input", kernels, kernel, strides=strides, dilations=dilations,
                         pads=pads, output_padding=added, groups=groups, relu=None)
    assert_runs(b.model(b.clamp(x)), config)


@pytest.mark.parametrize(("shape", "strides", "count"), [
    ((8, 8, 8), (2, 2), 32), ((8, 8, 8), (1, 2), 2), ((8, 8, 1), (2, 2), 32)])
def test_instructions_of_conv_transpose(shape, strides, count):
    b = build(shape)
    x = b.clamp("input")
    x = b.conv_transpose(x, 8, (2, 2) if strides[0] == 2 else (1, 2), strides=strides)
    program = assert_runs(b.model(x), preset("small"))
    assert counted(program, "conv1") == count


def test_phase_larger_than_half_of_weight_memory():
    config = replace(NANO, name="shallow", weight_depth=32)
    b = build((2 * config.in_lanes, 4, 5))
    x = b.conv("input", 16 * config.in_lanes, (1, 1))
    x = b.conv_transpose(x, 2 * config.out_lanes + 1, (4, 4), pads=(1, 1, 1, 1))
    assert_runs(b.model(x), config)


# Where maps do not fit

def u_net(b):
    """Return a network that goes down and up again."""
    same = {"pads": (1, 1, 1, 1)}
    a = b.conv("input", 8, **same)
    low = b.conv(b.max_pool(a), 9, **same)
    deep = b.conv(b.max_pool(low), 12, **same)
    up = b.conv_transpose(deep, 8, (2, 2))
    x = b.conv(b.concat(up, low), 9, **same)
    x = b.resize(x)
    x = b.conv(b.concat(b.pad(x, (0, 0, 1, 1), code=3), b.pad(a, (1, 1, 0, 0))), 7, **same)
    return b.model(b.conv(x, 3, (1, 1), relu=None))


@pytest.mark.parametrize("depth", [1 << 14, 1024, 512, 256, 128])
@pytest.mark.parametrize("optimize", [True, False])
def test_tiles_and_chains(depth, optimize):
    config = replace(preset("tiny"), name=f"d{depth}", feature_depth=depth)
    program = assert_runs(u_net(build((3, 16, 12))), config, optimize=optimize)
    if depth == 128:
        assert program.scratch_size


def test_chain_through_all_of_them():
    b = build((3, 40, 16))
    x = b.conv("input", 4, pads=(1, 1, 1, 1))
    x = b.resize(x, (2, 2))
    x = b.pad(b.conv(x, 4, pads=(1, 1, 1, 1)), (2, 1, 2, 1), code=9)
    x = b.conv_transpose(x, 4, (3, 3), pads=(1, 1, 1, 1))
    x = b.max_pool(b.conv(x, 4, (3, 3)), (4, 4), strides=(4, 4))
    config = replace(preset("tiny"), name="chain", feature_depth=2048)
    program = assert_runs(
        b.model(b.conv(x, 3, (1, 1))), config, dram=DramTiming(bytes_per_cycle=1.0))
    layers = [record.layer for record in program.writes]
    assert layers != sorted(layers)  # they take turns


def random_moves(rng, shape, layers=4, *, largest=24):
    """Return a network of these operators with convolutions and poolings between."""
    b = NetworkBuilder(rng, shape)
    x = "input"
    for _ in range(layers):
        c, h, w = b.shapes[x]
        kind = rng.choice(["resize", "pad", "transposed", "conv", "pool", "join"])
        if kind == "resize":
            most = [max(1, min(3, largest // size)) for size in (h, w)]
            x = b.resize(x, [int(rng.integers(1, n + 1)) for n in most],
                         steps=[int(n) for n in rng.integers(1, 3, 2)],
                         offsets=[int(rng.integers(0, min(2, size))) for size in (h, w)],
                         relu=rng.choice([None, "clip"]))
        elif kind == "pad":
            mode = rng.choice(["constant", "constant", "edge", "reflect"])
            pads = [min(int(n), size - 1) if mode == "reflect" else int(n) for n, size in zip(
                rng.integers(0, 3, 4), (h, w, h, w), strict=True)]
            x = b.pad(x, pads, code=int(rng.choice([0, -128, 100])), mode=str(mode))
        elif kind == "transposed":
            strides = [int(rng.integers(1, max(2, min(4, largest // size)))) for size in (h, w)]
            kernel = [int(n) for n in rng.integers(1, 5, 2)]
            pads = [int(rng.integers(0, k)) // 2 for k in kernel] * 2
            groups = int(rng.choice([1, c]))
            x = b.conv_transpose(x, c if groups > 1 else int(rng.integers(1, 12)), kernel,
                                 strides=strides, pads=pads, groups=groups)
        elif kind == "join":
            x = b.concat(x, b.conv(x, int(rng.integers(1, 6)), (1, 1)), spread=1)
        elif kind == "pool":
            x = b.max_pool(x, (2, 2), strides=(1, 1), pads=(0, 0, 1, 1))
        else:
            x = b.conv(x, int(rng.integers(1, 12)), pads=(1, 1, 1, 1))
    return b.model(x)


@pytest.fixture
def always_joined(monkeypatch):
    """Join all layers that can be, whatever the model of cycles says."""
    monkeypatch.setattr(compiler.fusion, "_duration", lambda memory: len(memory.plans))
    monkeypatch.setattr(compiler.compile, "fastest", lambda drafts, *_: drafts[-1])


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6))
def test_random_chains(always_joined, seed):
    rng = np.random.default_rng(seed)
    model = random_moves(rng, (int(rng.integers(1, 9)), *rng.integers(1, 17, 2)))
    config = replace(NANO, name="chains", weight_depth=256, param_depth=64)
    assert_runs(model, config, seed=seed)


@pytest.mark.parametrize("config", [NANO16, SMALL16], ids=lambda config: config.name)
def test_16_bits(config):
    b = build((3, 12, 8), bits=16, weight_bits=16, frac=9)
    x = b.conv("input", 5, pads=(1, 1, 1, 1), relu=None)
    x = b.pad(b.resize(x), code=-300)
    x = b.conv_transpose(x, 4, (3, 3), pads=(1, 1, 1, 1))
    assert_runs(b.model(x), config)


def test_description_and_file(tmp_path):
    model = u_net(build((3, 16, 12)))
    program = compile_model(model, preset("small"))
    operators = [layer.operator for layer in program.layers]
    assert "ConvTranspose 2×2/2 + ReLU" in operators
    assert "Resize 2×2" in operators
    assert "Pad" in operators
    save(program, tmp_path / "program")
    again = load(tmp_path / "program")
    assert again.writes == program.writes
    codes = random_codes(np.random.default_rng(0), model)[0]
    output, _ = run_functional(again, again.input_layout.pack(codes))
    assert output == run_functional(program, program.input_layout.pack(codes))[0]
    assert all(sum(layer.causes.values()) == layer.cycles for layer in program.prediction.layers)
