"""What every design with a serial line has: the link, the accelerator, one port to memory."""

from amaranth.lib.wiring import In, Out, connect

from ..accelerator import Accelerator
from ..link import AXI4Mux, HostLink


__all__ = (
    "MEMORY_ID_WIDTH",
    "frame_timeout",
    "link_accelerator",
    "link_members",
)


MEMORY_ID_WIDTH = 2
"""Bits of an identifier at the memory."""


def link_members():
    """Return the members of a design with a serial line."""
    return {
        "uart_rx": In(1, init=1),
        "uart_tx": Out(1, init=1),
        "active": Out(1),
        "interrupt": Out(1),
    }


def frame_timeout(clock):
    """Return a power of two of cycles that last 50 to 100 ms: computers and USB adapters pause."""
    return 1 << (clock // 20).bit_length()


def link_accelerator(m, top, *, memory_size):
    """Add link and accelerator to the module of a design, and connect its :func:`link_members`.

    Parameters
    ----------
    m : Module
        Module of the design.
    top : wiring.Component
        The design, with ``config``, ``divisor``, ``timeout`` and ``clock``.
    memory_size : int
        Bytes of memory.

    Returns
    -------
    AXI4Signature
        Master of the memory; its identifiers have :data:`MEMORY_ID_WIDTH` bits.
    """
    width = top.config.dram_width * 8
    m.submodules.link = link = HostLink(
        data_width=width, divisor=top.divisor, timeout=top.timeout, memory_size=memory_size,
        clock=top.clock)
    m.submodules.accelerator = accelerator = Accelerator(top.config)
    m.submodules.mux = mux = AXI4Mux(data_width=width, id_width=MEMORY_ID_WIDTH - 1)
    connect(m, link.m_axi, mux.first)
    connect(m, accelerator.m_axi, mux.second)
    connect(m, link.m_lite, accelerator.s_axi)
    m.d.comb += [
        link.uart_rx.eq(top.uart_rx),
        top.uart_tx.eq(link.uart_tx),
        top.active.eq(link.active),
        top.interrupt.eq(accelerator.interrupt),
    ]
    return mux.slave
