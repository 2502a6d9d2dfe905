"""The packaged accelerator in the place of the plain one, for simulations."""

import re

from amaranth import Shape
from amaranth.lib.wiring import In

from hw import MODULE_NAME
from hw.accelerator import accelerator_ports
from hw.ip import WRAPPER_NAME, wrapper_verilog


__all__ = ("packaged_verilog",)


CORE = "dynafix_core"


def packaged_verilog(config, verilog):
    """Return Verilog of a module like that of ``verilog``, whose buses go through the wrapper.

    ``trace``, which the wrapper leaves open, is taken from inside.
    """
    ports, pins, taps = ["input clk, rst", "output interrupt"], [], []
    for name, member in accelerator_ports(config).items():
        if name == "interrupt":
            continue
        for signal, part in member.signature.members.items():
            direction = "input" if part.flow is In else "output"
            width = Shape.cast(part.shape).width
            ports.append(f"{direction} [{width - 1}:0] {name}__{signal}")
            if name == "trace":
                taps.append(f"    assign trace__{signal} = ip.accelerator.trace__{signal};")
            else:
                pins.append(f".{name}_{signal}({name}__{signal})")
    pins += [f".s_axi_{channel}prot(3'b111)" for channel in ("aw", "ar")]
    core, count = re.subn(rf"^module {MODULE_NAME}\b(?!\.)", f"module {CORE}", verilog, flags=re.M)
    assert count == 1
    wrapper = wrapper_verilog(config).replace(f"{MODULE_NAME} accelerator", f"{CORE} accelerator")
    return f"""\
{core}
{wrapper}
module {MODULE_NAME} ({", ".join(ports)});
    {WRAPPER_NAME} ip (.aclk(clk), .aresetn(!rst), .interrupt(interrupt), {", ".join(pins)},
        .m_axi_awlock(), .m_axi_awcache(), .m_axi_awprot(), .m_axi_awqos(),
        .m_axi_arlock(), .m_axi_arcache(), .m_axi_arprot(), .m_axi_arqos());
{chr(10).join(taps)}
endmodule
"""
