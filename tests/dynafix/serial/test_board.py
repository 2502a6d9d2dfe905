"""What the host does when a port or a board is not what it should be."""

import re
from dataclasses import replace

import numpy as np
import pytest

from arch.isa import ISA_VERSION
from arch.registers import register
from arch.serial import PROTOCOL_VERSION, Answer, Command, Status, encode_answer
from compiler.memory_image import place
from dynafix.serial import Board, SerialError, TransmissionError, open_port

from ...sim.network import small_program
from .scripted import ScriptedPort
from .standalone import CONFIG


@pytest.fixture
def port():
    return ScriptedPort()


def once(number, what):
    """Change the answer to one request."""
    return lambda count, answer: what(answer) if count == number else answer


def spoiled(answer):
    frame = bytearray(encode_answer(answer))
    frame[-1] ^= 1
    return bytes(frame)


@pytest.mark.parametrize("what", [
    spoiled,
    lambda answer: b"",
    lambda answer: encode_answer(answer)[:5],
    lambda answer: encode_answer(answer)[3:],
    lambda answer: replace(answer, status=Status.HEADER, data=b"", tag=0, command=0),
    lambda answer: replace(answer, status=Status.INCOMPLETE, data=b""),
], ids=["damaged", "lost", "truncated", "begun late", "damaged request", "lost bytes"])
def test_repeats(port, what):
    port.change = once(1, what)
    board = Board(port)
    assert board.info().memory == 8192
    assert board.repeated == 1
    assert [request[0] for request in port.requests[:2]] == [Command.INFO] * 2


def test_noise_before_an_answer(port):
    port.change = once(1, lambda answer: b"\x00\x42" + encode_answer(answer))
    board = Board(port)
    assert board.info().beat == 4
    assert board.repeated == 0


def test_late_answer_is_passed_over(port):
    late = Answer(PROTOCOL_VERSION, Command.INFO, 9, bytes(16), Status.DONE)
    port.change = once(1, lambda answer: encode_answer(late) + encode_answer(answer))
    assert Board(port).info().beat == 4


def test_no_answer(port):
    port.change = lambda count, answer: b""
    with pytest.raises(TransmissionError, match=re.escape(
            "here: INFO was sent 4 times without success: no answer within 0.5 s. Check the port, "
            "its speed (--baud) and that the board is configured")):
        Board(port, timeout=0.5).info()
    assert len(port.requests) == 4


def test_refusal_is_not_repeated(port):
    board = Board(port)
    board.info()
    port.change = lambda count, answer: replace(answer, status=Status.BUS, data=b"")
    count = len(port.requests)
    with pytest.raises(SerialError, match=(
            "^here: READ_MEMORY at address 0x2000 was refused: memory or registers answered with "
            "an error, as for an address at which there is nothing$")):
        board.read_memory(0x2000, 4)
    assert len(port.requests) == count + 1


def test_other_protocol(port):
    port.change = lambda count, answer: replace(
        answer, version=7, status=Status.VERSION, data=b"")
    with pytest.raises(SerialError, match=(
            "^here: the board speaks version 7 of the protocol, this program version 1; build the "
            "board anew$")):
        Board(port).info()


def test_no_accelerator(port):
    port.registers["ID"] = 0
    with pytest.raises(SerialError, match="register ID must be the bytes 'DYNX', not 0x00000000"):
        Board(port).info()


def test_blocks_stay_in_pages(port):
    board = Board(port)
    data = np.random.default_rng(0).bytes(5000)
    board.write_memory(3000, data)
    assert board.read_memory(3000, 5000) == data
    blocks = [request[1:] for request in port.requests if request[0] == Command.READ_MEMORY]
    assert blocks == [(3000, 1096), (4096, 2048), (6144, 1856)]
    with pytest.raises(ValueError, match=(
            "^Address and size must be multiples of 4 bytes, not 0x2 and 4$")):
        board.read_memory(2, 4)


