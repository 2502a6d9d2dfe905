"""Memory that fails, programs that are wrong, resets: an error status, never a hang.

After every fault the program is started again, without a reset, and must give the right bits.
"""

import random

import numpy as np
import pytest

from arch.config import preset
from arch.isa import INSTRUCTION_SIZE, Engine, Region, encode
from arch.registers import Error
from compiler import compile_model
from quantizer.execute import execute
from sim.faults import run_faults
from sim.memory import memory_map

from .network import small_model


pytestmark = pytest.mark.verilator

FETCH = 3
OKAY, SLVERR, DECERR = 0, 2, 3


@pytest.fixture(scope="module")
def network():
    model = small_model()
    program = compile_model(model, preset("tiny"))
    codes = np.random.default_rng(5).integers(-128, 128, (1, 3, 9, 8))
    return program, program.input_layout.pack(codes[0]), execute(model, codes)["y"][0]


def run(network, faults, **options):
    """Return the record of each fault; between them the program must run well."""
    program, data, expected = network
    again = [each for fault in faults for each in (fault, {})]
    limit = 2 * program.prediction.cycles
    records = run_faults(program, data, again, limit=limit, max_cycles=3 * limit, **options)
    for number, record in enumerate(records[1::2]):
        assert (record["reason"], record["error"]) == ("interrupt", 0), faults[number]
        found = program.output_layout.unpack(record["output"])
        assert np.array_equal(found, expected), faults[number]
    return records[::2]


def ends_with(record, code, engine, what=None):
    assert record["reason"] == "interrupt", what
    assert record["status"] == 0b110, what
    assert (Error(record["error"] & 0xFF), record["error"] >> 8) == (code, engine), what


def engine_instructions(program, engine):
    return [number for number, item in enumerate(program.instructions) if item.engine == engine]


def patch(program, number, **fields):
    """Return a run in which an instruction has other fields."""
    item = program.instructions[number]
    return {"patches": [(
        (number + 1) * INSTRUCTION_SIZE, encode(item.opcode, {**item.values, **fields}))]}


def test_stalls_and_reordering(network):
    """Pauses on all channels, fetch and LOAD overtaking each other: two images back to back."""
    faults = [{"pause": pause, "reorder": True, "limit": 0} for pause in (0.0, 0.2, 0.6)]
    for record in run(network, faults):
        assert (record["reason"], record["error"]) == ("interrupt", 0)


def test_reads_that_fail(network):
    program, _, _ = network
    beats = program.prediction.traffic
    count = (beats["program"] + beats["weights"] + beats["maps_in"]) // program.config.dram_width
    rng = random.Random(1)
    numbers = [0, count - 1, *sorted(rng.sample(range(1, count - 1), 14))]
    faults = [{"read": [number, rng.choice((SLVERR, DECERR))], "pause": rng.choice((0, 0.3))}
              for number in numbers]
    seen = set()
    for fault, record in zip(faults, run(network, faults)):
        engine = record["error"] >> 8
        ends_with(record, Error.READ, engine, fault)
        seen.add(engine)
        if engine == Engine.LOAD:
            loads = engine_instructions(program, Engine.LOAD)
            values = program.instructions[loads[record["error_done"]]].values
            base = memory_map(program, 1).regions(0)[Region(values["region"])]
            offset = record["failed"] - base - values["address"]
            size = {0: program.config.row_size, 1: program.config.weight_row_size,
                    2: program.config.param_row_size}[values["memory"]]
            stride = values["line_stride"] if values["line_count"] > 1 else 0
            last = (values["line_count"] - 1) * stride + values["row_count"] * size
            assert 0 <= offset < last, fault
        else:
            assert engine == FETCH
            number = (record["failed"] - memory_map(program, 1).program) // INSTRUCTION_SIZE
            assert record["error_index"] == number, fault
    assert seen == {Engine.LOAD, FETCH}


def test_writes_that_fail(network):
    program, _, _ = network
    faults = [{"write": [0, SLVERR]}, {"write": [0, DECERR], "pause": 0.4}]
    for record in run(network, faults):
        ends_with(record, Error.WRITE, Engine.SAVE)
        assert record["error_done"] == 0


