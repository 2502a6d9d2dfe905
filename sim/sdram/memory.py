"""SDRAM in the place of the DRAM model, for simulations of whole networks."""

from dataclasses import dataclass
from pathlib import Path

from arch.config import AcceleratorConfig
from hw.sdram import SDRAMPart

from .model import RTL, geometry, plusargs
from .traffic import cached_controller


__all__ = ("SdramMemory",)


@dataclass(frozen=True)
class SdramMemory:
    """Controller and SDRAM; takes the place of :class:`sim.result.DramModel`.

    Parameters
    ----------
    part : SDRAMPart
        The memory.
    clock : int
        Clock in Hz, of the accelerator, too.
    read_delay : int
        As :class:`hw.sdram.SDRAMController` takes it.
    """

    part: SDRAMPart
    clock: int
    read_delay: int = 0

    @property
    def latency(self) -> int:
        """Cycles of a read when nothing else goes on; see ``tests/sim/sdram/test_traffic.py``."""
        return 15 + self.read_delay

    @property
    def bytes_per_cycle(self) -> float:
        """Bytes a cycle of the data bus."""
        return self.part.data_bits / 8

    @property
    def plusargs(self) -> dict[str, int]:
        """Options of the simulation."""
        return plusargs(self.part, self.clock)

    def sources(self, config: AcceleratorConfig, cache: Path | None = None) -> dict[str, str]:
        """Return what takes the place of ``rtl/dram.sv``, in the order of reading."""
        values = geometry(self.part) | {"READ_DELAY": self.read_delay}
        lines = "".join(f"    localparam int {name} = {value};\n" for name, value in values.items())
        return {
            "sdram_part.sv": f"package sdram_part;\n{lines}endpackage\n",
            "sdram_controller.v": cached_controller(
                self.part, clock=self.clock, data_width=config.dram_width * 8, id_width=1,
                read_delay=self.read_delay, cache=cache),
            **{name: (RTL / name).read_text() for name in ("late.sv", "sdram.sv", "dram.sv")},
        }
