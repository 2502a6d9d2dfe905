# amaranth: UnusedElaboratable=no
"""Networks that do not fit on chip, over a serial line and an SDRAM, give the bits of numpy."""

import re
from dataclasses import replace

import numpy as np
import pytest

from arch.config import preset
from compiler import compile_model
from dynafix.serial import Board
from hw.build.boards import board as known_board
from hw.build.fit import image_block_ram
from hw.build.sdram import PAD_REGISTERS
from hw.sdram import PARTS
from hw.tops import ExternalTop
from quantizer import load_graph, quantize, quantize_input
from quantizer.execute import execute
from sim.errors import SimulationError
from sim.sdram import SdramMemory, external_port
from sim.simulate import DramModel, simulate

from ...compiler.networks import NetworkBuilder, random_codes
from ..configs import LITTLE


CLOCK = 100_000_000
DIVISOR = 4
TIMEOUT = 1 << 15
"""Longer than the memory needs after the reset."""

WAIT = 1e-3
"""Simulated seconds after which a host gives up: longer than TIMEOUT."""

PART = PARTS["AS4C16M16SA-7"]
# A refresh as often as the whole memory has it.
SMALL = replace(PART, row_bits=11, t_refresh=PART.t_refresh / 4, t_power_up=2000.0)


def spilling_model():
    """Return a network whose first map does not fit in 512 rows of 4 channels, nor its second."""
    builder = NetworkBuilder(np.random.default_rng(2), (3, 20, 20))
    x = builder.conv("input", 8, pads=(1, 1, 1, 1))
    x = builder.conv(x, 8, (1, 1))
    y = builder.conv(x, 8, pads=(1, 1, 1, 1))
    x = builder.add(x, y)
    x = builder.max_pool(x, (4, 4), strides=(4, 4))
    return builder.model(builder.fc(x, 5), fuse_add=False)


def open_board(config, part=SMALL, *, clock=CLOCK, **options):
    port = external_port(
        config, part, divisor=DIVISOR, clock=clock, timeout=TIMEOUT, **options)
    port.timeout = WAIT
    return port, Board(port, timeout=WAIT)


@pytest.mark.verilator
def test_maps_that_spill():
    model = spilling_model()
    program = compile_model(model, LITTLE)
    assert program.scratch_size > 0
    port, board = open_board(LITTLE, read_delay=PAD_REGISTERS)
    with port:
        info = board.info()
        assert (info.memory, info.beat, info.clock) == (SMALL.size, LITTLE.dram_width, CLOCK)
        assert board.load(program)
        rng = np.random.default_rng(0)
        for _ in range(2):
            codes = random_codes(rng, model)
            run = board.run(codes[0])
            assert np.array_equal(run.output, execute(model, codes)[program.output_name][0])
        assert board.repeated == 0
        # The end of memory, and what is behind it.
        board.write_memory(SMALL.size - 8, bytes(range(8)))
        assert board.read_memory(SMALL.size - 8, 8) == bytes(range(8))


@pytest.mark.verilator
def test_broken_rule_ends_the_simulation():
    """A memory that is slower than the controller believes stops with the rule that is broken."""
    port, board = open_board(LITTLE, model=replace(SMALL, t_rcd=40.0))
    with port, pytest.raises(SimulationError, match="sdram: tRCD broken, only 3 cycles"):
        board.write_memory(0, bytes(4))


def test_beats_that_no_memory_has():
    with pytest.raises(ValueError, match=re.escape(
            "Data width of a memory of 16 bits must be one of 16, 32, 64, 128, not 256")):
        ExternalTop(preset("large"), PART, divisor=8, clock=CLOCK)


@pytest.mark.verilator
@pytest.mark.slow
def test_caffe_lenet(shared_models):
    """431 KB of weights, more than the block RAM of ULX3S, in its memory and bit by bit."""
    graph = load_graph(shared_models / "lenet_caffe_mnist.onnx")
    config = preset("small")
    rng = np.random.default_rng(0)
    images = rng.standard_normal((8, *graph.input_dims)).astype(np.float32)
    model = quantize(graph, images)
    program = compile_model(model, config)
    size = len(program.weight_image)
    ulx3s = known_board("ulx3s")
    assert image_block_ram(size, ulx3s.device.technology) > ulx3s.device.resources["block_ram"]
    port, board = open_board(
        config, ulx3s.memory, clock=round(ulx3s.usual * 1_000_000), read_delay=PAD_REGISTERS)
    with port:
        board.load(program)
        for codes in quantize_input(model, images[:2]):
            run = board.run(codes)
            assert np.array_equal(
                run.output, execute(model, codes[np.newaxis])[program.output_name][0])
        assert board.repeated == 0
        # Each byte takes ten bits.
        assert port.cycles > size * 10 * DIVISOR


@pytest.mark.verilator
@pytest.mark.slow
def test_sdram_in_the_place_of_dram():
    """Rows and output are those of numpy, and cycles near those of the DRAM model."""
    model = spilling_model()
    program = compile_model(model, LITTLE)
    codes = random_codes(np.random.default_rng(0), model)
    inputs = [program.input_layout.pack(codes[0])] * 2
    memory = SdramMemory(replace(PART, t_power_up=2000.0), CLOCK)
    run = simulate(program, inputs, dram=memory).images[1]
    expected = {name: values[0] for name, values in execute(model, codes).items()}
    assert np.array_equal(program.output_layout.unpack(run.output), expected[program.output_name])
    for name, values in program.tensors_from_rows(run.rows).items():
        assert np.array_equal(values, expected[name]), name
    plain = simulate(program, inputs, dram=DramModel(memory.latency, memory.bytes_per_cycle))
    assert run.cycles == pytest.approx(plain.images[1].cycles, rel=0.1)
    assert run.dram_read_bytes == plain.images[1].dram_read_bytes
    assert run.dram_written_bytes == plain.images[1].dram_written_bytes > 0
