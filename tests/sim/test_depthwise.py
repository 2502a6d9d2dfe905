"""Depthwise convolutions of random shapes on the Verilog against numpy."""

import numpy as np
import pytest

from arch.config import preset
from compiler import compile_model
from quantizer.execute import execute
from sim.compare import compare_tensors
from sim.many import simulate_many
from tests.compiler.networks import NetworkBuilder, random_codes


def network(rng):
    """Return two depthwise convolutions, a pooling between them or not, then 1 x 1."""
    channels = int(rng.integers(2, 19))
    builder = NetworkBuilder(rng, (channels, *rng.integers(1, 10, 2)))
    x = "input"
    for _ in range(2):
        _, height, width = builder.shapes[x]
        if rng.integers(2):
            taps = int(rng.integers(2, 5))
            x = builder.conv(
                x, channels, (3, taps), groups=channels,
                pads=(1, taps // 2, 1, taps - 1 - taps // 2))
            continue
        kernel, dilations = rng.integers(1, 6, 2), rng.integers(1, 3, 2)
        pads = [int(pad) for pad in rng.integers(0, 3, 4)]
        reach = (kernel - 1) * dilations + 1
        pads[2] += max(0, int(reach[0]) - height - pads[0] - pads[2])
        pads[3] += max(0, int(reach[1]) - width - pads[1] - pads[3])
        x = builder.conv(
            x, channels, tuple(map(int, kernel)), groups=channels, pads=tuple(pads),
            strides=tuple(map(int, rng.integers(1, 4, 2))),
            dilations=tuple(map(int, dilations)))
        if rng.integers(2) and min(builder.shapes[x][1:]) > 1:
            x = builder.max_pool(x)
    return builder.model(builder.conv(x, 5, (1, 1)))


@pytest.mark.verilator
def test_random_shapes():
    config, jobs = preset("small"), []
    for seed in range(80):
        rng = np.random.default_rng(seed)
        model = network(rng)
        codes = random_codes(rng, model)
        jobs.append((compile_model(model, config), model, codes))
    runs = simulate_many([
        (program, program.input_layout.pack(codes[0])) for program, _, codes in jobs])
    wraps = 0
    for seed, ((program, model, codes), run) in enumerate(zip(jobs, runs, strict=True)):
        expected = {tensor: values[0] for tensor, values in execute(model, codes).items()}
        got = program.tensors_from_rows(run.rows)
        assert not compare_tensors(model, expected, got), seed
        wraps += any(item.values.get("wrap") for item in program.instructions)
    assert wraps >= 40
