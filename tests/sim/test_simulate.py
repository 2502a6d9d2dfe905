"""The whole path of a simulation, with a stand-in for the accelerator."""

import numpy as np
import pytest

from arch.config import preset
from sim.errors import SimulationError
from sim.result import DramModel
from sim.simulate import simulate

from .stand_in import StandInProgram, stand_in_verilog


pytestmark = pytest.mark.verilator


def run(program, inputs, **options):
    return simulate(program, inputs, verilog=stand_in_verilog(program.config), **options)


def random_inputs(program, count):
    rng = np.random.default_rng(5)
    return [rng.bytes(program.input_size) for _ in range(count)]


@pytest.mark.parametrize("name", ["tiny", "ecp5_85f", "large"])
def test_copies(name):
    program = StandInProgram(preset(name))
    inputs = random_inputs(program, 3)
    calls = []
    result = run(program, inputs, progress=lambda *call: calls.append(call))
    for data, image in zip(inputs, result.images, strict=True):
        expected = (np.frombuffer(data, np.uint8) + 1).astype(np.uint8)
        assert image.output == expected.tobytes()
        assert np.array_equal(image.rows, expected.reshape(program.rows, -1))
        assert image.row_numbers.tolist() == list(range(program.rows))
        assert image.dram_read_bytes == 64 + program.input_size
        assert image.dram_written_bytes == program.output_size
    assert calls[:2] == [("verilate", 0, 1), ("verilate", 1, 1)]
    assert calls[-1] == ("simulate", 3, 3)
    assert result.cycles_per_second > 0


def test_counters_and_events():
    program = StandInProgram(preset("tiny"))
    image = run(program, random_inputs(program, 2)).images[1]
    # The stand-in's counters tell their layer, engine and register.
    assert image.counters[1, "save"] == {
        name: (1 | 2 << 12) << 8 | offset
        for name, offset in zip(("busy", "wait", "stall", "beats"), range(0x40, 0x50, 4),
                                strict=True)}
    assert set(image.counters) == {
        (layer, engine) for layer in (0, 1) for engine in ("load", "calc", "save")}
    kinds = [(engine, kind, layer) for _, engine, kind, layer in image.events]
    assert kinds == [
        ("load", "start", 0), ("load", "done", 0), ("calc", "start", 1), ("calc", "done", 1),
        ("save", "start", 1), ("save", "done", 1)]
    cycles = [cycle for cycle, *_ in image.events]
    assert cycles == sorted(cycles)
    assert 0 < cycles[0] < cycles[-1] <= image.cycles + 2


def test_images_take_equal_time():
    program = StandInProgram(preset("tiny"))
    first, *rest = run(program, random_inputs(program, 3)).images
    assert all((image.cycles, image.events) == (first.cycles, first.events) for image in rest)


def test_dram_timing():
    program = StandInProgram(preset("ecp5_85f"), rows=64)
    inputs = random_inputs(program, 1)

    def cycles(**dram):
        return run(program, inputs, dram=DramModel(**dram)).images[0].cycles

    # Three waits: for the header, the first row, and the last response.
    assert cycles(latency=100) - cycles(latency=30) == 3 * 70
    # Header, 128 beats read and 128 written: twice the time at half the bandwidth, except for the
    # first beat of each and what the write buffer takes.
    assert cycles(bytes_per_cycle=4) - cycles() == pytest.approx(8 + 128 + 128, abs=4)


@pytest.mark.parametrize(("change", "message"), [
    ({"header": bytes(64)}, (
        "Image 0: the accelerator stopped with error MAGIC from the instruction fetch after "
        "1 instructions: no program at the program address")),
    ({"rows": 0}, (
        "Image 0: the accelerator did not finish in 5000 cycles; LOAD has worked on an instruction "
        "of layer 0, conv1 since cycle ")),
])
def test_failures(change, message):
    program = StandInProgram(preset("tiny"), **change)
    with pytest.raises(SimulationError) as raised:
        run(program, random_inputs(program, 1), max_cycles=5000)
    assert str(raised.value).startswith(message)


def test_write_outside_output():
    class Short(StandInProgram):
        output_size = 4096

    program = Short(preset("tiny"), rows=4096)
    with pytest.raises(SimulationError, match="stopped with error WRITE from SAVE after 1 inst"):
        run(program, random_inputs(program, 1))


def test_inputs_are_checked():
    program = StandInProgram(preset("tiny"))
    with pytest.raises(SimulationError, match=r"^A simulation needs at least one image$"):
        run(program, [])
    with pytest.raises(SimulationError, match=r"^Input of image 0 must be 40 bytes, not 3$"):
        run(program, [b"abc"])


def test_waves_of_one_layer(tmp_path):
    program = StandInProgram(preset("tiny"))
    path = tmp_path / "layer.fst"
    image, = run(program, random_inputs(program, 1), waves=path, layer=0).images
    cycles = [cycle for cycle, _, _, layer in image.events if layer == 0]
    blocks = fst_blocks(path.read_bytes())
    start, end = (int.from_bytes(blocks[0][offset:offset + 8], "big") for offset in (0, 8))
    # Picoseconds; a cycle is 10 ns, and some cycles stand before and after.
    assert (end - start) // 10_000 == pytest.approx(cycles[-1] - cycles[0] + 8, abs=3)
    assert b"trace__load_start" in blocks[6]


def fst_blocks(data):
    """Return the blocks of an FST file by type."""
    blocks, position = {}, 0
    while position < len(data):
        size = int.from_bytes(data[position + 1:position + 9], "big")
        blocks[data[position]] = data[position + 9:position + 1 + size]
        position += 1 + size
    return blocks


def test_waves_of_a_layer_that_does_not_run(tmp_path):
    program = StandInProgram(preset("tiny"))
    with pytest.raises(SimulationError, match=(
            "^No engine works on layer 7; the layers are: 0 conv1, 1 pool1$")):
        run(program, random_inputs(program, 1), waves=tmp_path / "x.fst", layer=7)


def test_waves_of_several_images(tmp_path):
    program = StandInProgram(preset("tiny"))
    with pytest.raises(SimulationError, match=r"^Waveforms are written of one image, not of 2$"):
        run(program, random_inputs(program, 2), waves=tmp_path / "x.fst")
