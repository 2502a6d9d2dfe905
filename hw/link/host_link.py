"""Frames of a serial line to transfers on the buses."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from arch.serial import (
    ANSWER_FIELDS,
    ANSWER_START,
    BLOCK_SIZE,
    CHECKSUM_SIZE,
    COMMAND_BITS,
    PAGE_SIZE,
    PROTOCOL_VERSION,
    REGISTER_SIZE,
    REQUEST_START,
    Command,
    Status,
    encode_info,
    field_size,
)

from ..axi import AXI4LiteSignature, AXI4Signature
from .bus_access import BusAccess
from .checksum import Checksum
from .uart import UARTReceiver, UARTTransmitter


__all__ = ("HostLink",)


_PAGE_BITS = (PAGE_SIZE - 1).bit_length()


class _Header(data.Struct):
    """Header of a request, in the order of its bytes."""

    version: 8
    command: COMMAND_BITS
    tag: 8 - COMMAND_BITS
    length: 16
    address: 32


_LITE_BITS = 8  # of an address of a register
_ANSWER_HEAD = field_size(
    ANSWER_FIELDS[:[field.name for field in ANSWER_FIELDS].index("payload")])
_HEADER_SIZE = Shape.cast(_Header).width // 8


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

        header = Signal(_Header)
        position = Signal(_PAGE_BITS)  # bytes of this part of the frame that are done
        status = Signal(Status)
        stuck = Signal()  # the bus did not answer: it is left alone
        sent = Signal()
        rom = Array(encode_info(
            beat=self.data_width // 8, memory=self.memory_size, clock=self.clock,
            timeout=self.timeout))

        # Silence, since the last byte in either direction.
        silence = Signal(self.timeout.bit_length())
        silent = silence[-1]
        with m.If(rx.valid | rx.error | sent | ~self.active):
            m.d.sync += silence.eq(0)
        with m.Elif(~silent):
            m.d.sync += silence.eq(silence + 1)

        # The transfer of the beat, or register, of the byte at `position`.
        command = header.command
        writes, registers, info = command[0], ~command[2], command[1] & command[2]
        memory = command[2] & ~command[1]
        known = (command >= min(Command)) & (command <= max(Command))
        unit = (self.data_width // 8).bit_length() - 1  # bits of a place in a beat
        word = REGISTER_SIZE.bit_length() - 1
        place = Signal(_PAGE_BITS + 1 - word)
        misplaced = Signal()
        unaligned = Signal()
        first, last = Signal(), Signal()
        carries = Signal()  # the answer has data
        m.d.comb += [
            place.eq(header.address[word:_PAGE_BITS] + position[word:]),
            bus.write.eq(writes),
            bus.registers.eq(registers),
            bus.address.eq(Cat(C(0, word), place[:-1], header.address[_PAGE_BITS:])),
            bus.i_byte.eq(rx.data),
            misplaced.eq(
                header.address[:word].any() | (memory & header.address[word:unit].any()) | place[-1]
                | (registers & (place[_LITE_BITS - word:].any()
                                | header.address[_PAGE_BITS:].any()))),
            unaligned.eq(
                header.length[:word].any() | (memory & header.length[word:unit].any())
                | (header.length > BLOCK_SIZE)
                | (writes & registers & (header.length != REGISTER_SIZE))),
            first.eq(~position[:word].any() & (registers | ~position[word:unit].any())),
            last.eq(position[:unit].all()),
        ]

        def transfer():
            with m.If(stuck):
                m.d.sync += status.eq(Status.BUS_TIMEOUT)
            with m.Elif(misplaced):
                m.d.sync += status.eq(Status.ADDRESS)
            with m.Else():
                m.d.comb += bus.start.eq(1)
            m.next = "TRANSFER"

        def refuse(why):
            m.d.sync += status.eq(why)
            m.next = "DRAIN"

        def step():
            m.d.sync += position.eq(position + 1)

        def begin(state):
            m.d.sync += position.eq(0)
            m.next = state

        def answer():
            m.d.comb += check.clear.eq(1)
            begin("ANSWER")

        def watch_line():
            """Leave a frame that goes wrong."""
            with m.If(rx.error):
                refuse(Status.LINE)
            with m.Elif(silent):
                m.d.sync += status.eq(Status.INCOMPLETE)
                answer()

        m.d.comb += [
            rx.rx.eq(self.uart_rx),
            self.uart_tx.eq(tx.tx),
            sent.eq(tx.i.valid & tx.i.ready),
            self.active.eq(1),
            check.data.eq(Mux(tx.i.valid, tx.i.payload, rx.data)),
            carries.eq((status == Status.DONE) & ~writes),
        ]
        with m.If(bus.error):
            m.d.sync += status.eq(Status.BUS)
        with m.If(bus.busy & silent):
            m.d.comb += bus.abort.eq(1)
            m.d.sync += [stuck.eq(1), status.eq(Status.BUS_TIMEOUT)]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.active.eq(0), check.clear.eq(1)]
                m.d.sync += status.eq(Status.DONE)
                with m.If(rx.valid & (rx.data == REQUEST_START)):
                    begin("HEADER")
            with m.State("HEADER"):
                with m.If(rx.valid):
                    m.d.comb += check.valid.eq(1)
                    step()
                    with m.If(position < _HEADER_SIZE):
                        m.d.sync += Value.cast(header).eq(Cat(Value.cast(header)[8:], rx.data))
                    with m.If(position == _HEADER_SIZE + CHECKSUM_SIZE - 1):
                        begin("CHECK")
                watch_line()
            with m.State("CHECK"):
                m.d.comb += check.clear.eq(1)
                with m.If(check.value != 0):
                    refuse(Status.HEADER)
                with m.Elif(header.version != PROTOCOL_VERSION):
                    refuse(Status.VERSION)
                with m.Elif(~known):
                    refuse(Status.COMMAND)
                with m.Elif(unaligned):
                    refuse(Status.LENGTH)
                with m.Elif(misplaced):
                    refuse(Status.ADDRESS)
                with m.Elif(writes):
                    m.next = "PAYLOAD"
                with m.Else():
                    m.next = "ANSWER"
            with m.State("PAYLOAD"):
                with m.If(position == header.length):
                    begin("SEAL")
                with m.If(rx.valid):
                    m.d.comb += [check.valid.eq(1), bus.shift.eq(1)]
                    with m.If(memory & last):
                        transfer()
                    with m.Else():
                        step()
                watch_line()
            with m.State("SEAL"):
                with m.If(rx.valid):
                    m.d.comb += check.valid.eq(1)
                    step()
                watch_line()
                with m.If(position == CHECKSUM_SIZE):
                    with m.If(check.value != 0):
                        refuse(Status.PAYLOAD)
                    with m.Elif(registers):
                        transfer()
                    with m.Else():
                        answer()
            with m.State("TRANSFER"):
                with m.If(writes & (rx.valid | rx.error)):
                    refuse(Status.LINE)
                with m.Elif(~bus.busy):
                    with m.If(~writes):
                        m.next = "SEND"
                    with m.Elif(memory):
                        step()
                        m.next = "PAYLOAD"
                    with m.Else():
                        answer()
            with m.State("DRAIN"):
                with m.If(silent & ~bus.busy):
                    answer()
            with m.State("ANSWER"):
                m.d.comb += [tx.i.valid.eq(1), check.valid.eq(sent)]
                with m.Switch(position[:3]):
                    for number, value in enumerate((
                        ANSWER_START, PROTOCOL_VERSION, Cat(command, header.tag),
                        header.length[:8] & carries.replicate(8),
                        header.length[8:] & carries.replicate(8),
                    )):
                        with m.Case(number):
                            m.d.comb += tx.i.payload.eq(value)
                with m.If(sent):
                    step()
                    with m.If(position == 0):
                        m.d.comb += check.clear.eq(1)
                    with m.If(position == _ANSWER_HEAD - 1):
                        begin("STATUS")
                        with m.If(carries):
                            m.next = "FETCH"
            with m.State("FETCH"):
                with m.If(position == header.length):
                    begin("STATUS")
                with m.Elif(first & ~info):
                    transfer()
                with m.Else():
                    m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += [
                    tx.i.valid.eq(1),
                    tx.i.payload.eq(Mux(info, rom[position[:4]], bus.o_byte)),
                    check.valid.eq(sent),
                ]
                with m.If(sent):
                    m.d.comb += bus.shift.eq(1)
                    step()
                    m.next = "FETCH"
            with m.State("STATUS"):
                m.d.comb += [
                    tx.i.valid.eq(1),
                    tx.i.payload.eq(Mux(position[:2] == 0, status, check.value[8:])),
                    check.valid.eq(sent),
                ]
                with m.If(sent):
                    step()
                    with m.If(position[:2] == CHECKSUM_SIZE):
                        m.next = "IDLE"
        return m
