"""Programs that stop for the host, on the Verilog: every tensor, counters, errors, resets."""

import numpy as np
import pytest

from arch.config import preset
from arch.isa import INSTRUCTION_SIZE, Engine, Region
from arch.registers import Error
from compiler import compile_model
from compiler.host import HostStep
from quantizer.execute import execute
from sim.compare import check, compare
from sim.difference import first_difference
from sim.errors import SimulationError
from sim.faults import run_faults
from sim.functional import run_functional
from sim.many import simulate_many
from sim.result import raise_for_status
from sim.simulate import simulate
from sim.stress import simulate_stressed
from tests.compiler.networks import NetworkBuilder, random_codes

from .configs import TINY16
from .network import assert_same


def caffenet_like(seed=1, **options):
    """Return LRN between convolution and pooling, a sum across it, and Softmax before the end."""
    b = NetworkBuilder(np.random.default_rng(seed), (3, 11, 10), **options)
    first = b.conv("input", 10, pads=(1, 1, 1, 1), relu=None)
    x = b.conv(b.lrn(first), 10, pads=(1, 1, 1, 1), relu=None)
    b.formats[x] = b.formats[first]
    x = b.softmax(b.max_pool(b.add(x, first), (3, 3)))
    return b.model(b.fc(x, 5))


def compiled(config, **options):
    model = caffenet_like(**options)
    program = compile_model(model, config)
    rng = np.random.default_rng(3)
    codes = np.concatenate([random_codes(rng, model) for _ in range(2)])
    return model, program, codes, [program.input_layout.pack(image) for image in codes]


@pytest.mark.verilator
@pytest.mark.parametrize(("config", "options"), [
    (preset("tiny"), {}), (preset("small"), {}), (TINY16, {"bits": 16, "weight_bits": 16})],
    ids=lambda value: getattr(value, "name", ""))
def test_every_tensor(config, options):
    """Two images back to back; the accelerator's cycles and counters add up over the parts."""
    model, program, codes, data = compiled(config, **options)
    result = simulate(program, data)
    check(program, model, codes, result)
    for image, run in zip(data, result.images, strict=True):
        output, rows = run_functional(program, image)
        assert_same(program, run, output, rows)
        assert len(run.segment_cycles) == 3
        assert sum(run.segment_cycles) == run.cycles
        assert abs(run.cycles - program.prediction.cycles) < 0.03 * run.cycles
        assert max(cycle for cycle, *_ in run.events) <= run.cycles
        assert run.dram_read_bytes + run.dram_written_bytes >= program.prediction.bytes
        for layer in program.layers:
            counts = run.counters[layer.index, "calc"]
            assert layer.host == (not counts["busy"])
        host = sum(write.row_count for write in program.writes if program.layers[write.layer].host)
        assert (run.row_numbers < 0).sum() == host


@pytest.mark.verilator
def test_beside_other_programs():
    """Programs with stops and without, one after the other without a reset."""
    jobs = [compiled(preset("tiny"), seed=seed) for seed in (1, 2)]
    b = NetworkBuilder(np.random.default_rng(9), (3, 5, 5))
    plain = b.model(b.conv("input", 4))
    program = compile_model(plain, preset("tiny"))
    codes = random_codes(np.random.default_rng(3), plain)
    jobs.insert(1, (plain, program, codes, [program.input_layout.pack(codes[0])]))
    runs = simulate_many([(program, data[0]) for _, program, _, data in jobs])
    for (model, program, codes, _), run in zip(jobs, runs, strict=True):
        assert not compare(program, model, codes[0], run)


@pytest.mark.verilator
def test_waveform_of_a_later_part(tmp_path):
    _, program, _, data = compiled(preset("tiny"))
    path = tmp_path / "wave.fst"
    simulate(program, data[:1], waves=path, layer=6)
    assert path.stat().st_size > 1000
    with pytest.raises(SimulationError, match=(
            "^Layer 5 softmax5 runs on the host, while the accelerator stands still; ")):
        simulate(program, data[:1], waves=path, layer=5)


