"""The design with SDRAM behind a simulated serial line."""

import dataclasses
from pathlib import Path

from arch.config import AcceleratorConfig
from hw.sdram import SDRAMPart
from hw.tops import ExternalTop, external_verilog

from ..build import build, generated_verilog
from ..serial.port import LINE, SimulatedPort
from .model import RTL, geometry, plusargs


__all__ = ("external_port",)


def external_port(
    config: AcceleratorConfig, part: SDRAMPart, *, divisor: int, clock: int,
    timeout: int | None = None, read_delay: int = 0, model: SDRAMPart | None = None,
    cache: Path | None = None,
) -> SimulatedPort:
    """Compile a design with SDRAM and start its simulation.

    Parameters
    ----------
    config : AcceleratorConfig
        Accelerator.
    part, divisor, clock, timeout, read_delay
        As :class:`hw.tops.ExternalTop` takes them.
    model : SDRAMPart, optional
        Timing of the memory, where it is not what the controller was made for.
    cache : Path, optional
        Folder of compiled simulations; :func:`sim.build.default_cache` if not given.

    Returns
    -------
    SimulatedPort
        The host's end of the line. A rule of the memory that is broken ends the simulation.
    """
    arguments = {"divisor": divisor, "clock": clock, "timeout": timeout, "read_delay": read_delay}
    verilog = generated_verilog(
        "external",
        {**arguments, "config": config.to_json(), "part": dataclasses.asdict(part)},
        lambda: external_verilog(ExternalTop(config, part, **arguments)), cache=cache)
    sources = {
        "dynafix_external.v": verilog, LINE.name: LINE.read_text(),
        **{name: (RTL / name).read_text() for name in ("late.sv", "sdram.sv", "external.sv")}}
    simulation = build(
        sources, "external", parameters={**geometry(part), "READ_DELAY": read_delay}, cache=cache)
    return SimulatedPort(
        simulation, divisor=divisor, clock=clock, options=plusargs(model or part, clock))
