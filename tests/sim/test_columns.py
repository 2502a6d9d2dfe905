"""Layers whose last output block leaves lanes idle, on the Verilog."""

from dataclasses import replace

import numpy as np
import pytest

from arch.config import preset
from compiler import compile_model
from sim.compare import check
from sim.functional import run_functional
from sim.simulate import simulate
from tests.compiler.networks import NetworkBuilder, random_codes

from .configs import TINY16


pytestmark = pytest.mark.verilator


@pytest.mark.parametrize(("config", "bits"), [
    (preset("tiny"), 8), (preset("tiny"), 3), (TINY16, 16), (preset("small"), 8),
    (replace(preset("tiny"), name="six", out_lanes=16, weight_depth=256), 4),
], ids=lambda value: getattr(value, "name", value))
def test_few_classes(config, bits):
    """Two images, so that other weights are where none are loaded."""
    lanes = config.out_lanes
    b = NetworkBuilder(
        np.random.default_rng(3), (lanes + 1, 13, 13), bits=config.data_bits, weight_bits=bits)
    x = b.conv("input", 2 * lanes + 1, (3, 3), pads=(1, 1, 1, 1))
    x = b.max_pool(x, (2, 2), strides=(2, 2))
    x = b.conv(x, lanes + 2, (2, 2))
    model = b.model(b.fc(x, lanes // 4 + 1))
    program = compile_model(model, config)
    columns = [item.values["columns"] for item in program.instructions
               if item.values.get("columns")]
    assert columns or bits == 3  # narrow weights of ``tiny`` fill whole rows
    codes = np.concatenate([
        random_codes(np.random.default_rng(seed), model) for seed in range(2)])
    inputs = [program.input_layout.pack(image) for image in codes]
    result = simulate(program, inputs)
    check(program, model, codes, result)
    for data, run in zip(inputs, result.images, strict=True):
        output, rows = run_functional(program, data)
        expected = program.tensors_from_rows(rows)
        for name, values in program.tensors_from_rows(run.rows).items():
            np.testing.assert_array_equal(values, expected[name], err_msg=name)
        np.testing.assert_array_equal(
            program.output_layout.unpack(run.output), program.output_layout.unpack(output))
    assert result.images[0].cycles == pytest.approx(program.prediction.cycles, rel=0.03, abs=60)
