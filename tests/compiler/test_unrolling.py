"""Kernel taps of the input as channels: by the host, by LOAD, and which is chosen."""

from dataclasses import replace

import numpy as np
import pytest

from arch.config import preset
from arch.isa import Memory, Opcode
from compiler import CompileError, compile_model
from compiler.ir import DramTiming
from compiler.unrolling import Unrolling, unroll_cycles
from compiler.verify import VerifyError, verify
from quantizer.graph import Window
from tests.quantizer.networks import conv, make_graph, quantized

from .check import assert_runs
from .configs import SMALL16
from .networks import NetworkBuilder
from .test_verify import sizes
from .unrolling import random_first_layer


SMALL = preset("small")


def first_layer(shape=(3, 32, 32), kernel=(3, 3), **options):
    b = NetworkBuilder(np.random.default_rng(2), shape)
    x = b.max_pool(b.conv("input", 16, kernel, **options))
    return b.model(b.conv(x, 32, (3, 3), pads=(1, 1, 1, 1)))


@pytest.mark.parametrize("config", [preset("tiny"), SMALL, preset("ecp5_85f"), SMALL16],
                         ids=lambda config: config.name)
def test_random_first_layers(config, monkeypatch):
    monkeypatch.setattr("compiler.choice.UNROLLS", ("loader",))
    for seed in range(40):
        rng = np.random.default_rng([12, seed])
        model = random_first_layer(rng, data_bits=config.data_bits)
        program = assert_runs(model, replace(config, unroll_size=2048), seed=seed)
        assert program.input_layout.unroll == "loader"


def test_the_loader_is_chosen_for_its_traffic():
    model = first_layer(pads=(1, 1, 1, 1))
    program = assert_runs(model, SMALL)
    host = assert_runs(model, replace(SMALL, unroll_size=0))
    assert (program.input_layout.unroll, host.input_layout.unroll) == ("loader", "taps")
    assert program.input_size == 3072
    assert program.prediction.cycles < 1.01 * host.prediction.cycles
    assert program.prediction.bytes < host.prediction.bytes - 24_000


def test_fewer_bytes_where_these_take_long():
    model = first_layer(pads=(1, 1, 1, 1))
    config = replace(SMALL, unroll_size=0)
    fast, short = (assert_runs(model, config, input_cycles=cycles) for cycles in (0, 500))
    assert (fast.input_layout.unroll, short.input_layout.unroll) == ("taps", "none")
    assert short.input_size < fast.input_size / 3
    assert short.prediction.cycles > fast.prediction.cycles


@pytest.mark.parametrize(("model", "size"), [
    (first_layer(dilations=(2, 2)), 4096),
    (first_layer(pads=(1, 1, 1, 1)), 256),  # three lines are 288 bytes
    (first_layer((3, 14, 14), (2, 2), pads=(2, 0, 0, 0)), 4096),
    (first_layer((3, 14, 14), (1, 1)), 4096),
], ids=["dilation", "long lines", "padding only", "one tap"])
def test_what_the_loader_cannot_do_is_left_to_the_host(model, size):
    program = assert_runs(model, replace(SMALL, unroll_size=size))
    assert program.input_layout.unroll != "loader"


def test_refusals():
    with pytest.raises(CompileError, match="a kernel are 288 bytes, LOAD of config 'small' holds"):
        Unrolling("x", (3, 32, 32), Window((3, 3)), replace(SMALL, unroll_size=256))
    with pytest.raises(CompileError, match="LOAD unrolls kernels without dilation"):
        Unrolling("x", (3, 32, 32), Window((3, 3), dilations=(1, 2)), SMALL)


def test_cycles():
    """Positions start at bytes -3, 0, 3, ...: each of 3 segments of 9 bytes touches 2 beats."""
    unrolling = Unrolling("x", (3, 32, 32), Window((3, 3), pads=(1, 1, 1, 1)), SMALL)
    assert unrolling.position_cycles == 3 * 2 + 1
    fields = unrolling.fields(2, 6)
    assert (fields["address"], fields["line_beats"], fields["lines_above"]) == (96, 72, 0)
    assert unroll_cycles(fields, 4 * 32 * 4, 8, 8) == 4 * 32 * 7 + 3 * 2
    assert unrolling.fields(0, 2)["lines_above"] == 1
    assert unrolling.fields(30, 32)["map_lines"] == 3


@pytest.mark.parametrize(("changes", "message"), [
    ({"map_lines": 2}, "unrolls other beats than it reads"),
    ({"memory": Memory.WEIGHT}, "unrolls other beats than it reads"),
    ({"fill": 4}, "unrolls no whole lines of rows"),
    ({"row_count": 100}, "unrolls no whole lines of rows"),
    ({"stride_lines": 5}, "unrolls other lines than it reads"),
    ({"lines_above": 3}, "unrolls other lines than it reads"),
    ({"before": 4095, "advance": 4095}, "unrolls longer lines than fit"),
])
def test_verifier(changes, message):
    program = compile_model(first_layer(pads=(1, 1, 1, 1)), SMALL, dram=DramTiming())
    load = next(
        item for item in program.instructions
        if item.opcode == Opcode.LOAD and item.values["kernel_lines"])
    load.values = load.values | changes
    with pytest.raises(VerifyError, match=message):
        verify(program.instructions, SMALL, sizes(program))


def test_padding_of_the_host():
    """An input that is fitted to its codes comes padded, and costs no cycle more."""
    rng = np.random.default_rng(4)
    images = rng.uniform(-0.7, 1.9, (4, 3, 12, 11)).astype(np.float32)
    graph = make_graph((3, 12, 11), [
        conv(rng, "a", "x", 3, 16, window=Window((3, 3), (2, 2), (1, 0, 1, 2)), relu=True),
        conv(rng, "b", "a_out", 16, 8)])
    fitted, plain = (quantized(graph, images, fit_ends=fit) for fit in (True, False))
    assert fitted.graph.shapes["x"] == (3, 14, 13)
    programs = [assert_runs(model, SMALL) for model in (fitted, plain)]
    assert programs[0].prediction.cycles <= programs[1].prediction.cycles * 1.02
