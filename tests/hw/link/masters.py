"""Masters of AXI4 with random bursts and pauses, as scripts of a cycle a step."""

import itertools


__all__ = ("Master",)


class Master:
    """Writes and reads bursts, and keeps what it wrote and what it read.

    Parameters
    ----------
    port
        AXI4 port of the slave, or of what is before it.
    rng : Random
        Draws pauses.
    share : float
        Share of the cycles in which it offers or takes a beat.
    """

    def __init__(self, port, rng, *, share=1.0):
        self.port = port
        self.rng = rng
        self.share = share
        self.responses = []
        self.bursts = []

    def _pause(self):
        while self.rng.random() >= self.share:
            yield

    def write(self, ctx, bursts, *, strobes=None, data_first=False):
        """Write bursts of (address, beats, identifier), one after the other."""
        port = self.port
        for address, beats, number in bursts:
            data = self._data(ctx, beats, strobes)
            head = self._request(ctx, "aw", address, len(beats), number)
            pending = [head, data]
            if data_first and next(data, 0) != 0:
                yield
            # Both channels go on at once; whether data is taken can depend on the request.
            while pending:
                pending = [script for script in pending if next(script, 0) != 0]
                if pending:
                    yield
            yield from self._pause()
            ctx.set(port.bready, 1)
            while not ctx.get(port.bvalid):
                yield
            self.responses.append((ctx.get(port.bid), ctx.get(port.bresp)))
            yield
            ctx.set(port.bready, 0)

    def _request(self, ctx, channel, address, length, number):
        port = self.port
        yield from self._pause()
        for name, value in (("addr", address), ("len", length - 1), ("id", number), ("burst", 1),
                            ("size", (port.signature.data_width // 8).bit_length() - 1)):
            ctx.set(getattr(port, channel + name), value)
        yield from _handshake(ctx, getattr(port, f"{channel}valid"),
                              getattr(port, f"{channel}ready"))

    def _data(self, ctx, beats, strobes):
        port = self.port
        for place, beat in enumerate(beats):
            yield from self._pause()
            ctx.set(port.wdata, beat)
            ctx.set(port.wstrb, ~0 if strobes is None else strobes)
            ctx.set(port.wlast, place == len(beats) - 1)
            yield from _handshake(ctx, port.wvalid, port.wready)

    def request_reads(self, ctx, bursts):
        """Ask for bursts of (address, length, identifier)."""
        for address, length, number in bursts:
            yield from self._request(ctx, "ar", address, length, number)

    def take_reads(self, ctx):
        """Take bursts for ever: identifier, beats, responses."""
        port = self.port
        beats, responses = [], []
        while True:
            yield from self._pause()
            ctx.set(port.rready, 1)
            while not ctx.get(port.rvalid):
                yield
            beats.append(ctx.get(port.rdata))
            responses.append(ctx.get(port.rresp))
            number, last = ctx.get(port.rid), ctx.get(port.rlast)
            yield
            ctx.set(port.rready, 0)
            if last:
                self.bursts.append((number, beats, responses))
                beats, responses = [], []


def _handshake(ctx, own, other):
    ctx.set(own, 1)
    while not ctx.get(other):
        yield
    yield
    ctx.set(own, 0)


def run_scripts(*scripts, cycles=5000):
    """Return a testbench that runs scripts side by side until the first has ended."""
    async def testbench(ctx):
        steps = [script(ctx) for script in scripts]
        for _ in itertools.repeat(None, cycles):
            if next(steps[0], "ended") == "ended":
                return
            for step in steps[1:]:
                next(step, None)
            await ctx.tick()
        raise TimeoutError(f"not done in {cycles} cycles")
    return testbench
