# amaranth: UnusedElaboratable=no
"""Timing of parts in cycles, and what controllers refuse."""

import re
from dataclasses import replace

import pytest

from hw.sdram import PARTS, SDRAMController, slowest


PART = PARTS["AS4C16M16SA-7"]


@pytest.mark.parametrize(("megahertz", "expected"), [
    (50, (2, 2, 2, 3, 4, 1, 1, 4, 2)),
    (100, (2, 3, 3, 5, 7, 2, 2, 7, 2)),
    (143, None),
    (142, (3, 3, 3, 6, 9, 2, 2, 9, 2)),
])
def test_cycles(megahertz, expected):
    """By hand from the data sheet: times divided by the period, rounded up."""
    if expected is None:
        with pytest.raises(ValueError, match=re.escape(
                "Clock of AS4C16M16SA-7 must be at most 142.9 MHz, not 143 MHz")):
            PART.timing(megahertz * 1_000_000)
        return
    timing = PART.timing(megahertz * 1_000_000)
    assert (timing.cas_latency, timing.rcd, timing.rp, timing.ras, timing.rc, timing.rrd,
            timing.wr, timing.rfc, timing.mrd) == expected
    assert timing.power_up == 200 * megahertz


@pytest.mark.parametrize("part", PARTS.values(), ids=lambda part: part.name)
@pytest.mark.parametrize("clock", [25_000_000, 100_000_000, 133_000_000])
def test_no_time_is_shorter_than_the_data_sheet_says(part, clock):
    timing = part.timing(clock)
    for name in ("rcd", "rp", "ras", "rc", "rrd", "wr", "rfc", "mrd", "power_up"):
        assert getattr(timing, name) * 1e9 / clock >= getattr(part, f"t_{name}")
        assert (getattr(timing, name) - 1) * 1e9 / clock < max(
            getattr(part, f"t_{name}"), getattr(part, f"{name}_cycles", 1) * 1e9 / clock)
    assert timing.refresh * (1 << part.row_bits) * 1e9 / clock < part.t_refresh
    assert part.clock_periods[timing.cas_latency] <= 1e9 / clock


def test_size():
    assert PART.size == 32 << 20
    assert PARTS["AS4C32M16SB-7"].size == 64 << 20


def test_clock_too_slow_for_refresh():
    with pytest.raises(ValueError, match=re.escape(
            "Clock of AS4C16M16SA-7 must leave time between two refreshes, not be 1 MHz")):
        PART.timing(1_000_000)


def test_slowest_suits_all():
    every = slowest("any", *PARTS.values())
    assert every.size == 32 << 20
    for part in PARTS.values():
        assert every.t_rc >= part.t_rc
        assert every.rrd_cycles >= part.rrd_cycles
        assert every.clock_periods[2] >= part.clock_periods[2]
        assert every.t_refresh <= part.t_refresh


def test_slowest_of_different_buses():
    with pytest.raises(ValueError, match=re.escape(
            "Parts of any must have data buses of one width")):
        slowest("any", PART, replace(PART, data_bits=32))


def test_slowest_without_common_latency():
    with pytest.raises(ValueError, match=re.escape(
            "Parts of any must have a CAS latency in common")):
        slowest("any", replace(PART, clock_periods={2: 10.0}),
                replace(PART, clock_periods={3: 7.0}))


def test_width_of_beats():
    with pytest.raises(ValueError, match=re.escape(
            "Data width of a memory of 16 bits must be one of 16, 32, 64, 128, not 256")):
        SDRAMController(PART, clock=100_000_000, data_width=256, id_width=1)


def test_read_delay():
    with pytest.raises(ValueError, match=re.escape("Read delay must be 0 to 3 cycles, not 4")):
        SDRAMController(PART, clock=100_000_000, data_width=64, id_width=1, read_delay=4)
