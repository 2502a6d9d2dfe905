"""A convolution and the pooling behind it by turns, some channel blocks each."""

from dataclasses import replace

import numpy as np
import pytest

from arch.config import preset
from arch.isa import Engine, Opcode, Region

from .check import assert_runs
from .networks import NetworkBuilder


CONFIG = replace(preset("tiny"), name="little", feature_depth=512)


def turns(program, layers):
    """Return the layers of CALC instructions in order, neighbours that are alike once."""
    order = []
    for item in program.instructions:
        if item.engine == Engine.CALC and item.layer in layers and order[-1:] != [item.layer]:
            order.append(item.layer)
    return order


def scratch(program):
    """Return the SAVEs of maps that are read again."""
    return [item for item in program.instructions
            if item.opcode == Opcode.SAVE and item.values["region"] == Region.SCRATCH]


@pytest.mark.parametrize(("pool", "channels"), [
    ("global average", 60), ("global average", 37), ("average", 60), ("global max", 60),
    ("global max", 37), ("max", 60)])
def test_the_map_stays_on_chip(pool, channels):
    b = NetworkBuilder(np.random.default_rng(2), (6, 9, 9))
    x = b.conv("input", channels, (3, 3), pads=(1, 1, 1, 1), relu="clip", per_channel=True)
    make = b.average_pool if pool.endswith("average") else b.max_pool
    kernel, stride = ((9, 9), (1, 1)) if pool.startswith("global") else ((5, 5), (2, 2))
    y = make(x, kernel, strides=stride)
    program = assert_runs(b.model(b.conv(y, 5, (1, 1))), CONFIG)
    assert not program.fused
    assert not scratch(program)
    order = turns(program, (0, 1))
    assert len(order) > 3
    assert order == [0, 1] * (len(order) // 2)
    without = assert_runs(b.model(), CONFIG, optimize=False)
    assert scratch(without)
    assert without.prediction.cycles > program.prediction.cycles


def test_the_pooled_map_is_the_output():
    b = NetworkBuilder(np.random.default_rng(2), (6, 9, 9))
    x = b.conv("input", 61, (3, 3), pads=(1, 1, 1, 1))
    program = assert_runs(b.model(b.average_pool(x, (9, 9), strides=(1, 1))), CONFIG)
    assert not scratch(program)
    weights = [(layer.weight_address, layer.stored_size) for layer in program.layers]
    assert weights[0] == (0, len(program.weight_image))


@pytest.mark.parametrize("reader", ["add", "pool"])
def test_a_map_with_two_readers_stays_whole(reader):
    b = NetworkBuilder(np.random.default_rng(2), (6, 9, 9))
    x = b.conv("input", 60, (3, 3), pads=(1, 1, 1, 1))
    y = b.average_pool(x, (3, 3), strides=(1, 1), pads=(1, 1, 1, 1))
    if reader == "add":
        y = b.add(x, y)
    else:
        y = b.add(y, b.max_pool(x, (3, 3), strides=(1, 1), pads=(1, 1, 1, 1)))
    program = assert_runs(b.model(y), CONFIG)
    assert scratch(program)
