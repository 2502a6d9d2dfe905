"""Addresses and contents of the simulated DRAM."""

import numpy as np
import pytest

from arch.config import preset
from arch.isa import Region
from sim.errors import SimulationError
from sim.memory import bench_job, memory_image, memory_map

from .stand_in import StandInProgram


@pytest.fixture
def program():
    return StandInProgram(preset("tiny"), rows=1100, scratch_size=5000)


def test_regions_do_not_overlap(program):
    layout = memory_map(program, 3)
    parts = [(layout.program, 64), (layout.weights, 64), (layout.scratch, 5000)]
    parts += [(address, 4400) for address in (*layout.inputs, *layout.outputs)]
    parts.sort()
    for (start, size), (following, _) in zip(parts, parts[1:], strict=False):
        assert start + size <= following
    assert parts[-1][0] + parts[-1][1] <= layout.size
    assert all(address % 4096 == 0 and address > 0 for address, _ in parts)
    # Only output and scratch may be written.
    assert max(layout.inputs) < layout.writable <= min(*layout.outputs, layout.scratch)


def test_contents(program):
    inputs = [bytes([k]) * program.input_size for k in (7, 9)]
    layout = memory_map(program, 2)
    memory = memory_image(program, inputs, layout)
    assert len(memory) == layout.size
    for image, data in enumerate(inputs):
        start = layout.regions(image)[Region.INPUT]
        assert memory[start:start + len(data)].tobytes() == data
    assert memory[layout.program:layout.program + 64].tobytes() == program.program_image
    # What nobody wrote is noise, not zeros.
    assert len(np.unique(memory[layout.scratch:layout.scratch + 5000])) > 200


def test_bench_job(program):
    layout = memory_map(program, 2)
    job = bench_job(program, layout)
    assert job["regions"][1] == [
        layout.weights, layout.inputs[1], layout.outputs[1], layout.scratch]
    assert job["layers"] == [0, 1]


def test_more_than_32_bits(program):
    with pytest.raises(SimulationError, match=(
            r"^600000 images need \d+ bytes of DRAM, but addresses have 32 bits; "
            r"simulate fewer images at once$")):
        memory_map(program, 600_000)
