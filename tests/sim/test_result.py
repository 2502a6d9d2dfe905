"""What the accelerator's status means, in words."""

from types import SimpleNamespace

import pytest

from arch.isa import Opcode
from arch.registers import Error
from sim.errors import SimulationError
from sim.result import DramModel, raise_for_status


PROGRAM = SimpleNamespace(
    instructions=[SimpleNamespace(opcode=Opcode.LOAD, layer=0),
                  SimpleNamespace(opcode=Opcode.CONV, layer=1)],
    layers=[SimpleNamespace(index=0, name="conv1"), SimpleNamespace(index=1, name="conv2")])


def status(*, reason="interrupt", error=0, index=0, done=0, events=()):
    raise_for_status(
        {"reason": reason, "error": error, "error_index": index, "error_done": done}, image=4,
        program=PROGRAM, events=events, max_cycles=900)


def test_done():
    status()


@pytest.mark.parametrize("code", [code for code in Error if code])
def test_every_error_has_a_text(code):
    with pytest.raises(SimulationError, match=rf"error {code.name} from CALC .*: \w+"):
        status(error=code | 1 << 8)


def test_error_names_the_instruction():
    with pytest.raises(SimulationError) as raised:
        status(error=Error.READ, index=2)
    assert str(raised.value) == (
        "Image 4: the accelerator stopped with error READ from LOAD in instruction 0 (LOAD of "
        "layer 0, conv1): DRAM refused a read (is the address outside the memory?)")


def test_error_of_the_fetch_names_what_it_fetched_last():
    with pytest.raises(SimulationError) as raised:
        status(error=Error.OPCODE | 3 << 8, index=2)
    assert str(raised.value) == (
        "Image 4: the accelerator stopped with error OPCODE from the instruction fetch after 2 "
        "instructions (last fetched: CONV of layer 1, conv2): unknown opcode, or no END")


def test_timeout_names_what_runs():
    events = [(3, "load", "start", 0), (4, "load", "start", 1), (9, "load", "done", 0),
              (10, "calc", "start", 0), (12, "calc", "done", 0)]
    with pytest.raises(SimulationError) as raised:
        status(reason="timeout", events=events)
    assert str(raised.value) == (
        "Image 4: the accelerator did not finish in 900 cycles; LOAD has worked on an instruction "
        "of layer 1, conv2 since cycle 4")


def test_timeout_with_nothing_running():
    with pytest.raises(SimulationError, match=r"no engine is running \(is a token never posted"):
        status(reason="timeout")


@pytest.mark.parametrize(("options", "message"), [
    ({"latency": 0}, r"^DRAM latency must be in 1\.\.1000000 cycles, not 0$"),
    ({"bytes_per_cycle": 0}, r"^DRAM bytes_per_cycle must be in 1/1024\.\.1024, not 0$"),
])
def test_dram_limits(options, message):
    with pytest.raises(ValueError, match=message):
        DramModel(**options)
