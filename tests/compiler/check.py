"""Run a compiled network in the functional simulator and compare every tensor."""

import numpy as np

from compiler import compile_model
from quantizer.execute import execute
from sim.functional import run_functional

from .networks import random_codes


def assert_runs(model, config, *, seed=0, **options):
    """Compile, run on random codes, compare; return the program."""
    program = compile_model(model, config, **options)
    codes = random_codes(np.random.default_rng(seed), model)
    data = program.input_layout.pack(codes[0])
    assert len(data) == program.input_size
    output, rows = run_functional(program, data)
    expected = execute(model, codes)
    actual = program.tensors_from_rows(rows)
    assert set(actual) == set(expected) - {model.graph.input} - program.fused
    for name, codes_of in actual.items():
        np.testing.assert_array_equal(codes_of, expected[name][0], err_msg=name)
    np.testing.assert_array_equal(
        program.output_layout.unpack(output), expected[program.output_name][0])
    return program
