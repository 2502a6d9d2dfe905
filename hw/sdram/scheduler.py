"""Which command goes to the memory in which cycle."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..queue import StreamQueue
from .accesses import access_layout
from .pins import PRECHARGE_ALL, SDRAMCommand, mode_register


__all__ = (
    "Scheduler",
    "started_layout",
)


def started_layout(id_width):
    """Return the layout of what the data path must know of a READ or WRITE."""
    return data.StructLayout({"write": 1, "id": id_width, "last": 1, "error": 1})


class Scheduler(wiring.Component):
    """Power-up, refresh, rows and the order of READ and WRITE commands.

    An access is first *prepared*: its row is opened, another one of the bank closed if need be.
    Prepared accesses wait in a queue, long enough that the memory is busy with them while the row
    of one behind them is changed; from there they start in order, each as soon as the data bus
    allows. Rows stay open until another one of the bank is needed or a refresh is due.

    Both directions are offered; the one that was served last goes on to the end of its AXI4 burst,
    as long as it is offered.

    Parameters
    ----------
    part : SDRAMPart
        Geometry of the memory.
    timing : SDRAMTiming
        Its timing.
    data_width : int
        Bits of an access.
    id_width : int
        Bits of an identifier.
    read_delay : int
        Cycles by which read data arrive later than the CAS latency says.

    Members
    -------
    reads, writes : In(stream(access_layout(part, ...)))
        Accesses that may start: there is room for the data read, the data to write are there.
    start : Out(1)
        A READ or WRITE is on the pins in the next cycle.
    started : Out(started_layout(id_width))
        Which.
    cke : Out(1)
        Clock enable, from a register.
    command : Out(3)
        One of :class:`.pins.SDRAMCommand`, from a register.
    ba, a : Out
        Bank and address, from registers.
    """

    def __init__(self, part, timing, *, data_width, id_width, read_delay):
        self._part = part
        self._timing = timing
        self._id_width = id_width
        self._read_delay = read_delay
        self._burst_length = data_width // part.data_bits
        self._layout = access_layout(part, data_width=data_width, id_width=id_width)
        super().__init__({
            "reads": In(stream.Signature(self._layout)),
            "writes": In(stream.Signature(self._layout)),
            "start": Out(1),
            "started": Out(started_layout(id_width)),
            "cke": Out(1),
            "command": Out(3, init=SDRAMCommand.NOP.value),
            "ba": Out(part.bank_bits),
            "a": Out(part.row_bits),
        })

    def elaborate(self, platform):
        m = Module()
        part, timing = self._part, self._timing
        banks = 1 << part.bank_bits
        self._valid = Signal()  # an access is being prepared
        self._opened = Signal(banks)
        self._pending = Array(Signal(range(self._queue_depth + 1), name=f"pending_{bank}")
                              for bank in range(banks))
        # Cycles until a bank may be closed: after ACTIVE, READ and WRITE the same, which is as
        # long as the longest of them needs.
        guard = max(timing.ras, timing.rc - timing.rp, self._burst_length,
                    self._burst_length - 1 + timing.wr)
        self._guards = Array(Signal(range(guard + 1), name=f"guard_{bank}")
                             for bank in range(banks))
        self._guard = guard
        # Cycles until rows may be changed, or what was prepared put into the queue.
        waits = (timing.rcd, timing.rp, timing.rrd, timing.rfc, timing.mrd)
        self._timer = Signal(range(max(waits) + 1))
        m.d.sync += [
            self._timer.eq(self._timer - self._timer.any()),
            *(count.eq(count - count.any()) for count in self._guards),
            self.command.eq(SDRAMCommand.NOP.value),
        ]
        m.submodules.queue = queue = StreamQueue(
            data.StructLayout({"access": self._layout, "write": 1}), self._queue_depth)
        self._start(m, queue)
        taking = self._maintain(m, queue)
        self._prepare(m, queue, taking)
        return m

    @property
    def _queue_depth(self):
        """Accesses whose data take as long as changing a row, with the cycles lost around it."""
        timing = self._timing
        change = timing.rp + max(timing.rcd, timing.rrd) + 4
        return max(2, -(-change // self._burst_length))

    def _send(self, m, command, *, bank=0, address=0):
        """Put a command on the pins in the next cycle."""
        m.d.sync += [self.command.eq(Value.cast(command)), self.ba.eq(bank), self.a.eq(address)]

    def _wait(self, m, cycles):
        """Leave rows as they are until ``cycles`` after the command sent now."""
        m.d.sync += self._timer.eq(max(cycles - 1, 0))

    def _start(self, m, queue):
        """Send READ or WRITE for the head of the queue."""
        length, timing = self._burst_length, self._timing
        access, write = queue.o.payload.access, queue.o.payload.write
        busy = Signal(range(length + 1))  # of the command slots until the bus is free
        # The memory ends driving the bus, and for one cycle nobody does.
        turn = timing.cas_latency + length + self._read_delay
        turning = Signal(range(turn + 1))
        m.d.sync += [busy.eq(busy - busy.any()), turning.eq(turning - turning.any())]
        m.d.comb += [
            self.start.eq(queue.o.valid & ~busy.any() & ~(write & turning.any())),
            self.started.write.eq(write),
            self.started.id.eq(access.id),
            self.started.last.eq(access.last),
            self.started.error.eq(access.error),
            queue.o.ready.eq(self.start),
        ]
        with m.If(self.start):
            column = Cat(C(0, length.bit_length() - 1), access.column)
            self._send(m, Mux(write, SDRAMCommand.WRITE, SDRAMCommand.READ),
                       bank=access.bank, address=column)
            m.d.sync += [busy.eq(length - 1), self._guards[access.bank].eq(self._guard)]
            with m.If(~write):
                m.d.sync += turning.eq(turn)

    def _maintain(self, m, queue):
        """Bring the memory up and refresh it; return whether accesses may be taken."""
        part, timing = self._part, self._timing
        taking = Signal()
        interval = Signal(range(timing.refresh), init=timing.refresh - 1)
        ticks = -(-timing.power_up // timing.refresh)
        left = Signal(range(max(ticks, part.refreshes) + 1), init=ticks)
        due, up = Signal(), Signal()
        quiet = Signal()
        m.d.comb += quiet.eq(
            ~(queue.o.valid | self._valid | self._timer.any()
              | Cat(count.any() for count in self._guards).any()))
        tick = interval == 0
        m.d.sync += interval.eq(Mux(tick, timing.refresh - 1, interval - 1))
        with m.If(tick):
            m.d.sync += due.eq(1)
        with m.FSM():
            with m.State("POWER"):
                with m.If(tick):
                    m.d.sync += [self.cke.eq(1), left.eq(left - 1)]
                    with m.If(left == 1):
                        m.d.sync += left.eq(part.refreshes)
                        m.next = "CLOSE"
            with m.State("RUN"):
                m.d.comb += taking.eq(~due)
                with m.If(due & quiet):
                    m.next = "CLOSE"
            with m.State("CLOSE"):
                self._send(m, SDRAMCommand.PRECHARGE, address=PRECHARGE_ALL)
                self._wait(m, timing.rp)
                m.d.sync += self._opened.eq(0)
                m.next = "REFRESH"
            with m.State("REFRESH"):
                with m.If(~self._timer.any()):
                    self._send(m, SDRAMCommand.REFRESH)
                    self._wait(m, timing.rfc)
                    m.d.sync += [due.eq(0), left.eq(left - 1)]
                    with m.If(up):
                        m.next = "RUN"
                    with m.Elif(left == 1):
                        m.next = "MODE"
            with m.State("MODE"):
                with m.If(~self._timer.any()):
                    self._send(m, SDRAMCommand.LOAD_MODE, address=mode_register(
                        burst_length=self._burst_length, cas_latency=timing.cas_latency))
                    self._wait(m, timing.mrd)
                    m.d.sync += up.eq(1)
                    m.next = "RUN"
        return taking

    def _prepare(self, m, queue, taking):
        """Take accesses, see to their rows, put them into the queue."""
        timing = self._timing
        access = Signal(self._layout, name="stage")
        write, hit, opened = Signal(), Signal(), Signal()
        rows = Array(Signal(self._part.row_bits, name=f"row_{bank}")
                     for bank in range(1 << self._part.bank_bits))
        ready, is_write = Signal(), Signal()
        turn = Signal()  # writes go on, or are next
        m.d.comb += [
            is_write.eq(self.writes.valid & (turn | ~self.reads.valid)),
            self.reads.ready.eq(ready & taking & ~is_write),
            self.writes.ready.eq(ready & taking & is_write),
        ]
        taken = Signal(self._layout)
        m.d.comb += taken.eq(Mux(is_write, self.writes.payload, self.reads.payload))
        with m.If(ready):
            m.d.sync += [
                self._valid.eq(taking & (self.reads.valid | self.writes.valid)),
                access.eq(taken),
                write.eq(is_write),
                opened.eq(self._opened.bit_select(taken.bank, 1)),
                hit.eq(self._opened.bit_select(taken.bank, 1) & (rows[taken.bank] == taken.row)),
            ]
            with m.If(taking & (self.reads.valid | self.writes.valid)):
                m.d.sync += turn.eq(is_write ^ taken.last)

        act = self._valid & ~self._timer.any() & ~self.start
        m.d.comb += [
            queue.i.payload.access.eq(access),
            queue.i.payload.write.eq(write),
            queue.i.valid.eq(self._valid & hit & ~self._timer.any()),
            ready.eq(~self._valid | (queue.i.valid & queue.i.ready)),
        ]
        bank = self._opened.bit_select(access.bank, 1)
        with m.If(act & ~opened):
            self._send(m, SDRAMCommand.ACTIVE, bank=access.bank, address=access.row)
            # From here through the queue takes another cycle.
            self._wait(m, max(timing.rcd, timing.rrd) - 1)
            m.d.sync += [
                opened.eq(1), hit.eq(1), bank.eq(1), rows[access.bank].eq(access.row),
                self._guards[access.bank].eq(self._guard),
            ]
        with m.Elif(act & ~hit & ~self._pending[access.bank].any()
                    & ~self._guards[access.bank].any()):
            self._send(m, SDRAMCommand.PRECHARGE, bank=access.bank)
            self._wait(m, timing.rp)
            m.d.sync += [opened.eq(0), bank.eq(0)]

        for number, count in enumerate(self._pending):
            enters = queue.i.valid & queue.i.ready & (access.bank == number)
            leaves = self.start & (queue.o.payload.access.bank == number)
            m.d.sync += count.eq(count + enters - leaves)
