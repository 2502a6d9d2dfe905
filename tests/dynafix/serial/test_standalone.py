"""The stand-alone design at the level of bits on its serial line."""

import random

import numpy as np
import pytest

from arch.isa import Region
from arch.serial import Answer, Command, Status, decode_answer, encode_request
from compiler import compile_model
from compiler.memory_image import place
from dynafix import api
from dynafix.api.quantized import open_quantized
from dynafix.serial import Board, RunError
from quantizer.execute import execute, quantize_input

from ...sim.network import small_program
from ...sim.test_host import caffenet_like
from .standalone import CLOCK, CONFIG, DIVISOR, SIZE, TIMEOUT, WAIT, simulated_port


pytestmark = pytest.mark.verilator


@pytest.fixture(scope="module")
def network():
    return small_program(CONFIG)


@pytest.fixture
def port():
    with simulated_port() as port:
        port.timeout = WAIT
        yield port


@pytest.fixture
def board(port):
    return Board(port, timeout=WAIT)


def expected(model, program, codes):
    return execute(model, codes)[program.output_name]


def test_info(board):
    info = board.info()
    assert (info.config_hash, info.memory) == (CONFIG.hash, SIZE)
    assert (info.beat, info.block, info.clock) == (CONFIG.dram_width, 2048, CLOCK)


def test_memory_to_its_end(board):
    data = random.Random(0).randbytes(6000)
    board.write_memory(SIZE - 6000, data)
    assert board.read_memory(SIZE - 6000, 6000) == data
    assert board.read_memory(0, 8) == bytes(8)


def test_small_network(board, network):
    model, program, codes = network
    assert board.load(program)
    for image, output in zip(codes, expected(model, program, codes), strict=True):
        run = board.run(image)
        assert np.array_equal(run.output, output)
        assert abs(run.cycles - program.prediction.cycles) < 0.03 * run.cycles
    assert not board.load(program)
    assert board.repeated == 0


def test_host_steps(board):
    model = caffenet_like()
    program = compile_model(model, CONFIG)
    codes = np.random.default_rng(3).integers(-128, 128, (1, 3, 11, 10))
    board.load(program)
    assert np.array_equal(
        board.run(codes[0]).output, expected(model, program, codes)[0])


def test_lenet(board, lenet, mnist, tmp_path):
    """Ten images give the bits of numpy."""
    api.quantize(lenet, mnist, tmp_path)
    network = open_quantized(tmp_path)
    program = compile_model(network.model, CONFIG)
    codes = quantize_input(network.model, network.inputs(network.data.evaluation, range(10)))
    board.load(program)
    for image, output in zip(codes, expected(network.model, program, codes), strict=True):
        assert np.array_equal(board.run(image).output, output)
    assert board.repeated == 0


def test_program_that_is_none(board, network):
    _, program, codes = network
    board.load(program)
    board.write_memory(place(program).program, bytes(CONFIG.dram_width))
    with pytest.raises(RunError, match=(
            "^simulation: small stopped with an error from the instruction fetch after 0 "
            "instructions: MAGIC: no program at the program address$")):
        board.run(codes[0])


def test_region_outside_memory(board, network):
    model, program, codes = network
    board.load(program)
    board.write_register(f"REGION_{int(Region.WEIGHTS)}", SIZE)
    with pytest.raises(RunError, match="stopped with an error from LOAD after .* READ: "):
        board.run(codes[0])
    board.load(program)
    output = board.run(codes[0]).output
    assert np.array_equal(output, expected(model, program, codes[:1])[0])


def test_run_that_does_not_end(board, network):
    _, program, codes = network
    board.load(program)
    board.write_register("LIMIT", 500)
    with pytest.raises(RunError, match="TIMEOUT: the run took more cycles than LIMIT allows"):
        board.run(codes[0])


class NoisyPort:
    """A line on which one of ``every`` bytes is changed or lost, in both directions."""

    def __init__(self, port, rng, *, every):
        self.port = port
        self.rng = rng
        self.every = every
        self.name = "noise"
        self.timeout = None
        self.faults = 0

    def _noise(self, data):
        heard = bytearray()
        for byte in data:
            kind = self.rng.randrange(2 * self.every)
            self.faults += kind < 2
            if kind != 0:
                heard.append(byte ^ (1 << self.rng.randrange(8) if kind == 1 else 0))
        return bytes(heard)

    def write(self, data):
        return self.port.write(self._noise(data))

    def read(self, size):
        self.port.timeout = self.timeout
        return self._noise(self.port.read(size))


def test_noisy_line(port, network):
    model, program, codes = network
    noisy = NoisyPort(port, random.Random(1), every=10**9)
    board = Board(noisy, timeout=WAIT)
    board.load(program)
    noisy.every = 500
    for _ in range(4):
        for image, output in zip(codes, expected(model, program, codes), strict=True):
            assert np.array_equal(board.run(image).output, output)
    assert noisy.faults > 5
    assert board.repeated > 3


