import random
from collections import deque

import pytest

from arch.config import preset
from hw.read_arbiter import FETCH_ID, LOAD_ID, ReadArbiter

from .bench import simulate
from .streams import check_stream, drain, feed, fields


@pytest.mark.parametrize("shares", [(1, 1, 1), (0.5, 0.3, 0.5), (0.2, 1, 0.3)], ids=str)
def test_random(shares):
    rng = random.Random(7)
    dut = ReadArbiter(preset("tiny"))
    sent = {LOAD_ID: [(n, n % 7) for n in range(80)], FETCH_ID: [(n + 500, 3) for n in range(30)]}
    queues = {number: deque({"address": address, "length": length} for address, length in entries)
              for number, entries in sent.items()}
    got = {LOAD_ID: [], FETCH_ID: []}
    answers = {LOAD_ID: [], FETCH_ID: []}
    beats = deque()

    def request(payload):
        got[payload.id].append(fields(payload.request, "address", "length"))
        beats.append({"id": payload.id, "beat": {
            "data": payload.request.address, "last": 1, "resp": payload.request.length & 3}})

    def answer(number):
        return lambda payload: answers[number].append(fields(payload, "data", "last", "resp"))

    async def main(ctx):
        while sum(map(len, answers.values())) < 110:
            await ctx.tick()

    simulate(dut, main, processes=(
        feed(dut.load_requests, queues[LOAD_ID], rng, shares[0]),
        feed(dut.fetch_requests, queues[FETCH_ID], rng, 0.2),
        drain(dut.requests, request, rng, shares[1]), check_stream(dut.requests),
        feed(dut.beats, beats, rng),
        drain(dut.load_beats, answer(LOAD_ID), rng, shares[2]),
        drain(dut.fetch_beats, answer(FETCH_ID), rng, shares[2]),
        check_stream(dut.load_beats), check_stream(dut.fetch_beats),
    ))
    assert got == sent
    assert answers == {
        number: [(address, 1, length & 3) for address, length in entries]
        for number, entries in sent.items()}


def test_burst_of_load_withdrawn():
    """LOAD takes back what was not accepted after an error; nothing of it may go out."""
    dut = ReadArbiter(preset("tiny"))

    async def main(ctx):
        ctx.set(dut.load_requests.valid, 1)
        await ctx.tick()
        ctx.set(dut.load_requests.valid, 0)
        ctx.set(dut.fetch_requests.valid, 1)
        ctx.set(dut.fetch_requests.payload.address, 64)
        ctx.set(dut.requests.ready, 1)
        assert not ctx.get(dut.requests.valid)
        await ctx.tick()
        assert ctx.get(dut.requests.valid)
        assert ctx.get(dut.requests.payload.id) == FETCH_ID
        assert ctx.get(dut.requests.payload.request.address) == 64
        assert ctx.get(dut.fetch_requests.ready)

    simulate(dut, main)


def test_fetch_first():
    dut = ReadArbiter(preset("tiny"))

    async def main(ctx):
        ctx.set(dut.load_requests.valid, 1)
        ctx.set(dut.fetch_requests.valid, 1)
        ctx.set(dut.requests.ready, 1)
        assert ctx.get(dut.requests.payload.id) == FETCH_ID
        assert ctx.get(dut.fetch_requests.ready)
        assert not ctx.get(dut.load_requests.ready)
        await ctx.tick()
        ctx.set(dut.fetch_requests.valid, 0)
        assert ctx.get(dut.requests.payload.id) == LOAD_ID
        assert ctx.get(dut.load_requests.ready)

    simulate(dut, main)
