"""SDR SDRAM parts: their geometry, and their timing in nanoseconds and in cycles of a clock."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction


__all__ = (
    "PARTS",
    "SDRAMPart",
    "SDRAMTiming",
    "slowest",
)


@dataclass(frozen=True)
class SDRAMTiming:
    """What a controller waits, in cycles of its clock.

    Parameters
    ----------
    clock : int
        Clock, in Hz.
    cas_latency : int
        From READ to its first data: 2 or 3.
    rcd : int
        From ACTIVE to READ or WRITE.
    rp : int
        From PRECHARGE to ACTIVE or REFRESH.
    ras : int
        From ACTIVE to PRECHARGE of the bank.
    rc : int
        From ACTIVE to ACTIVE of the bank.
    rrd : int
        From ACTIVE to ACTIVE of another bank.
    wr : int
        From the last data written to PRECHARGE.
    rfc : int
        From REFRESH to any other command.
    mrd : int
        From LOAD MODE to any other command.
    refresh : int
        From one REFRESH to the next, at most.
    power_up : int
        From a stable clock to the first command.
    """

    clock: int
    cas_latency: int
    rcd: int
    rp: int
    ras: int
    rc: int
    rrd: int
    wr: int
    rfc: int
    mrd: int
    refresh: int
    power_up: int


@dataclass(frozen=True)
class SDRAMPart:
    """A memory and its data sheet; times are in nanoseconds.

    Parameters
    ----------
    name : str
        Order number without package and temperature.
    source : str
        Where the figures come from.
    clock_periods : mapping from int to float
        Shortest period of the clock for each CAS latency.
    t_rcd, t_rp, t_ras, t_rc, t_rrd, t_wr, t_rfc, t_mrd : float
        Shortest times; :class:`SDRAMTiming` says from where to where.
    wr_cycles, rrd_cycles, mrd_cycles : int
        Fewest cycles of ``t_wr``, ``t_rrd`` and ``t_mrd``, however slow the clock is.
    t_ras_max : float
        Longest time from ACTIVE to PRECHARGE.
    t_refresh : float
        Time in which every row must be refreshed.
    t_power_up : float
        From a stable clock to the first command.
    refreshes : int
        REFRESH commands before the first LOAD MODE.
    bank_bits, row_bits, column_bits : int
        Widths of the three parts of an address.
    data_bits : int
        Width of the data bus.
    """

    name: str
    source: str
    clock_periods: Mapping[int, float]
    t_rcd: float
    t_rp: float
    t_ras: float
    t_rc: float
    t_rrd: float
    t_wr: float
    t_rfc: float
    t_mrd: float = 0.0
    wr_cycles: int = 1
    rrd_cycles: int = 1
    mrd_cycles: int = 2
    t_ras_max: float = 100_000.0
    t_refresh: float = 64e6
    t_power_up: float = 200_000.0
    refreshes: int = 8
    bank_bits: int = 2
    row_bits: int = 13
    column_bits: int = 9
    data_bits: int = 16

    @property
    def address_bits(self) -> int:
        """Width of a byte address."""
        bytes_bits = (self.data_bits // 8).bit_length() - 1
        return self.bank_bits + self.row_bits + self.column_bits + bytes_bits

    @property
    def size(self) -> int:
        """Bytes of memory."""
        return 1 << self.address_bits

    def timing(self, clock: int) -> SDRAMTiming:
        """Return what a controller with some clock must wait.

        Parameters
        ----------
        clock : int
            Clock, in Hz.

        Raises
        ------
        ValueError
            If the memory is slower than the clock, or the clock too slow to refresh it.

        Examples
        --------
        >>> timing = PARTS["AS4C16M16SA-7"].timing(100_000_000)
        >>> timing.cas_latency, timing.rcd, timing.rp, timing.rc, timing.refresh
        (2, 3, 3, 7, 780)
        """
        def cycles(time: float, least: int = 1) -> int:
            return max(least, math.ceil(Fraction(time) * clock / 10**9))

        fits = [latency for latency, period in sorted(self.clock_periods.items())
                if Fraction(period) * clock <= 10**9]
        if not fits:
            most = 1e3 / min(self.clock_periods.values())
            raise ValueError(
                f"Clock of {self.name} must be at most {most:.1f} MHz, not {clock / 1e6:g} MHz")
        # A cycle less for the commands that a REFRESH may have to wait for: whatever the row,
        # the time between two refreshes of it stays below the limit.
        refresh = int(Fraction(self.t_refresh) * clock / 10**9 / (1 << self.row_bits)) - 1
        rfc = cycles(self.t_rfc)
        if refresh < 8 * rfc:
            raise ValueError(
                f"Clock of {self.name} must leave time between two refreshes, "
                f"not be {clock / 1e6:g} MHz")
        return SDRAMTiming(
            clock=clock, cas_latency=fits[0], rcd=cycles(self.t_rcd), rp=cycles(self.t_rp),
            ras=cycles(self.t_ras), rc=cycles(self.t_rc),
            rrd=cycles(self.t_rrd, self.rrd_cycles), wr=cycles(self.t_wr, self.wr_cycles),
            rfc=rfc, mrd=cycles(self.t_mrd, self.mrd_cycles), refresh=refresh,
            power_up=cycles(self.t_power_up))


_SHORTEST = (
    "t_rcd", "t_rp", "t_ras", "t_rc", "t_rrd", "t_wr", "t_rfc", "t_mrd", "wr_cycles",
    "rrd_cycles", "mrd_cycles", "t_power_up", "refreshes",
)
_LONGEST = ("t_ras_max", "t_refresh", "bank_bits", "row_bits", "column_bits")


def slowest(name: str, *parts: SDRAMPart) -> SDRAMPart:
    """Return a part whose timing suits every one of some parts, as large as the smallest.

    Parameters
    ----------
    name : str
        Its name.
    *parts : SDRAMPart
        Parts with buses of one width.

    Raises
    ------
    ValueError
        If the widths differ, or no CAS latency is common.
    """
    if len({part.data_bits for part in parts}) != 1:
        raise ValueError(f"Parts of {name} must have data buses of one width")
    latencies = set.intersection(*(set(part.clock_periods) for part in parts))
    if not latencies:
        raise ValueError(f"Parts of {name} must have a CAS latency in common")
    return SDRAMPart(
        name=name, source="; ".join(part.source for part in parts), data_bits=parts[0].data_bits,
        clock_periods={
            latency: max(part.clock_periods[latency] for part in parts) for latency in latencies},
        **{field: max(getattr(part, field) for part in parts) for field in _SHORTEST},
        **{field: min(getattr(part, field) for part in parts) for field in _LONGEST})


PARTS = {
    part.name: part
    for part in (
        SDRAMPart(
            "MT48LC16M16A2-75", "Micron, 256Mb SDR SDRAM, rev. N, tables of AC characteristics",
            clock_periods={2: 10.0, 3: 7.5}, t_rcd=20, t_rp=20, t_ras=44, t_rc=66, t_rrd=15,
            t_wr=15, t_rfc=66, t_power_up=100_000, refreshes=2,
        ),
        SDRAMPart(
            "AS4C16M16SA-6", "Alliance Memory, AS4C16M16SA-C&I, rev. 3.0, table 16",
            clock_periods={2: 10.0, 3: 6.0}, t_rcd=18, t_rp=18, t_ras=42, t_rc=60, t_rrd=12,
            t_wr=12, t_rfc=60, t_mrd=12,
        ),
        SDRAMPart(
            "AS4C16M16SA-7", "Alliance Memory, AS4C16M16SA-C&I, rev. 3.0, table 16",
            clock_periods={2: 10.0, 3: 7.0}, t_rcd=21, t_rp=21, t_ras=42, t_rc=63, t_rrd=14,
            t_wr=14, t_rfc=63, t_mrd=14,
        ),
        SDRAMPart(
            "AS4C32M16SB-7", "Alliance Memory, AS4C32M16SB, table 16",
            clock_periods={2: 10.0, 3: 7.0}, t_rcd=21, t_rp=21, t_ras=42, t_rc=63, t_rrd=14,
            t_wr=14, t_rfc=63, t_mrd=14, column_bits=10,
        ),
        SDRAMPart(
            "W9825G6JH-6", "Winbond, W9825G6JH, rev. A04, table 9.5",
            clock_periods={2: 7.5, 3: 6.0}, t_rcd=15, t_rp=15, t_ras=42, t_rc=60, t_rrd=0,
            t_wr=0, t_rfc=60, rrd_cycles=2, wr_cycles=2,
        ),
    )
}
"""By name."""
