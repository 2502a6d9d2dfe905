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
TIMEOUT = 256


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
        simulate(self.dut, testbench, processes=[each_cycle(script) for script in (
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
