"""Max pooling of the results of convolutions on the Verilog: shapes, bands, signs, parts."""

import numpy as np
import pytest

from compiler import compile_model
from quantizer.execute import execute
from sim.compare import compare_tensors
from sim.difference import first_difference
from sim.functional import run_functional
from sim.many import simulate_many
from tests.compiler.networks import NetworkBuilder, random_codes

from .configs import BANDS, BANDS16, LITTLE
from .network import assert_same


pytestmark = pytest.mark.verilator

KERNELS = ((2, 2), (3, 2), (3, 3), (2, 1), (4, 3), (4, 4), (2, 3), (1, 2))


def network(seed):
    """Return a random network in which a convolution, or a fire module, is pooled."""
    rng = np.random.default_rng(seed)
    kernel, stride = KERNELS[seed % len(KERNELS)]
    height, width = (int(rng.integers(kernel + 1, 16)) for _ in range(2))
    b = NetworkBuilder(rng, (int(rng.integers(1, 5)), height, width),
                       signed=bool(rng.integers(2)))
    x = "input"
    relu = rng.choice([None, "relu", "clip"])
    kind = rng.choice(["conv", "depthwise", "fire"])
    if kind == "fire":
        parts = [b.conv(x, 4 * int(rng.integers(1, 4)), (k, k), pads=(k // 2,) * 4, relu=relu)
                 for k in (1, 3)]
        b.same_format(*parts)
        x = b.concat(*parts)
        b.formats[x] = b.formats[parts[0]]
    else:
        count = int(rng.integers(1, 10)) if kind == "conv" else b.shapes[x][0]
        x = b.conv(x, count, (3, 3), pads=(1, 1, 1, 1), relu=relu,
                   groups=1 if kind == "conv" else count)
    pads = [int(rng.integers(0, 2)) * (kernel > 1) for _ in range(4)]
    x = b.max_pool(x, (kernel, kernel), strides=(stride, stride), pads=pads,
                   relu=rng.choice([None, "clip"]))
    if rng.integers(2):
        x = b.conv(x, 6, (1, 1))
    return b.model(x)


def assert_equal(models, config):
    """Run all on the Verilog; return how many pool their results."""
    jobs = []
    for seed, model in enumerate(models):
        codes = random_codes(np.random.default_rng(seed), model)
        jobs.append((model, compile_model(model, config), codes))
    runs = simulate_many([
        (program, program.input_layout.pack(codes[0])) for _, program, codes in jobs])
    for seed, ((model, program, codes), run) in enumerate(zip(jobs, runs, strict=True)):
        expected = {name: values[0] for name, values in execute(model, codes).items()}
        got = program.tensors_from_rows(run.rows)
        assert not compare_tensors(model, expected, got), seed
        assert set(got) == set(expected) - {"input"} - program.fused
        stored = program.output_layout.unpack(run.output)
        assert np.array_equal(stored, expected[program.output_name]), seed
        assert_same(program, run, *run_functional(program, program.input_layout.pack(codes[0])))
        assert run.cycles == pytest.approx(program.prediction.cycles, rel=0.1, abs=100), seed
    return sum(bool(program.fused) for _, program, _ in jobs)


def test_random_poolings():
    assert assert_equal([network(seed) for seed in range(96)], BANDS) > 60


def test_wide_codes():
    models = []
    for seed, relu in enumerate((None, "relu", "clip")):
        b = NetworkBuilder(np.random.default_rng(seed), (2, 12, 11), bits=16, weight_bits=16)
        x = b.conv("input", 7, (3, 3), relu=relu)
        b.max_pool(x, (3, 3), strides=(2, 2), pads=(1, 0, 0, 1))
        models.append(b.model())
    assert assert_equal(models, BANDS16) == 3


def test_layers_by_turns():
    """Two poolings in a chain of lines, and a global one by channel blocks."""
    b = NetworkBuilder(np.random.default_rng(4), (4, 30, 30))
    x = b.max_pool(b.conv("input", 16, (1, 1)), (3, 3), strides=(2, 2))
    x = b.max_pool(b.conv(x, 24, (1, 1)), (3, 3), strides=(2, 2))
    chain = b.model(b.conv(x, 4, (1, 1)))
    b = NetworkBuilder(np.random.default_rng(2), (6, 9, 9))
    x = b.conv("input", 61, (3, 3), pads=(1, 1, 1, 1))
    blocks = b.model(b.average_pool(x, (9, 9), strides=(1, 1)))
    assert assert_equal([chain, blocks], LITTLE) == 1


def test_a_wrong_code_is_found_in_the_pooled_map():
    b = NetworkBuilder(np.random.default_rng(1), (3, 12, 12))
    parts = [b.conv("input", 8, (k, k), pads=(k // 2,) * 4) for k in (1, 3)]
    b.same_format(*parts)
    x = b.concat(*parts)
    b.formats[x] = b.formats[parts[0]]
    model = b.model(b.max_pool(x))
    program = compile_model(model, BANDS)
    assert program.fused
    codes = random_codes(np.random.default_rng(0), model)
    expected = {name: values[0] for name, values in execute(model, codes).items()}
    _, rows = run_functional(program, program.input_layout.pack(codes[0]))
    got = program.tensors_from_rows(rows)
    got["maxpool3_out"][13, 4, 2] += 1
    found = first_difference(program, model, expected, got)
    assert (found.layer, found.position, found.channels) == ("maxpool3", (13, 4, 2), (12, 15))
    assert found.lines[0] <= 4 <= found.lines[1]
    writer = program.instructions[found.instruction]
    assert program.layers[writer.layer].name == "conv1"
    wrong = {name: values.copy() for name, values in expected.items()}
    wrong[parts[0]][3, 2, 1] += 1
    found = first_difference(program, model, expected, wrong)
    assert (found.layer, found.position, found.instruction) == ("conv0", (3, 2, 1), None)
