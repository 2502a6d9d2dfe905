"""Kernel taps of the input that LOAD makes into channels, on the Verilog."""

import numpy as np
import pytest

from arch.config import preset
from compiler import compile_model
from quantizer.execute import execute
from sim.compare import check, compare_tensors
from sim.functional import run_functional
from sim.many import simulate_many
from sim.simulate import simulate
from tests.compiler.networks import NetworkBuilder, random_codes
from tests.compiler.unrolling import random_first_layer

from .configs import BANDS, BANDS16, RING


pytestmark = pytest.mark.verilator


@pytest.mark.parametrize("config", [BANDS, RING, BANDS16],
                         ids=lambda config: config.name)
def test_random_first_layers(config, monkeypatch):
    monkeypatch.setattr("compiler.choice.UNROLLS", ("loader",))
    jobs = []
    for seed in range(60):
        rng = np.random.default_rng([11, seed])
        model = random_first_layer(rng, data_bits=config.data_bits)
        program = compile_model(model, config)
        assert program.input_layout.unroll == "loader"
        jobs.append((seed, model, program, random_codes(rng, model)))
    runs = simulate_many([
        (program, program.input_layout.pack(codes[0])) for _, _, program, codes in jobs])
    for (seed, model, program, codes), run in zip(jobs, runs, strict=True):
        expected = {name: values[0] for name, values in execute(model, codes).items()}
        assert not compare_tensors(model, expected, program.tensors_from_rows(run.rows)), seed
        assert np.array_equal(
            program.output_layout.unpack(run.output), expected[program.output_name]), seed
        assert run.cycles == pytest.approx(program.prediction.cycles, rel=0.1, abs=60), seed


@pytest.mark.parametrize("config", [RING, preset("small")], ids=lambda config: config.name)
def test_map_in_tiles(config, monkeypatch):
    """A map of several tiles; the ring holds them, or only little more than a kernel."""
    b = NetworkBuilder(np.random.default_rng(5), (3, 32, 32))
    x = b.max_pool(b.conv("input", 16, (3, 3), pads=(1, 1, 1, 1)))
    model = b.model(b.conv(x, 8, (3, 3), strides=(2, 2)))
    monkeypatch.setattr("compiler.choice.UNROLLS", ("loader",))
    program = compile_model(model, config)
    codes = random_codes(np.random.default_rng(1), model)
    data = program.input_layout.pack(codes[0])
    assert len(data) == program.input_size == 32 * 96
    result = simulate(program, [data, data])
    check(program, model, np.concatenate([codes, codes]), result)
    assert run_functional(program, data)[0] == result.images[0].output
    assert result.images[0].cycles == pytest.approx(program.prediction.cycles, rel=0.01)
