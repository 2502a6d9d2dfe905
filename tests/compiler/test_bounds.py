"""Where predicted cycles go."""

import numpy as np
import pytest

from arch.config import preset
from compiler import DramTiming, compile_model
from compiler.bounds import BOUNDS, CAUSES, bounds, whole

from .configs import CONFIGS, NANO
from .networks import NetworkBuilder, random_model


ECP5 = preset("ecp5_85f")


def builder(shape):
    return NetworkBuilder(np.random.default_rng(0), shape)


@pytest.mark.parametrize("config", [NANO, *CONFIGS[3:6]], ids=lambda config: config.name)
def test_every_cycle_has_one_cause(config):
    for seed in range(6):
        program = compile_model(
            random_model(np.random.default_rng(seed)), config, dram=DramTiming(50, 1.5))
        found = bounds(program)
        assert sum(bound.cycles for bound in found) == program.prediction.cycles
        for bound, layer in zip(found, program.layers, strict=True):
            assert tuple(bound.parts) == BOUNDS
            assert sum(bound.parts.values()) == bound.cycles
            assert min(bound.parts.values()) >= 0
            assert bound.name == layer.name


def test_multipliers():
    b = builder((16, 16, 16))
    x = b.conv("input", 16, (3, 3), pads=(1, 1, 1, 1))
    program = compile_model(b.model(b.conv(x, 16, (3, 3), pads=(1, 1, 1, 1))), ECP5)
    last = bounds(program)[1]
    assert (last.bound_by, last.parts["multipliers"], last.parts["idle lanes"]) == (
        "multipliers", 18 * 256, 0)
    assert last.share == 18 * 256 / last.cycles > 0.8


def test_idle_lanes():
    b = builder((16, 16, 16))
    x = b.conv("input", 5, (3, 3), pads=(1, 1, 1, 1))
    program = compile_model(b.model(b.conv(x, 5, (3, 3), pads=(1, 1, 1, 1))), ECP5)
    last = bounds(program)[1]
    assert last.bound_by == "idle lanes"
    assert last.parts["multipliers"] == round(5 * 5 * 9 * 256 / 128)
    assert last.parts["multipliers"] + last.parts["idle lanes"] == 9 * 256


def test_vector():
    b = builder((16, 16, 16))
    x = b.conv("input", 16, (1, 1))
    program = compile_model(b.model(b.max_pool(x)), ECP5, fuse=False)
    pool = bounds(program)[1]
    assert (pool.bound_by, pool.parts["vector"]) == ("vector", 256)
    assert pool.parts["waiting"] > 0


def test_dram():
    b = builder((64, 4, 4))
    model = b.model(b.fc("input", 64))
    found, = bounds(compile_model(model, ECP5))
    assert found.bound_by == "DRAM"
    slower, = bounds(compile_model(model, ECP5, dram=DramTiming(30, 4.0)))
    assert slower.parts["DRAM"] > found.parts["DRAM"] + 64 * 64 * 16 / 8 * 0.9
    assert slower.parts["multipliers"] == found.parts["multipliers"]


def test_latency_is_waiting_or_overhead():
    b = builder((8, 6, 6))
    model = b.model(b.conv("input", 8, (3, 3)))
    near, = bounds(compile_model(model, ECP5, dram=DramTiming(1)))
    far, = bounds(compile_model(model, ECP5, dram=DramTiming(1000)))
    assert far.bound_by in ("waiting", "overhead")
    more = sum(far.parts[cause] - near.parts[cause] for cause in ("waiting", "overhead"))
    assert more >= 0.9 * (far.cycles - near.cycles)


def test_whole():
    assert whole({"a": 1.4, "b": 1.4, "c": 1.2}, 4) == {"a": 1, "b": 2, "c": 1}
    assert whole({"a": -2.0, "b": 3.0}, 3) == {"a": 0, "b": 3}
    assert whole(dict.fromkeys(CAUSES, 0.0), 0) == dict.fromkeys(CAUSES, 0)


def test_json():
    b = builder((4, 6, 6))
    program = compile_model(b.model(b.conv("input", 4)), preset("tiny"))
    found, = (bound.to_json() for bound in bounds(program))
    assert set(found) == {
        "index", "name", "operator", "cycles", "roofline_cycles", "parts", "bound_by", "share"}
    assert found["parts"][found["bound_by"]] == max(found["parts"].values())
