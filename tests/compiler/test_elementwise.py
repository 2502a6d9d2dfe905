"""Products, channel vectors, slopes and tables, in the functional simulator."""


import numpy as np
import pytest

from arch.config import preset
from arch.isa import Opcode, VectorOp

from .check import assert_runs
from .configs import MIXED, NANO, NANO16, SMALL16, SQUARE
from .networks import NetworkBuilder


KINDS = ("sigmoid", "tanh", "hard_sigmoid", "hard_swish", "silu")
CONFIGS = (NANO, SQUARE, preset("tiny"), preset("small"))
WIDE_CONFIGS = (NANO16, SMALL16, MIXED)


def builder(config, shape, seed=0, **options):
    bits = config.data_bits
    return NetworkBuilder(
        np.random.default_rng(seed), shape, bits=bits, weight_bits=config.weight_bits,
        frac=bits - 4, **options)


def vectors(program):
    """Return the VECTOR instructions of a program by operator."""
    found = {}
    for item in program.instructions:
        if item.opcode == Opcode.VECTOR:
            found.setdefault(VectorOp(item.values["op"]), []).append(item)
    return found


@pytest.mark.parametrize("config", CONFIGS + WIDE_CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize("size", [5, 14])
def test_squeeze_and_excitation(config, size):
    b = builder(config, (3, size, size + 1))
    x = b.conv("input", 11, (3, 3), pads=(1, 1, 1, 1), signed=True)
    program = assert_runs(b.model(b.conv(b.excite(x), 5, (1, 1))), config)
    products = vectors(program)[VectorOp.PRODUCT]
    assert all(item.values["hold"] for item in products)


@pytest.mark.parametrize("config", CONFIGS + WIDE_CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize("size", [4, 15])
@pytest.mark.parametrize("same", [False, True])
def test_slopes(config, size, same):
    b = builder(config, (3, size, size))
    x = b.prelu("input", same=same)
    x = b.conv(x, 9, (3, 3), pads=(1, 1, 1, 1), relu=None)
    x = b.prelu(x, same=same, frac=3)
    assert_runs(b.model(x), config)


@pytest.mark.parametrize("config", CONFIGS + WIDE_CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize("kind", KINDS)
def test_tables(config, kind):
    b = builder(config, (3, 13, 9))
    x = b.conv("input", 9, (3, 3), pads=(1, 1, 1, 1), relu=None)
    x = b.activation(x, kind)
    x = b.conv(x, 7, (1, 1), relu=None)
    program = assert_runs(b.model(b.activation(x, kind, signed=True, relu="relu")), config)
    assert VectorOp.TABLE in vectors(program)