@pytest.fixture(scope="module")
def network():
    return small_program(CONFIG)


def test_load(port, network):
    _, program, _ = network
    image = place(program)
    board = Board(port)
    seen = []
    assert board.load(program, progress=lambda *counts: seen.append(counts))
    assert port.memory[:len(image.data)] == image.data
    assert seen[-1] == (len(image.body), len(image.body))
    writes = [address for command, address, _ in port.requests if command == Command.WRITE_MEMORY]
    assert (writes[0], writes[-1]) == (0, 0)  # the header goes first and comes last
    port.requests.clear()
    assert not board.load(program)
    assert Command.WRITE_MEMORY not in {command for command, *_ in port.requests}
    assert board.load(program, force=True)


def test_load_that_breaks_off(port, network):
    _, program, _ = network
    board = Board(port)
    board.load(program)
    port.change = lambda count, answer: b""
    with pytest.raises(TransmissionError):
        board.load(program, force=True)
    port.change = lambda count, answer: (
        b"" if answer.command == Command.WRITE_MEMORY and port.requests[-1][1] else answer)
    with pytest.raises(TransmissionError):
        board.load(program, force=True)
    with pytest.raises(ValueError, match="^Board must have loaded a program before it runs one$"):
        board.run(None)
    port.change = lambda count, answer: answer
    assert board.load(program)


def test_other_config(network):
    _, program, _ = network
    with pytest.raises(SerialError, match=(
            f"^here: the board has an accelerator with config hash 0x0000000000000005, the program "
            f"was compiled for {CONFIG.hash:#018x} \\(bands\\); compile for the board's config, or "
            f"build the board anew$")):
        Board(ScriptedPort(config_hash=5)).load(program)


def test_other_instruction_set(port, network):
    port.registers["VERSION"] = 1
    with pytest.raises(SerialError, match=(
            f"the board has version 1 of the instruction set, programs have version "
            f"{ISA_VERSION}; build the board anew")):
        Board(port).load(network[1])


def test_small_memory(network):
    _, program, _ = network
    with pytest.raises(SerialError, match=(
            f"^here: the board has 1024 bytes of memory, small needs {place(program).size}; build "
            f"the board anew with that much, or use one with more memory$")):
        Board(ScriptedPort(memory=1024)).load(program)


class StartingPort(ScriptedPort):
    """Counts starts; the answers to them are lost."""

    def __init__(self, *, lose):
        super().__init__()
        self.starts = 0
        self.lose = lose

    def written(self, offset, value):
        if offset == register("CONTROL").offset:
            self.lose -= 1
            if self.lose == 0 or self.lose % 2 == 0:
                self.starts += 1
                self.registers["STATUS"] = 0b10
            self.change = once(len(self.requests), lambda answer: b"")


@pytest.mark.parametrize("lose", [1, 2])
def test_start_is_not_repeated_where_it_arrived(network, lose):
    # With 1 the request came through and its answer was lost; with 2 the first was lost itself.
    _, program, codes = network
    port = StartingPort(lose=lose)
    board = Board(port)
    board.load(program)
    board.run(codes[0])
    assert port.starts == 1


def test_run_without_an_end(port, network):
    _, program, codes = network
    port.registers["STATUS"] = 1
    times = iter(range(0, 10_000, 40))
    board = Board(port, now=lambda: next(times))
    board.load(program)
    with pytest.raises(SerialError, match=(
            "^here: small did not end within 61 s, far longer than predicted; register LIMIT gives "
            "a run an end$")):
        board.run(codes[0])


def test_port_that_is_none():
    with pytest.raises(SerialError, match="^/dev/none: cannot be opened at 9600 baud .*port"):
        open_port("/dev/none", baud=9600)


def test_pyserial():
    # A port of pyserial that gives back what is sent: no answer, but no failure either.
    port = open_port("loop://", baud=115200)
    with Board(port, timeout=0.05) as board, pytest.raises(TransmissionError):
        board.read_register("ID")
