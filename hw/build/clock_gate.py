"""Clock and reset by wires that a chip has for them alone."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..primitives import family_of


__all__ = (
    "ClockGate",
    "has_global_reset",
)


def has_global_reset(platform):
    """Return whether all registers of the platform's device can be set without a wire to each."""
    return family_of(platform).name == "ecp5"


class ClockGate(wiring.Component):
    """A clock that stands still while the device's global reset sets all registers that it has.

    The end of a global reset reaches the registers at different times. As the clock comes later,
    they all start in the same cycle. Cells of ECP5: ``DCCA``, which gives whole pulses only, and
    ``GSR``, active low; :func:`hw.build.netlist.set_globally` has registers heed it.

    Source: Lattice, ECP5 and ECP5-5G sysCLOCK PLL/DLL Design and Usage Guide, FPGA-TN-02200, and
    FPGA Libraries Reference Guide, GSR.

    Members
    -------
    clock : In(1)
        Clock that always runs.
    released : In(1)
        The registers are no longer set.
    running : In(1)
        The clock comes.
    clk : Out(1)
        The clock, by the name that clocks have in a report.
    """

    clock: In(1)
    released: In(1)
    running: In(1)
    clk: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.submodules.gate = Instance(
            "DCCA", i_CLKI=self.clock, i_CE=self.running, o_CLKO=self.clk)
        m.submodules.reset = Instance("GSR", i_GSR=self.released)
        return m
