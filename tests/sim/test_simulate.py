"""The whole path of a simulation, with a stand-in for the accelerator."""

import numpy as np
import pytest

from arch.config import preset
from sim.errors import SimulationError
from sim.result import DramModel
from sim.simulate import simulate

from .stand_in import StandInProgram, stand_in_verilog


pytestmark = pytest.mark.verilator


def run(program, inputs, **options):
    return simulate(program, inputs, verilog=stand_in_verilog(program.config), **options)


def random_inputs(program, count):
    rng = np.random.default_rng(5)
    return [rng.bytes(program.input_size) for _ in range(count)]


@pytest.mark.parametrize("name", ["tiny", "ecp5_85f", "large"])
def test_copies(name):
    program = StandInProgram(preset(name))
    inputs = random_inputs(program, 3)
    calls = []
    result = run(program, inputs, progress=lambda *call: calls.append(call))
    for data, image in zip(inputs, result.images, strict=True):
        expected = (np.frombuffer(data, np.uint8) + 1).astype(np.uint8)
        assert image.output == expected.tobytes()
        assert np.array_equal(image.rows, expected.reshape(program.rows, -1))
        assert image.row_numbers.tolist() == list(range(program.rows))
        assert image.dram_read_bytes == 64 + program.input_size
        assert image.dram_written_bytes == program.output_size
    assert calls[:2] == [("verilate", 0, 1), ("verilate", 1, 1)]
    assert calls[-1] == ("simulate", 3, 3)
    assert result.cycles_per_second > 0
