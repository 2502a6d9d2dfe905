"""Print latencies of the networks of MLPerf Tiny, by the cycle model, beside published ones.

The networks are quantized on random inputs, which changes no cycle, and compiled. Cycles are those
between start and interrupt; a latency is cycles over a clock that is assumed, not measured on a
board. Compiled networks are kept in ``build/mlperf``. The exit code is 1 when a network is missing.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench_accelerator import Case, measure

from arch.config import PRESETS, preset
from dynafix.terminal import Terminal


__all__ = (
    "NETWORKS",
    "PUBLISHED",
    "Published",
    "main",
    "table",
)


ROOT = Path(__file__).resolve().parents[1]

NETWORKS = {
    "image classification": "resnet8_mlperftiny",
    "visual wake words": "vww_mobilenetv1_025_96",
    "keyword spotting": "kws_dscnn",
}
"""File name of the network of each task, without ``.onnx``."""

SHORT = {"image classification": "IC", "visual wake words": "VWW", "keyword spotting": "KWS"}


@dataclass(frozen=True)
class Published:
    """A published result.

    Parameters
    ----------
    system : str
        Tool and board.
    clock : float
        MHz.
    dsps : int or None
        DSPs of the design, where they were published.
    milliseconds : dict
        Latency of each task, by its short name.
    own : str
        What is not the benchmark's network, if it is not.
    """

    system: str
    clock: float
    dsps: int | None
    milliseconds: Mapping[str, float]
    own: str = ""


PUBLISHED = (
    Published("fpgaConvNet, ZC706", 187, 525, {"IC": 0.147}),
    Published("fpgaConvNet, ZC706", 200, 564, {"VWW": 0.720}),
    Published("fpgaConvNet, ZedBoard", 143, 211, {"IC": 0.411}),
    Published("fpgaConvNet, ZedBoard", 111, 189, {"VWW": 9.49}),
    Published("fpgaConvNet, ZedBoard", 143, 188, {"KWS": 0.324}),
    Published("fpgaConvNet, Zybo", 125, 78, {"IC": 3.15}),
    Published("fpgaConvNet, Zybo", 125, 60, {"KWS": 2.15}),
    Published("ANPU, ZCU106", 200, None, {"VWW": 0.373}),
    Published("hls4ml, PYNQ-Z2", 150, None, {"IC": 7.64}, "another network, 83.5 %"),
    Published("FINN, PYNQ-Z2", 100, None, {"IC": 1.51}, "another network, 1 bit, 84.5 %"),
)
"""Source: MLCommons, MLPerf Tiny Inference, published results."""


def _row(system: str, clock: float, dsps: str, milliseconds: Mapping[str, float],
         note: str) -> str:
    cells = (f"{milliseconds[name]:.3f}" if name in milliseconds else "" for name in SHORT.values())
    return f"| {system} | {clock:g} | {dsps} | {' | '.join(cells)} | {note} |"


def table(
    cycles: Mapping[str, float], multipliers: int, clocks: Sequence[float], what: str
) -> list[str]:
    """Return the lines of a Markdown table: ours, then others.

    Parameters
    ----------
    cycles : mapping from short name of a task to float
        Cycles of an image.
    multipliers : int
        Multipliers of the array.
    clocks : sequence of float
        Clocks, in MHz.
    what : str
        Config and DRAM, in words.
    """
    lines = [f"| system | MHz | DSP | {' | '.join(f'{name}, ms' for name in SHORT.values())} | |",
             f"| --- {'| --- ' * (3 + len(SHORT))}|"]
    for clock in clocks:
        latencies = {name: count / clock / 1000 for name, count in cycles.items()}
        lines.append(_row(f"dynafix, {what}", clock, f"{multipliers} in the array", latencies,
                          "cycle model, clock assumed"))
    return lines + [
        _row(each.system, each.clock, str(each.dsps or ""), each.milliseconds, each.own)
        for each in PUBLISHED]


def main(arguments: Sequence[str] | None = None) -> int:
    """Compile the networks and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="ecp5_85f", metavar="PRESET",
                        help=f"of {', '.join(PRESETS)} (default ecp5_85f)")
    parser.add_argument("--dram-bytes-per-cycle", type=float, default=8.0, metavar="B",
                        help="bandwidth of the DRAM, in bytes a cycle (default 8)")
    parser.add_argument("--clocks", type=float, nargs="+", default=[100.0, 150.0], metavar="MHZ",
                        help="clocks to show (default 100 150)")
    parser.add_argument("--models", type=Path, default=ROOT.parent / "shared" / "models",
                        help="folder of the networks (default ../shared/models)")
    options = parser.parse_args(arguments)
    try:
        config = preset(options.config)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    cycles: dict[str, float] = {}
    terminal = Terminal(quiet=True)
    for title, model in NETWORKS.items():
        case = Case(title, model, config.name, bytes_per_cycle=options.dram_bytes_per_cycle)
        found = measure(case, options.models, ROOT / "build" / "mlperf", rtl=False, steps=terminal)
        if "reason" in found:
            print(f"error: {title}: {found['reason']}", file=sys.stderr)
            return 1
        cycles[SHORT[title]] = found["predicted"]["cycles"]
        print(f"{title}: {cycles[SHORT[title]]:,.0f} cycles, "
              f"{found['predicted']['macs'] / cycles[SHORT[title]]:.0f} MAC a cycle")
    what = (f"{config.in_lanes} × {config.out_lanes}, DRAM {options.dram_bytes_per_cycle:g} "
            f"bytes a cycle")
    print(*table(cycles, config.multipliers, options.clocks, what), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
