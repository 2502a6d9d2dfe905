"""Frames of a serial line to transfers on the buses."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from arch.serial import (
    ANSWER_FIELDS,
    ANSWER_START,
    CHECKSUM_SIZE,
    PROTOCOL_VERSION,
    REQUEST_START,
    Status,
    encode_info,
    field_size,
)

from ..axi import AXI4LiteSignature, AXI4Signature
from .bus_access import BusAccess
from .checksum import Checksum
from .frame import HEADER_SIZE, Frame
from .uart import UARTReceiver, UARTTransmitter


__all__ = ("HostLink",)


_ANSWER_HEAD = field_size(
    ANSWER_FIELDS[:[field.name for field in ANSWER_FIELDS].index("payload")])


class HostLink(wiring.Component):
    """Answers the requests of :mod:`arch.serial`.

    Whatever comes over the line, every frame is answered, and the next one is taken: what is wrong
    is answered after the line has been silent for ``timeout`` cycles, so that nothing of a damaged
    frame is taken for another. Bytes outside frames are ignored, and those that come during an
    answer.

    ::

        uart_rx ─ receiver ─┬─ header ──────┐ address
                            ├─ checksum     ▼
                            └────────────── beat ── m_axi, m_lite
        uart_tx ─ transmitter ◀─ answer ─────┘

    Parameters
    ----------
    data_width : int
        Bits of a beat of ``m_axi``.
    divisor : int
        Cycles of a bit, at least 4.
    timeout : int
        Cycles of silence that end a frame; a power of two.
    memory_size : int
        Bytes of memory, for the host to know.
    clock : int
        Clock in Hz, for the host to know; 0 if unknown.

    Members
    -------
    uart_rx : In(1)
        From the host; may change at any time.
    uart_tx : Out(1)
        To the host.
    active : Out(1)
        A request is being taken or answered.
    m_axi : Out(AXI4Signature)
        Memory: bursts of one beat, one at a time.
    m_lite : Out(AXI4LiteSignature)
        Registers of :mod:`arch.registers`.
    """

    def __init__(self, *, data_width, divisor, timeout, memory_size, clock=0):
        if timeout < 16 * divisor or timeout & (timeout - 1):
            raise ValueError(
                f"Timeout must be a power of two of at least 16 bits of {divisor} cycles, "
                f"not {timeout!r}")
        self.data_width = data_width
        self.divisor = divisor
        self.timeout = timeout
        self.memory_size = memory_size
        self.clock = clock
        super().__init__({
            "uart_rx": In(1, init=1),
            "uart_tx": Out(1, init=1),
            "active": Out(1),
            "m_axi": Out(AXI4Signature(addr_width=32, data_width=data_width, id_width=1)),
            "m_lite": Out(AXI4LiteSignature(addr_width=8, data_width=32)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver = rx = UARTReceiver(divisor=self.divisor)
        m.submodules.transmitter = tx = UARTTransmitter(divisor=self.divisor)
        m.submodules.checksum = check = Checksum()
        m.submodules.bus = bus = BusAccess(data_width=self.data_width)
        connect(m, bus.m_axi, flipped(self.m_axi))
        connect(m, bus.m_lite, flipped(self.m_lite))

        self._frame = frame = Frame(m, bus, check)
        sent = Signal()
        silence = Signal(self.timeout.bit_length())  # cycles since the last byte
        self._silent = silence[-1]
        m.d.comb += [
            rx.rx.eq(self.uart_rx),
            self.uart_tx.eq(tx.tx),
            sent.eq(tx.i.valid & tx.i.ready),
            bus.i_byte.eq(rx.data),
            check.data.eq(Mux(tx.i.valid, tx.i.payload, rx.data)),
        ]
        with m.If(rx.valid | rx.error | sent):
            m.d.sync += silence.eq(0)
        with m.Elif(~self._silent):
            m.d.sync += silence.eq(silence + 1)
        with m.If(bus.error):
            m.d.sync += frame.status.eq(Status.BUS)
        with m.If(bus.busy & self._silent):
            m.d.comb += bus.abort.eq(1)
            m.d.sync += [frame.stuck.eq(1), frame.status.eq(Status.BUS_TIMEOUT)]

        m.d.comb += self.active.eq(1)
        with m.FSM():
            self._elaborate_header(m, rx, check)
            self._elaborate_payload(m, rx, check, bus)
            self._elaborate_transfer(m, rx, bus)
            self._elaborate_answer(m, tx, check, sent)
            self._elaborate_data(m, tx, check, bus, sent)
        return m

    def _watch_line(self, m, rx):
        """Leave a frame that goes wrong."""
        with m.If(rx.error):
            self._frame.refuse(Status.LINE)
        with m.Elif(self._silent):
            m.d.sync += self._frame.status.eq(Status.INCOMPLETE)
            self._frame.answer()

    def _elaborate_header(self, m, rx, check):
        """Take the header of a request, and decide what to do."""
        frame, header = self._frame, self._frame.header
        with m.State("IDLE"):
            m.d.comb += [self.active.eq(0), check.clear.eq(1)]
            m.d.sync += frame.status.eq(Status.DONE)
            with m.If(rx.valid & (rx.data == REQUEST_START)):
                frame.begin("HEADER")
        with m.State("HEADER"):
            with m.If(rx.valid):
                m.d.comb += check.valid.eq(1)
                frame.step()
                with m.If(frame.position[:4] < HEADER_SIZE):
                    m.d.sync += Value.cast(header).eq(Cat(Value.cast(header)[8:], rx.data))
                with m.If(frame.position[:4] == HEADER_SIZE + CHECKSUM_SIZE - 1):
                    frame.begin("CHECK")
            self._watch_line(m, rx)
        with m.State("CHECK"):
            m.next = "DECIDE"  # what the frame knows of the header is a cycle late
        with m.State("DECIDE"):
            m.d.comb += check.clear.eq(1)
            with m.If(check.value != 0):
                frame.refuse(Status.HEADER)
            with m.Elif(header.version != PROTOCOL_VERSION):
                frame.refuse(Status.VERSION)
            with m.Elif(~frame.known):
                frame.refuse(Status.COMMAND)
            with m.Elif(frame.unaligned):
                frame.refuse(Status.LENGTH)
            with m.Elif(frame.misplaced):
                frame.refuse(Status.ADDRESS)
            with m.Elif(frame.writes):
                m.next = "PAYLOAD"
            with m.Else():
                m.next = "ANSWER"

    def _elaborate_payload(self, m, rx, check, bus):
        """Take a payload: memory gets it beat by beat, a register when it was found right."""
        frame = self._frame
        with m.State("PAYLOAD"):
            with m.If(frame.complete):
                frame.begin("SEAL")
            with m.If(rx.valid):
                m.d.comb += [check.valid.eq(1), bus.shift.eq(1)]
                with m.If(frame.memory & frame.last):
                    frame.transfer()
                with m.Else():
                    frame.step()
            self._watch_line(m, rx)
        with m.State("SEAL"):
            with m.If(rx.valid):
                m.d.comb += check.valid.eq(1)
                frame.step()
            self._watch_line(m, rx)
            with m.If(frame.position[:2] == CHECKSUM_SIZE):
                with m.If(check.value != 0):
                    frame.refuse(Status.PAYLOAD)
                with m.Elif(frame.registers):
                    frame.transfer()
                with m.Else():
                    frame.answer()
        with m.State("DRAIN"):
            with m.If(self._silent & ~bus.busy):
                frame.answer()

    def _elaborate_transfer(self, m, rx, bus):
        """Wait for the bus."""
        frame = self._frame
        with m.State("TRANSFER"):
            with m.If(frame.writes & (rx.valid | rx.error)):
                frame.refuse(Status.LINE)
            with m.Elif(~bus.busy):
                with m.If(~frame.writes):
                    m.next = "SEND"
                with m.Elif(frame.memory):
                    frame.step()
                    m.next = "ADVANCE"
                with m.Else():
                    frame.answer()
        with m.State("ADVANCE"):
            m.next = "PAYLOAD"
            with m.If(rx.valid | rx.error):
                frame.refuse(Status.LINE)

    def _elaborate_answer(self, m, tx, check, sent):
        """Send what is before and behind the data."""
        frame, header = self._frame, self._frame.header
        carries = Signal()  # the answer has data
        m.d.comb += carries.eq((frame.status == Status.DONE) & ~frame.writes)
        length = header.length & carries.replicate(len(header.length))
        with m.State("ANSWER"):
            m.d.comb += [tx.i.valid.eq(1), check.valid.eq(sent)]
            with m.Switch(frame.position[:3]):
                for number, value in enumerate((
                    ANSWER_START, PROTOCOL_VERSION, Cat(header.command, header.tag),
                    length[:8], length[8:],
                )):
                    with m.Case(number):
                        m.d.comb += tx.i.payload.eq(value)
            with m.If(sent):
                frame.step()
                with m.If(frame.position[:3] == 0):
                    m.d.comb += check.clear.eq(1)
                with m.If(frame.position[:3] == _ANSWER_HEAD - 1):
                    frame.begin("STATUS")
                    with m.If(carries):
                        m.next = "PLACE"
        with m.State("STATUS"):
            m.d.comb += [
                tx.i.valid.eq(1),
                tx.i.payload.eq(Mux(frame.position[:2] == 0, frame.status, check.value[8:])),
                check.valid.eq(sent),
            ]
            with m.If(sent):
                frame.step()
                with m.If(frame.position[:2] == CHECKSUM_SIZE):
                    m.next = "IDLE"

    def _elaborate_data(self, m, tx, check, bus, sent):
        """Send what was read, a beat or register at a time."""
        frame = self._frame
        rom = Array(encode_info(
            beat=self.data_width // 8, memory=self.memory_size, clock=self.clock,
            timeout=self.timeout))
        with m.State("PLACE"):
            m.next = "FETCH"
        with m.State("FETCH"):
            with m.If(frame.complete):
                frame.begin("STATUS")
            with m.Elif(frame.first & ~frame.info):
                frame.transfer()
            with m.Else():
                m.next = "SEND"
        with m.State("SEND"):
            m.d.comb += [
                tx.i.valid.eq(1),
                tx.i.payload.eq(Mux(frame.info, rom[frame.position[:4]], bus.o_byte)),
                check.valid.eq(sent),
            ]
            with m.If(sent):
                m.d.comb += bus.shift.eq(1)
                frame.step()
                m.next = "PLACE"
