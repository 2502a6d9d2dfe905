"""The accelerator with on-chip memory and a serial line: a design that needs nothing else."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import connect

from ..axi_registers import AXI4Registers
from .block_memory import BlockMemory
from .linked import MEMORY_ID_WIDTH, frame_timeout, link_accelerator, link_members


__all__ = ("StandaloneTop",)


class StandaloneTop(wiring.Component):
    """Accelerator, on-chip memory in the place of DRAM, and the link to a host.

    ::

        uart ── HostLink ──── registers ──── Accelerator
                   │                              │
                   └────────── AXI4Mux ───────────┘
                                  │
                            AXI4Registers, but for an accelerator in order, which is small
                                  │
                             BlockMemory

    Parameters
    ----------
    config : AcceleratorConfig
        Sizes of the accelerator; its bus is as wide as the memory.
    image : bytes, optional
        What memory holds first, from address 0; the host loads it if not given.
    size : int
        Bytes of memory; a multiple of ``config.dram_width``.
    divisor : int
        Cycles of a bit of the serial line, at least 4.
    clock : int
        Clock in Hz.
    timeout : int, optional
        Cycles of silence that end a frame, a power of two; 50 to 100 ms if not given, for
        computers and USB adapters pause in between.

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
    """

    def __init__(self, config, image=None, *, size, divisor, clock, timeout=None):
        self.config = config
        self.image = image
        self.size = size
        self.divisor = divisor
        self.clock = clock
        self.timeout = frame_timeout(clock) if timeout is None else timeout
        super().__init__(link_members())

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = BlockMemory(
            data_width=self.config.dram_width * 8, id_width=MEMORY_ID_WIDTH, size=self.size,
            init=self.image or b"")
        master = link_accelerator(m, self, memory_size=self.size)
        if self.config.in_order:
            connect(m, master, memory.axi)
        else:
            m.submodules.border = border = AXI4Registers(
                data_width=self.config.dram_width * 8, id_width=MEMORY_ID_WIDTH)
            connect(m, master, border.master)
            connect(m, border.slave, memory.axi)
        return m
