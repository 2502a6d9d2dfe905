"""AXI4 and AXI4-Lite port signatures with flat signals."""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


__all__ = (
    "AXI4LiteSignature",
    "AXI4Signature",
    "BURST_INCR",
    "PAGE_SIZE",
)


BURST_INCR = 0b01
PAGE_SIZE = 4096
"""Bytes; a burst must not cross a multiple of this."""


class AXI4Signature(wiring.Signature):
    """AXI4 port, seen from the master: the signals that an accelerator needs.

    Source: AMBA AXI and ACE Protocol Specification, ARM IHI 0022, chapter A2.

    Parameters
    ----------
    addr_width : int
        Width of addresses, in bits.
    data_width : int
        Width of one beat, in bits.
    id_width : int
        Width of transaction identifiers, in bits.
    """

    def __init__(self, *, addr_width, data_width, id_width):
        self._addr_width = addr_width
        self._data_width = data_width
        self._id_width = id_width
        members = {}
        for channel in ("aw", "ar"):
            members |= {
                f"{channel}id": Out(id_width),
                f"{channel}addr": Out(addr_width),
                f"{channel}len": Out(8),
                f"{channel}size": Out(3),
                f"{channel}burst": Out(2),
                f"{channel}valid": Out(1),
                f"{channel}ready": In(1),
            }
        super().__init__(members | {
            "wdata": Out(data_width),
            "wstrb": Out(data_width // 8),
            "wlast": Out(1),
            "wvalid": Out(1),
            "wready": In(1),
            "bid": In(id_width),
            "bresp": In(2),
            "bvalid": In(1),
            "bready": Out(1),
            "rid": In(id_width),
            "rdata": In(data_width),
            "rresp": In(2),
            "rlast": In(1),
            "rvalid": In(1),
            "rready": Out(1),
        })

    @property
    def addr_width(self):
        """Width of addresses, in bits."""
        return self._addr_width

    @property
    def data_width(self):
        """Width of one beat, in bits."""
        return self._data_width

    @property
    def id_width(self):
        """Width of transaction identifiers, in bits."""
        return self._id_width

    def __eq__(self, other):
        return (isinstance(other, AXI4Signature) and self.addr_width == other.addr_width
                and self.data_width == other.data_width and self.id_width == other.id_width)

    def __repr__(self):
        return (f"AXI4Signature(addr_width={self.addr_width}, data_width={self.data_width}, "
                f"id_width={self.id_width})")


class AXI4LiteSignature(wiring.Signature):
    """AXI4-Lite port, seen from the master.

    Source: AMBA AXI and ACE Protocol Specification, ARM IHI 0022, chapter B1.

    Parameters
    ----------
    addr_width : int
        Width of addresses, in bits.
    data_width : int
        Width of a register, in bits.
    """

    def __init__(self, *, addr_width, data_width):
        self._addr_width = addr_width
        self._data_width = data_width
        super().__init__({
            "awaddr": Out(addr_width),
            "awvalid": Out(1),
            "awready": In(1),
            "wdata": Out(data_width),
            "wstrb": Out(data_width // 8),
            "wvalid": Out(1),
            "wready": In(1),
            "bresp": In(2),
            "bvalid": In(1),
            "bready": Out(1),
            "araddr": Out(addr_width),
            "arvalid": Out(1),
            "arready": In(1),
            "rdata": In(data_width),
            "rresp": In(2),
            "rvalid": In(1),
            "rready": Out(1),
        })

    @property
    def addr_width(self):
        """Width of addresses, in bits."""
        return self._addr_width

    @property
    def data_width(self):
        """Width of a register, in bits."""
        return self._data_width

    def __eq__(self, other):
        return (isinstance(other, AXI4LiteSignature) and self.addr_width == other.addr_width
                and self.data_width == other.data_width)

    def __repr__(self):
        return (f"AXI4LiteSignature(addr_width={self.addr_width}, "
                f"data_width={self.data_width})")