@pytest.mark.verilator
def test_back_pressure():
    b = NetworkBuilder(np.random.default_rng(4), (3, 5, 5))
    model = b.model(b.conv(b.lrn(b.conv("input", 5)), 3))
    program = compile_model(model, preset("tiny"))
    codes = random_codes(np.random.default_rng(3), model)
    check(program, model, codes, simulate_stressed(
        program, [program.input_layout.pack(codes[0])]))


@pytest.mark.verilator
def test_faults_in_a_later_part():
    """An error ends the image in the part that it is in; the next image is right."""
    model, program, codes, data = compiled(preset("tiny"))
    expected = execute(model, codes[:1])[program.output_name][0]
    second = program.segments[1]
    runs = [
        {}, {"patches": [(second.offset, bytes(8))]}, {},
        {"patches": [(second.offset + 3 * INSTRUCTION_SIZE, bytes([0xFF]) * 64)]}, {},
        {"reset_at": 300}, {}, {"pause": 0.3}]
    records = run_faults(
        program, data[0], runs, limit=2 * program.prediction.cycles,
        max_cycles=3 * program.prediction.cycles)
    for number in (0, 2, 4, 6, 7):
        assert (records[number]["reason"], records[number]["error"]) == ("interrupt", 0)
        found = program.output_layout.unpack(records[number]["output"])
        assert np.array_equal(found, expected), number
    for number, code in ((1, Error.MAGIC), (3, Error.OPCODE)):
        assert records[number]["segment"] == 1
        assert records[number]["error"] & 0xFF == code
    with pytest.raises(SimulationError, match=(
            rf"error OPCODE from the instruction fetch after {second.first + 3} instructions")):
        raise_for_status(records[3], image=0, program=program, events=[], max_cycles=0)
    with pytest.raises(SimulationError, match=rf"after {second.first} instructions"):
        raise_for_status(records[1], image=0, program=program, events=[], max_cycles=0)
    slow = run_faults(program, data[0], [{"limit": 600}], limit=0)
    assert slow[0]["error"] & 0xFF == Error.TIMEOUT


def test_error_names_the_instruction_of_its_part():
    _, program, _, _ = compiled(preset("tiny"))
    part = program.segments[1]
    loads = [number for number in range(part.first, part.stop)
             if program.instructions[number].engine == Engine.LOAD]
    record = {"reason": "interrupt", "error": Error.READ, "error_index": 5, "error_done": 1,
              "segment": 1}
    with pytest.raises(SimulationError, match=rf"in instruction {loads[1]} \(LOAD of layer"):
        raise_for_status(record, image=0, program=program, events=[], max_cycles=0)


def test_difference_in_a_step_of_the_host():
    model, program, codes, data = compiled(preset("tiny"))
    expected = {name: value[0] for name, value in execute(model, codes[:1]).items()}
    output, rows = run_functional(program, data[0])
    assert program.output_layout.unpack(output).shape == expected[program.output_name].shape
    got = program.tensors_from_rows(rows)
    assert first_difference(program, model, expected, got) is None
    got["lrn1_out"][2, 3, 4] ^= 1
    found = first_difference(program, model, expected, got)
    assert (found.layer, found.instruction, found.position) == ("lrn1", None, (2, 3, 4))
    got["softmax5_out"][0, 0, 0] ^= 1
    got["lrn1_out"][2, 3, 4] ^= 1
    assert first_difference(program, model, expected, got).layer == "softmax5"


def test_host_reads_and_writes_where_the_program_says():
    _, program, _, _ = compiled(preset("tiny"))
    step = program.host_steps[0]
    assert isinstance(step, HostStep)
    memory = {region: bytearray(1 << 14) for region in Region}
    log = []

    def read(region, address, size):
        log.append(("read", region, address, size))
        return bytes(memory[region][address:address + size])

    def write(region, address, data):
        log.append(("write", region, address, len(data)))

    step.run(read, write)
    rows = 11 * 10 * 3 * program.config.row_size
    assert log == [
        ("read", Region.SCRATCH, step.source.address, rows),
        ("write", Region.SCRATCH, step.result.address, rows)]
    assert program.places["lrn1_out"]["address"] == step.result.address
