"""The command line."""

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from .cli_build import build, ip, verilog
from .cli_formats import evaluate, explain, export, import_, inspect, quantize, widths
from .cli_options import (
    CLOCK,
    CONFIG,
    DATA,
    DRAM_OPTIONS,
    FORMAT_OPTIONS,
    FUSE,
    IMAGES,
    OUTPUT,
    OUTPUT_OPTIONS,
    PREPROCESS_OPTIONS,
    split_options,
    typed_command,
    with_options,
)
from .cli_output import DIFFERENT, INTERRUPTED, USAGE, open_terminal, print_json
from .cli_program import compile, diff, serial, simulate
from .errors import UsageError, VerificationError


__all__ = (
    "cli",
    "main",
)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors that a person can mend become one line and exit code 2."""
    try:
        words = sys.argv[1:] if arguments is None else arguments
        code = cli.main(words, prog_name="dynafix", standalone_mode=False,
                        obj=shlex.join(["dynafix", *words]))
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "dynafix"
        text = error.format_message()
        _exit(f"{text}{'' if text[-1:] in '.?' else '.'} See: {command} --help", USAGE)
    except (click.Abort, KeyboardInterrupt):
        _exit("interrupted", INTERRUPTED)
    except SystemExit as ended:  # by a signal, see hw.build.signals
        _exit("terminated", ended.code)
    except VerificationError as error:
        _exit(str(error), DIFFERENT)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(DIFFERENT)
    except OSError as error:
        what = f"{error.filename}: " if error.filename else ""
        _exit(f"{what}{error.strerror or error}", USAGE)
    except ValueError as error:
        if not _is_mendable(error):
            raise
        _exit(str(error), USAGE)
    sys.exit(code if isinstance(code, int) else 0)


def _is_mendable(error: ValueError) -> bool:
    """Tell the errors that packages raise for people from those that are our own mistakes."""
    from compiler.errors import CompileError
    from hw.build.errors import BuildError
    from quantizer.errors import ModelError
    from sim.errors import SimulationError

    return isinstance(
        error, (UsageError, ModelError, CompileError, BuildError, SimulationError))


def _exit(message: str, code: int) -> None:
    click.echo(f"error: {message}", err=True)
    sys.exit(code)


def _version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        from .versions import versions

        click.echo(f"dynafix {versions()['dynafix']}")
        context.exit()


@click.group(invoke_without_command=True, subcommand_metavar="COMMAND [ARGS]...",
             context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version,
              help="Show the version and exit.")
@click.pass_context
def cli(context: click.Context) -> None:
    """Make a trained CNN run, bit for bit, on a small FPGA.

    `dynafix run` does everything; the other commands are its steps, each starting from the files
    of the one before.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@cli.command(short_help="Quantize, compile, simulate and report MODEL.")
@click.argument("model")
@with_options(DATA, CONFIG, IMAGES, OUTPUT, FORMAT_OPTIONS, PREPROCESS_OPTIONS, DRAM_OPTIONS, CLOCK,
              FUSE, OUTPUT_OPTIONS)
def run(model: str, data: str, config: str, images: int, output: str, dram_latency: int,
        dram_bytes_per_cycle: float | None, clock: float, fuse: bool, quiet: bool, as_json: bool,
        **values: Any) -> None:
    """Quantize MODEL, compile it, simulate it and write the report."""
    from . import api
    from .options import Dram
    from .summary import show_results

    options, preprocess = split_options(values)
    dram = Dram(dram_latency, dram_bytes_per_cycle)
    terminal, steps = open_terminal(quiet, as_json)
    with terminal:
        found = api.run(
            model, data, output, config=config, images=images, options=options,
            preprocess=preprocess, dram=dram, clock_mhz=clock, fuse=fuse, command=typed_command(),
            steps=steps)
        if as_json:
            print_json(found)
        else:
            show_results(terminal, found, Path(output) / "report.html")


@cli.command(short_help="Write results.json and report.html.")
@click.argument("folder")
@with_options(CLOCK, OUTPUT_OPTIONS)
def report(folder: str, clock: float, quiet: bool, as_json: bool) -> None:
    """Write FOLDER/results.json and FOLDER/report.html of a simulated network."""
    from . import api
    from .summary import show_results

    terminal, steps = open_terminal(quiet, as_json)
    with terminal:
        found = api.report(folder, clock_mhz=clock, steps=steps)
        if as_json:
            print_json(found)
        else:
            show_results(terminal, found, Path(folder) / "report.html")


for command in (
        quantize, widths, import_, export, evaluate, inspect, explain, compile, simulate, serial,
        diff, verilog, ip, build):
    cli.add_command(command)
