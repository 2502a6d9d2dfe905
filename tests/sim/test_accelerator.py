"""The accelerator's Verilog against the integer reference, on a network of every layer kind."""

import dataclasses

import numpy as np
import pytest

from arch.config import preset
from arch.isa import encode_header
from hw import MODULE_NAME
from sim.build import accelerator_verilog
from sim.compare import check, compare
from sim.errors import SimulationError
from sim.functional import run_functional
from sim.lint import lint
from sim.result import DramModel
from sim.simulate import simulate
from sim.stress import simulate_stressed

from .configs import BANDS, WIRED
from .network import assert_same, small_program


pytestmark = pytest.mark.verilator


@pytest.fixture(scope="module")
def network():
    return small_program(preset("tiny"))


@pytest.fixture(scope="module")
def result(network):
    _, program, codes = network
    return simulate(program, [program.input_layout.pack(image) for image in codes])


def test_equals_reference(network, result):
    model, program, codes = network
    check(program, model, codes, result)
    assert set(program.tensors_from_rows(result.images[0].rows)) >= {"a", "b", "s", "m", "p", "y"}


def test_equals_functional_model(network, result):
    _, program, codes = network
    for image, run in zip(codes, result.images, strict=True):
        output, rows = run_functional(program, program.input_layout.pack(image))
        assert_same(program, run, output, rows)


@pytest.mark.parametrize("dram", [DramModel(1, 4), DramModel(120, 0.7)])
def test_dram_timing_does_not_matter(network, result, dram):
    _, program, codes = network
    other = simulate(program, [program.input_layout.pack(codes[0])], dram=dram)
    assert other.images[0].output == result.images[0].output
    assert np.array_equal(other.images[0].rows, result.images[0].rows)
    assert other.images[0].cycles != result.images[0].cycles


@pytest.mark.parametrize("pause", [0.0, 0.5])
def test_random_back_pressure(network, result, pause):
    model, program, codes = network
    inputs = [program.input_layout.pack(image) for image in codes]
    stressed = simulate_stressed(program, inputs, pause=pause)
    check(program, model, codes, stressed)
    for left, right in zip(stressed.images, result.images, strict=True):
        assert left.output == right.output


@pytest.mark.parametrize("pause", [0.0, 0.5])
def test_wire_registers(pause):
    model, program, codes = small_program(WIRED)
    inputs = [program.input_layout.pack(image) for image in codes]
    check(program, model, codes, simulate_stressed(program, inputs, pause=pause))


def test_wire_registers_cost_what_the_model_says():
    errors = []
    for config in (BANDS, WIRED):
        _, program, codes = small_program(config)
        run = simulate(program, [program.input_layout.pack(codes[0])]).images[0]
        errors.append(run.cycles - program.prediction.cycles)
    assert errors[0] == errors[1]


@pytest.mark.parametrize("widths", [(2, 3, 4), (5, 6, 7)], ids=str)
@pytest.mark.parametrize("name", ["tiny", "ecp5_85f"])
def test_narrow_weights(name, widths, network):
    model, program, codes = small_program(preset(name), widths=widths)
    inputs = [program.input_layout.pack(image) for image in codes]
    plain = simulate(program, inputs)
    check(program, model, codes, plain)
    run = plain.images[0]
    assert run.dram_read_bytes == program.prediction.bytes - program.prediction.traffic["maps_out"]
    if name == "tiny":
        check(program, model, codes, simulate_stressed(program, inputs, pause=0.4))
        assert len(program.weight_image) < len(network[1].weight_image)


def test_counters_add_up(network, result):
    _, program, _ = network
    run = result.images[0]
    width = program.config.dram_width
    beats = {
        engine: sum(counts["beats"] for (_, name), counts in run.counters.items() if name == engine)
        for engine in ("load", "save")}
    assert beats["load"] * width == run.dram_read_bytes - len(program.program_image)
    assert beats["save"] * width == run.dram_written_bytes
    assert all(counts["busy"] <= run.cycles for counts in run.counters.values())


def test_difference_is_named(network, result):
    model, program, codes = network
    rows = result.images[1].rows.copy()
    position = sum(
        record.row_count for record in program.writes if record.tensor in ("a", "b", "s"))
    rows[position, 1] ^= 4
    broken = dataclasses.replace(result, images=[
        result.images[0], dataclasses.replace(result.images[1], rows=rows)])
    difference, = compare(program, model, codes[1], broken.images[1])
    assert (difference.layer, difference.index, difference.count) == ("max", 3, 1)
    expected, got = difference.expected, difference.got
    assert expected ^ got == 4
    with pytest.raises(SimulationError) as raised:
        check(program, model, codes, broken, folder="out", first_image=5)
    assert str(raised.value) == (
        f"Image 6, layer 3, 'max', position (k=1, h=0, w=0): the reference is {expected} "
        f"({expected / 32:g}), the accelerator computed {got} ({got / 32:g}); 1 of 96 values "
        f"differ; its waveform: dynafix simulate out --image 6 --layer max --waves")


def test_difference_in_output_only(network, result):
    model, program, codes = network
    output = bytearray(result.images[0].output)
    output[0] ^= 1
    run = dataclasses.replace(result.images[0], output=bytes(output))
    difference, = compare(program, model, codes[0], run)
    assert difference.position == (0, 0, 0)


def test_wrong_weights_are_found(network):
    model, program, codes = network
    image = bytearray(program.weight_image)
    image[len(image) // 2] ^= 0x40
    broken = dataclasses.replace(program, weight_image=bytes(image))
    result = simulate(broken, [program.input_layout.pack(codes[0])])
    with pytest.raises(SimulationError, match=r"^Image 0, layer \d, '\w+', position \(k="):
        check(program, model, codes[:1], result)


def test_program_of_another_config_is_refused(network):
    _, program, codes = network

    class Foreign:
        program_image = encode_header(
            config_hash=program.config.hash ^ 1 << 40, instruction_count=1
        ) + program.program_image[64:]

        def __getattr__(self, name):
            return getattr(program, name)

    with pytest.raises(SimulationError, match="error CONFIG from the instruction fetch"):
        simulate(Foreign(), [program.input_layout.pack(codes[0])])


@pytest.mark.parametrize("name", ["tiny", "ecp5_85f"])
def test_verilog_lints(name):
    assert lint(accelerator_verilog(preset(name)), MODULE_NAME) == []


def test_lint_finds_errors():
    found = lint("module m(output reg [3:0] q, input d); always @* if (d) q = 1; endmodule\n", "m")
    assert len(found) == 1
    assert found[0].startswith("%Warning-LATCH: m.v:1:")
