"""Run one image of LeNet-5 on the netlist that goes to place and route, and compare.

Synthesizes the whole accelerator for ECP5 with Yosys, and simulates what it wrote: look-up tables,
carries, registers and distributed RAM by Yosys' models of them, multipliers and block RAM by ours.
Every code of every layer must be that of numpy. Needs ``yosys`` on the path, or the extra
``[synth]``. Minutes the first time; netlists are kept in ``build/netlist``.

With ``--board`` it is the whole design of a board, which holds the network: reset, serial line and
pins included, by way of which the image comes, bit by bit, and the result goes, which must be that
of numpy. The model of the PLL only locks: the simulation gives the pin the clock that it makes.

The exit code is 1 when a value differs, 2 when the netlist cannot be made or run.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from arch.boards import BOARD_PRESETS, LINK_CYCLES
from arch.config import PRESETS, AcceleratorConfig, preset
from compiler import compile_model
from compiler.program import Program
from dynafix.api.tops import STANDALONE, TOPS
from dynafix.serial import DEFAULT_BAUD, Board
from dynafix.terminal import Terminal
from dynafix.text import grouped
from hw import MODULE_NAME, verilog
from hw.build.board_top import RESET_TIME
from hw.build.boards import BOARDS, board
from hw.build.cache import digest, kept
from hw.build.clock import clocked_board
from hw.build.devices import ECP5
from hw.build.flow import TOP
from hw.build.run import write_netlist
from hw.build.tools import Processes, find_tools, tool_version
from quantizer import QuantizedModel, load_graph, quantize, quantize_input
from quantizer.execute import execute
from sim.compare import compare
from sim.netlist import netlist_verilog
from sim.serial import SimulatedPort, build_pins
from sim.simulate import simulate


__all__ = (
    "FAMILY",
    "check",
    "check_board",
    "main",
    "netlist",
)


ROOT = Path(__file__).resolve().parents[1]
MODELS = ROOT / "dynafix" / "models"

FAMILY = "ecp5"

_NETLIST, _CELLS = "netlist.v", "cells.v"

_YOSYS_CELLS = f"tee -q -o {_CELLS} read_verilog -lib -ppdump -DNO_INCLUDES +/ecp5/cells_sim.v"

# Names of the design can clash with those that Yosys makes up, so they are hidden.
_SCRIPT = (
    f"read_verilog accelerator.v; hierarchy -top {MODULE_NAME}; proc; flatten; rename -hide; "
    f"synth_ecp5 -top {MODULE_NAME}; write_verilog -noattr {_NETLIST}")


def _run_yosys(script: str, file: str, folder: Path, **inputs: str) -> str:
    """Return a file that a script of Yosys writes, or an earlier run of the same wrote."""
    yosys = find_tools(["yosys"])["yosys"]
    entry = folder / digest(inputs, script, tool_version("yosys", yosys))

    def make(work: Path) -> None:
        for name, text in inputs.items():
            (work / f"{name}.v").write_text(text, "utf-8")
        with Processes() as processes:
            processes.run("yosys", [*yosys, "-p", script], folder=work, log=folder / "yosys.log")

    folder.mkdir(parents=True, exist_ok=True)
    kept(entry, file, make)
    return (entry / file).read_text("utf-8")


def netlist(config: AcceleratorConfig, folder: Path, steps: Terminal) -> str:
    """Synthesize, or take what an earlier run of the same gave; return what Verilator builds.

    Raises
    ------
    BuildError
        If there is no Yosys, or it fails.
    """
    with steps.busy("synthesize", f"{config.name} for {FAMILY}"):
        text = _run_yosys(_SCRIPT, _NETLIST, folder, accelerator=verilog(config, FAMILY))
    return netlist_verilog(text, cells=_run_yosys(_YOSYS_CELLS, _CELLS, folder))


def _lenet(
    config: AcceleratorConfig, weight_bits: int, input_cycles: float = 0
) -> tuple[QuantizedModel, Program, NDArray]:
    """Return the shipped network, its program, and the codes of an image, (c, h, w)."""
    data = np.load(MODELS / "mnist_1000.npz")
    images = data["calib_x"][:64, None].astype(np.float32) / 255
    model = quantize(load_graph(MODELS / "lenet5_mnist.onnx"), images, weight_bits=weight_bits)
    codes = quantize_input(model, data["eval_x"][:1, None].astype(np.float32) / 255)[0]
    return model, compile_model(model, config, input_cycles=input_cycles), codes


def check(config: AcceleratorConfig, folder: Path, steps: Terminal) -> list[str]:
    """Return in sentences where the accelerator differs from numpy, in any layer."""
    text = netlist(config, folder, steps)
    model, program, codes = _lenet(config, 8)
    with steps.busy("simulate", "one image on the netlist"):
        result = simulate(program, [program.input_layout.pack(codes)], verilog=text)
    run = result.images[0]
    steps.line("simulate", f"{grouped(run.cycles)} cycles, predicted "
                           f"{grouped(program.prediction.cycles)}; "
                           f"{grouped(round(result.cycles_per_second))} cycles/s")
    return [str(difference) for difference in compare(program, model, codes, run)]


def check_board(name: str, folder: Path, steps: Terminal, weight_bits: int = 4) -> list[str]:
    """Return in sentences where the design of a board differs from numpy, in the result.

    The netlist is the one that ``dynafix build`` places and routes, pins, reset, memory with the
    network and serial line included.

    Parameters
    ----------
    name : str
        Board with an ECP5, for which there is a preset.
    folder : Path
        Where netlists are kept.
    steps : Terminal
        Is told the progress.
    weight_bits : int
        Width of the network's weights.

    Raises
    ------
    ValueError
        If there is no such board, or a tool is missing or fails.
    """
    chosen = board(name)
    if chosen.device.technology is not ECP5 or name not in BOARD_PRESETS:
        known = [each for each in BOARD_PRESETS if BOARDS[each].device.technology is ECP5]
        raise ValueError(f"Board must be one of {', '.join(known)}, not {name!r}")
    model, program, codes = _lenet(BOARD_PRESETS[name], weight_bits, LINK_CYCLES)
    clocked = clocked_board(chosen)
    clock = round(clocked.frequency * 1_000_000)
    divisor = round(clock / DEFAULT_BAUD)
    file = folder / f"{name}.v"
    folder.mkdir(parents=True, exist_ok=True)
    with steps.busy("synthesize", f"{program.config.name} for {chosen.title}"):
        write_netlist(lambda: TOPS[STANDALONE].make(program, clocked, divisor), clocked, file,
                      lanes=program.config.out_lanes)
        text = netlist_verilog(file.read_text("utf-8"),
                               cells=_run_yosys(_YOSYS_CELLS, _CELLS, folder))
    with steps.busy("verilate", "the netlist"):
        build = build_pins(text, TOP, clock=f"{chosen.clock}_0__io", receive="uart_0__rx__io",
                           transmit="uart_0__tx__io")
    with (steps.busy("simulate", "one image over the serial line of the netlist"),
          SimulatedPort(build, divisor=divisor, clock=clock) as port):
        port.hold(1, 2 * math.ceil(clocked.frequency * RESET_TIME))
        link = Board(port, now=port.seconds)
        if link.load(program):
            return ["the memory of the netlist holds another network"]
        run = link.run(codes)
        steps.line("simulate", f"{grouped(run.cycles)} cycles of the accelerator, predicted "
                               f"{grouped(program.prediction.cycles)}; {grouped(port.cycles)} in "
                               f"all, of {divisor} a bit; {link.repeated} requests repeated")
    expected = execute(model, codes[None])[program.output_name][0]
    return [] if np.array_equal(run.output, expected) else [
        f"the result is {run.output.ravel().tolist()}, not {expected.ravel().tolist()}"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the netlist of a preset or a board."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("preset", nargs="?", default="tiny",
                        help=f"of {', '.join(PRESETS)} (default tiny)")
    parser.add_argument("--board", metavar="NAME",
                        help="the whole design of a board instead, with 4-bit weights: "
                             "colorlight-i5, ulx3s or ecpix5")
    options = parser.parse_args(arguments)
    folder = ROOT / "build" / "netlist"
    steps = Terminal()
    try:
        if options.board:
            differences = check_board(options.board, folder, steps)
        else:
            differences = check(preset(options.preset), folder, steps)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for difference in differences:
        print(difference)
    where = "over the serial line" if options.board else "in every layer"
    steps.line("compare", "netlist ≠ numpy" if differences else f"netlist = numpy {where}")
    return int(bool(differences))


if __name__ == "__main__":
    sys.exit(main())
