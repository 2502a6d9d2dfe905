"""The accelerator's Verilog on layers that take turns, against the integer reference."""

import numpy as np
import pytest

from arch.config import preset
from compiler import DramTiming, compile_model
from sim.compare import check
from sim.result import DramModel
from sim.simulate import simulate
from tests.compiler.networks import NetworkBuilder, random_codes


pytestmark = pytest.mark.verilator


def test_inverted_residual_with_spilled_maps():
    b = NetworkBuilder(np.random.default_rng(0), (3, 40, 40))
    x = b.conv("input", 4, (3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
    for strides in ((1, 1), (2, 2)):
        y = b.conv(x, 48, (1, 1))
        if strides == (2, 2):
            y = b.max_pool(y, (3, 3), strides=(1, 1), pads=(1, 1, 1, 1))
        y = b.conv(y, 48, (3, 3), strides=strides, pads=(1, 1, 1, 1), groups=48)
        y = b.conv(y, 4, (1, 1), relu=None)
        x = b.add(x, y, relu=None) if strides == (1, 1) else y
    model = b.model(b.conv(x, 5, (1, 1)))
    program = compile_model(model, preset("tiny"), dram=DramTiming(30, 1.0))
    layers = [record.layer for record in program.writes]
    assert layers != sorted(layers)
    assert any("move lines" in item.note for item in program.instructions)
    assert any(item.values.get("init") == 0 for item in program.instructions)  # ends of a ring
    codes = random_codes(np.random.default_rng(4), model)
    inputs = [program.input_layout.pack(image) for image in codes]
    result = simulate(program, inputs, dram=DramModel(30, 1.0))
    check(program, model, codes, result)
    assert result.images[0].cycles == pytest.approx(program.prediction.cycles, rel=0.03)
