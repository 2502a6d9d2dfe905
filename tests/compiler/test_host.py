"""Programs that stop for the host: places, segments, files, and the same bits as numpy."""

from dataclasses import replace

import numpy as np
import pytest

from arch.config import preset
from arch.isa import INSTRUCTION_SIZE, Opcode, Region, decode, decode_header
from compiler import compile_model, load, save
from compiler.bounds import bounds
from compiler.compile import model_hash
from compiler.host import HostStep, Segment
from compiler.verify import VerifyError, verify
from sim.functional import run_functional

from .check import assert_runs
from .configs import NANO, NANO16, SQUARE
from .networks import NetworkBuilder, random_codes


def build(shape=(3, 9, 8), seed=1, **options):
    return NetworkBuilder(np.random.default_rng(seed), shape, **options)


def caffenet_like(**options):
    """Return LRN between convolution and pooling, twice."""
    b = build((3, 16, 16), **options)
    x = b.max_pool(b.lrn(b.conv("input", 10, (3, 3), strides=(2, 2))), (3, 3), strides=(2, 2))
    x = b.max_pool(b.lrn(b.conv(x, 12, pads=(1, 1, 1, 1)), 3))
    return b.model(b.fc(x, 5))


def kinds(program):
    return "".join("H" if isinstance(step, HostStep) else "S" for step in program.steps)


@pytest.mark.parametrize("config", [
    NANO, SQUARE, preset("tiny"), preset("small")], ids=lambda config: config.name)
def test_lrn_between_convolution_and_pooling(config):
    program = assert_runs(caffenet_like(), config)
    assert kinds(program) == "SHSHS"
    assert [layer.name for layer in program.layers if layer.host] == ["lrn1", "lrn4"]
    assert [layer.operator for layer in program.layers if layer.host] == ["LRN 5", "LRN 3"]


def test_16_bits():
    assert kinds(assert_runs(caffenet_like(bits=16, weight_bits=16), NANO16)) == "SHSHS"


def test_softmax_between_convolutions():
    b = build()
    b.conv(b.softmax(b.conv("input", 9, relu=None)), 5)
    assert kinds(assert_runs(b.model(), preset("tiny"))) == "SHS"


def test_first_and_next_to_each_other():
    b = build()
    x = b.softmax(b.lrn("input"))
    b.conv(x, 6)
    program = assert_runs(b.model(), preset("tiny"))
    assert kinds(program) == "HHS"
    assert program.host_steps[0].source.region == Region.INPUT
    assert program.input_layout.unroll == "none"


def test_last():
    b = build()
    x = b.lrn(b.lrn(b.conv("input", 6)))
    program = assert_runs(b.model(x), preset("tiny"))
    assert kinds(program) == "SHH"
    assert program.host_steps[-1].result.region == Region.OUTPUT


def test_maps_stay_on_chip_across_a_stop():
    """What is needed on both sides of a stop is neither saved twice nor loaded again."""
    b = build((3, 6, 6))
    x = b.conv("input", 6, pads=(1, 1, 1, 1), relu=None)
    y = b.conv(b.lrn(x), 6, pads=(1, 1, 1, 1), relu=None)
    b.formats[y] = b.formats[x]
    program = assert_runs(b.model(b.conv(b.add(x, y), 4)), preset("tiny"))
    (first, _, second) = program.steps
    assert "feature_row" in program.places[x]
    rows = program.host_steps[0].size(program.host_steps[0].source) // program.config.row_size
    for part, opcode in ((first, Opcode.SAVE), (second, Opcode.LOAD)):
        moved = [
            item.values for item in program.instructions[part.first:part.stop]
            if item.opcode == opcode and item.values["region"] == Region.SCRATCH]
        assert sum(values["row_count"] * values["line_count"] for values in moved) == rows


def test_joined_maps():
    b = build()
    parts = [b.conv("input", 8), b.conv("input", 8)]
    b.same_format(*parts)
    whole = b.concat(*parts)
    b.formats[whole] = b.formats[parts[0]]
    x = b.lrn(whole)
    program = assert_runs(
        b.model(b.conv(b.concat(b.slice(x, 8, 16), parts[0], x), 3, (1, 1))), preset("tiny"))
    assert set(program.parts) == set(parts)  # written in place; nothing is cut from the host's map


