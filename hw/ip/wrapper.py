"""Verilog around the accelerator with the port names that tools for systems on chip expect."""

from amaranth import Shape
from amaranth.lib.wiring import In

from arch.config import AcceleratorConfig

from ..accelerator import accelerator_ports
from ..verilog import MODULE_NAME


__all__ = (
    "WRAPPER_NAME",
    "wrapper_verilog",
)


WRAPPER_NAME = "dynafix_axi"

# What the accelerator has no port for. Name, bits, direction seen from the master, and the value
# that a master drives.
_MASTER_EXTRAS = {
    "lock": (1, "1'b0"), "cache": (4, "M_AXI_CACHE"), "prot": (3, "M_AXI_PROT"),
    "qos": (4, "4'b0000"),
}
_SLAVE_EXTRAS = {"prot": 3}
_CHANNELS = ("aw", "ar")


def _range(width: int) -> str:
    return f"[{width - 1}:0] " if width > 1 else ""


def _parameters(config: AcceleratorConfig) -> str:
    """Return what an interconnect may know of the master."""
    return ", ".join((
        "XIL_INTERFACENAME m_axi", "PROTOCOL AXI4", f"DATA_WIDTH {8 * config.dram_width}",
        "ADDR_WIDTH 32", "ID_WIDTH 1", "HAS_BURST 1", f"MAX_BURST_LENGTH {config.burst_length}",
        "SUPPORTS_NARROW_BURST 0", "READ_WRITE_MODE READ_WRITE"))


def wrapper_verilog(config: AcceleratorConfig) -> str:
    """Return the Verilog of :data:`WRAPPER_NAME`, which holds the accelerator.

    Ports are ``aclk``, ``aresetn`` (active low, synchronous), ``interrupt`` (level, active high),
    and AXI signals as ``s_axi_awaddr``, from which Vivado's packager and block designs infer the
    interfaces. Signals that the accelerator does not have are constants: no locks, no quality of
    service, and the parameters ``M_AXI_CACHE`` and ``M_AXI_PROT``.

    Parameters
    ----------
    config : AcceleratorConfig
        Widths.

    Returns
    -------
    str
        Verilog-2001 text; needs the module of :func:`hw.verilog` beside it.

    Source: AMBA AXI and ACE Protocol Specification, ARM IHI 0022, chapter A2, for the signals;
    Vivado Design Suite, Creating and Packaging Custom IP, UG1118, for names and attributes.
    """
    ports, wires = [], []
    inner = accelerator_ports(config)
    for bus in ("m_axi", "s_axi"):
        for name, member in inner[bus].signature.members.items():
            ports.append((bus, name, member.flow is In, Shape.cast(member.shape).width))
            wires.append(f".{bus}__{name}({bus}_{name})")
    wires += [f".trace__{name}()" for name in inner["trace"].signature.members]
    assigns = []
    for channel in _CHANNELS:
        for name, (width, value) in _MASTER_EXTRAS.items():
            ports.append(("m_axi", channel + name, False, width))
            assigns.append(f"    assign m_axi_{channel}{name} = {value};")
        ports += [("s_axi", channel + name, True, width) for name, width in _SLAVE_EXTRAS.items()]
    lines = [
        f"    (* X_INTERFACE_INFO = \"xilinx.com:interface:aximm:1.0 {bus} {name.upper()}\" *)\n"
        + (f"    (* X_INTERFACE_PARAMETER = \"{_parameters(config)}\" *)\n"
           if (bus, name) == ("m_axi", "awid") else "")
        + f"    {'input ' if is_input else 'output'} wire {_range(width)}{bus}_{name}"
        for bus, name, is_input, width in ports]
    body, connections = ",\n".join(lines), ",\n        ".join(wires)
    return f"""\
// {WRAPPER_NAME}: {MODULE_NAME} with the port names of Vivado; config hash {config.hash:#018x}
//
// M_AXI_CACHE: 4'b0011 is normal memory without caches, for ports beside them; 4'b1111 is for
// coherent ports. M_AXI_PROT: 3'b000 is unprivileged, secure data.
module {WRAPPER_NAME} #(
    parameter [3:0] M_AXI_CACHE = 4'b0011,
    parameter [2:0] M_AXI_PROT = 3'b000
) (
    (* X_INTERFACE_INFO = "xilinx.com:signal:clock:1.0 aclk CLK" *)
    (* X_INTERFACE_PARAMETER = "ASSOCIATED_BUSIF s_axi:m_axi, ASSOCIATED_RESET aresetn" *)
    input  wire aclk,
    (* X_INTERFACE_INFO = "xilinx.com:signal:reset:1.0 aresetn RST" *)
    (* X_INTERFACE_PARAMETER = "POLARITY ACTIVE_LOW" *)
    input  wire aresetn,
    (* X_INTERFACE_INFO = "xilinx.com:signal:interrupt:1.0 interrupt INTERRUPT" *)
    (* X_INTERFACE_PARAMETER = "SENSITIVITY LEVEL_HIGH" *)
    output wire interrupt,
{body}
);
{chr(10).join(assigns)}

    {MODULE_NAME} accelerator (
        .clk(aclk),
        .rst(~aresetn),
        .interrupt(interrupt),
        {connections}
    );
endmodule
"""
