# amaranth: UnusedElaboratable=no
import random

import pytest

from arch.serial import (
    Command,
    Status,
    decode_info,
    encode_request,
)
from hw.link import HostLink

from ..bench import simulate
from .lines import Host, Memory, Registers, each_cycle


DIVISOR = 4
TIMEOUT = 64


class Bench:
    """A link with its slaves, and what a test does with it."""

    def __init__(self, data_width=32, size=256, seed=0):
        self.rng = random.Random(seed)
        self.dut = HostLink(data_width=data_width, divisor=DIVISOR, timeout=TIMEOUT,
                            memory_size=size, clock=12_000_000)
        self.host = Host(self.dut, divisor=DIVISOR)
        self.memory = Memory(self.dut.m_axi, size, self.rng)
        self.registers = Registers(self.dut.m_lite)

    def run(self, testbench, **options):
        simulate(self.dut, testbench, processes=[each_cycle(
            self.host.listen, self.registers.serve, self.memory.serve_reads,
            self.memory.serve_writes)], **options)
        assert self.host.broken == 0


@pytest.mark.parametrize("data_width", [32, 64])
def test_reads_and_writes(data_width):
    bench = Bench(data_width)

    async def testbench(ctx):
        ask = bench.host.ask
        info = await ask(ctx, encode_request(Command.INFO, 0, length=16, tag=3))
        assert (info.command, info.tag, info.status) == (Command.INFO, 3, Status.DONE)
        assert decode_info(info.data) == {
            "version": 1, "beat": data_width // 8, "block": 2048, "memory": 256,
            "clock": 12_000_000, "timeout": TIMEOUT}
        written = bench.rng.randbytes(32)
        answer = await ask(ctx, encode_request(Command.WRITE_MEMORY, 16, payload=written))
        assert (answer.status, answer.data) == (Status.DONE, b"")
        assert bench.memory.data[16:48] == written
        answer = await ask(ctx, encode_request(Command.READ_MEMORY, 8, length=48, tag=15))
        assert (answer.status, answer.tag) == (Status.DONE, 15)
        assert answer.data == bench.memory.data[8:56]
        payload = bytes([0x78, 0x56, 0x34, 0x12])
        answer = await ask(ctx, encode_request(Command.WRITE_REGISTER, 0x20, payload=payload))
        assert (answer.status, answer.data) == (Status.DONE, b"")
        assert bench.registers.writes == [(0x20, 0x12345678)]
        bench.registers.values[0x24] = 0xFEDCBA98
        answer = await ask(ctx, encode_request(Command.READ_REGISTERS, 0x20, length=8))
        assert answer.status == Status.DONE
        assert answer.data.hex() == "7856341298badcfe"

    bench.run(testbench)


def answered(cases, *, stop=1, command=None, harmless=True):
    """Check that frames are answered by a status, and that the link works as before after each.

    The frames are sent to one link, one after the other. Where a ``command`` is given, answers must
    repeat it with its tag.
    """
    bench = Bench()
    before = bytes(bench.memory.data)

    async def testbench(ctx):
        for frame, status in cases:
            what = frame.hex(" ")
            await bench.host.send(ctx, frame, stop=stop)
            answer = await bench.host.answer(ctx)
            assert (answer.status, answer.data) == (status, b""), what
            if command is not None:
                assert answer.command | answer.tag << 4 == command, what
            good = await bench.host.ask(
                ctx, encode_request(Command.READ_MEMORY, 8, length=4, tag=1))
            assert (good.status, good.tag) == (Status.DONE, 1), what
            assert good.data == bench.memory.data[8:12], what
        assert await bench.host.answer(ctx, cycles=3 * TIMEOUT) is None

    bench.run(testbench, max_cycles=100_000)
    if harmless:
        assert bench.memory.data == before
        assert bench.registers.writes == []
    return bench


def spoiled(frame, place, flip=0x10):
    """Return a frame with one byte changed."""
    return frame[:place] + bytes([frame[place] ^ flip]) + frame[place + 1:]


READ = encode_request(Command.READ_MEMORY, 0, length=8)
WRITE = encode_request(Command.WRITE_MEMORY, 0x20, payload=bytes(range(8)))
POKE = encode_request(Command.WRITE_REGISTER, 0x10, payload=bytes([1, 0, 0, 0]))
HEADER_END = 11


def test_damaged_frames():
    # Every byte is spoiled on the whole design, in Verilator.
    answered([
        (spoiled(WRITE, 1), Status.HEADER),
        (spoiled(WRITE, HEADER_END - 1), Status.HEADER),
        (spoiled(POKE, HEADER_END), Status.PAYLOAD),
        (spoiled(POKE, len(POKE) - 1), Status.PAYLOAD),
        (POKE[:1], Status.INCOMPLETE),
        (POKE[:HEADER_END + 1], Status.INCOMPLETE),
    ])


