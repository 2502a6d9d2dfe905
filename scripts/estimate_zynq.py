"""Estimate what accelerators take on Zynq-7000 parts, beside published accelerators there.

Synthesizes the whole accelerator for Xilinx 7 series with Yosys, DMA and instruction fetch
included, as `dynafix verilog --family xilinx7` writes it: multipliers are DSP48E1 with their
registers, large memories RAMB18E1. Nothing is placed or routed, so that LUTs are an upper bound (no
two small ones share a place) and there is no clock. Needs ``yosys`` on the path, or the extra
``[synth]``. A config takes minutes the first time, the large ones an hour; results are kept in
``build/area`` and written to ``build/zynq.json``.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from area import synthesize

from arch.config import AcceleratorConfig, preset
from dynafix.text import grouped
from hw import MODULE_NAME, verilog
from hw.build.tools import find_tools


__all__ = (
    "CONFIGS",
    "PARTS",
    "Resources",
    "largest",
    "main",
    "table",
)


ROOT = Path(__file__).resolve().parents[1]

FAMILY = "xilinx7"

# LUT6 that a cell takes. Source: Xilinx 7 Series FPGAs CLB User Guide, UG474, for memories.
_LUTS = {
    **{f"LUT{inputs}": 1 for inputs in range(1, 7)}, "INV": 1, "SRL16E": 1, "SRLC32E": 1,
    "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4, "RAM32M": 4, "RAM64M": 4, "RAM64X1S": 1,
    "RAM32X1S": 1, "RAM128X1S": 2, "RAM256X1S": 4,
}
_FLIP_FLOPS = ("FDRE", "FDSE", "FDCE", "FDPE")


@dataclass(frozen=True)
class Resources:
    """What a design takes, or a part has.

    Parameters
    ----------
    lut, ff, dsp : int
        LUT6, flip-flops, DSP48E1.
    bram : float
        Block RAMs of 36 kbit; one of 18 kbit is half.
    """

    lut: int
    ff: int
    dsp: int
    bram: float

    @classmethod
    def of(cls, cells: Mapping[str, int]) -> Self:
        """Return the resources of cells by type."""
        return cls(
            sum(_LUTS.get(name, 0) * count for name, count in cells.items()),
            sum(cells.get(name, 0) for name in _FLIP_FLOPS), cells.get("DSP48E1", 0),
            cells.get("RAMB36E1", 0) + cells.get("RAMB18E1", 0) / 2)

    def fits(self, part: Self) -> bool:
        """Return whether a part has at least this much of everything."""
        return all(
            mine <= theirs for mine, theirs in zip(asdict(self).values(), asdict(part).values()))


PARTS = {
    "XC7Z020": Resources(53_200, 106_400, 220, 140),
    "XC7Z045": Resources(218_600, 437_200, 900, 545),
}
"""Source: Xilinx, Zynq-7000 SoC Data Sheet: Overview, DS190."""

CONFIGS = (
    preset("small"),
    preset("ecp5_85f"),
    replace(preset("ecp5_85f"), name="16 × 16", in_lanes=16),
    replace(preset("large"), name="16 × 32", in_lanes=16),
    replace(preset("large16"), name="16 × 32, 16 bit", in_lanes=16),
    preset("large"),
    preset("large16"),
)

PUBLISHED = (
    ("Going Deeper, 16 bit, 150 MHz, 137.0 GOP/s on VGG16-SVD", "XC7Z045",
     Resources(182_616, 127_653, 780, 486)),
)
"""Source: Qiu et al., Going Deeper with Embedded FPGA Platform for Convolutional Neural Network,
FPGA 2016, section 7."""

SUCCESSOR = ("Angel-Eye (XC7Z020, 8 bit, 214 MHz) reports 84.3 GOP/s; figures of its resources are "
             "not known here")
"""Source: Guo et al., Angel-Eye: A Complete Design Flow for Mapping CNN Onto Embedded FPGA,
TCAD 2018."""


def _script() -> str:
    # Names of the design can clash with those that Yosys makes up, so they are hidden.
    return (
        f"read_verilog accelerator.v; hierarchy -top {MODULE_NAME}; proc; flatten; rename -hide; "
        f"synth_xilinx -family xc7 -top {MODULE_NAME} -flatten -noiopad -noclkbuf; "
        f"tee -o stat.json stat -json")


def measure(config: AcceleratorConfig, yosys: Sequence[str], folder: Path) -> Resources:
    """Return what a config takes; results of earlier runs are used again."""
    found = synthesize(yosys, verilog(config, FAMILY), _script(), folder, f"{config.name}, xc7")
    return Resources.of(found[MODULE_NAME])


def largest(found: Mapping[str, tuple[int, Resources]], part: Resources) -> str | None:
    """Return the config with the most multipliers that fits a part; ``None`` if none does."""
    fitting = {name: count for name, (count, taken) in found.items() if taken.fits(part)}
    return max(fitting, key=lambda name: fitting[name]) if fitting else None


def table(rows: Sequence[tuple[str, Resources]]) -> list[str]:
    """Return the lines of a Markdown table: resources, and their share of each part."""
    lines = [f"| | LUT | FF | DSP | BRAM36 | {' | '.join(f'of {part}' for part in PARTS)} |",
             f"| --- | {' | '.join(['---'] * (4 + len(PARTS)))} |"]
    for title, taken in rows:
        shares = []
        for has in PARTS.values():
            each = " / ".join(
                f"{100 * mine / theirs:.0f}" for mine, theirs in
                zip(asdict(taken).values(), asdict(has).values()))
            shares.append(f"{each} %{'' if taken.fits(has) else ', does not fit'}")
        lines.append(
            f"| {title} | {grouped(taken.lut)} | {grouped(taken.ff)} | {taken.dsp} | "
            f"{taken.bram:g} | {' | '.join(shares)} |")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Synthesize configs and print what they take."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configs", nargs="*", default=[config.name for config in CONFIGS],
                        metavar="CONFIG",
                        help=f"of {', '.join(repr(config.name) for config in CONFIGS)}")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "zynq.json",
                        help="file for the numbers (default build/zynq.json)")
    options = parser.parse_args(arguments)
    known = {config.name: config for config in CONFIGS}
    found: dict[str, tuple[int, Resources]] = {}
    try:
        for name in options.configs:
            if name not in known:
                raise ValueError(f"Config must be one of {', '.join(known)}, not {name!r}")
        yosys = find_tools(["yosys"])["yosys"]
        os.nice(10)
        for name in options.configs:
            config = known[name]
            found[name] = (
                config.multipliers, measure(config, yosys, options.output.parent / "area"))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(*table([
        *((f"{name}, {count} multipliers", taken) for name, (count, taken) in found.items()),
        *((f"{title} ({part})", taken) for title, part, taken in PUBLISHED)]), sep="\n")
    print(SUCCESSOR)
    for part, has in PARTS.items():
        print(f"{part}: the largest of these that fits is {largest(found, has) or 'none'}")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(
        {name: {"multipliers": count, **asdict(taken)} for name, (count, taken) in found.items()},
        indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
