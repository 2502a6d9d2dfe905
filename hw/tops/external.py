"""The accelerator with an SDR SDRAM and a serial line: for networks that do not fit on chip."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import Out, connect

from ..sdram import SDRAMController, SDRAMSignature, checked_timing
from .linked import MEMORY_ID_WIDTH, frame_timeout, link_accelerator, link_members


__all__ = ("ExternalTop",)


class ExternalTop(wiring.Component):
    """Accelerator, controller of an SDR SDRAM, and the link to a host.

    ::

        uart ── HostLink ──── registers ──── Accelerator
                   │                              │
                   └────────── AXI4Mux ───────────┘
                                  │
                           SDRAMController ── sdram

    The host loads program and weights; what memory holds first is noise.

    Parameters
    ----------
    config : AcceleratorConfig
        Sizes of the accelerator.
    part : SDRAMPart
        The memory.
    divisor : int
        Cycles of a bit of the serial line, at least 4.
    clock : int
        Clock in Hz, of everything.
    timeout : int, optional
        Cycles of silence that end a frame, a power of two; 50 to 100 ms if not given, for
        computers and USB adapters pause in between.
    read_delay : int
        As :class:`hw.sdram.SDRAMController` takes it.

    Members
    -------
    uart_rx : In(1)
        From the host.
    uart_tx : Out(1)
        To the host.
    active : Out(1)
        A request is being taken or answered.
    interrupt : Out(1)
        A run has ended, see :class:`hw.accelerator.Accelerator`.
    sdram : Out(SDRAMSignature)
        The memory, but for its clock.

    Raises
    ------
    ValueError
        If a beat of the accelerator is no burst of the memory, or the clock does not suit it.
    """

    def __init__(self, config, part, *, divisor, clock, timeout=None, read_delay=0):
        self.config = config
        self.part = part
        self.divisor = divisor
        self.clock = clock
        self.timeout = frame_timeout(clock) if timeout is None else timeout
        self.read_delay = read_delay
        checked_timing(
            part, clock=clock, data_width=config.dram_width * 8, read_delay=read_delay)
        super().__init__(link_members() | {"sdram": Out(SDRAMSignature(part))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.controller = controller = SDRAMController(
            self.part, clock=self.clock, data_width=self.config.dram_width * 8,
            id_width=MEMORY_ID_WIDTH, read_delay=self.read_delay)
        connect(m, link_accelerator(m, self, memory_size=self.part.size), controller.axi)
        for name, member in controller.pins.signature.members.items():
            inside, outside = getattr(controller.pins, name), getattr(self.sdram, name)
            m.d.comb += outside.eq(inside) if member.flow == Out else inside.eq(outside)
        return m
