"""What the states of the link share: a frame, how far it is, and where its bytes go."""

from amaranth import *
from amaranth.lib import data

from arch.serial import (
    COMMAND_BITS,
    PAGE_SIZE,
    REGISTER_SIZE,
    Command,
    Status,
)


__all__ = (
    "Frame",
    "HEADER_SIZE",
    "Header",
)


_PAGE_BITS = (PAGE_SIZE - 1).bit_length()
_WORD_BITS = (REGISTER_SIZE - 1).bit_length()
_LITE_BITS = 8  # of an address of a register


class Header(data.Struct):
    """Header of a request, in the order of its bytes."""

    version: 8
    command: COMMAND_BITS
    tag: 8 - COMMAND_BITS
    length: 16
    address: 32


HEADER_SIZE = Shape.cast(Header).width // 8
"""Bytes of a header without start and checksum."""


class Frame:
    """Signals of the frame that is taken or answered, and steps that several states do.

    Parameters
    ----------
    m : Module
        Gets the logic; the steps are added where they are called.
    bus : BusAccess
        Moves beats and registers.
    check : Checksum
        Of this part of the frame.

    Attributes
    ----------
    header : Signal(Header)
        Header of the request.
    position : Signal
        Bytes of this part of the frame that are done.
    status : Signal
        One of :class:`arch.serial.Status`.
    stuck : Signal
        The bus did not answer: it is left alone.
    writes, registers, memory, info, known : Value
        What the command is about, and whether it is one.
    unaligned, misplaced : Signal
        The length, or the address of the byte at ``position``, breaks a rule; known a cycle later.
    first, last : Signal
        The byte at ``position`` is the first of a beat or register, or the last of a beat.
    """

    def __init__(self, m, bus, check):
        self._m = m
        self._bus = bus
        self._check = check
        self.header = header = Signal(Header)
        self.position = position = Signal(_PAGE_BITS)
        self.status = Signal(Status)
        self.stuck = Signal()
        self.unaligned, self.misplaced = Signal(), Signal()
        self.first, self.last = Signal(), Signal()

        command = header.command
        self.writes, self.registers, self.info = command[0], ~command[2], command[1] & command[2]
        self.memory = command[2] & ~command[1]
        self.known = (command >= min(Command)) & (command <= max(Command))

        beat_bits = (bus.data_width // 8 - 1).bit_length()
        narrow, beat = slice(_WORD_BITS), slice(_WORD_BITS, beat_bits)
        page = header.address[_PAGE_BITS:]
        place = Signal(_PAGE_BITS + 1 - _WORD_BITS)  # in the page, and whether that is left
        m.d.comb += [
            place.eq(header.address[_WORD_BITS:_PAGE_BITS] + position[_WORD_BITS:]),
            bus.address.eq(Cat(C(0, _WORD_BITS), place[:-1], page)),
            bus.write.eq(self.writes),
            bus.registers.eq(self.registers),
            self.first.eq(~position[narrow].any() & (self.registers | ~position[beat].any())),
            self.last.eq(position[:beat_bits].all()),
        ]
        m.d.sync += [
            self.misplaced.eq(
                header.address[narrow].any() | (self.memory & header.address[beat].any())
                | place[-1]
                | (self.registers & (place[_LITE_BITS - _WORD_BITS:].any() | page.any()))),
            self.unaligned.eq(
                header.length[narrow].any() | (self.memory & header.length[beat].any())
                | header.length[_PAGE_BITS:].any()
                | (self.writes & self.registers & (header.length != REGISTER_SIZE))),
        ]

    @property
    def complete(self):
        """Whether all bytes of the payload are done."""
        return self.position == self.header.length[:_PAGE_BITS]

    def step(self):
        """Count a byte."""
        self._m.d.sync += self.position.eq(self.position + 1)

    def begin(self, state):
        """Go on with another part of the frame."""
        self._m.d.sync += self.position.eq(0)
        self._m.next = state

    def answer(self):
        """Begin the answer."""
        self._m.d.comb += self._check.clear.eq(1)
        self.begin("ANSWER")

    def refuse(self, status):
        """Answer when the line is silent."""
        self._m.d.sync += self.status.eq(status)
        self._m.next = "DRAIN"

    def transfer(self):
        """Move the beat or register of the byte at ``position``."""
        m = self._m
        with m.If(self.stuck):
            m.d.sync += self.status.eq(Status.BUS_TIMEOUT)
        with m.Elif(self.misplaced):
            m.d.sync += self.status.eq(Status.ADDRESS)
        with m.Else():
            m.d.comb += self._bus.start.eq(1)
        m.next = "TRANSFER"
