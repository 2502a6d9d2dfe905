"""The commands that write hardware: Verilog, IP, bitstreams."""

from pathlib import Path

import click

from .cli_options import OUTPUT_OPTIONS, with_options
from .cli_output import open_terminal, print_json
from .errors import UsageError


__all__ = (
    "build",
    "ip",
    "verilog",
)


@click.command(short_help="Make the file that configures a board with FOLDER's network.")
@click.argument("folder")
@with_options(
    click.option("--board", required=True, metavar="NAME",
                 help="ulx3s, colorlight-i5, ecpix5, icebreaker, tang-nano-9k or tang-nano-20k."),
    click.option("--top", metavar="NAME",
                 help="What stands around the accelerator: standalone holds the network in memory "
                      "on chip, external in the board's SDRAM. By default standalone, or external "
                      "where the network does not fit on the chip."),
    click.option("--freq", type=float, metavar="MHZ",
                 help="Clock of the design; one that suits the board by default. The PLL makes the "
                      "fastest that is not above."),
    click.option("--seeds", default=1, show_default=True, metavar="N",
                 help="Placements to try, as many at a time as there are processors."),
    click.option("--baud", type=int, metavar="N",
                 help="Speed of the serial line, in bits a second; 1000000 by default."),
    click.option("--output", metavar="FOLDER", help="Folder for the result; FOLDER by default."),
    click.option("--force", is_flag=True, help="Write the file even if the clock is not met."),
    OUTPUT_OPTIONS)
def build(folder: str, board: str, top: str | None, freq: float | None, seeds: int,
          baud: int | None, output: str | None, force: bool, quiet: bool, as_json: bool) -> None:
    """Make the file that configures a board; writes FOLDER/bitstream/BOARD-TOP.

    Synthesis, placement and routing take minutes; what was done before is kept. Needs yosys,
    nextpnr and the packer of the board's family, on PATH or from PyPI (the extra [synth]).
    """
    from . import api
    from .summary_build import show_built

    terminal, steps = open_terminal(quiet, as_json)
    with terminal:
        found = api.build(folder, board=board, top=top, freq=freq, seeds=seeds, baud=baud,
                          output=output, force=force, steps=steps)
        if as_json:
            print_json(found)
        else:
            show_built(terminal, found, Path(folder if output is None else output))


@click.command(short_help="Write the Verilog of an accelerator.")
@click.argument("folder", required=False)
@with_options(
    click.option("--config", metavar="PRESET|FILE",
                 help="Accelerator; that of FOLDER's program by default."),
    click.option("--family", default="generic", show_default=True, metavar="NAME",
                 help="Cells that it is made of: ecp5, ice40, gowin or xilinx7; generic leaves "
                      "finding them to synthesis."),
    click.option("--output", metavar="FOLDER", help="Folder for the result; FOLDER by default."),
    OUTPUT_OPTIONS)
def verilog(folder: str | None, config: str | None, family: str, output: str | None, quiet: bool,
            as_json: bool) -> None:
    """Write the Verilog of an accelerator; writes FOLDER/verilog/accelerator.v.

    With --family, multipliers and memories are the cells of a device family with the registers
    that these have inside. The ports, the latency and the results are the same for all.
    """
    from . import api

    if folder is None and output is None:
        raise UsageError("verilog needs FOLDER, or --config and --output")
    terminal, steps = open_terminal(quiet, as_json)
    with terminal:
        path = api.verilog(output if folder is None else folder, output=output, config=config,
                           family=family, steps=steps)
        if as_json:
            print_json({"file": str(path)})
        else:
            terminal.summary("written", str(path))


@click.command(short_help="Write FOLDER's accelerator as IP for a system on chip.")
@click.argument("folder", required=False)
@with_options(
    click.option("--config", metavar="PRESET|FILE",
                 help="Accelerator, where there is no FOLDER with a program."),
    click.option("--output", metavar="FOLDER", help="Folder for the result; FOLDER by default."),
    click.option("--clock", default=100.0, show_default=True, metavar="MHZ",
                 help="Clock that the packaged IP names; a design may connect another."),
    OUTPUT_OPTIONS)
def ip(folder: str | None, config: str | None, output: str | None, clock: float, quiet: bool,
       as_json: bool) -> None:
    """Write FOLDER's accelerator as IP for a system on chip; writes FOLDER/ip.

    That is Verilog with the port names that Vivado infers AXI from, a script that packages it, the
    program's images for memories of FPGA tools, and drivers in C and, for PYNQ, in Python. Without
    FOLDER, for a config, there is no program and nothing of a network.
    """
    from . import api

    terminal, steps = open_terminal(quiet, as_json)
    with terminal:
        path = api.ip(folder, output=output, config=config, clock_mhz=clock, steps=steps)
        if as_json:
            print_json({"folder": str(path)})
        else:
            terminal.summary("written", str(path))
