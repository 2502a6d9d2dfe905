"""Random layer shapes on the Verilog against numpy, many networks to one build."""

import random

import numpy as np
import pytest

from arch.config import preset
from compiler import CompileError, compile_model
from quantizer.execute import execute
from sim.compare import compare_tensors
from sim.many import simulate_many
from tests.compiler.networks import NetworkBuilder, random_codes, random_model

from .configs import WIRED


CONFIG = preset("tiny")


def corners():
    """Yield networks at the corners: 1 x 1 maps, kernels larger than the map, odd channels."""
    shapes = (
        ((1, 1, 1), 1, (1, 1), (0, 0, 0, 0)), ((7, 1, 1), 9, (3, 3), (1, 1, 1, 1)),
        ((3, 2, 2), 5, (5, 5), (2, 2, 2, 2)), ((5, 1, 9), 3, (1, 7), (0, 3, 0, 3)),
        ((5, 9, 1), 3, (7, 1), (3, 0, 3, 0)), ((13, 3, 3), 17, (3, 3), (0, 0, 0, 0)),
        ((2, 4, 4), 4, (4, 4), (3, 0, 0, 3)), ((1, 12, 12), 1, (3, 3), (1, 1, 1, 1)))
    for seed, (shape, channels, kernel, pads) in enumerate(shapes):
        builder = NetworkBuilder(np.random.default_rng(seed), shape)
        yield f"corner {seed}", builder.model(builder.conv("input", channels, kernel, pads=pads))


def networks(seed, count, *, elementwise=False):
    """Yield ``count`` random networks that the config can run, with their seeds."""
    found = 0
    while found < count:
        rng = np.random.default_rng([seed, found])
        model = random_model(
            rng, layers=int(rng.integers(1, 3)), max_channels=11, max_size=7,
            elementwise=elementwise)
        yield f"seed [{seed}, {found}]", model
        found += 1


def assert_equal(models, config=CONFIG):
    """Simulate all models, one image each; return the layers compared."""
    jobs = []
    for name, model in models:
        codes = random_codes(random_generator(name), model)
        try:
            program = compile_model(model, config)
        except CompileError:
            continue
        jobs.append((name, model, program, codes))
    runs = simulate_many([(program, program.input_layout.pack(codes[0]))
                          for _, _, program, codes in jobs])
    layers = 0
    for (name, model, program, codes), run in zip(jobs, runs, strict=True):
        expected = {tensor: values[0] for tensor, values in execute(model, codes).items()}
        got = program.tensors_from_rows(run.rows)
        assert not compare_tensors(model, expected, got), name
        stored = program.output_layout.unpack(run.output)
        assert np.array_equal(stored, expected[program.output_name]), name
        # The first hundred cycles hang on the order of small bursts of fetch and LOAD.
        assert run.cycles == pytest.approx(program.prediction.cycles, rel=0.1, abs=100), name
        layers += len(program.layers)
    return len(jobs), layers


def random_generator(name):
    return np.random.default_rng(random.Random(name).getrandbits(32))


@pytest.mark.verilator
def test_corners():
    count, _ = assert_equal(corners())
    assert count == 8


@pytest.mark.verilator
@pytest.mark.parametrize("config", [CONFIG, WIRED], ids=lambda config: config.name)
def test_random_networks(config):
    count, layers = assert_equal(networks(1, 120), config)
    assert count >= 100
    assert layers >= 200


@pytest.mark.verilator
@pytest.mark.parametrize("config", [CONFIG, WIRED], ids=lambda config: config.name)
def test_random_products_slopes_and_tables(config):
    count, _ = assert_equal(networks(9, 60, elementwise=True), config)
    assert count >= 50


@pytest.mark.slow
@pytest.mark.verilator
@pytest.mark.parametrize("seed", range(2, 8))
def test_many_random_networks(seed):
    count, _ = assert_equal(networks(seed, 250))
    assert count >= 200
