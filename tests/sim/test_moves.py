"""Networks that go up again, from ONNX to the Verilog: a U-Net and a feature pyramid."""

import numpy as np
import pytest

from arch.config import preset
from compiler import compile_model
from quantizer.execute import execute, quantize_input
from quantizer.export import ort_tensors
from quantizer.model import Limits
from quantizer.onnx_import import load_graph
from quantizer.search import quantize
from sim.compare import check, compare_tensors
from sim.functional import run_functional
from sim.many import simulate_many
from sim.simulate import simulate
from tests.compiler.networks import random_codes
from tests.compiler.test_moves import random_moves
from tests.quantizer.onnx_models import Builder

from .configs import LITTLE, TINY16
from .network import assert_same


pytestmark = pytest.mark.verilator

SAME = {"pads": [1, 1, 1, 1]}


def block(net, source, channels, inputs, **options):
    """Return convolution, BatchNormalization, Relu."""
    y = net.conv(source, channels, inputs, 3, 3, **SAME, **options)
    return net.node("Relu", net.batch_normalization(y, channels))


def up(net, source, inputs, channels, *kernel, group=1, **options):
    weight = net.random(inputs, channels // group, *kernel, scale=0.5)
    return net.node("ConvTranspose", source, weight, net.random(channels), group=group, **options)


def u_net(folder):
    """Down twice and up twice, with transposed convolutions of several kinds and odd maps."""
    net = Builder(["n", 3, 13, 16])
    a = block(net, "x", 6, 3)
    b = block(net, net.node("MaxPool", a, kernel_shape=[2, 2], strides=[2, 2]), 8, 6)
    c = block(net, net.node("MaxPool", b, kernel_shape=[2, 2], strides=[2, 2]), 10, 8)
    y = up(net, c, 10, 8, 4, 4, strides=[2, 2], pads=[1, 1, 1, 1])
    y = net.node("Relu", net.batch_normalization(y, 8))
    y = block(net, net.node("Concat", y, b, axis=1), 6, 16)
    y = up(net, y, 6, 6, 3, 3, group=6, strides=[2, 2], pads=[1, 1, 1, 1],
           output_padding=[1, 1])
    y = net.node("Clip", y, net.constant(0), net.constant(6))
    y = net.node("Pad", y, net.integers(0, 0, 0, 0, 0, 0, 1, 0))
    y = net.node("Concat", y, a, axis=1)
    net.conv(block(net, y, 5, 12), 2, 5, 1, 1)
    return net.save(folder)


def pyramid(folder):
    """Maps of three sizes, enlarged and joined; padding of another value; a smaller copy."""
    net = Builder(["n", 3, 12, 20])
    a = block(net, "x", 8, 3)
    b = block(net, a, 9, 8, strides=[2, 2])
    c = block(net, b, 12, 9, strides=[2, 2])
    half = {"mode": "nearest", "coordinate_transformation_mode": "half_pixel"}
    y = net.node("Resize", net.conv(c, 8, 12, 1, 1), "", net.constant([1, 1, 2, 2]), **half)
    y = block(net, net.node("Concat", y, net.conv(b, 8, 9, 1, 1), axis=1), 8, 16)
    y = net.node("Resize", y, "", net.constant([1, 1, 2, 2]), mode="nearest",
                 nearest_mode="floor", coordinate_transformation_mode="asymmetric")
    y = net.node("Add", y, net.conv(a, 8, 8, 1, 1))
    y = net.node("Pad", y, net.integers(0, 0, 1, 2, 0, 0, 0, -1), net.constant(0.75))
    y = net.node("MaxPool", y, kernel_shape=[2, 2])
    y = net.node("Resize", y, "", net.constant([1, 1, 0.5, 1 / 3]), **half)
    net.conv(y, 4, 8, 3, 3)
    return net.save(folder)


@pytest.mark.parametrize("network", [u_net, pyramid])
@pytest.mark.parametrize("config", [
    preset("tiny"), LITTLE, preset("small"), TINY16], ids=lambda config: config.name)
def test_all_engines(tmp_path, network, config):
    graph = load_graph(network(tmp_path))
    rng = np.random.default_rng(0)
    images = rng.standard_normal((4, *graph.input_dims)).astype(np.float32)
    model = quantize(
        graph, images, data_bits=config.data_bits, weight_bits=config.weight_bits,
        per_channel=True, limits=Limits(acc_bits=config.acc_bits))
    codes = quantize_input(model, images[:1])
    expected = execute(model, codes)
    for name, found in ort_tensors(model, images[:1]).items():
        np.testing.assert_array_equal(found, expected[name], err_msg=name)
    program = compile_model(model, config)
    data = program.input_layout.pack(codes[0])
    assert (program.scratch_size > 0) == (config is LITTLE)
    output, rows = run_functional(program, data)
    result = simulate(program, [data])
    check(program, model, codes, result)
    assert_same(program, result.images[0], output, rows)
    # Many short lines to and from DRAM are modeled less closely.
    close = 0.06 if config is LITTLE else 0.03
    assert result.images[0].cycles == pytest.approx(program.prediction.cycles, rel=close)


def test_random_networks():
    config, jobs = preset("tiny"), []
    for seed in range(60):
        rng = np.random.default_rng([7, seed])
        model = random_moves(rng, (int(rng.integers(1, 9)), *rng.integers(1, 9, 2)), 3, largest=9)
        program = compile_model(model, config)
        jobs.append((seed, model, program, random_codes(rng, model)))
    runs = simulate_many([
        (program, program.input_layout.pack(codes[0])) for _, _, program, codes in jobs])
    for (seed, model, program, codes), run in zip(jobs, runs, strict=True):
        expected = {name: values[0] for name, values in execute(model, codes).items()}
        got = program.tensors_from_rows(run.rows)
        assert not compare_tensors(model, expected, got), seed
        assert np.array_equal(
            program.output_layout.unpack(run.output), expected[program.output_name]), seed
        assert run.cycles == pytest.approx(program.prediction.cycles, rel=0.1, abs=100), seed
