"""The AXI4-Lite control port: registers, start, end, errors, interrupt."""

from functools import reduce
from operator import or_

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.isa import ISA_VERSION, MAGIC, Engine, Region
from arch.registers import COUNTERS, REGISTERS, Error, register

from .axi import AXI4LiteSignature
from .counters import CounterBank
from .layouts import ErrorStrobe, bases_layout, index_width


__all__ = (
    "Control",
    "CycleCounter",
    "FETCH_SOURCE",
)


FETCH_SOURCE = len(Engine)
"""Number of the fetch in the ERROR register, after those of the engines."""


class CycleCounter(wiring.Component):
    """Count in two halves, the upper one a cycle late, so that the carry chain is short.

    Parameters
    ----------
    half_width : int
        Width of each half, in bits.

    Members
    -------
    clear : In(1)
        Strobe: set to zero.
    enable : In(1)
        Count this cycle.
    low, high : Out(half_width)
        Halves of the count, right from the second cycle after ``enable`` falls.
    """

    def __init__(self, half_width=32):
        self._half_width = half_width
        super().__init__({
            "clear": In(1),
            "enable": In(1),
            "low": Out(half_width),
            "high": Out(half_width),
        })

    def elaborate(self, platform):
        m = Module()
        carry = Signal()
        m.d.sync += [
            Cat(self.low, carry).eq(self.low + self.enable),
            self.high.eq(self.high + carry),
        ]
        with m.If(self.clear):
            m.d.sync += [self.low.eq(0), carry.eq(0), self.high.eq(0)]
        return m


