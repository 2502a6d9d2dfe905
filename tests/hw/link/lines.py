"""Both ends of a serial line, and slaves of the buses, for benches in Amaranth's simulator."""

import itertools

from arch.serial import ANSWER_FIELDS, decode_answer, field_size


__all__ = ("Host", "Memory", "Registers", "each_cycle")


class Host:
    """The host's end of a line: sends bytes, with or without faults, and takes answers."""

    def __init__(self, dut, *, divisor):
        self.dut = dut
        self.divisor = divisor
        self.received = bytearray()
        self.broken = 0

    async def send(self, ctx, data, *, stop=1):
        """Send bytes; a ``stop`` of 0 spoils the last stop bit."""
        for number, byte in enumerate(data):
            last = stop if number == len(data) - 1 else 1
            for bit in (0, *(byte >> place & 1 for place in range(8)), last):
                ctx.set(self.dut.uart_rx, bit)
                await ctx.tick().repeat(self.divisor)
        ctx.set(self.dut.uart_rx, 1)

    def listen(self, ctx):
        """Take every byte of the other side."""
        tx = self.dut.uart_tx
        while True:
            while ctx.get(tx):
                yield
            yield from itertools.repeat(None, self.divisor // 2)
            byte = 0
            for place in range(8):
                yield from itertools.repeat(None, self.divisor)
                byte |= ctx.get(tx) << place
            yield from itertools.repeat(None, self.divisor)
            self.broken += not ctx.get(tx)
            self.received.append(byte)

    async def answer(self, ctx, *, cycles=4000):
        """Wait for an answer and return it; ``None`` if none comes."""
        least = field_size(ANSWER_FIELDS)
        for _ in range(cycles // self.divisor):
            await ctx.tick().repeat(self.divisor)
            size = least + int.from_bytes(self.received[3:5], "little")
            if len(self.received) >= max(size, 5):
                assert len(self.received) == size, self.received.hex(" ")
                frame = bytes(self.received)
                self.received.clear()
                return decode_answer(frame)
        assert not self.received, self.received.hex(" ")
        return None

    async def ask(self, ctx, frame, **options):
        """Send a frame and return the answer."""
        await self.send(ctx, frame)
        return await self.answer(ctx, **options)


class Registers:
    """Slave of AXI4-Lite: a dictionary; 0 where nothing was written. One transfer at a time."""

    def __init__(self, port):
        self.port = port
        self.values = {}
        self.writes = []

    def serve(self, ctx):
        """Serve for ever."""
        port = self.port
        while True:
            yield
            if ctx.get(port.arvalid):
                address = ctx.get(port.araddr)
                yield from _transfer(ctx, port.arready, port.arvalid)
                ctx.set(port.rdata, self.values.get(address, 0))
                yield from _transfer(ctx, port.rvalid, port.rready)
            elif ctx.get(port.awvalid) and ctx.get(port.wvalid):
                entry = ctx.get(port.awaddr), ctx.get(port.wdata)
                assert ctx.get(port.wstrb) == 0xF
                ctx.set(port.wready, 1)
                yield from _transfer(ctx, port.awready, port.awvalid)
                ctx.set(port.wready, 0)
                self.writes.append(entry)
                self.values.update([entry])
                yield from _transfer(ctx, port.bvalid, port.bready)


class Memory:
    """Slave of AXI4 for bursts of one beat, with random delays; errors above its end."""

    def __init__(self, port, size, rng, *, delay=6):
        self.port = port
        self.data = bytearray(rng.randbytes(size))
        self.rng = rng
        self.delay = delay
        self.dead = False

    def _pause(self):
        yield from itertools.repeat(None, self.rng.randint(0, self.delay))
        while self.dead:
            yield

    def serve_reads(self, ctx):
        """Serve reads for ever."""
        port, beat = self.port, self.port.signature.data_width // 8
        while True:
            yield from self._pause()
            address = yield from _transfer(ctx, port.arready, port.arvalid, port.araddr)
            assert ctx.get(port.arlen) == 0
            assert 1 << ctx.get(port.arsize) == beat
            assert address % beat == 0
            data = self.data[address:address + beat]
            ctx.set(port.rdata, int.from_bytes(data, "little"))
            ctx.set(port.rresp, 0 if data else 2)
            ctx.set(port.rlast, 1)
            yield from self._pause()
            yield from _transfer(ctx, port.rvalid, port.rready)

    def serve_writes(self, ctx):
        """Serve writes for ever."""
        port, beat = self.port, self.port.signature.data_width // 8
        channels = [
            (port.awready, port.awvalid, port.awaddr), (port.wready, port.wvalid, port.wdata)]
        while True:
            found = {}
            for number in self.rng.sample(range(2), 2):
                yield from self._pause()
                found[number] = yield from _transfer(ctx, *channels[number])
            assert ctx.get(port.awlen) == 0
            assert ctx.get(port.wlast)
            assert 1 << ctx.get(port.awsize) == beat
            assert ctx.get(port.wstrb) == (1 << beat) - 1
            address, data = found[0], found[1]
            assert address % beat == 0
            inside = address < len(self.data)
            if inside:
                self.data[address:address + beat] = data.to_bytes(beat, "little")
            ctx.set(port.bresp, 0 if inside else 3)
            yield from self._pause()
            yield from _transfer(ctx, port.bvalid, port.bready)


def _transfer(ctx, own, other, value=None):
    """Hold ``own`` until ``other`` is there too; return ``value`` of that cycle."""
    ctx.set(own, 1)
    while not ctx.get(other):
        yield
    found = None if value is None else ctx.get(value)
    yield
    ctx.set(own, 0)
    return found


def each_cycle(*scripts):
    """Return a process that goes on with some generators in every cycle."""
    async def process(ctx):
        steps = [script(ctx) for script in scripts]
        for step in steps:
            next(step)
        async for _ in ctx.tick():
            for step in steps:
                next(step)
    return process