# ---- Frames that no sound host sends ------------------------------------------------------------

READ = encode_request(Command.READ_REGISTERS, 0, length=8)
WRITE = encode_request(Command.WRITE_MEMORY, 0x20, payload=bytes(range(8)))
POKE = encode_request(Command.WRITE_REGISTER, 0x24, payload=bytes([1, 2, 3, 4]))
HEADER = 11  # bytes
TAG = 5


def answers(port, frame):
    """Return what a frame is answered by until the line is silent."""
    port.write(frame)
    data = port.read(4096)
    found = []
    while data:
        size = 8 + int.from_bytes(data[3:5], "little")
        found.append(decode_answer(data[:size]))
        data = data[size:]
    return found


def assert_alive(port):
    """Check that a sound request is answered, and by one answer."""
    answer, = answers(port, encode_request(Command.READ_REGISTERS, 0, length=4, tag=TAG))
    assert answer == Answer(1, Command.READ_REGISTERS, TAG, b"DYNX", Status.DONE)


def status(port, frame):
    """Return the status of the only answer to a frame, and check that the next one is sound."""
    answer, = answers(port, frame)
    assert_alive(port)
    return answer.status


def test_every_byte_of_a_frame_spoiled(port):
    for frame in (READ, WRITE, POKE):
        for number in range(1, len(frame)):
            spoiled = frame[:number] + bytes([frame[number] ^ 0x81]) + frame[number + 1:]
            assert status(port, spoiled) == (
                Status.HEADER if number < HEADER else Status.PAYLOAD), (frame, number)
        assert answers(port, bytes([0x81]) + frame[1:]) == []
        assert_alive(port)


def test_frames_that_break_off(port):
    for frame in (READ, WRITE, POKE):
        for size in range(1, len(frame)):
            assert status(port, frame[:size]) == Status.INCOMPLETE, (frame, size)


def test_refused_frames(port):
    for command in range(16):
        frame = encode_request(command, 0, length=4, version=9)
        assert status(port, frame) == Status.VERSION
        if command not in set(Command):
            assert status(port, encode_request(command, 0, length=4)) == Status.COMMAND
    for length in (1, 6, 4096, 4100, 0xFFFC):
        frame = encode_request(Command.READ_MEMORY, 0, length=length)
        assert status(port, frame) == Status.LENGTH
    for address in (2, 0x8000_0002):
        frame = encode_request(Command.READ_MEMORY, address, length=4)
        assert status(port, frame) == Status.ADDRESS
    for address in (SIZE, 1 << 17, 0xFFFF_F000):
        frame = encode_request(Command.WRITE_MEMORY, address, payload=bytes(8))
        assert status(port, frame) == Status.BUS


def test_payload_of_a_refused_frame_is_no_frame(port):
    # The payload holds a sound request; it is not taken for one.
    inner = encode_request(Command.WRITE_REGISTER, 0x10, payload=bytes([1, 0, 0, 0]))
    outer = encode_request(Command.WRITE_MEMORY, 2, payload=inner + bytes(-len(inner) % 4))
    assert status(port, outer) == Status.ADDRESS


def test_longer_than_it_says(port):
    answer, = answers(port, READ + bytes([0x3C, 0x3C]))
    assert answer.status == Status.DONE
    assert_alive(port)


def test_noise_between_frames(port):
    rng = random.Random(0)
    for _ in range(20):
        answers(port, rng.randbytes(rng.randint(1, 30)))
        assert_alive(port)


def test_line_held_low(port):
    for cycles in (1, 2, 7, 39, 41, 1000):
        port.hold(0, cycles)
        port.hold(1, 50)
        assert_alive(port)
        # Within a frame, the byte it breaks is answered.
        port.write(POKE[:4])
        port.hold(0, 11 * DIVISOR + cycles)
        assert status(port, b"") == Status.LINE


def test_garbage_for_frames(port):
    """Bytes are changed, left out and added at random; the design always comes back."""
    rng = random.Random(4)
    for _ in range(60):
        frame = bytearray(rng.choice([READ, WRITE, POKE]))
        for _ in range(rng.randint(1, 4)):
            start = rng.randrange(len(frame) + 1)
            frame[start:start + rng.randint(0, 2)] = rng.randbytes(rng.randint(0, 2))
        answers(port, frame)
        assert_alive(port)


def test_silence_is_measured_from_the_last_byte(port):
    # A sender may pause for less than the time-out, again and again.
    for byte in READ:
        port.write(bytes([byte]))
        port.hold(1, TIMEOUT - 20 * DIVISOR)
    answer, = answers(port, b"")
    assert answer.status == Status.DONE
