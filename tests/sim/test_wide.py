"""The Verilog of an accelerator with 16-bit data and weights against the integer reference."""

import numpy as np
import pytest

from compiler import compile_model
from hw import MODULE_NAME
from quantizer import load_graph, quantize, quantize_input
from sim.build import accelerator_verilog
from sim.compare import check
from sim.functional import run_functional
from sim.lint import lint
from sim.simulate import simulate

from .configs import TINY16
from .network import assert_same, small_program


pytestmark = pytest.mark.verilator

@pytest.mark.parametrize(("bits", "widths"), [
    (8, (8, 8, 8)), (16, (16, 16, 16)), (16, (6, 12, 16))])
def test_every_layer_kind(bits, widths):
    model, program, codes = small_program(TINY16, widths=widths, data_bits=bits)
    inputs = [program.input_layout.pack(image) for image in codes]
    assert {len(data) for data in inputs} == {program.input_size}
    result = simulate(program, inputs)
    check(program, model, codes, result)
    for data, run in zip(inputs, result.images, strict=True):
        output, rows = run_functional(program, data)
        assert_same(program, run, output, rows)
    largest = max(abs(tensor).max() for tensor in program.tensors_from_rows(rows).values())
    assert largest < 256 if bits == 8 else largest > 1 << 14


def test_lenet(lenet, mnist):
    with np.load(mnist) as data:
        images = data["calib_x"][:8].reshape(8, 1, 28, 28).astype(np.float32) / 255
    model = quantize(load_graph(lenet), images, data_bits=16, weight_bits=16)
    program = compile_model(model, TINY16)
    assert program.worst_acc_bits > 32
    codes = quantize_input(model, images[:1])
    result = simulate(program, [program.input_layout.pack(codes[0])])
    check(program, model, codes, result)
    assert result.images[0].cycles == pytest.approx(program.prediction.cycles, rel=0.03)


def test_verilog_lints():
    assert lint(accelerator_verilog(TINY16), MODULE_NAME) == []
