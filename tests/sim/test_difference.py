"""The first difference between two engines, down to the tile."""

import numpy as np
import pytest

from arch.config import preset
from arch.formats import Rounding
from arch.isa import Opcode
from compiler import compile_model
from hw.requantizer import Requantizer
from hw.verilog import verilog
from quantizer.execute import execute
from sim.difference import first_difference
from sim.simulate import simulate
from tests.compiler.networks import NetworkBuilder, random_codes

from .network import small_program


@pytest.fixture(scope="module")
def network():
    return small_program(preset("tiny"))


@pytest.fixture(scope="module")
def expected(network):
    model, _, codes = network
    return {name: values[0] for name, values in execute(model, codes[:1]).items()}


def test_equal(network, expected):
    model, program, _ = network
    assert first_difference(program, model, expected, expected) is None
    assert first_difference(program, model, expected, {}) is None


def test_first_layer_first_tile(network, expected):
    model, program, _ = network
    got = {name: values.copy() for name, values in expected.items()}
    got["s"][5, 8, 7] ^= 1
    got["s"][2, 3, 4] ^= 2
    got["s"][4, 0, 1] ^= 4
    got["y"][0] ^= 1
    found = first_difference(program, model, expected, got)
    records = [record for record in program.writes if record.tensor == "s"]
    assert (found.layer, found.index, found.tensor, found.tile_count) == (
        "add", 2, "s", len(records))
    record = records[found.tile]
    assert found.position in ((2, 3, 4), (4, 0, 1))
    k, h, w = found.position
    assert record.y0 <= h < record.y0 + record.lines
    assert found.lines == (record.y0, record.y0 + record.lines - 1)
    assert found.channels[0] <= k <= found.channels[1] < 6
    instruction = program.instructions[found.instruction]
    assert (instruction.opcode, instruction.layer) == (Opcode.VECTOR, 2)
    assert (found.expected ^ found.got, found.wrong, found.size) == (
        4 if k == 4 else 2, 3, 6 * 9 * 8)
    assert (found.expected_value, found.got_value) == (found.expected / 32, found.got / 32)


def test_lines_between_lines():
    b = NetworkBuilder(np.random.default_rng(0), (3, 4, 5))
    x = b.conv_transpose("input", 5, (2, 2))
    model = b.model(x)
    program = compile_model(model, preset("tiny"))
    codes = random_codes(np.random.default_rng(1), model)
    expected = {name: values[0] for name, values in execute(model, codes).items()}
    got = {x: expected[x].copy()}
    got[x][4, 5, 3] ^= 1
    found = first_difference(program, model, expected, got)
    assert (found.position, found.lines, found.columns, found.channels) == (
        (4, 5, 3), (5, 5), (1, 9), (4, 4))
    assert (found.wrong_in_tile, found.tile_size) == (1, 5)


def test_text(network, expected):
    model, program, _ = network
    got = {**expected, "y": expected["y"].copy()}
    got["y"][3] += 1
    found = first_difference(program, model, expected, got, output_only=True)
    code = int(expected["y"][3, 0, 0])
    record = [record for record in program.writes if record.tensor == "y"][found.tile]
    last = min(9, (record.block + record.blocks) * 4 - 1)
    assert str(found) == (
        f"layer 5, 'classify', tile {found.tile} of {found.tile_count} (k {record.block * 4}.."
        f"{last}, h 0..0, w 0..0), position (k=3, h=0, w=0): {code + 1} ({(code + 1) / 16:g}) "
        f"instead of {code} ({code / 16:g}); 1 of {last + 1 - record.block * 4} values of the "
        f"tile differ, 1 of 10 of the layer")
    assert found.to_json()["instruction"] is None


@pytest.mark.verilator
def test_broken_requantizer(network, expected, monkeypatch):
    """A requantizer that rounds halves up instead of to even is wrong on ties alone."""
    model, program, codes = network
    monkeypatch.setattr(Requantizer, "_increment", lambda self, value: value.value[0])
    result = simulate(program, [program.input_layout.pack(codes[0])],
                      verilog=verilog(program.config))
    found = first_difference(
        program, model, expected, program.tensors_from_rows(result.images[0].rows))
    assert (found.layer, found.got - found.expected) == ("conv1", 1)
    assert found.expected % 2 == 0
    # Computed again by hand, the accumulator is a tie, and of all ties to an even code the first.
    node = model.graph.accelerated[0]
    weights = model.weights["conv1"]
    shift = int(np.asarray(model.shifts(node))[found.position[0]])
    padded = np.pad(codes[0], ((0, 0), (1, 1), (1, 1)))

    def accumulator(k, h, w):
        window = padded[:, h:h + 3, w:w + 3]
        return int((window * weights.codes[k]).sum() + weights.bias[k])

    assert model.rounding == Rounding.HALF_EVEN
    assert accumulator(*found.position) % (1 << shift) == 1 << (shift - 1)
    assert accumulator(*found.position) >> shift == found.expected
    lo, hi = model.bounds(node)
    ties = [
        (h, w, k) for k in range(found.channels[0], found.channels[1] + 1)
        for h in range(found.lines[0], found.lines[1] + 1)
        for w in range(found.columns[0], found.columns[1] + 1)
        if accumulator(k, h, w) % (1 << shift) == 1 << (shift - 1)
        and not accumulator(k, h, w) >> shift & 1
        and lo <= accumulator(k, h, w) >> shift < hi]
    k, h, w = found.position
    assert min(ties) == (h, w, k)
    assert len(ties) == found.wrong_in_tile