class Control(wiring.Component):
    """Registers of :mod:`arch.registers`, and the life of a run.

    A run begins with ``start`` and ends when the fetch is idle and every instruction dispatched
    has been done or dropped; then STATUS shows done. The first error of a run is kept and raises
    ``stop``: the engines ask the bus for nothing more. When all that they had asked for has come,
    ``abort`` resets them and the run ends: an error is always followed by done, if the memory
    answers. The interrupt is level sensitive, and set while done is.

    Parameters
    ----------
    config : AcceleratorConfig
        Hash.

    Members
    -------
    s_axi : In(AXI4LiteSignature(addr_width=8, data_width=32))
        Control port. One write and one read at a time; each takes a few cycles.
    start : Out(1)
        Strobe: a run begins.
    program : Out(config.address_bits)
        Byte address of the program. Stable during a run unless the host writes it.
    bases : Out(bases_layout(config.address_bits))
        Byte addresses of the regions.
    stop : Out(1)
        An error has been seen in this run.
    abort : Out(1)
        Reset the engines. Long enough for their pipelines to run empty.
    finish : Out(1)
        Strobe: the run has ended.
    busy : Out(1)
        Whether a run is under way.
    fetch_idle : In(1)
        Whether the fetch has come to its end.
    fetched : In(index_width(config))
        Instructions fetched.
    dispatched : In(1)
        Strobe: an instruction has gone to an engine.
    ended : In(3)
        Strobe of each engine: an instruction is done.
    dropped : In(3)
        Strobe of each gate: an instruction has been dropped.
    fetch_error : In(ErrorStrobe)
        Error of the fetch.
    load_error, save_error : In(1)
        Strobe: a transfer failed.
    quiet : In(1)
        The engines await nothing from the bus.
    working, waiting : In(3)
        Engines at work, and engines that have an instruction.
    select_layer, select_engine, select_number : Out(12), Out(2), Out(2)
        Counter to read.
    count : In(32)
        Its value, :attr:`CounterBank.latency` cycles later.
    counting : In(1)
        Counts are on their way to where they are read from.
    interrupt : Out(1)
        Interrupt.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "s_axi": In(AXI4LiteSignature(addr_width=8, data_width=32)),
            "start": Out(1),
            "program": Out(config.address_bits),
            "bases": Out(bases_layout(config.address_bits)),
            "stop": Out(1),
            "abort": Out(1),
            "finish": Out(1),
            "busy": Out(1),
            "fetch_idle": In(1),
            "fetched": In(index_width(config)),
            "dispatched": In(1),
            "ended": In(len(Engine)),
            "dropped": In(len(Engine)),
            "fetch_error": In(ErrorStrobe),
            "load_error": In(1),
            "save_error": In(1),
            "quiet": In(1),
            "working": In(len(Engine)),
            "waiting": In(len(Engine)),
            "select_layer": Out(12),
            "select_engine": Out(2),
            "select_number": Out(range(len(COUNTERS))),
            "count": In(32),
            "counting": In(1),
            "interrupt": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        enable = Signal()
        done = Signal()
        error = Signal()
        code = Signal(8)
        source = Signal(4)
        index = Signal(index_width(self._config))
        limit = Signal(32, init=0xFFFF_FFFF)
        done_width = min(24, len(index))
        done_counts = [Signal(done_width, name=f"done_{engine.name.lower()}") for engine in Engine]
        clear = Signal()
        begin = Signal()
        m.submodules.cycles = cycles = CycleCounter()
        m.d.comb += [cycles.clear.eq(begin), cycles.enable.eq(self.busy)]

        values = {
            "ID": MAGIC,
            "VERSION": ISA_VERSION,
            "HASH_LO": self._config.hash & 0xFFFF_FFFF,
            "HASH_HI": self._config.hash >> 32,
            "CONTROL": Cat(C(0, 1), enable),
            "STATUS": Cat(self.busy, done, error),
            "ERROR": Cat(code, source),
            "ERROR_INDEX": index,
            "PROGRAM": self.program,
            **{f"REGION_{region:d}": self.bases[region] for region in Region},
            "CYCLES_LO": cycles.low,
            "CYCLES_HI": cycles.high,
            "LIMIT": limit,
            "ERROR_DONE": reduce(or_, [
                count & ((code != 0) & (source == engine)).replicate(done_width)
                for engine, count in zip(Engine, done_counts)]),
            "SELECT": Cat(self.select_layer, self.select_engine),
            **{f"COUNT_{name.upper()}": self.count for name in COUNTERS},
        }
        assert values.keys() == {entry.name for entry in REGISTERS}
        self._elaborate_reads(m, values)

        write, address, word, strobes = self._elaborate_writes(m)
        with m.If(write):
            with m.Switch(address):
                for name in (
                    "PROGRAM", "LIMIT", "SELECT", *(f"REGION_{region:d}" for region in Region),
                ):
                    with m.Case(register(name).offset >> 2):
                        for number, strobe in enumerate(strobes):
                            with m.If(strobe):
                                part = slice(8 * number, 8 * number + 8)
                                # A register of fewer bits has no more.
                                m.d.sync += Value.cast(values[name])[part].eq(word[part])
                with m.Case(register("CONTROL").offset >> 2):
                    with m.If(strobes[0]):
                        m.d.comb += begin.eq(word[0] & ~self.busy)
                        m.d.sync += enable.eq(word[1])
                with m.Case(register("STATUS").offset >> 2):
                    m.d.comb += clear.eq(word[1] & strobes[0])

        # The life of a run.
        outstanding = Signal(8)
        ends = Signal()
        leaving = Signal(6)  # cycles since the bus is quiet after an error
        late = Signal()
        moves = (*self.ended, *self.dropped)
        dispatched = Signal()  # a cycle late, which the fetch is not idle before
        m.d.comb += [
            ends.eq(self.busy & ~self.start & self.fetch_idle
                    & Mux(self.stop, leaving.all(), outstanding == 0)),
            self.abort.eq(leaving[-1]),
        ]
        with m.If(self.stop & (self.abort | (self.quiet & self.fetch_idle))):
            m.d.sync += leaving.eq(leaving + 1)
        with m.Else():
            m.d.sync += leaving.eq(0)
        # The counts stand still from the first error on. A write tells its error together with its
        # end, a read before.
        for engine, count in zip(Engine, done_counts):
            failed = self.save_error if engine == Engine.SAVE else 0
            m.d.sync += count.eq(count + (self.ended[engine] & ~self.stop & ~failed))
        stuck = Mux(self.working.any(), self.working, self.waiting)
        m.d.sync += [
            late.eq(self.busy & (cycles.low == limit) & (limit != 0)),
            self.start.eq(begin),
            self.finish.eq(ends),
            dispatched.eq(self.dispatched),
            outstanding.eq(outstanding + dispatched - sum(moves)),
            self.interrupt.eq(done & enable),
        ]
        with m.If(clear):
            m.d.sync += [done.eq(0), error.eq(0)]
        with m.If(ends):
            m.d.sync += [self.busy.eq(0), self.stop.eq(0), done.eq(1)]

        with m.If(self.busy & ~self.stop):
            with m.If(late):
                m.d.sync += [
                    self.stop.eq(~ends),
                    error.eq(1),
                    code.eq(Error.TIMEOUT),
                    source.eq(FETCH_SOURCE),
                    index.eq(self.fetched),
                ]
                for engine in reversed(Engine):
                    with m.If(stuck[engine]):
                        m.d.sync += source.eq(engine)
            for strobe, number, number_code in (
                (self.save_error, Engine.SAVE, Error.WRITE),
                (self.load_error, Engine.LOAD, Error.READ),
                (self.fetch_error.valid, FETCH_SOURCE, self.fetch_error.code),
            ):
                with m.If(strobe):
                    m.d.sync += [
                        self.stop.eq(~ends),
                        error.eq(1),
                        code.eq(number_code),
                        source.eq(number),
                        index.eq(self.fetched),
                    ]
        with m.If(begin):
            m.d.sync += [count.eq(0) for count in done_counts]
            m.d.sync += [
                self.busy.eq(1), done.eq(0), error.eq(0), code.eq(0), source.eq(0), index.eq(0),
                outstanding.eq(0),
            ]
        return m

    def _elaborate_reads(self, m, values):
        """Answer reads: address, then data, in registers."""
        port = self.s_axi
        address = Signal(6)
        reading = Signal()
        # What is read in several places is selected once.
        places = {}
        for name, value in values.items():
            places.setdefault(id(value), []).append(register(name).offset >> 2)
        distinct = {id(value): value for value in values.values()}
        selected = Signal(len(distinct))
        m.d.sync += selected.eq(Cat(address.matches(*places[key]) for key in distinct))
        # What is read settles meanwhile: counters follow SELECT and the register number some
        # cycles later, and wait for what is on its way.
        settled = Signal(CounterBank.latency + 1)
        is_count = address[2:] == register("COUNT_BUSY").offset >> 4
        m.d.comb += [
            port.arready.eq(~reading & ~port.rvalid),
            port.rresp.eq(0),
            self.select_number.eq(address),
        ]
        m.d.sync += settled.eq(Cat(~(is_count & self.counting), settled))
        with m.If((port.awvalid & port.awready) | (port.arvalid & port.arready)):
            m.d.sync += settled.eq(0)
        with m.If(port.arvalid & port.arready):
            m.d.sync += [address.eq(port.araddr[2:]), reading.eq(1)]
        with m.If(reading & settled.all()):
            m.d.sync += [port.rvalid.eq(1), reading.eq(0)]
            m.d.sync += port.rdata.eq(reduce(or_, [
                Value.cast(value) & bit.replicate(32)
                for value, bit in zip(distinct.values(), selected)]))
        with m.If(port.rvalid & port.rready):
            m.d.sync += port.rvalid.eq(0)

    def _elaborate_writes(self, m):
        """Take writes; return a strobe, and the register number, data and byte strobes with it."""
        port = self.s_axi
        write = Signal()
        address = Signal(6)
        word = Signal(32)
        strobes = Signal(4)
        take = Signal()
        m.d.comb += [
            take.eq(port.awvalid & port.wvalid & ~port.bvalid),
            port.awready.eq(take),
            port.wready.eq(take),
            port.bresp.eq(0),
        ]
        m.d.sync += write.eq(take)
        with m.If(take):
            m.d.sync += [
                address.eq(port.awaddr[2:]),
                word.eq(port.wdata),
                strobes.eq(port.wstrb),
                port.bvalid.eq(1),
            ]
        with m.If(port.bvalid & port.bready):
            m.d.sync += port.bvalid.eq(0)
        return write, address, word, strobes
