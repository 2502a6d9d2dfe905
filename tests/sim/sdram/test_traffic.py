"""The controller under random AXI4 bursts: data of a reference memory, and every rule kept."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.sdram import PARTS
from sim.sdram import Phase, Read, Traffic, Write


pytestmark = pytest.mark.verilator

SLVERR = 2
# As many rows as the address pins need; a refresh as often as a large memory has it.
SMALL = {"row_bits": 11, "column_bits": 8, "t_power_up": 2000.0, "t_refresh": 64e6 / 4}
PART = replace(PARTS["AS4C16M16SA-7"], **SMALL)


def _words(part):
    """Return what the model holds before anything is written."""
    index = np.arange(part.size // 2, dtype=np.int64)
    return ((index * 40503) ^ (index >> 5)).astype("<u2")


class Reference:
    """Memory as it should be."""

    def __init__(self, part, size):
        self.bytes = _words(part).view(np.uint8)
        self.size = size

    def write(self, burst):
        for number, (value, strobe) in enumerate(
                zip(burst.data, burst.strobes, strict=True)):
            place = burst.address // self.size * self.size + number * self.size
            for byte in range(self.size):
                if strobe >> byte & 1:
                    self.bytes[place + byte] = value >> 8 * byte & 0xFF

    def read(self, burst):
        place = burst.address // self.size * self.size
        return [int.from_bytes(self.bytes[place + n:place + n + self.size].tobytes(), "little")
                for n in range(0, burst.beats * self.size, self.size)]


def check(traffic, phases, seed=1):
    """Run phases, whose reads must not meet the writes of their phase."""
    memory = Reference(traffic.part, traffic.size)
    results = traffic.run(phases, seed=seed)
    assert len(results) == len(phases)
    for phase, result in zip(phases, results, strict=True):
        reads = [burst for burst in phase.bursts if isinstance(burst, Read)]
        writes = [burst for burst in phase.bursts if isinstance(burst, Write)]
        assert result.responses == [(burst.id, 0) for burst in writes]
        beats = iter(result.beats)
        for burst in reads:
            for number, value in enumerate(memory.read(burst)):
                beat = next(beats)
                assert beat.data == value, f"{burst}, beat {number}, {seed=}"
                assert (beat.id, beat.resp) == (burst.id, 0)
                assert beat.last == (number == burst.beats - 1)
        assert next(beats, None) is None
        for burst in writes:
            memory.write(burst)
    return results


@st.composite
def _phase(draw, part, size):
    """Return a phase: where it writes and where it reads are different halves of memory."""
    half = draw(st.integers(0, 1))
    # Few rows, so that banks meet again.
    pages = part.size // 2 // 4096
    bursts = []
    for _ in range(draw(st.integers(1, 12))):
        is_write = draw(st.booleans())
        beats = draw(st.one_of(st.integers(1, 4), st.integers(1, min(256, 4096 // size))))
        first = draw(st.integers(0, 4096 // size - beats)) * size
        page = draw(st.one_of(st.integers(0, 2), st.integers(0, pages - 1)))
        address = ((half ^ is_write) * pages + page) * 4096 + first
        ident = draw(st.integers(0, 3))
        if is_write:
            rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
            values = [int.from_bytes(rng.bytes(size), "little") for _ in range(beats)]
            full = draw(st.booleans())
            strobes = [(1 << size) - 1 if full else int(rng.integers(1 << size))
                       for _ in range(beats)]
            bursts.append(Write(address, values, strobes, ident))
        else:
            bursts.append(Read(address, beats, ident))
    chance = st.sampled_from((256, 256, 200, 60, 12))
    return Phase(bursts, tuple(draw(chance) for _ in range(5)))


@pytest.fixture(scope="module")
def traffic():
    return Traffic(PART, 100_000_000, 64)


@pytest.fixture(scope="module")
def late():
    """Return a fast clock, refreshes close together, CAS latency 3 and late data."""
    return Traffic(replace(PART, t_refresh=2e6), 142_000_000, 32, read_delay=2)


def _check_random(traffic, data):
    phases = data.draw(st.lists(_phase(traffic.part, traffic.size), min_size=1, max_size=4))
    check(traffic, phases, seed=data.draw(st.integers(1, 1000)))


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_random(traffic, data):
    _check_random(traffic, data)


@settings(deadline=None, max_examples=10)
@given(data=st.data())
def test_random_late(late, data):
    _check_random(late, data)


def _small(name, **changes):
    part = PARTS[name]
    return replace(part, **{**SMALL, "column_bits": part.column_bits - 1, **changes})


@pytest.mark.slow
@pytest.mark.parametrize(("part", "clock", "width", "delay"), [
    pytest.param(_small("AS4C32M16SB-7"), 100_000_000, 128, 1, id="16 bytes"),
    pytest.param(_small("MT48LC16M16A2-75"), 133_000_000, 64, 0, id="Micron"),
    pytest.param(_small("W9825G6JH-6"), 60_000_000, 16, 0, id="2 bytes, slow clock"),
    pytest.param(_small("AS4C16M16SA-6"), 166_000_000, 64, 3, id="fast clock"),
])
def test_random_parts(part, clock, width, delay):
    traffic = Traffic(part, clock, width, read_delay=delay)
    settings(deadline=None, max_examples=50)(given(st.data())(
        lambda data: _check_random(traffic, data)))()


def test_refresh_of_every_row(late):
    """Twice the time in which every row must be refreshed; the model counts them."""
    bursts = [Read(4096 * (number * 37 % 256), 256) for number in range(1024)]
    result = check(late, [Phase(bursts)])[0]
    assert result.cycles > 1.8 * 2e6 * 142e6 / 1e9


def _rate(result, size):
    return size / result.cycles


def test_efficiency(traffic):
    """Bytes a cycle of a bus of 2, in long bursts; what is missing are refreshes."""
    burst = 1024
    count = 64
    reads = [Read(number * burst, 128) for number in range(count)]
    writes = [Write(traffic.part.size // 2 + number * burst, [number] * 128, [255] * 128)
              for number in range(count)]
    start, read, write, both, single = check(traffic, [
        Phase([Read(0, 1)]), Phase(reads), Phase(writes), Phase(reads + writes),
        Phase([Read(number * 4096, 1) for number in range(count)])])
    assert _rate(read, count * burst) > 1.95
    assert _rate(write, count * burst) > 1.95
    assert _rate(both, 2 * count * burst) > 1.92
    # A row opened for each beat of 8 bytes, over and over in one bank: tRP, tRCD and the read.
    assert single.cycles / count < 14
    assert start.cycles > 200


def test_latency(traffic):
    """A read with nothing else to do, in a row that is open, and in another row of the bank."""
    part = traffic.part
    other = 1 << (part.bank_bits + part.column_bits + 1)
    _, hit, miss = check(
        traffic, [Phase([Read(0, 1)]), Phase([Read(64, 1)]), Phase([Read(other, 1)])])
    assert hit.cycles == 13
    timing = part.timing(traffic.clock)
    # The queue, which costs a read of an open row a cycle, is passed while the row opens.
    assert miss.cycles == hit.cycles + timing.rp + timing.rcd - 1


def test_refused(traffic):
    """What leaves memory, does not increment or is narrow is answered and changes nothing."""
    size = traffic.part.size
    beyond, wrapped = size + 64, (1 << 31) + 64
    data, all_bytes = [0] * 3, [255] * 3
    bad = [
        {"address": beyond}, {"address": wrapped}, {"address": 64, "burst": 0},
        {"address": 64, "burst": 2}, {"address": 64, "size": 2},
    ]
    phases = [
        Phase([Write(data=data, strobes=all_bytes, id=2, **each) for each in bad]),
        Phase([Read(beats=3, id=1, **each) for each in bad]),
        Phase([Read(64, 3, 3)]),
    ]
    written, read, after = traffic.run(phases)
    assert written.responses == [(2, SLVERR)] * len(bad)
    assert [(beat.id, beat.resp, beat.last) for beat in read.beats] == [
        (1, SLVERR, 0), (1, SLVERR, 0), (1, SLVERR, 1)] * len(bad)
    assert [beat.data for beat in after.beats] == Reference(
        traffic.part, traffic.size).read(Read(64, 3))
    assert {beat.resp for beat in after.beats} == {0}


def test_address_inside_a_beat(traffic):
    """The bytes before it are those of the first beat; strobes say which are written."""
    check(traffic, [
        Phase([Write(67, [2**64 - 1, 1], [0b11111000, 255])]), Phase([Read(61, 3)])])
