"""One instruction after the other: the Verilog against numpy, and against the model of cycles."""

from dataclasses import replace

import numpy as np
import pytest

from arch.config import preset
from arch.isa import Engine
from arch.registers import Error
from compiler import CompileError, compile_model
from quantizer.execute import execute
from sim.compare import check, compare_tensors
from sim.many import simulate_many
from sim.result import DramModel
from sim.simulate import simulate
from tests.compiler.networks import random_codes

from .network import small_program
from .test_faults import ends_with, engine_instructions, patch
from .test_faults import run as run_and_check
from .test_random_networks import corners, networks, random_generator


pytestmark = pytest.mark.verilator

EVERYTHING = replace(preset("tiny"), name="in_order", in_order=True, unroll_size=1024)
"""Every unit of ``tiny``."""

SMALL = replace(preset("up5k"), address_bits=24)
"""As little as possible, with addresses for all networks of a test at once."""


def run_all(models, config):
    """Simulate all models that can run, one image each; yield names, programs and runs."""
    jobs = []
    for name, model in models:
        try:
            program = compile_model(model, config)
        except CompileError:
            continue
        jobs.append((name, model, program, random_codes(random_generator(name), model)))
    runs = simulate_many([
        (program, program.input_layout.pack(codes[0])) for _, _, program, codes in jobs])
    for (name, model, program, codes), run in zip(jobs, runs, strict=True):
        expected = {tensor: values[0] for tensor, values in execute(model, codes).items()}
        assert not compare_tensors(model, expected, program.tensors_from_rows(run.rows)), name
        assert np.array_equal(
            program.output_layout.unpack(run.output), expected[program.output_name]), name
        yield name, program, run


def test_random_networks():
    models = [*corners(), *networks(1, 60), *networks(9, 30, elementwise=True)]
    runs = list(run_all(models, EVERYTHING))
    assert len(runs) == len(models)
    for name, program, run in runs:
        # Packed weights, tables and kernel taps come at rates that the model evens out.
        assert run.cycles == pytest.approx(program.prediction.cycles, rel=0.02, abs=4), name


def test_random_networks_on_as_little_as_possible():
    runs = list(run_all([*corners(), *networks(1, 60)], SMALL))
    assert len(runs) >= 25
    for name, program, run in runs:
        assert run.cycles == program.prediction.cycles, name


@pytest.fixture(scope="module")
def network():
    return small_program(EVERYTHING, widths=(3, 4, 8))


def test_every_kind_of_layer(network):
    model, program, codes = network
    inputs = [program.input_layout.pack(image) for image in codes]
    result = simulate(program, inputs)
    check(program, model, codes, result)
    run = result.images[0]
    beats = {
        engine: sum(counts["beats"] for (_, name), counts in run.counters.items() if name == engine)
        for engine in ("load", "save")}
    width = program.config.dram_width
    assert beats["load"] * width == run.dram_read_bytes - len(program.program_image)
    assert beats["save"] * width == run.dram_written_bytes


@pytest.mark.parametrize("dram", [DramModel(1, 4), DramModel(120, 0.7)], ids=str)
def test_dram_timing_does_not_matter(network, dram):
    model, program, codes = network
    result = simulate(program, [program.input_layout.pack(image) for image in codes], dram=dram)
    check(program, model, codes, result)


def test_faults_end_in_an_error_and_the_next_run_is_right(network):
    """A read and a write that fail, a loop and lines that never end."""
    model, program, codes = network
    fault = (program, program.input_layout.pack(codes[0]), execute(model, codes)["y"][0])
    reads = sum(program.prediction.traffic[name] for name in ("program", "weights", "maps_in"))
    last = reads // program.config.dram_width - 1
    cases = [
        ({"read": [0, 2]}, Error.READ, 3), ({"read": [last, 3], "pause": 0.3}, Error.READ, 3),
        ({"write": [0, 2]}, Error.WRITE, Engine.SAVE),
        (patch(program, engine_instructions(program, Engine.CALC)[0], count_4=4000, count_3=4000),
         Error.TIMEOUT, Engine.CALC),
        (patch(program, engine_instructions(program, Engine.LOAD)[0], line_count=60_000,
               line_stride=0), Error.TIMEOUT, Engine.LOAD),
    ]
    records = run_and_check(fault, [case for case, _, _ in cases])
    for (case, code, engine), record in zip(cases, records, strict=True):
        ends_with(record, code, engine, case)
