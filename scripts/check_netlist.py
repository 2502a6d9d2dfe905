"""Run one image of LeNet-5 on the netlist that goes to place and route, and compare every layer.

Synthesizes the whole accelerator for ECP5 with Yosys, and simulates what it wrote: look-up tables,
carries, registers and distributed RAM by Yosys' models of them, multipliers and block RAM by ours.
Every code of every layer must be that of numpy. Needs ``yosys`` on the path, or the extra
``[synth]``. Minutes the first time; netlists are kept in ``build/netlist``.

The exit code is 1 when a value differs, 2 when the netlist cannot be made or run.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from arch.config import PRESETS, AcceleratorConfig, preset
from compiler import compile_model
from dynafix.terminal import Terminal
from dynafix.text import grouped
from hw import MODULE_NAME, verilog
from hw.build.cache import digest, kept
from hw.build.tools import Processes, find_tools, tool_version
from quantizer import load_graph, quantize, quantize_input
from sim.compare import compare
from sim.netlist import netlist_verilog
from sim.simulate import simulate


__all__ = (
    "FAMILY",
    "check",
    "main",
    "netlist",
)


ROOT = Path(__file__).resolve().parents[1]
MODELS = ROOT / "dynafix" / "models"

FAMILY = "ecp5"

_NETLIST, _CELLS = "netlist.v", "cells.v"

# Names of the design can clash with those that Yosys makes up, so they are hidden.
_SCRIPT = (
    f"tee -q -o {_CELLS} read_verilog -lib -ppdump -DNO_INCLUDES +/ecp5/cells_sim.v; "
    f"design -reset; read_verilog accelerator.v; hierarchy -top {MODULE_NAME}; proc; flatten; "
    f"rename -hide; synth_ecp5 -top {MODULE_NAME}; write_verilog -noattr {_NETLIST}")


def netlist(config: AcceleratorConfig, folder: Path, steps: Terminal) -> str:
    """Synthesize, or take what an earlier run of the same gave; return what Verilator builds.

    Raises
    ------
    BuildError
        If there is no Yosys, or it fails.
    """
    yosys = find_tools(["yosys"])["yosys"]
    text = verilog(config, FAMILY)
    entry = folder / digest(text, _SCRIPT, tool_version("yosys", yosys))

    def make(work: Path) -> None:
        (work / "accelerator.v").write_text(text, "utf-8")
        with Processes() as processes:
            processes.run(
                "yosys", [*yosys, "-p", _SCRIPT], folder=work, log=folder / "yosys.log")

    with steps.busy("synthesize", f"{config.name} for {FAMILY}"):
        kept(entry, _NETLIST, make)
    return netlist_verilog(
        (entry / _NETLIST).read_text("utf-8"), cells=(entry / _CELLS).read_text("utf-8"))


def check(config: AcceleratorConfig, folder: Path, steps: Terminal) -> list[str]:
    """Return what differs from numpy, in sentences."""
    text = netlist(config, folder, steps)
    data = np.load(MODELS / "mnist_1000.npz")
    images = data["calib_x"][:64, None].astype(np.float32) / 255
    model = quantize(load_graph(MODELS / "lenet5_mnist.onnx"), images)
    program = compile_model(model, config)
    codes = quantize_input(model, data["eval_x"][:1, None].astype(np.float32) / 255)[0]
    with steps.busy("simulate", "one image on the netlist"):
        result = simulate(program, [program.input_layout.pack(codes)], verilog=text)
    run = result.images[0]
    steps.line("simulate", f"{grouped(run.cycles)} cycles, predicted "
                           f"{grouped(program.prediction.cycles)}; "
                           f"{grouped(round(result.cycles_per_second))} cycles/s")
    return [str(difference) for difference in compare(program, model, codes, run)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the netlist of a preset."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("preset", nargs="?", default="tiny",
                        help=f"of {', '.join(PRESETS)} (default tiny)")
    options = parser.parse_args(arguments)
    steps = Terminal()
    try:
        config = preset(options.preset)
        os.nice(10)
        differences = check(config, ROOT / "build" / "netlist", steps)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for difference in differences:
        print(difference)
    steps.line("compare", "netlist ≠ numpy" if differences else "netlist = numpy in every layer")
    return int(bool(differences))


if __name__ == "__main__":
    sys.exit(main())
