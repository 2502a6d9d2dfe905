"""Adds that convolutions do: programs of every config against numpy, and what they cost."""

from dataclasses import replace

import numpy as np
import pytest

from arch.config import preset
from arch.isa import Opcode, Products, Region
from compiler import CompileError, compile_model
from compiler.verify import VerifyError, verify
from quantizer.model import Limits
from quantizer.search.fuse_add import fuse_adds

from .check import assert_runs
from .configs import CONFIGS, MIXED, NANO, SINGLE, SMALL16, SQUARE, WIDE_CONFIGS
from .networks import NetworkBuilder


DUAL = replace(preset("tiny"), name="dual", dual_products=True)
PLAIN_DUAL = replace(DUAL, name="plain_dual", depthwise_taps=0)
ONE_TAP = replace(preset("tiny"), name="one_tap", depthwise_taps=1)


def residual(seed=0, *, channels=6, size=(6, 5), bits=8, weight_bits=8, groups=1, blocks=2,
             kernel=(3, 3), fuse_add=True, narrow=None):
    """Return a network of residual blocks; ``narrow`` is the width of weights before an Add."""
    rng = np.random.default_rng(seed)
    builder = NetworkBuilder(rng, (channels, *size), bits=bits, weight_bits=weight_bits)
    builder.narrower = (0,)
    x = builder.conv("input", channels, (1, 1))
    pads = tuple(size // 2 for size in kernel) * 2
    for number in range(blocks):
        y = builder.conv(
            x, channels, kernel, pads=pads, relu=None, groups=groups, weight_bits=narrow)
        x = builder.add(y, x, relu=(None, "relu")[number % 2])
    return builder.model(builder.conv(x, 3, (1, 1)), fuse_add=fuse_add)


def wide(program):
    return [item for item in program.instructions if item.values.get("wide")]


@pytest.mark.parametrize(
    "config", [*CONFIGS, DUAL, PLAIN_DUAL, ONE_TAP], ids=lambda config: config.name)
@pytest.mark.parametrize("optimize", [False, True], ids=["plain", "optimized"])
def test_configs(config, optimize):
    for seed, channels in enumerate((6, 13)):
        model = residual(seed, channels=channels)
        assert len(model.provenance["fused_adds"]) == 2
        program = assert_runs(model, config, optimize=optimize)
        assert bool(wide(program)) == (config.window_taps > 1)
        assert all(item.opcode != Opcode.VECTOR for item in program.instructions)
        assert program.layers[1].operator == "Conv 3×3 + Add"


@pytest.mark.parametrize("config", WIDE_CONFIGS, ids=lambda config: config.name)
def test_wide_configs(config):
    model = residual(bits=12, weight_bits=8)
    assert len(model.provenance["fused_adds"]) == 2
    assert bool(wide(assert_runs(model, config))) == (config.weight_bits == 8)
    assert_runs(residual(1), config)


@pytest.mark.parametrize("config", [SQUARE, DUAL, PLAIN_DUAL, preset("ecp5_85f")],
                         ids=lambda config: config.name)
@pytest.mark.parametrize("bits", [3, 4, 6])
def test_narrow_weights(config, bits):
    for channels in (5, 8, 19):
        assert_runs(residual(channels=channels, narrow=bits), config)


def test_two_blocks_share_multipliers():
    program = assert_runs(residual(channels=16, narrow=4), DUAL)
    used = {Products(item.values["products"]) for item in program.instructions
            if item.opcode == Opcode.CONV}
    assert {Products.BLOCKS, Products.SECOND} <= used
    fewer = compile_model(residual(channels=16, narrow=4, fuse_add=False), DUAL)
    assert program.prediction.cycles < fewer.prediction.cycles


@pytest.mark.parametrize("config", [SQUARE, preset("small")], ids=lambda config: config.name)
def test_depthwise(config):
    for seed in range(3):
        model = residual(seed, channels=9, groups=9, kernel=((3, 3), (1, 3), (5, 5))[seed])
        assert len(model.provenance["fused_adds"]) == 2
        assert_runs(model, config)


@pytest.mark.parametrize("config", [NANO, SINGLE, SQUARE, MIXED], ids=lambda config: config.name)
def test_maps_that_do_not_stay_on_chip(config):
    """Tile buffers, chains whose windows are filled round and round, and addends in DRAM."""
    for seed, size in enumerate(((30, 9), (17, 13))):
        assert_runs(residual(seed, channels=7, size=size, blocks=3), config)


def test_input_is_added():
    """The addend may be what the convolution reads, even the network's input."""
    rng = np.random.default_rng(3)
    builder = NetworkBuilder(rng, (4, 6, 6))
    y = builder.conv("input", 4, pads=(1, 1, 1, 1), relu=None)
    model = builder.model(builder.add(y, "input"), fuse_add=True)
    assert model.provenance["fused_adds"]
    for config in (NANO, preset("small")):
        assert assert_runs(model, config).input_layout.unroll == "none"


def test_both_branches_and_pooling():
    rng = np.random.default_rng(4)
    builder = NetworkBuilder(rng, (3, 12, 12))
    x = builder.conv("input", 8)
    y = builder.conv(x, 8, pads=(1, 1, 1, 1), relu=None)
    z = builder.conv(x, 8, (1, 1), relu=None)
    x = builder.max_pool(builder.add(y, z))
    model = builder.model(builder.conv(x, 5), fuse_add=True)
    for config in (preset("tiny"), preset("small"), preset("ecp5_85f")):
        program = assert_runs(model, config)
        assert program.fused == {"add3_out"}


def test_takes_one_cycle_a_row_instead_of_two():
    """What fusing saves: 2 cycles a row of the Add become one, and fewer instructions."""
    config = preset("ecp5_85f")
    plain, fused = (
        compile_model(residual(channels=16, size=(24, 24), blocks=4, fuse_add=fuse), config)
        for fuse in (False, True))
    saved = plain.prediction.cycles - fused.prediction.cycles
    assert 4 * 24 * 24 <= saved <= 4 * (24 * 24 + 40)


def test_verify_refuses():
    program = compile_model(residual(), preset("tiny"))
    item = wide(program)[0]
    sizes = dict.fromkeys(Region, 1 << 20)
    for name, value, message in (
            ("depthwise", 0, "takes two weights as one"),
            ("finish", 1, "loses or misses partial sums"),
            ("products", 3, "makes products that the config has not")):
        before = item.values[name]
        item.values[name] = value
        with pytest.raises(VerifyError, match=message):
            verify(program.instructions, program.config, sizes)
        item.values[name] = before


def test_overflow_counts_the_addend():
    model = residual()
    name = model.provenance["fused_adds"]["add2"]
    weights = model.weights[name]
    weights.bias[0] = (1 << 31) - 1 - np.abs(weights.codes[0]).sum() * 255
    with pytest.raises(CompileError, match="an accumulator can need 33 bits"):
        compile_model(model, preset("small"))
    assert fuse_adds(model, Limits(acc_bits=40)).graph is model.graph


def test_16_bit_weights_take_one_code():
    program = assert_runs(residual(2, bits=12, weight_bits=8), SMALL16)
    assert not wide(program)
