"""The commands that make a program and run it."""

from pathlib import Path

import click

from .cli_options import (
    CONFIG,
    DRAM_OPTIONS,
    FUSE,
    IMAGES,
    MOVED_DATA,
    OUTPUT_OPTIONS,
    with_options,
)
from .cli_output import DIFFERENT, open_terminal, print_json


__all__ = (
    "compile",
    "diff",
    "serial",
    "simulate",
)


@click.command(short_help="Make the program of FOLDER's network.")
@click.argument("folder")
@with_options(
    CONFIG, DRAM_OPTIONS,
    click.option("--explain", is_flag=True,
                 help="Say for each layer what bounds it, and by how much."),
    click.option("--input-cycles", type=float, metavar="CYCLES",
                 help="Cycles that a byte of the input takes on its way into memory: then it is "
                      "laid out for few bytes. By default 0, or 500 for the accelerator of a "
                      "board, as on a serial line."),
    FUSE, OUTPUT_OPTIONS)
def compile(folder: str, config: str, dram_latency: int,
            dram_bytes_per_cycle: float | None, explain: bool, input_cycles: float | None,
            fuse: bool, quiet: bool, as_json: bool) -> None:
    """Make the program of FOLDER's network; writes FOLDER/program."""
    from compiler.bounds import bounds

    from . import api
    from .options import Dram
    from .summary import show_bounds, show_compiled

    dram = Dram(dram_latency, dram_bytes_per_cycle)
    terminal, steps = open_terminal(quiet, as_json)
    with terminal:
        program = api.compile(folder, config=config, dram=dram, fuse=fuse,
                              input_cycles=input_cycles, steps=steps)
        path = Path(folder) / "program"
        if as_json and explain:
            print_json({
                "cycles": program.prediction.cycles, "roofline_cycles": program.roofline_cycles,
                "layers": [bound.to_json() for bound in bounds(program)]})
        elif as_json:
            click.echo((path / "manifest.json").read_text())
        elif explain:
            show_bounds(terminal, program, path)
        else:
            show_compiled(terminal, program, path)


@click.command(short_help="Run FOLDER's program on the Verilog.")
@click.argument("folder")
@with_options(
    IMAGES,
    click.option("--image", type=int, metavar="I", help="Run this evaluation image only."),
    click.option("--layer", metavar="NAME", help="Layer that the waveform shows."),
    click.option("--waves", is_flag=True,
                 help="Write a waveform (FST) of the image; compiles a second model, "
                      "which takes minutes the first time."),
    MOVED_DATA, OUTPUT_OPTIONS)
def simulate(folder: str, images: int, image: int | None, layer: str | None, waves: bool,
             data: str | None, quiet: bool, as_json: bool) -> None:
    """Run FOLDER's program on the Verilog; numpy, onnxruntime and RTL must agree on every layer."""
    from . import api
    from .summary import show_simulated

    terminal, steps = open_terminal(quiet, as_json)
    with terminal:
        found = api.simulate(folder, images=images, image=image, layer=layer, waves=waves,
                             data=data, steps=steps)
        if as_json:
            print_json(found)
        else:
            show_simulated(terminal, found)


@click.command(short_help="Run FOLDER's program on a board.")
@click.argument("folder")
@click.argument("images", nargs=-1, metavar="[IMAGE]...")
@with_options(
    click.option("--port", required=True, metavar="NAME",
                 help="Serial port of the board, such as /dev/ttyUSB0, a URL of pyserial, or "
                      "'simulation' for the stand-alone design in Verilator, "
                      "'simulation-external' for the one with the SDRAM of ULX3S."),
    click.option("--baud", type=click.IntRange(1), metavar="N",
                 help="Bits in a second of the board's serial line; 1000000 by default."),
    click.option("--load", is_flag=True,
                 help="Send program and weights even if the board holds them."),
    MOVED_DATA, OUTPUT_OPTIONS)
def serial(folder: str, images: tuple[str, ...], port: str, baud: int | None, load: bool,
           data: str | None, quiet: bool, as_json: bool) -> None:
    """Run FOLDER's program on a board, and print the class of each IMAGE.

    An IMAGE is a picture, or the number of an evaluation image. Without any, program and weights
    are sent only.
    """
    from . import api
    from .summary import show_board

    terminal, steps = open_terminal(quiet, as_json)
    with terminal:
        found = api.serial(folder, images, port=port, baud=baud, load=load, data=data, steps=steps)
        if as_json:
            print_json(found)
        else:
            show_board(terminal, found)


@click.command(short_help="Show where the engines first differ on FOLDER's program.")
@click.argument("folder", metavar="RUN")
@with_options(
    click.option("--image", default=0, show_default=True, metavar="I",
                 help="Evaluation image to run."),
    click.option("--verilog", metavar="FILE",
                 help="Verilog of the accelerator; that of the program's config by default."),
    MOVED_DATA, OUTPUT_OPTIONS)
def diff(folder: str, image: int, verilog: str | None, data: str | None, quiet: bool,
         as_json: bool) -> int:
    """Name the first layer, tile and position where an engine differs from numpy.

    RUN is an output folder. The engines are onnxruntime, the program's instructions executed in
    order, and the Verilog. Exit code 1 if one differs.
    """
    from . import api
    from .summary import show_difference

    terminal, steps = open_terminal(quiet, as_json)
    with terminal:
        found = api.diff(folder, image=image, verilog=verilog, data=data, steps=steps)
        if as_json:
            print_json(found)
        else:
            show_difference(terminal, found)
    return 0 if found["equal"] else DIFFERENT