def test_damaged_payload_stays_in_its_block():
    bench = answered([(spoiled(WRITE, HEADER_END + 2), Status.PAYLOAD)], harmless=False)
    expected = bytearray(Bench().memory.data)
    expected[0x20:0x28] = bytes([0, 1, 2 ^ 0x10, 3, 4, 5, 6, 7])
    assert bench.memory.data == expected


def test_missing_stop_bit():
    answered([(READ[:5], Status.LINE)], stop=0)


def read(command, address, length):
    return encode_request(command, address, length=length, tag=9)


def test_refusals():
    memory, registers = Command.READ_MEMORY, Command.READ_REGISTERS
    answered([
        (encode_request(memory, 0, length=8, tag=9, version=2), Status.VERSION),
        (read(memory, 0, 6), Status.LENGTH),
        (read(memory, 0, 4096), Status.LENGTH),
        (read(memory, 2, 8), Status.ADDRESS),
    ], command=memory | 9 << 4)
    answered([
        (read(registers, 0, 2), Status.LENGTH),
        (read(registers, 0x102, 4), Status.ADDRESS),
        (read(registers, 0x100, 4), Status.ADDRESS),
    ], command=registers | 9 << 4)


@pytest.mark.parametrize("data_width", [32, 64])
def test_alignment_of_a_beat(data_width):
    bench = Bench(data_width)
    beat = data_width // 8

    async def testbench(ctx):
        ask = bench.host.ask
        for address, length, status in (
            (4, 8, Status.ADDRESS if beat > 4 else Status.DONE),
            (8, 4, Status.LENGTH if beat > 4 else Status.DONE),
        ):
            answer = await ask(ctx, encode_request(Command.READ_MEMORY, address, length=length))
            assert answer.status == status

    bench.run(testbench)


def test_block_that_leaves_its_page():
    bench = Bench(size=8192)

    async def testbench(ctx):
        before = bytes(bench.memory.data)
        answer = await bench.host.ask(ctx, encode_request(
            Command.WRITE_MEMORY, 4088, payload=bytes(16)))
        assert answer.status == Status.ADDRESS
        assert bench.memory.data == before[:4088] + bytes(8) + before[4096:]
        answer = await bench.host.ask(ctx, encode_request(Command.READ_MEMORY, 4092, length=8))
        assert (answer.status, len(answer.data)) == (Status.ADDRESS, 8)

    bench.run(testbench)


@pytest.mark.parametrize("writes", [False, True])
def test_bus_error(writes):
    # The second beat lies behind the end of memory.
    bench = Bench(size=256)

    async def testbench(ctx):
        frame = encode_request(Command.WRITE_MEMORY, 252, payload=bytes(8)) if writes else (
            encode_request(Command.READ_MEMORY, 252, length=8))
        answer = await bench.host.ask(ctx, frame)
        assert answer.status == Status.BUS
        assert len(answer.data) == (0 if writes else 8)
        assert (await bench.host.ask(ctx, READ)).status == Status.DONE

    bench.run(testbench)


@pytest.mark.parametrize("frame", [READ, WRITE], ids=["read", "write"])
def test_bus_that_does_not_answer(frame):
    bench = Bench()

    async def testbench(ctx):
        bench.memory.dead = True
        for _ in range(2):
            answer = await bench.host.ask(ctx, frame)
            assert answer.status in (Status.BUS_TIMEOUT, Status.LINE)
        bench.memory.dead = False
        # Nothing is asked of the bus any more, and nothing is left of what was.
        answer = await bench.host.ask(ctx, frame)
        assert answer.status == Status.BUS_TIMEOUT
        info = await bench.host.ask(ctx, encode_request(Command.INFO, 0, length=16))
        assert info.status == Status.DONE

    before = bytes(bench.memory.data)
    bench.run(testbench)
    assert bench.memory.data == before


def test_slow_memory_loses_bytes():
    # A write takes longer than the line takes for the bytes that follow.
    bench = Bench()

    async def testbench(ctx):
        for delay, status in ((50, Status.LINE), (1, Status.DONE)):
            bench.memory.delay = delay
            for _ in range(6):
                answer = await bench.host.ask(ctx, WRITE)
                if answer.status == status:
                    break
            assert answer.status == status
        assert (await bench.host.ask(ctx, READ)).data == bench.memory.data[:8]

    bench.run(testbench)


@pytest.mark.parametrize("timeout", [63, 96])
def test_timeout_is_checked(timeout):
    message = f"^Timeout must be a power of two of at least 16 bits of 4 cycles, not {timeout}$"
    with pytest.raises(ValueError, match=message):
        HostLink(data_width=32, divisor=4, timeout=timeout, memory_size=256)
