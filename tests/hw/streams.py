"""Testbench processes that feed, drain and check streams, with random stalls.

Each makes its trigger once, for all cycles: making one takes longer than what it is for.
"""

import hashlib

from amaranth import Value


__all__ = ("beat_at", "check_stream", "drain", "expected_bursts", "feed", "fields", "watch")


def beat_at(address, size):
    """Return the beat of ``size`` bytes that the tests' DRAM holds at ``address``."""
    digest = hashlib.blake2b(address.to_bytes(4, "little"), digest_size=size).digest()
    return int.from_bytes(digest, "little")


def fields(payload, *names):
    """Return the named fields of a payload as a tuple."""
    return tuple(payload[name] for name in names)


def expected_bursts(config, address, beats):
    """Cut one line into ``(address, length less one)``, each burst as long as possible."""
    bursts = []
    while beats:
        length = min(beats, config.burst_length, (4096 - address % 4096) // config.dram_width)
        bursts.append((address, length - 1))
        address += length * config.dram_width
        beats -= length
    return bursts


def feed(port, queue, rng, share=1.0):
    """Offer what is in ``queue`` (a deque, may grow), in a ``share`` of the cycles."""
    async def process(ctx):
        def offer():
            holding = bool(queue) and rng.random() < share
            if holding:
                ctx.set(port.payload, queue.popleft())
            ctx.set(port.valid, holding)
            return holding

        holding = offer()
        async for _, _, ready in ctx.tick().sample(port.ready):
            if ready or not holding:
                holding = offer()
    return process


def drain(port, take, rng, share=1.0):
    """Call ``take`` with each payload; ready in a ``share`` of the cycles."""
    async def process(ctx):
        ctx.set(port.ready, rng.random() < share)
        ticks = ctx.tick().sample(port.valid, port.ready, port.payload)
        async for _, _, valid, ready, payload in ticks:
            if valid and ready:
                take(payload)
            ctx.set(port.ready, rng.random() < share)
    return process


def watch(strobe, take, *values):
    """Call ``take`` with ``values`` in each cycle in which ``strobe`` is set."""
    async def process(ctx):
        async for _, _, hit, *sampled in ctx.tick().sample(strobe, *values):
            if hit:
                take(*sampled)
    return process


def check_stream(port):
    """Fail when an offered payload is withdrawn or changed."""
    async def process(ctx):
        held = None
        ticks = ctx.tick().sample(port.valid, port.ready, Value.cast(port.payload))
        async for _, _, valid, ready, payload in ticks:
            if held is not None:
                assert valid, f"payload {held:#x} withdrawn before transfer"
                assert payload == held, f"payload {held:#x} became {payload:#x} before transfer"
            held = payload if valid and not ready else None
    return process
