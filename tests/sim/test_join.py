"""Joined maps on the Verilog: written in place, moved by the array, and spilled."""

import numpy as np
import pytest

from arch.config import preset
from arch.formats import Format
from compiler import compile_model
from quantizer.execute import execute, quantize_input
from quantizer.onnx_import import load_graph
from quantizer.search import quantize
from sim.compare import check
from sim.functional import run_functional
from sim.simulate import simulate
from tests.compiler.networks import NetworkBuilder, random_codes

from .configs import LITTLE
from .network import assert_same


pytestmark = pytest.mark.verilator


def joined_model(seed=2):
    """Return a network with Concats free and not, of other formats and signs, and Slices."""
    b = NetworkBuilder(np.random.default_rng(seed), (3, 12, 11))
    x = b.conv("input", 5, (1, 1))
    parts = [b.conv(x, 8, (1, 1)), b.conv(x, 7, (3, 3), pads=(1, 1, 1, 1))]
    b.same_format(*parts)
    pool = b.max_pool(parts[0], (3, 3), strides=(1, 1), pads=(1, 1, 1, 1))
    y = b.concat(parts[0], pool, parts[1])
    b.formats[y] = b.formats[parts[0]]
    z = b.conv(y, 6, (1, 1), relu=None)
    last = b.concat(z, "input", y)
    b.formats[last] = Format(8, min(b.formats[n].frac for n in (z, y, "input")) + 1, True)
    cut = b.concat(b.slice(last, 8, 20), b.conv(b.slice(last, 5, 18), 4, (1, 1), signed=True))
    mean = b.average_pool(cut, (12, 11), strides=(1, 1), up=1)
    return b.model(b.fc(mean, 4))


@pytest.mark.parametrize("config", [preset("tiny"), LITTLE], ids=lambda config: config.name)
def test_joined_maps(config):
    model = joined_model()
    program = compile_model(model, config)
    assert set(program.parts) >= {"conv1_out", "conv2_out", "maxpool3_out"}
    codes = random_codes(np.random.default_rng(1), model)
    data = program.input_layout.pack(codes[0])
    result = simulate(program, [data])
    check(program, model, codes, result)
    output, rows = run_functional(program, data)
    assert_same(program, result.images[0], output, rows)


@pytest.mark.slow
def test_squeezenet(shared_models):
    graph = load_graph(shared_models / "squeezenet1_1_224.onnx")
    images = np.random.default_rng(0).standard_normal((2, *graph.input_dims)).astype(np.float32)
    model = quantize(graph, images, per_channel=True)
    program = compile_model(model, preset("ecp5_85f"))
    assert len(program.parts) >= 12
    assert len(program.fused) == 7
    assert program.prediction.cycles < 1.05 * program.roofline_cycles
    codes = quantize_input(model, images[:1])
    data = program.input_layout.pack(codes[0])
    _, rows = run_functional(program, data)
    expected = execute(model, codes)
    for name, values in program.tensors_from_rows(rows).items():
        np.testing.assert_array_equal(values, expected[name][0], err_msg=name)
    result = simulate(program, [data])
    check(program, model, codes, result)
    assert result.images[0].cycles == pytest.approx(program.prediction.cycles, rel=0.01)
