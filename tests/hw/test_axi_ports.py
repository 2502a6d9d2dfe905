import random
from collections import deque

import pytest
from amaranth.lib import stream

from arch.config import preset
from hw.axi import AXI4LiteSignature, AXI4Signature
from hw.axi_ports import AXIPorts

from .bench import simulate
from .streams import check_stream, drain, feed


class Channel:
    """The signals of one AXI4 channel, as a stream."""

    def __init__(self, port, prefix, payload):
        self.valid = getattr(port, f"{prefix}valid")
        self.ready = getattr(port, f"{prefix}ready")
        self.payload = getattr(port, f"{prefix}{payload}")


@pytest.mark.parametrize("name", ["tiny", "large"])
@pytest.mark.parametrize("share", [1, 0.4])
def test_channels(name, share):
    """What goes in on one side comes out on the other, on all channels at once."""
    rng = random.Random(3)
    config = preset(name)
    dut = AXIPorts(config)
    port = dut.m_axi
    width = config.dram_width * 8
    count = 50
    numbers = [rng.getrandbits(8) for _ in range(count)]
    words = [rng.getrandbits(width) for _ in range(count)]
    got = {channel: [] for channel in ("ar", "aw", "w", "r", "b")}

    async def outputs(ctx):
        """Take AR, AW and W; note their flat signals."""
        readable = {
            "ar": (port.araddr, port.arlen, port.arid, port.arsize, port.arburst),
            "aw": (port.awaddr, port.awlen, port.awid, port.awsize, port.awburst),
            "w": (port.wdata, port.wlast, port.wstrb),
        }
        while True:
            for channel in readable:
                ctx.set(getattr(port, f"{channel}ready"), rng.random() < share)
            signals = [
                signal for channel, payload in readable.items()
                for signal in (getattr(port, f"{channel}valid"), getattr(port, f"{channel}ready"),
                               *payload)]
            _, _, *sampled = await ctx.tick().sample(*signals)
            for channel, payload in readable.items():
                valid, ready, *rest = sampled[:2 + len(payload)]
                sampled = sampled[2 + len(payload):]
                if valid and ready:
                    got[channel].append(tuple(rest))

    async def inputs(ctx):
        """Offer R and B."""
        left = {"r": deque(zip(numbers, words)), "b": deque(numbers)}
        valid = {"r": False, "b": False}
        while True:
            for channel, queue in left.items():
                if not valid[channel] and queue and rng.random() < share:
                    valid[channel] = True
                    if channel == "r":
                        number, word = queue.popleft()
                        ctx.set(port.rdata, word)
                        ctx.set(port.rresp, number & 3)
                        ctx.set(port.rlast, number >> 2 & 1)
                        ctx.set(port.rid, number >> 3 & 1)
                    else:
                        ctx.set(port.bresp, queue.popleft() & 3)
                ctx.set(getattr(port, f"{channel}valid"), valid[channel])
            _, _, r_ready, b_ready = await ctx.tick().sample(port.rready, port.bready)
            valid["r"] &= not r_ready
            valid["b"] &= not b_ready

    async def main(ctx):
        while any(len(entries) < count for entries in got.values()):
            await ctx.tick()

    requests = [{"address": number * 64, "length": number} for number in numbers]
    bursts = deque({"request": request, "id": request["length"] & 1} for request in requests)
    beats = deque({"data": word, "last": number & 1} for word, number in zip(words, numbers))
    simulate(dut, main, processes=(
        outputs, inputs,
        feed(dut.read_requests, bursts, rng, share),
        feed(dut.write_requests, deque(requests), rng, share),
        feed(dut.write_beats, beats, rng, share),
        drain(dut.read_beats, got["r"].append, rng, share),
        drain(dut.responses, got["b"].append, rng, share),
        check_stream(Channel(port, "ar", "addr")), check_stream(Channel(port, "aw", "addr")),
        check_stream(Channel(port, "w", "data")),
    ))
    size = config.dram_width.bit_length() - 1
    assert got["ar"] == [(number * 64, number, number & 1, size, 1) for number in numbers]
    assert got["aw"] == [(number * 64, number, 0, size, 1) for number in numbers]
    assert got["w"] == [
        (word, number & 1, (1 << config.dram_width) - 1) for word, number in zip(words, numbers)]
    assert [(beat.id, beat.beat.data, beat.beat.resp, beat.beat.last) for beat in got["r"]] == [
        (number >> 3 & 1, word, number & 3, number >> 2 & 1)
        for word, number in zip(words, numbers)]
    assert [response.resp for response in got["b"]] == [number & 3 for number in numbers]


def test_signatures():
    first = AXI4Signature(addr_width=32, data_width=64, id_width=1)
    assert first == AXI4Signature(addr_width=32, data_width=64, id_width=1)
    assert first != AXI4Signature(addr_width=32, data_width=32, id_width=1)
    assert first != stream.Signature(8)
    assert repr(first) == "AXI4Signature(addr_width=32, data_width=64, id_width=1)"
    lite = AXI4LiteSignature(addr_width=8, data_width=32)
    assert lite == AXI4LiteSignature(addr_width=8, data_width=32)
    assert lite != AXI4LiteSignature(addr_width=9, data_width=32)
    assert repr(lite) == "AXI4LiteSignature(addr_width=8, data_width=32)"