@pytest.mark.parametrize("seed", range(12))
def test_random_places(seed):
    """Steps of the host anywhere, maps that spill, chains of layers between the stops."""
    rng = np.random.default_rng([7, seed])
    b = NetworkBuilder(
        rng, (int(rng.integers(1, 6)), int(rng.integers(4, 20)), int(rng.integers(4, 20))))
    names = ["input"]
    for _ in range(7):
        x = names[-1] if rng.random() < 0.8 else names[int(rng.integers(len(names)))]
        kind = rng.choice(["conv", "conv", "add", "lrn", "softmax"])
        others = [n for n in names if b.shapes[n] == b.shapes[x] and n != x
                  and abs(b.formats[n].frac - b.formats[x].frac) < 8]
        if kind == "lrn":
            names.append(b.lrn(x, int(rng.choice([1, 3, 5]))))
        elif kind == "softmax":
            names.append(b.softmax(x))
        elif kind == "add" and others:
            names.append(b.add(x, str(rng.choice(others))))
        else:
            names.append(b.conv(x, int(rng.choice([4, 8, 9])), pads=(1, 1, 1, 1)))
    b.conv(names[-1], 4, (1, 1))
    for config in (replace(NANO, feature_depth=512, weight_depth=64), preset("tiny")):
        for optimize in (True, False):
            assert_runs(b.model(), config, optimize=optimize)


def test_segments_have_headers_of_their_own():
    program = compile_model(caffenet_like(), preset("tiny"))
    image = program.program_image
    assert len(program.segments) == 3
    for part in program.segments:
        assert part.offset % 256 == 0
        header = decode_header(image[part.offset:])
        assert header["config_hash"] == program.config.hash
        assert header["instruction_count"] == part.stop - part.first + 1
        last = part.offset + part.size - INSTRUCTION_SIZE
        assert decode(image[last:last + INSTRUCTION_SIZE])[0] == Opcode.END
    assert len(image) == part.offset + part.size
    assert isinstance(program.steps[-1], Segment)


def test_disassembly_names_the_stops():
    program = compile_model(caffenet_like(), preset("tiny"))
    lines = program.disassemble().splitlines()
    assert sum(line.endswith("END") for line in lines) == 3
    assert [line.split()[0] for line in lines if " HOST " in line] == ["lrn1", "lrn4"]
    assert "LRN size 5 alpha" in program.disassemble()
    assert [line for line in lines if line.startswith("; program+")] == [
        f"; program+{part.offset:#x}" for part in program.segments]


def test_files(tmp_path):
    model = caffenet_like()
    program = compile_model(model, preset("tiny"))
    save(program, tmp_path / "program")
    again = load(tmp_path / "program")
    assert again.host_steps == program.host_steps
    assert again.steps == program.steps
    assert again.program_image == program.program_image
    data = program.input_layout.pack(random_codes(np.random.default_rng(1), model)[0])
    for left, right in zip(run_functional(program, data), run_functional(again, data), strict=True):
        assert np.array_equal(left, right)


def test_hash_knows_the_constants():
    models = []
    for alpha in (0.1, 0.2):
        b = build()
        b.conv(b.lrn(b.conv("input", 4), alpha=alpha), 3)
        models.append(model_hash(b.model()))
    assert models[0] != models[1]


def test_prediction_adds_up():
    program = compile_model(caffenet_like(), preset("tiny"))
    layers = program.prediction.layers
    assert sum(layer.cycles for layer in layers) == program.prediction.cycles
    for layer, predicted in zip(program.layers, layers, strict=True):
        assert sum(predicted.causes.values()) == predicted.cycles
        if layer.host:
            assert (predicted.bound_by, predicted.cycles, predicted.bytes) == ("host", 0, 0)
        else:
            assert predicted.cycles > 0
    assert sum(bound.cycles for bound in bounds(program)) == program.prediction.cycles
    assert program.prediction.traffic["program"] == (
        len(program.instructions) + 2 * len(program.segments)) * INSTRUCTION_SIZE


def test_what_the_host_touches_is_compulsory():
    b = build((4, 5, 5))
    x = b.conv("input", 8, (1, 1))
    b.conv(b.lrn(x), 4, (1, 1))
    program = compile_model(b.model(), preset("tiny"))
    assert program.compulsory == [
        100 + 200 + program.layers[0].weight_size, 0, 200 + 100 + program.layers[2].weight_size]


def test_verifier_sees_a_missing_save():
    program = compile_model(caffenet_like(), preset("tiny"))
    step = program.host_steps[0]
    sizes = {Region.WEIGHTS: len(program.weight_image), Region.INPUT: program.input_size,
             Region.OUTPUT: program.output_size, Region.SCRATCH: program.scratch_size}
    verify(program.instructions, program.config, sizes, program.host_steps)
    early = [replace(step, position=0), *program.host_steps[1:]]
    with pytest.raises(VerifyError, match="the host reads conv0_out, which nothing has written"):
        verify(program.instructions, program.config, sizes, early)
    outside = replace(step, result=replace(step.result, address=program.scratch_size))
    with pytest.raises(VerifyError, match="the host leaves SCRATCH with lrn1_out"):
        verify(program.instructions, program.config, sizes, [outside, *program.host_steps[1:]])
