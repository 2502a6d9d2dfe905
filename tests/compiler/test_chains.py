"""Chains of layers that run line by line."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import compiler.compile
import compiler.fusion
from arch.config import preset
from arch.isa import Opcode
from compiler import CompileError, DramTiming
from compiler.chains import Group
from compiler.plan import plan_layers

from .check import assert_runs
from .configs import NANO, SQUARE
from .networks import NetworkBuilder, random_model


WEIGHTY = replace(NANO, weight_depth=256, param_depth=64)
"""Few rows for maps, many for weights."""


def takes_turns(program):
    """Return whether some layer goes on after another has started."""
    layers = [record.layer for record in program.writes]
    return layers != sorted(layers)


def inverted(seed=0, size=24, *, channels=4, wide=24, strides=(1, 1), residual=True):
    """Return 1x1 wide, depthwise 3x3, 1x1 narrow, and a sum, as in MobileNet v2."""
    b = NetworkBuilder(np.random.default_rng(seed), (3, size, size))
    x = b.conv("input", channels, (1, 1))
    y = b.conv(x, wide, (1, 1))
    y = b.conv(y, wide, (3, 3), strides=strides, pads=(1, 1, 1, 1), groups=wide)
    y = b.conv(y, channels, (1, 1), relu=None)
    if residual:
        y = b.add(x, y, relu=None)
    return b.model(b.conv(y, 5, (1, 1)))


@pytest.fixture
def always_joined(monkeypatch):
    """Join all layers that can be, whatever the model of cycles says."""
    monkeypatch.setattr(compiler.fusion, "_duration", lambda memory: len(memory.plans))
    monkeypatch.setattr(compiler.compile, "fastest", lambda drafts, *_: drafts[-1])


def test_wide_maps_stay_on_chip():
    model, dram = inverted(size=48), DramTiming(30, 1.0)
    alone = assert_runs(model, preset("tiny"), dram=dram, optimize=False)
    joined = assert_runs(model, preset("tiny"), dram=dram)
    assert takes_turns(joined)
    assert not takes_turns(alone)
    assert joined.prediction.bytes < alone.prediction.bytes * 2 / 3
    assert joined.prediction.cycles < alone.prediction.cycles


def test_maps_that_fit_are_left_alone():
    assert not takes_turns(assert_runs(inverted(size=12), preset("small")))


@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (2, 1), (3, 3)])
@pytest.mark.parametrize("config", [WEIGHTY, SQUARE, preset("tiny")], ids=lambda one: one.name)
def test_depthwise_strides(config, strides, always_joined):
    model = inverted(size=25, strides=strides, residual=strides == (1, 1))
    assert takes_turns(assert_runs(model, config))


def test_lines_that_nobody_needs_are_computed(always_joined):
    # A stride larger than the kernel skips lines, also the last ones.
    b = NetworkBuilder(np.random.default_rng(0), (4, 40, 40))
    x = b.conv("input", 4, (1, 1))
    x = b.conv(x, 4, (2, 2), strides=(4, 4))
    assert takes_turns(assert_runs(b.model(x), WEIGHTY))


def test_pools_and_sums_inside(always_joined):
    b = NetworkBuilder(np.random.default_rng(0), (4, 40, 20))
    x = b.conv("input", 4, (3, 3), pads=(1, 1, 1, 1))
    y = b.conv(x, 4, (3, 3), pads=(1, 1, 1, 1))
    y = b.max_pool(b.add(x, y), (3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
    y = b.average_pool(y, (3, 2), strides=(1, 2), pads=(1, 0, 1, 0))
    assert takes_turns(assert_runs(b.model(b.conv(y, 6, (1, 1))), SQUARE))


def test_lines_longer_than_the_accumulators(always_joined):
    b = NetworkBuilder(np.random.default_rng(0), (4, 24, 2 * NANO.acc_depth + 3))
    x = b.conv("input", 4, (1, 1))
    x = b.max_pool(b.conv(x, 4, (1, 1)), (1, 8), strides=(1, 8))
    program = assert_runs(b.model(x), WEIGHTY)
    assert takes_turns(program)
    assert max(record.columns for record in program.writes if record.layer < 2) <= NANO.acc_depth


def test_map_that_is_read_elsewhere_is_kept(always_joined):
    b = NetworkBuilder(np.random.default_rng(0), (4, 24, 24))
    x = b.conv("input", 4, (1, 1))
    y = b.conv(x, 4, (3, 3), pads=(1, 1, 1, 1))
    z = b.conv(y, 4, (3, 3), pads=(1, 1, 1, 1))
    assert y not in assert_runs(b.model(z), WEIGHTY).places
    assert y in assert_runs(b.model(y), WEIGHTY).places


def test_signed_and_narrow_codes_move_unchanged(always_joined):
    b = NetworkBuilder(np.random.default_rng(0), (4, 40, 20))
    x = b.conv("input", 8, (1, 1), relu=None, bits=5)
    x = b.max_pool(x, (3, 3), strides=(1, 1), pads=(1, 1, 1, 1))
    program = assert_runs(b.model(b.conv(x, 4, (1, 1))), WEIGHTY)
    assert any("move lines" in item.note for item in program.instructions)


@pytest.mark.parametrize("groups", [1, 8])
@pytest.mark.parametrize("kernel", [(5, 3), (4, 1), (3, 6)])
def test_convolutions_take_lines_from_both_ends_of_a_ring(kernel, groups, always_joined):
    b = NetworkBuilder(np.random.default_rng(0), (4, 40, 20))
    x = b.conv("input", 8, (1, 1), relu=None, bits=5)
    x = b.conv(x, 8, kernel, pads=(2, 1, 2, 1), groups=groups, relu=None)
    program = assert_runs(b.model(b.conv(x, 4, (1, 1))), WEIGHTY)
    assert takes_turns(program)
    assert not any("move lines" in item.note for item in program.instructions)
    values = [item.values for item in program.instructions if item.opcode == Opcode.CONV]
    assert any(not fields["init"] for fields in values)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 1 << 32), config=st.sampled_from([NANO, SQUARE, WEIGHTY]))
def test_random_chains(seed, config):
    rng = np.random.default_rng(seed)
    model = random_model(rng, layers=int(rng.integers(2, 7)), max_size=24)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler.fusion, "_duration", lambda memory: len(memory.plans))
        patch.setattr(compiler.compile, "fastest", lambda drafts, *_: drafts[-1])
        try:
            assert_runs(model, config, seed=seed)
        except CompileError as error:
            # Too small for some of the networks.
            if "feature memory" not in str(error):
                raise


def test_schedule_is_as_late_as_possible():
    tasks = plan_layers(inverted(size=24, strides=(2, 2), residual=False), NANO)
    group = Group(tasks[1:4])
    steps = group.schedule(1, preset("ecp5_85f"))
    first = [(step.number, step.rect.y0, step.rect.y1) for step in steps[:6]]
    assert first == [(0, 0, 2), (1, 0, 1), (2, 0, 1), (0, 2, 4), (1, 1, 2), (2, 1, 2)]
    lines = group.windows(steps)
    assert list(lines.values()) == [3, 1]
