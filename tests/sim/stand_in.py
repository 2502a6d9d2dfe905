"""A program for the stand-in accelerator, with what simulation needs of a compiled one."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

from arch.config import AcceleratorConfig
from arch.isa import encode_header
from compiler.host import Segment


__all__ = ("StandInProgram", "stand_in_verilog")


@dataclass
class StandInProgram:
    """Copy ``rows`` rows of the input to the output, adding 1 to every byte."""

    config: AcceleratorConfig
    rows: int = 10
    header: bytes | None = None
    weight_image: bytes = bytes(64)
    scratch_size: int = 0
    instructions: list = field(default_factory=list)
    layers: list = field(default_factory=lambda: [
        SimpleNamespace(index=0, name="conv1", operator="Conv"),
        SimpleNamespace(index=1, name="pool1", operator="MaxPool"),
    ])
    prediction: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(cycles=1000))

    @property
    def program_image(self) -> bytes:
        if self.header is not None:
            return self.header
        return encode_header(config_hash=self.config.hash, instruction_count=self.rows)

    @property
    def steps(self) -> list[Segment]:
        return [Segment(0, 0, self.rows)]

    segments = steps
    host_steps = ()

    @property
    def input_size(self) -> int:
        return self.rows * self.config.row_size

    @property
    def output_size(self) -> int:
        return self.rows * self.config.row_size


def stand_in_verilog(config: AcceleratorConfig) -> str:
    """Return the stand-in with the widths of a config."""
    return (
        f"`define DRAM_BYTES {config.dram_width}\n`define ROW_BYTES {config.row_size}\n"
        + (Path(__file__).parent / "stand_in.sv").read_text())