def test_addresses_outside_memory(network):
    program, _, _ = network
    load, save = (engine_instructions(program, engine)[0] for engine in (Engine.LOAD, Engine.SAVE))
    records = run(network, [
        patch(program, load, address=0xF000_0000), patch(program, save, address=0xF000_0000),
        patch(program, load, row_count=0xF_FFFF, line_count=0xFFFF),
        patch(program, save, row_count=0xF_FFFF, line_count=0xFFFF)])
    for record, code, engine in zip(records, (Error.READ, Error.WRITE) * 2,
                                    (Engine.LOAD, Engine.SAVE) * 2):
        assert record["error"] & 0xFF in (code, Error.TIMEOUT)
        ends_with(record, record["error"] & 0xFF, engine)
        assert record["error_done"] == 0


def test_programs_that_end_too_early(network):
    program, _, _ = network
    count = len(program.instructions)
    runs = [{"patches": [(16, kept.to_bytes(4, "little"))]} for kept in (0, 1, 3, count)]
    for kept, record in zip((0, 1, 3, count), run(network, runs)):
        ends_with(record, Error.OPCODE, FETCH, kept)
        assert record["error_index"] == kept


def test_program_without_end(network):
    """The header says more than there is; what follows are bytes of no meaning."""
    program, _, _ = network
    end = (len(program.instructions) + 1) * INSTRUCTION_SIZE
    for count in (1 << 20, 1 << 28, 0xFFFF_FFFF):
        record, = run(network, [{"patches": [
            (16, count.to_bytes(4, "little")), (end, b"\x0e" + bytes(63))]}])
        assert record["error"] >> 8 == FETCH
        ends_with(record, Error(record["error"] & 0xFF), FETCH, count)


def test_headers_that_are_wrong(network):
    records = run(network, [{"patches": [(offset, b"\xaa")]} for offset in (1, 5, 9, 14)])
    codes = (Error.MAGIC, Error.VERSION, Error.CONFIG, Error.CONFIG)
    for record, code in zip(records, codes):
        ends_with(record, code, FETCH)


def test_counts_of_zero(network):
    program, _, _ = network
    numbers = [engine_instructions(program, engine)[-1] for engine in (Engine.LOAD, Engine.SAVE)]
    runs = [patch(program, number, **{field: 0})
            for number in numbers for field in ("row_count", "line_count")]
    for fault, record in zip(runs, run(network, runs)):
        ends_with(record, Error.FIELD, FETCH, fault)
    assert record["error_index"] == numbers[1] + 1


def test_tokens_that_never_come_and_loops_that_never_end(network):
    program, _, _ = network
    loads, calcs, saves = (engine_instructions(program, engine) for engine in Engine)
    faults = [
        (patch(program, loads[0], wait=0b100), Engine.LOAD, 0),
        (patch(program, calcs[1], wait=0b100), Engine.CALC, 1),
        (patch(program, saves[0], wait=0b101), Engine.SAVE, 0),
        (patch(program, calcs[1], count_3=4095, count_4=4095), Engine.CALC, 1),
        (patch(program, calcs[0], count_0=0, count_1=0), Engine.CALC, 0),
    ]
    for (fault, engine, done), record in zip(faults, run(network, [each[0] for each in faults])):
        ends_with(record, Error.TIMEOUT, engine, fault)
        assert record["error_done"] == done


def test_random_bits_of_a_program_flipped(network):
    """Any end will do, but an end it must be."""
    program, _, _ = network
    rng = random.Random(2)
    image = program.program_image
    faults = []
    for _ in range(40):
        offset = rng.randrange(len(image))
        faults.append({"patches": [(offset, bytes([image[offset] ^ 1 << rng.randrange(8)]))]})
    for fault, record in zip(faults, run(network, faults)):
        assert record["reason"] == "interrupt", fault
        assert record["status"] in (0b010, 0b110), fault


def test_reset_at_any_moment(network):
    program, _, _ = network
    rng = random.Random(3)
    cycles = [1, 2, 3, *(rng.randrange(4, program.prediction.cycles) for _ in range(17))]
    records = run(network, [{"reset_at": cycle, "pause": rng.choice((0.0, 0.3))}
                            for cycle in cycles])
    assert {record["reason"] for record in records} == {"reset"}
