"""The cycle and traffic model."""

import math

import numpy as np
import pytest

from arch.config import preset
from arch.isa import INSTRUCTION_SIZE, Opcode, Region
from arch.timing import CALC_LATENCY, MIN_GROUP
from compiler import DramTiming, Prediction, compile_model
from compiler.machine import Machine, group_cycles, transfer_size

from .configs import NANO, SINGLE
from .networks import NetworkBuilder, random_model


def network(channels=16):
    b = NetworkBuilder(np.random.default_rng(0), (3, 16, 16), signed=False)
    x = b.conv("input", channels, (3, 3), pads=(1, 1, 1, 1))
    x = b.conv(x, channels, (3, 3), pads=(1, 1, 1, 1))
    x = b.max_pool(x)
    return b.model(b.fc(x, 10))


@pytest.mark.parametrize("name", ["tiny", "small", "ecp5_85f", "large"])
def test_layers_sum_to_the_total(name):
    program = compile_model(network(), preset(name))
    prediction = program.prediction
    assert sum(layer.cycles for layer in prediction.layers) == prediction.cycles
    assert prediction.bytes == sum(prediction.traffic.values())
    assert prediction.busy["calc"] <= prediction.cycles


def test_traffic_counts_what_the_instructions_move():
    program = compile_model(network(8), NANO)
    moved = {"weights": 0, "maps_in": 0, "maps_out": 0}
    for item in program.instructions:
        if item.opcode == Opcode.SAVE:
            moved["maps_out"] += transfer_size(item, NANO)
        elif item.opcode == Opcode.LOAD:
            weights = item.values["region"] == Region.WEIGHTS
            moved["weights" if weights else "maps_in"] += transfer_size(item, NANO)
    moved["program"] = (len(program.instructions) + 2) * INSTRUCTION_SIZE
    assert program.prediction.traffic == moved


def test_compulsory_bytes():
    program = compile_model(network(), preset("ecp5_85f"))
    codes = sum(weights.codes.size for weights in network().weights.values())
    biases = sum(weights.bias.size for weights in network().weights.values())
    shapes = network().graph.shapes
    maps = math.prod(shapes[program.input_name]) + math.prod(shapes[program.output_name])
    assert program.compulsory_bytes == maps + codes + 4 * biases
    assert maps < program.input_size + program.output_size


def test_array_bound_layer_costs_its_passes():
    b = NetworkBuilder(np.random.default_rng(0), (16, 16, 16))
    x = b.conv("input", 16, (3, 3), pads=(1, 1, 1, 1))
    x = b.conv(x, 16, (3, 3), pads=(1, 1, 1, 1))
    program = compile_model(b.model(b.conv(x, 16, (3, 3))), preset("ecp5_85f"))
    middle = program.prediction.layers[1]
    assert 0 <= middle.cycles - 18 * 256 <= 2 * CALC_LATENCY
    assert (middle.bound_by, middle.busy["calc"]) == ("array", 18 * 256)
    assert program.roofline[1] == 16 * 16 * 9 * 256 / 128


def test_large_weights_are_bound_by_dram():
    b = NetworkBuilder(np.random.default_rng(0), (64, 4, 4))
    x = b.fc("input", 64)
    program = compile_model(b.model(b.fc(x, 8)), preset("ecp5_85f"))
    first = program.prediction.layers[0]
    assert first.bound_by == "DRAM"
    assert first.cycles == pytest.approx(len(program.weight_image) / 8, rel=0.1)


@pytest.mark.parametrize("bits", [6, 5, 4, 3, 2])
def test_narrow_weights_take_less_in_proportion(bits):
    def program(weight_bits):
        b = NetworkBuilder(np.random.default_rng(0), (256, 4, 4))
        return compile_model(
            b.model(b.fc("input", 64, weight_bits=weight_bits)), preset("ecp5_85f"))

    plain, narrow = program(8), program(bits)
    saved = 256 * 16 * 64 * (8 - bits) // 8
    for stream in ("weights", "maps_in", "maps_out"):
        left, right = plain.prediction.traffic[stream], narrow.prediction.traffic[stream]
        assert left - right == (saved if stream == "weights" else 0)
    assert plain.compulsory_bytes - narrow.compulsory_bytes == saved
    assert plain.prediction.cycles - narrow.prediction.cycles == pytest.approx(
        saved / 8, rel=0.02)


def test_narrow_weights_can_be_bound_by_the_chip():
    """Rows of one beat: 2-bit codes fill four of them with a beat, which takes four cycles."""
    b = NetworkBuilder(np.random.default_rng(0), (32, 4, 4))
    program = compile_model(b.model(b.fc("input", 16, weight_bits=2)), SINGLE)
    load = [item for item in program.instructions if item.values.get("weight_bits")]
    rows = sum(item.values["row_count"] for item in load)
    assert rows == 512 * 4
    assert sum(transfer_size(item, SINGLE) for item in load) == rows
    for item in load:
        item.values |= {"wait": 0, "post": 0}
    run = Machine(load, SINGLE, DramTiming()).run()
    assert np.diff(run.started)[-4:].tolist() == [load[-1].values["row_count"]] * 4


@pytest.mark.parametrize(("width", "cycles"), [(1, 1), (2, MIN_GROUP), (3, MIN_GROUP), (5, 5)])
def test_short_passes_are_stretched(width, cycles):
    b = NetworkBuilder(np.random.default_rng(0), (64, 1, width))
    program = compile_model(b.model(b.conv("input", 4, (1, 1))), preset("small"))
    (conv,) = [item for item in program.instructions if item.opcode == Opcode.CONV]
    assert group_cycles(conv, program.config) == 16 * cycles


def test_loads_overlap_with_computation():
    b = NetworkBuilder(np.random.default_rng(0), (32, 16, 16))
    x = b.conv("input", 64, (1, 1))
    for _ in range(3):
        x = b.conv(x, 64, (3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
    model, config = b.model(), preset("ecp5_85f")
    fast = compile_model(model, config)
    slow = compile_model(model, config, optimize=False)
    assert fast.prediction.traffic == slow.prediction.traffic
    assert fast.prediction.cycles < slow.prediction.cycles


def test_less_bandwidth_is_slower():
    cycles = [
        compile_model(network(), preset("small"), dram=dram).prediction.cycles
        for dram in (DramTiming(), DramTiming(latency=300), DramTiming(300, 1.0),
                     DramTiming(300, 0.25))]
    assert cycles == sorted(cycles)
    assert len(set(cycles)) == 4


def test_random_programs_never_hang_the_model():
    for seed in range(8):
        model = random_model(np.random.default_rng(seed))
        program = compile_model(model, preset("tiny"), dram=DramTiming(7, 3.0))
        run = Machine(program.instructions, program.config, DramTiming(100, 0.5)).run()
        assert all(
            start < done for start, done in zip(run.started, run.done, strict=True))
        assert run.cycles > max(run.done)


def test_json():
    prediction = compile_model(network(), preset("tiny")).prediction
    assert Prediction.from_json(prediction.to_json()) == prediction
