"""Products, channel vectors, slopes and tables, in the functional simulator."""


from dataclasses import replace

import numpy as np
import pytest

import compiler.compile
import compiler.fusion
from arch.config import preset
from arch.formats import Format
from arch.isa import Memory, Opcode, Region, VectorOp
from compiler import CompileError, DramTiming, compile_model
from compiler.verify import VerifyError, verify

from .check import assert_runs
from .configs import MIXED, NANO, NANO16, SMALL16, SQUARE
from .networks import NetworkBuilder, random_model


KINDS = ("sigmoid", "tanh", "hard_sigmoid", "hard_swish", "silu")
CONFIGS = (NANO, SQUARE, preset("tiny"), preset("small"))
WIDE_CONFIGS = (NANO16, SMALL16, MIXED)


def builder(config, shape, seed=0, **options):
    bits = config.data_bits
    return NetworkBuilder(
        np.random.default_rng(seed), shape, bits=bits, weight_bits=config.weight_bits,
        frac=bits - 4, **options)


def vectors(program):
    """Return the VECTOR instructions of a program by operator."""
    found = {}
    for item in program.instructions:
        if item.opcode == Opcode.VECTOR:
            found.setdefault(VectorOp(item.values["op"]), []).append(item)
    return found


@pytest.mark.parametrize("config", CONFIGS + WIDE_CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize("size", [5, 14])
def test_squeeze_and_excitation(config, size):
    b = builder(config, (3, size, size + 1))
    x = b.conv("input", 11, (3, 3), pads=(1, 1, 1, 1), signed=True)
    program = assert_runs(b.model(b.conv(b.excite(x), 5, (1, 1))), config)
    products = vectors(program)[VectorOp.PRODUCT]
    assert all(item.values["hold"] for item in products)


@pytest.mark.parametrize("config", CONFIGS + WIDE_CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize("size", [4, 15])
@pytest.mark.parametrize("same", [False, True])
def test_slopes(config, size, same):
    b = builder(config, (3, size, size))
    x = b.prelu("input", same=same)
    x = b.conv(x, 9, (3, 3), pads=(1, 1, 1, 1), relu=None)
    x = b.prelu(x, same=same, frac=3)
    assert_runs(b.model(x), config)


@pytest.mark.parametrize("config", CONFIGS + WIDE_CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize("kind", KINDS)
def test_tables(config, kind):
    b = builder(config, (3, 13, 9))
    x = b.conv("input", 9, (3, 3), pads=(1, 1, 1, 1), relu=None)
    x = b.activation(x, kind)
    x = b.conv(x, 7, (1, 1), relu=None)
    program = assert_runs(b.model(b.activation(x, kind, signed=True, relu="relu")), config)
    assert VectorOp.TABLE in vectors(program)


def test_narrow_codes_in_a_wide_config():
    b = builder(SMALL16, (3, 9, 9))
    x = b.conv("input", 9, (1, 1), relu=None, bits=8)
    assert_runs(b.model(b.activation(x, "silu")), SMALL16)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize("size", [6, 14])
def test_two_maps(config, size):
    b = builder(config, (5, size, size), signed=False)
    x, y = b.conv("input", 9, (1, 1), relu=None), b.conv("input", 9, (1, 1))
    x = b.mul(b.mul(x, y), b.mul(x, x), relu="relu")
    program = assert_runs(b.model(x), config)
    assert not any(item.values["hold"] for item in vectors(program)[VectorOp.PRODUCT])


def test_sum_with_a_channel_vector():
    b = builder(NANO, (5, 9, 8))
    x = b.conv("input", 11, (1, 1), relu=None)
    vector = b.conv(b.global_pool(x), 11, (1, 1))
    x = b.add(x, vector)
    assert_runs(b.model(b.conv(x, 4, (1, 1))), NANO)


def test_vectors_of_one_position():
    b = builder(NANO, (5, 1, 1))
    x = b.conv("input", 11, (1, 1), relu=None)
    x = b.mul(x, b.activation(b.conv("input", 11, (1, 1), relu=None), "sigmoid"))
    assert_runs(b.model(b.prelu(x)), NANO)


def test_operands_inside_a_joined_map():
    b = builder(SQUARE, (4, 6, 6))
    parts = [b.prelu(b.conv("input", 8, (1, 1), relu=None), frac=7) for _ in range(2)]
    parts.append(b.activation(b.conv("input", 4, (1, 1), relu=None), "hard_swish"))
    for name in parts:
        b.formats[name] = Format(8, 4, True)
    x = b.concat(*parts)
    y = b.mul(parts[0], b.conv(b.global_pool(parts[1]), 8, (1, 1)))
    model = b.model(b.conv(b.concat(x, b.conv(y, 4, (1, 1))), 5, (1, 1)))
    program = assert_runs(model, SQUARE)
    assert set(parts) <= set(program.parts)


def test_chain(monkeypatch):
    monkeypatch.setattr(compiler.fusion, "_duration", lambda memory: len(memory.plans))
    monkeypatch.setattr(compiler.compile, "fastest", lambda drafts, *_: drafts[-1])
    b = builder(NANO, (3, 24, 24))
    x = b.activation(b.conv("input", 4, (1, 1), relu=None), "hard_swish")
    y = b.prelu(b.conv(x, 10, (3, 3), pads=(1, 1, 1, 1), relu=None))
    y = b.activation(b.conv(y, 4, (1, 1), relu=None), "sigmoid")
    program = assert_runs(
        b.model(b.conv(b.mul(x, y), 5, (1, 1))), replace(NANO, weight_depth=256, param_depth=64))
    layers = [record.layer for record in program.writes]
    assert layers != sorted(layers)


def table_loads(program):
    return [
        item.values["row"] for item in program.instructions
        if item.opcode == Opcode.LOAD and item.values["memory"] == Memory.TABLE]


def test_a_table_is_loaded_once_while_there_is_room():
    b = builder(NANO, (3, 6, 6))
    x = "input"
    for _ in range(2):
        for kind in KINDS:
            x = b.activation(x, kind, signed=True)
    program = assert_runs(b.model(x), NANO)
    assert table_loads(program) == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    assert len(program.weight_image) == 5 * NANO.table_size

    b = builder(NANO, (3, 16, 16))
    x = b.activation("input", "tanh")
    program = assert_runs(b.model(b.activation(x, "sigmoid")), NANO)
    assert table_loads(program) == [0, 1]


def test_slopes_count_as_weights():
    b = builder(NANO, (6, 5, 5))
    program = assert_runs(b.model(b.prelu("input")), NANO)
    assert program.layers[0].weight_size == 6
    assert program.layers[0].stored_size == 2 * NANO.row_size
    assert program.prediction.traffic["weights"] == 2 * NANO.row_size
    loads = [item for item in program.instructions if item.opcode == Opcode.LOAD]
    assert [item.values["region"] for item in loads].count(Region.WEIGHTS) == 1


def test_disassembly():
    b = builder(NANO, (3, 5, 5))
    x = b.activation(b.prelu("input"), "tanh")
    text = compile_model(b.model(x), NANO).disassemble()
    assert "prelu << 7,0 >> " in text
    assert ", with word " in text
    assert "table[0..0] <- weights+" in text
    assert "table[0] << 0,0 >> 0 of " in text


def test_without_tables():
    b = builder(NANO, (3, 5, 5))
    model = b.model(b.activation("input", "tanh"))
    with pytest.raises(CompileError, match=(
            r"^Layer 'tanh0': tanh needs a table, config 'nano' has none \(table_lanes\); use a "
            r"table_lanes of at least 1$")):
        compile_model(model, replace(NANO, table_lanes=0))


@pytest.mark.parametrize(("op", "field", "value", "message"), [
    (VectorOp.PRODUCT, "word_b", 1, "does not hold a whole row"),
    (VectorOp.PRODUCT, "hold", 0, "has groups of another size"),
    (VectorOp.PRELU, "hold", 0, "has no slopes"),
    (VectorOp.PRELU, "op", VectorOp.MAX, "holds an operand that it does not have"),
    (VectorOp.TABLE, "hold", 1, "holds an operand that it does not have"),
    (VectorOp.TABLE, "count_0", 2, "has groups of another size"),
    (VectorOp.TABLE, "table", 3, "reads TABLE that nothing has written"),
])
def test_bad_fields_are_caught(op, field, value, message):
    b = builder(NANO, (3, 5, 5))
    x = b.prelu(b.activation(b.clamp("input", relu=None), "tanh"))
    program = compile_model(b.model(b.mul(x, b.global_pool(x))), NANO)
    sizes = {
        Region.WEIGHTS: len(program.weight_image), Region.INPUT: program.input_size,
        Region.OUTPUT: program.output_size, Region.SCRATCH: program.scratch_size}
    verify(program.instructions, NANO, sizes)
    vectors(program)[op][0].values[field] = value
    with pytest.raises(VerifyError, match=message):
        verify(program.instructions, NANO, sizes)


def test_narrow_bus():
    b = builder(NANO, (3, 20, 20))
    x = b.prelu(b.conv("input", 9, (3, 3), pads=(1, 1, 1, 1), relu=None))
    assert_runs(b.model(b.activation(x, "silu")), NANO, dram=DramTiming(30, 1.0))


@pytest.mark.parametrize("config", [NANO, SQUARE, NANO16, MIXED], ids=lambda config: config.name)
def test_random_networks(config):
    done = 0
    for seed in range(20):
        model = random_model(
            np.random.default_rng([31, seed]), bits=config.data_bits,
            weight_bits=config.weight_bits, max_size=9, elementwise=True)
        try:
            assert_runs(model, config, optimize=bool(seed % 2))
        except CompileError:
            continue
        done += 1
    assert done >= 6
