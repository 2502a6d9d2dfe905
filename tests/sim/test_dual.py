"""The Verilog with two products of a multiplier against numpy, many networks to one build."""

from dataclasses import replace

import numpy as np
import pytest

from arch.config import preset
from arch.isa import Opcode, Products
from compiler import CompileError, compile_model
from hw import MODULE_NAME
from quantizer.execute import execute
from sim.build import accelerator_verilog
from sim.compare import compare_tensors
from sim.functional import run_functional
from sim.lint import lint
from sim.many import simulate_many
from tests.compiler.networks import NetworkBuilder, random_codes, random_model

from .network import assert_same


pytestmark = pytest.mark.verilator

TINY = replace(preset("tiny"), name="tiny-dual", dual_products=True)


def one_conv(seed, shape, channels, kernel, pads, bits, **options):
    b = NetworkBuilder(np.random.default_rng(seed), shape, signed=bool(seed % 2))
    x = b.conv("input", channels, kernel, pads=pads, weight_bits=bits, per_channel=True,
               **options)
    return b.model(x)


def corners():
    """Yield networks of one layer: every padding, lanes not filled, small maps, wide kernels."""
    cases = (
        ((1, 1, 1), 9, (1, 1), (0, 0, 0, 0)), ((7, 1, 1), 9, (3, 3), (1, 1, 1, 1)),
        ((3, 2, 2), 5, (5, 5), (2, 2, 2, 2)), ((5, 1, 9), 3, (1, 7), (0, 3, 0, 3)),
        ((5, 9, 1), 13, (7, 1), (3, 0, 3, 0)), ((6, 6, 6), 4, (3, 3), (1, 1, 1, 1)),
        ((6, 6, 7), 4, (3, 3), (0, 0, 0, 0)), ((6, 5, 9), 4, (2, 4), (1, 2, 0, 1)),
        ((4, 9, 9), 24, (3, 3), (1, 1, 1, 1)), ((13, 7, 5), 17, (3, 2), (1, 0, 1, 0)),
        ((8, 6, 6), 12, (1, 1), (0, 0, 0, 0)), ((16, 4, 4), 8, (4, 4), (0, 0, 0, 0)),
        ((3, 16, 20), 11, (3, 3), (1, 1, 1, 1)))
    for seed, (shape, channels, kernel, pads) in enumerate(cases):
        for bits in (4, 3, 2):
            yield f"corner {seed}, {bits} bits", one_conv(
                seed, shape, channels, kernel, pads, bits)
    yield "strides", one_conv(50, (6, 9, 9), 8, (3, 3), (1, 1, 1, 1), 4, strides=(2, 2))
    yield "dilations", one_conv(51, (6, 9, 9), 8, (3, 3), (2, 2, 2, 2), 4, dilations=(2, 2))
    yield "groups", one_conv(52, (6, 9, 9), 18, (3, 3), (1, 1, 1, 1), 4, groups=3)
    yield "depthwise", one_conv(53, (6, 9, 9), 6, (3, 3), (1, 1, 1, 1), 4, groups=6)


def networks(count):
    """Yield random networks whose layers have weights of all widths."""
    for seed in range(count):
        rng = np.random.default_rng([9, seed])
        yield f"seed {seed}", random_model(
            rng, layers=2, max_channels=11, max_size=7, narrower=(0, 4, 4, 5, 6))


def assert_equal(models):
    """Simulate all models; return what products their instructions make."""
    jobs = []
    for number, (name, model) in enumerate(models):
        codes = random_codes(np.random.default_rng(number), model)
        try:
            program = compile_model(model, TINY)
        except CompileError:
            continue
        jobs.append((name, model, program, codes))
    runs = simulate_many([
        (program, program.input_layout.pack(codes[0])) for _, _, program, codes in jobs])
    products = set()
    for (name, model, program, codes), run in zip(jobs, runs, strict=True):
        expected = {tensor: values[0] for tensor, values in execute(model, codes).items()}
        assert not compare_tensors(model, expected, program.tensors_from_rows(run.rows)), name
        assert_same(program, run, *run_functional(program, program.input_layout.pack(codes[0])))
        assert run.cycles == pytest.approx(program.prediction.cycles, rel=0.1, abs=100), name
        products |= {
            Products(item.values["products"]) for item in program.instructions
            if item.opcode == Opcode.CONV}
    return products


def test_corners():
    assert assert_equal(corners()) == {Products.ONE, Products.BLOCKS, Products.TAPS}


def test_random_networks():
    assert assert_equal(networks(60)) >= {Products.ONE, Products.BLOCKS, Products.TAPS}


def test_verilog_lints():
    assert lint(accelerator_verilog(TINY), MODULE_NAME) == []
