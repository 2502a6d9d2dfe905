"""Print latencies of the networks of MLPerf Tiny, by the cycle model, beside published ones.

The networks are quantized on random inputs, which changes no cycle, and compiled. Cycles are those
between start and interrupt; a latency is cycles over a clock: the highest of a bitstream, by place
and route (``--build``, the ``build.json`` of `dynafix build`, whose accelerator is taken), or one
that is assumed (``--clocks``). None is measured on a board. Compiled networks are kept in
``build/mlperf``. The exit code is 1 when a network is missing or cannot run on the accelerator, 2
when there is no clock.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bench_accelerator import Case, measure

from arch.config import PRESETS, AcceleratorConfig, preset
from dynafix.api.building import SCHEMA
from dynafix.files import read_json
from dynafix.terminal import Terminal


__all__ = (
    "Clock",
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


@dataclass(frozen=True)
class Clock:
    """A clock for our latencies, and where it comes from.

    Parameters
    ----------
    megahertz : float
        The clock.
    origin : str
        Who says so, in words.
    dsps : str
        Multipliers of the design, in words.
    """

    megahertz: float
    origin: str
    dsps: str

    @classmethod
    def assumed(cls, megahertz: float, config: AcceleratorConfig) -> Self:
        """Return a clock that no tool has reached."""
        return cls(megahertz, "clock assumed", f"{config.multipliers} in the array")

    @classmethod
    def built(cls, record: Mapping[str, Any]) -> Self:
        """Return the highest clock of a bitstream, from its ``build.json``."""
        asked = record["asked_mhz"]["sync"]
        return cls(
            record["fmax_mhz"]["sync"],
            f"clock reached by place and route, {record['board_title']}, "
            f"{asked:g} MHz asked: {'met' if record['met'] else 'missed'}",
            f"{record['multipliers']} in the design")


def _row(system: str, clock: float, dsps: str, milliseconds: Mapping[str, float],
         note: str) -> str:
    cells = (f"{milliseconds[name]:.3f}" if name in milliseconds else "" for name in SHORT.values())
    return f"| {system} | {clock:g} | {dsps} | {' | '.join(cells)} | {note} |"


def table(
    cycles: Mapping[str, float], clocks: Sequence[Clock], what: str
) -> list[str]:
    """Return the lines of a Markdown table: ours, then others.

    Parameters
    ----------
    cycles : mapping from short name of a task to float
        Cycles of an image.
    clocks : sequence of Clock
        Clocks, each a line.
    what : str
        Config and DRAM, in words.
    """
    lines = [f"| system | MHz | DSP | {' | '.join(f'{name}, ms' for name in SHORT.values())} | |",
             f"| --- {'| --- ' * (3 + len(SHORT))}|"]
    for clock in clocks:
        latencies = {name: count / clock.megahertz / 1000 for name, count in cycles.items()}
        lines.append(_row(f"dynafix, {what}", clock.megahertz, clock.dsps, latencies,
                          f"cycle model, {clock.origin}"))
    return lines + [
        _row(each.system, each.clock, str(each.dsps or ""), each.milliseconds, each.own)
        for each in PUBLISHED]


def _changes(config: AcceleratorConfig, base: str) -> dict[str, Any]:
    """Return the parameters in which a config differs from a preset."""
    known = preset(base).to_json()
    return {name: value for name, value in config.to_json().items()
            if value != known[name]}


def _accelerator(build: Path | None, name: str, clocks: Sequence[float],
                 ) -> tuple[AcceleratorConfig, list[Clock]]:
    """Return the config, and the clocks for it; ``ValueError`` if there is none."""
    if build is None:
        config, found = preset(name), []
    else:
        record = read_json(build, schema=SCHEMA, made_by="dynafix build")
        config, found = AcceleratorConfig.from_json(record["config"]), [Clock.built(record)]
    found += [Clock.assumed(clock, config) for clock in clocks]
    if not found:
        raise ValueError("No clock: give --build FILE for that of a bitstream, or --clocks MHZ "
                         "for one that is assumed")
    if any(clock <= 0 for clock in clocks):
        raise ValueError(f"--clocks must be positive numbers of MHz, not {min(clocks):g}")
    return config, found


def main(arguments: Sequence[str] | None = None) -> int:
    """Compile the networks and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, metavar="FILE",
                        help="build.json of a bitstream, for its accelerator and clock")
    parser.add_argument("--config", default="ecp5_85f", metavar="PRESET",
                        help=f"without it: of {', '.join(PRESETS)} (default ecp5_85f)")
    parser.add_argument("--dram-bytes-per-cycle", type=float, metavar="B",
                        help="bandwidth of the DRAM, in bytes a cycle (default that of the bus)")
    parser.add_argument("--clocks", type=float, nargs="+", default=[], metavar="MHZ",
                        help="clocks to assume")
    parser.add_argument("--models", type=Path, default=ROOT.parent / "shared" / "models",
                        help="folder of the networks (default ../shared/models)")
    options = parser.parse_args(arguments)
    try:
        config, clocks = _accelerator(options.build, options.config, options.clocks)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    cycles: dict[str, float] = {}
    code = 0
    bandwidth = options.dram_bytes_per_cycle or float(config.dram_width)
    terminal = Terminal(quiet=True)
    base = config.name if config.name in PRESETS else "ecp5_85f"
    for title, model in NETWORKS.items():
        case = Case(title, model, base, changes=_changes(config, base),
                    bytes_per_cycle=bandwidth)
        found = measure(case, options.models, ROOT / "build" / "mlperf", rtl=False, steps=terminal)
        if "reason" in found:
            print(f"error: {title}: {found['reason']}", file=sys.stderr)
            code = 1
            continue
        cycles[SHORT[title]] = found["predicted"]["cycles"]
        print(f"{title}: {cycles[SHORT[title]]:,.0f} cycles, "
              f"{found['predicted']['macs'] / cycles[SHORT[title]]:.0f} MAC a cycle")
    what = f"{config.in_lanes} × {config.out_lanes}, DRAM {bandwidth:g} bytes a cycle"
    if cycles:
        print(*table(cycles, clocks, what), sep="\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
