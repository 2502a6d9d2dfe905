"""Print size, clock and fill of bitstreams of LeNet-5 for the boards, from synthesis to packing.

Each board gets the shipped network in an accelerator that suits its chip, through ``dynafix
build``; the network is in memory on chip, or for ``-sdram`` in that of the board. A file whose
clock is not met is made all the same and said to be so. Tens of minutes for a large chip the first
time; what was done is kept. Needs the extra ``[synth]`` or native tools.

The exit code is 1 when a board misses what is asked of it, 2 when one could not be built.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arch.boards import known_presets
from arch.config import AcceleratorConfig
from dynafix import api
from dynafix.options import Dram, Options
from dynafix.terminal import Column, Terminal
from dynafix.text import grouped
from hw.build.boards import board as known_board
from hw.build.sdram import PAD_REGISTERS
from sim.sdram import SdramMemory


__all__ = (
    "CASES",
    "Case",
    "main",
    "row",
)


ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "dynafix" / "models" / "lenet5_mnist.onnx"
DATA = ROOT / "dynafix" / "models" / "mnist_1000.npz"

COLUMNS = (
    Column("board"), Column("network in"), Column("lanes"), Column("weights", right=True),
    Column("Fmax MHz (asked)", right=True), Column("file bytes", right=True),
    *(Column(name, right=True) for name in (
        "LUT4", "FF", "block RAM", "large RAM", "multipliers", "cycles", "ms", "top-1 %")))


@dataclass(frozen=True)
class Case:
    """A board, and the network for the accelerator that suits it.

    Parameters
    ----------
    name : str
        Name of the case.
    board : str
        Name of the board.
    weight_bits : int
        Width of the network's weights.
    freq : float
        Clock asked, in MHz.
    preset : str
        Name of the accelerator; that of the board if not given.
    external : bool
        Whether the network is in the board's SDRAM.
    least : float
        Fmax asked of us, in MHz.
    """

    name: str
    board: str
    weight_bits: int
    freq: float
    preset: str = ""
    external: bool = False
    least: float = 0.0

    @property
    def config(self) -> AcceleratorConfig:
        """The accelerator."""
        return known_presets()[self.preset or self.board]

    @property
    def dram(self) -> Dram | None:
        """Timing of the board's SDRAM, where the network is there."""
        part = known_board(self.board).memory
        if not self.external or part is None:
            return None
        memory = SdramMemory(part, round(self.freq * 1e6), PAD_REGISTERS)
        return Dram(latency=memory.latency, bytes_per_cycle=memory.bytes_per_cycle)


CASES = (
    Case("ulx3s", "ulx3s", 8, 50.0, least=100.0),
    Case("ulx3s-sdram", "ulx3s", 8, 80.0, external=True, least=100.0),
    Case("ulx3s-small", "ulx3s", 8, 50.0, preset="small"),
    Case("ulx3s-small-sdram", "ulx3s", 8, 50.0, preset="small", external=True),
    Case("colorlight-i5", "colorlight-i5", 4, 50.0),
    Case("tang-nano-20k", "tang-nano-20k", 4, 27.0),
    Case("icebreaker", "icebreaker", 8, 12.0, least=12.0),
)


def row(case: Case, found: Mapping[str, Any], cycles: int, accuracy: float) -> list[str]:
    """Return the cells of a board.

    Parameters
    ----------
    case : Case
        The board.
    found : mapping
        Content of ``build.json``.
    cycles : int
        Predicted cycles an image.
    accuracy : float
        Top-1 of the quantized network, 0 to 1.
    """
    fmax, asked = found["fmax_mhz"]["sync"], found["asked_mhz"]["sync"]
    clock = min(fmax, found["clock_mhz"])
    return [
        found["board_title"], "SDRAM" if case.external else "chip",
        f"{case.config.in_lanes} × {case.config.out_lanes}",
        f"{case.weight_bits} bits", f"{fmax:.1f} ({asked:.1f})", grouped(found["file_size"]),
        *(_fill(found, name) for name in (
            "lut4", "ff", "block_ram", "large_ram", "multipliers")),
        grouped(cycles), f"{cycles / clock / 1000:.2f}", f"{100 * accuracy:.2f}"]


def _fill(found: Mapping[str, Any], name: str) -> str:
    if name not in found:
        return ""
    share = 100 * found[name] / found["available"][name]
    return f"{grouped(found[name])} ({share:.0f} %)"


def _build(case: Case, output: Path, seeds: int, terminal: Terminal) -> tuple[list[str], Any]:
    folder = output / case.name
    quantized = api.quantize(
        MODEL, DATA, folder, options=Options(weight_bits=case.weight_bits), steps=terminal)
    program = api.compile(
        quantized, config=case.config, dram=case.dram, input_cycles=0 if case.external else None,
        steps=terminal)
    found = api.build(
        folder, board=case.board, top="external" if case.external else "standalone",
        freq=case.freq, seeds=seeds, force=True, steps=terminal)
    accuracy = quantized.evaluation["quantized_accuracy"]
    return row(case, found, program.prediction.cycles, accuracy), found


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the boards and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [case.name for case in CASES]
    parser.add_argument("cases", nargs="*", default=names, metavar="CASE",
                        help=f"of {', '.join(names)}")
    parser.add_argument("--seeds", type=int, default=1, help="placements to try (default 1)")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bitstreams",
                        help="folder for results (default build/bitstreams)")
    options = parser.parse_args(arguments)
    rows, paths, code = [], [], 0
    with Terminal() as terminal:
        for case in CASES:
            if case.name not in options.cases:
                continue
            try:
                cells, found = _build(case, options.output, options.seeds, terminal)
            except ValueError as error:
                paths.append(f"{case.name}: not built: {error}")
                code = 2
                continue
            rows.append(cells)
            if found["critical_path"]:
                paths.append(f"{case.name}: {found['critical_path']['text']}")
            if case.least:
                missed = found["fmax_mhz"]["sync"] < case.least
                paths.append(f"{case.name}: asked of us at least {case.least:.0f} MHz: "
                             f"{'missed' if missed else 'met'}")
                code = max(code, int(missed))
        terminal.blank()
        terminal.table(COLUMNS, rows)
        terminal.blank()
        for text in paths:
            terminal.note(text)
    return code


if __name__ == "__main__":
    sys.exit(main())
