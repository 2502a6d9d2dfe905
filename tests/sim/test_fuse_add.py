"""Adds that convolutions do, on the Verilog against numpy, many networks to one build."""

from dataclasses import replace

import numpy as np
import pytest

from arch.config import preset
from arch.isa import Products
from compiler import compile_model
from quantizer.execute import execute
from sim.compare import compare_tensors
from sim.many import simulate_many
from tests.compiler.networks import NetworkBuilder, random_codes


pytestmark = pytest.mark.verilator


def network(rng):
    """Return residual blocks whose convolutions are of random kinds, with narrow weights too."""
    channels = int(rng.integers(2, 20))
    builder = NetworkBuilder(rng, (channels, *map(int, rng.integers(1, 10, 2))))
    builder.narrower = (0,)
    x = "input"
    for _ in range(2):
        r, s = (2 * int(rng.integers(0, 2)) + 1 for _ in range(2))
        y = builder.conv(
            x, channels, (r, s), pads=(r // 2, s // 2, r // 2, s // 2), relu=None,
            groups=int(rng.choice([1, 1, channels])), weight_bits=int(rng.choice([8, 8, 4, 3])),
            per_channel=bool(rng.integers(2)))
        x = builder.add(*rng.permutation([x, y]), relu=rng.choice([None, "relu"]))
    return builder.model(builder.conv(x, 5, (1, 1)), fuse_add=True)


@pytest.mark.parametrize(("config", "count"), [
    (preset("tiny"), 60),
    (replace(preset("tiny"), name="tiny-dual", dual_products=True), 60),
], ids=lambda value: getattr(value, "name", ""))
def test_random_blocks(config, count):
    jobs, fused = [], 0
    for seed in range(count):
        rng = np.random.default_rng([4, seed])
        model = network(rng)
        fused += len(model.provenance["fused_adds"])
        jobs.append((compile_model(model, config), model, random_codes(rng, model)))
    runs = simulate_many([
        (program, program.input_layout.pack(codes[0])) for program, _, codes in jobs])
    seen = set()
    for seed, ((program, model, codes), run) in enumerate(zip(jobs, runs, strict=True)):
        expected = {tensor: values[0] for tensor, values in execute(model, codes).items()}
        got = program.tensors_from_rows(run.rows)
        assert not compare_tensors(model, expected, got), seed
        assert run.cycles == pytest.approx(program.prediction.cycles, rel=0.05, abs=100), seed
        seen |= {item.values["products"] for item in program.instructions
                 if item.values.get("wide")}
    assert fused >= count
    assert (Products.SECOND in seen) == config.dual_products
