"""Products, channel vectors, slopes and tables on the Verilog, against the integer reference."""

import numpy as np
import pytest

from arch.config import preset
from compiler import compile_model
from quantizer.execute import execute
from sim.compare import compare_tensors
from sim.many import simulate_many
from sim.result import DramModel
from tests.compiler.configs import NANO16
from tests.compiler.networks import NetworkBuilder, random_codes


pytestmark = pytest.mark.verilator


def networks(config, sizes):
    """Yield blocks of embedded networks, on maps that fit and on maps that do not."""
    bits = config.data_bits

    def builder(shape, seed=0):
        return NetworkBuilder(
            np.random.default_rng(seed), shape, bits=bits, weight_bits=config.weight_bits,
            frac=bits - 4)

    for size in sizes:
        b = builder((3, size, size + 1))
        x = b.conv("input", 11, (3, 3), pads=(1, 1, 1, 1), signed=True)
        yield f"excite {size}", b.model(b.conv(b.excite(x), 5, (1, 1)))

        b = builder((3, size, size))
        x = b.prelu(b.conv("input", 9, (3, 3), pads=(1, 1, 1, 1), relu=None))
        yield f"slopes {size}", b.model(b.prelu(b.conv(x, 6, (1, 1), relu=None), same=True, frac=3))

        b = builder((5, size, size))
        x = b.conv("input", 6, (1, 1), relu=None)
        y = b.conv("input", 6, (1, 1), signed=False)
        vector = b.global_pool(b.clamp(x))
        z = b.add(b.mul(x, y), vector, relu=None)
        yield f"two maps {size}", b.model(b.mul(z, b.mul(vector, vector)))

        for kind in ("sigmoid", "hard_swish", "silu"):
            b = builder((3, size, size - 1))
            x = b.activation(b.conv("input", 9, (3, 3), relu=None), kind)
            x = b.conv(x, 5, (1, 1), relu=None)
            yield f"{kind} {size}", b.model(b.activation(x, kind, signed=True))

    b = builder((2, 6, 6))  # more tables than there is room for, each needed again
    x = "input"
    for kind in ("sigmoid", "tanh", "hard_sigmoid", "hard_swish", "silu", "sigmoid"):
        x = b.activation(b.conv(x, 5, (1, 1), relu=None), kind)
    yield "many tables", b.model(x)


@pytest.mark.parametrize(("config", "sizes"), [
    (preset("tiny"), (5, 48)), (preset("small"), (5, 48)), (NANO16, (5, 14)),
], ids=["tiny", "small", "16 bits"])
def test_blocks(config, sizes):
    jobs = []
    for name, model in networks(config, sizes):
        program = compile_model(model, config)
        codes = random_codes(np.random.default_rng(1), model)
        jobs.append((name, model, program, codes))
    runs = simulate_many(
        [(program, program.input_layout.pack(codes[0])) for _, _, program, codes in jobs],
        dram=DramModel(30, config.dram_width))
    for (name, model, program, codes), run in zip(jobs, runs, strict=True):
        expected = {tensor: values[0] for tensor, values in execute(model, codes).items()}
        got = program.tensors_from_rows(run.rows)
        assert not compare_tensors(model, expected, got), name
        stored = program.output_layout.unpack(run.output)
        assert np.array_equal(stored, expected[program.output_name]), name
        # The model knows nothing of two engines at one bank, which small memories with maps in
        # DRAM have most, and in short programs the fetch waits longer behind a table than it says.
        assert run.cycles == pytest.approx(program.prediction.cycles, rel=0.08, abs=100), name
