"""The command line."""

import dataclasses
import json
import math
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from .cli_options import (
    CLOCK,
    CONFIG,
    DATA,
    DRAM_OPTIONS,
    FORMAT_OPTIONS,
    FUSE,
    IMAGES,
    MOVED_DATA,
    OUTPUT,
    OUTPUT_OPTIONS,
    PREPROCESS_OPTIONS,
    numbers,
    with_options,
)
from .errors import UsageError, VerificationError


__all__ = (
    "cli",
    "main",
)


DIFFERENT, USAGE, INTERRUPTED = 1, 2, 130


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
    from quantizer.errors import ModelError
    from sim.errors import SimulationError

    return isinstance(error, (UsageError, ModelError, CompileError, SimulationError))


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


def _terminal(quiet: bool, as_json: bool) -> Any:
    from .steps import Steps
    from .terminal import Terminal

    terminal = Terminal(quiet=quiet)
    return terminal, (Steps() if as_json else terminal)


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))


def _print_quantized(found: Any) -> None:
    _print_json({
        **found.evaluation, "provenance": found.provenance,
        "formats": {name: fmt.to_json() for name, fmt in found.model.formats.items()}})


def _finite(value: Any) -> Any:
    """Return a value in which numbers that JSON does not know are ``None``."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _typed() -> str:
    """Return the command as the person typed it."""
    return click.get_current_context().obj


def _split(values: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return format options and preprocessing options."""
    from .options import Options

    names = [field.name for field in dataclasses.fields(Options)]
    options = Options(**{name: values[name] for name in names})
    return options, {name: value for name, value in values.items() if name not in names}


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

    options, preprocess = _split(values)
    dram = Dram(dram_latency, dram_bytes_per_cycle)
    terminal, steps = _terminal(quiet, as_json)
    with terminal:
        found = api.run(
            model, data, output, config=config, images=images, options=options,
            preprocess=preprocess, dram=dram, clock_mhz=clock, fuse=fuse, command=_typed(),
            steps=steps)
        if as_json:
            _print_json(found)
        else:
            show_results(terminal, found, Path(output) / "report.html")


@cli.command(short_help="Choose the formats of MODEL.")
@click.argument("model")
@with_options(DATA, OUTPUT, FORMAT_OPTIONS, PREPROCESS_OPTIONS, OUTPUT_OPTIONS)
def quantize(model: str, data: str, output: str, quiet: bool, as_json: bool,
             **values: Any) -> None:
    """Choose the formats of MODEL; writes FOLDER/quantized."""
    from . import api
    from .summary import show_quantized

    options, preprocess = _split(values)
    terminal, steps = _terminal(quiet, as_json)
    with terminal:
        found = api.quantize(model, data, output, options=options, preprocess=preprocess,
                             command=_typed(), steps=steps)
        if as_json:
            _print_quantized(found)
        else:
            show_quantized(terminal, found)


@cli.command(short_help="Choose a width for each layer of MODEL.")
@click.argument("model")
@with_options(
    DATA, OUTPUT,
    click.option("--budget", required=True, metavar="cycles|bytes|size=N|N%",
                 help="The most that the network may cost: cycles or bytes of DRAM traffic an "
                      "image, or bytes of weights; N% is a share of what the widest weights take."),
    click.option("--narrower", callback=numbers, default="2,3,4,5,6", show_default=True,
                 metavar="BITS,...", help="Widths to choose from, besides --weight-bits."),
    click.option("--images", default=16, show_default=True, metavar="N",
                 help="Calibration images to measure losses with."),
    CONFIG, DRAM_OPTIONS, FORMAT_OPTIONS, PREPROCESS_OPTIONS, OUTPUT_OPTIONS)
def widths(model: str, data: str, output: str, budget: str, narrower: list[float], images: int,
           config: str, dram_latency: int, dram_bytes_per_cycle: float | None, quiet: bool,
           as_json: bool, **values: Any) -> None:
    """Choose a width for each layer's weights, for the least loss within a budget.

    Writes FOLDER/widths.json for `dynafix quantize --width`, and the Pareto front as
    FOLDER/pareto.csv and FOLDER/pareto.png.
    """
    from . import api
    from .options import Dram
    from .summary import show_widths

    chosen, preprocess = _split(values)
    terminal, steps = _terminal(quiet, as_json)
    with terminal:
        found = api.choose_widths(
            model, data, output, budget=budget, config=config, options=chosen, images=images,
            dram=Dram(dram_latency, dram_bytes_per_cycle), narrower=narrower,
            preprocess=preprocess, steps=steps)
        if as_json:
            _print_json(found)
        else:
            show_widths(terminal, found, Path(output))


@cli.command("import", short_help="Take MODEL, which is quantized already.")
@click.argument("model")
@with_options(DATA, OUTPUT, PREPROCESS_OPTIONS, OUTPUT_OPTIONS)
def import_(model: str, data: str, output: str, quiet: bool, as_json: bool,
            **preprocess: Any) -> None:
    """Take MODEL, quantized already, as QDQ or QONNX, bit for bit; writes FOLDER/quantized.

    Scales must be powers of two and zero points 0. What cannot be kept exactly is refused.
    """
    from . import api
    from .summary import show_quantized

    terminal, steps = _terminal(quiet, as_json)
    with terminal:
        found = api.import_model(model, data, output, preprocess=preprocess, command=_typed(),
                                 steps=steps)
        if as_json:
            _print_quantized(found)
        else:
            show_quantized(terminal, found)


@cli.command(short_help="Write FOLDER's network for other tools.")
@click.argument("folder")
@with_options(
    click.option("--format", "form", default="qdq", show_default=True, metavar="qdq|qonnx",
                 help="QuantizeLinear and DequantizeLinear, or the Quant nodes of QONNX."),
    click.option("--output", required=True, metavar="FILE", help="The ONNX file."),
    OUTPUT_OPTIONS)
def export(folder: str, form: str, output: str, quiet: bool, as_json: bool) -> None:
    """Write FOLDER's quantized network as one ONNX file."""
    from . import api

    terminal, steps = _terminal(quiet, as_json)
    with terminal:
        path = api.export(folder, output, form=form, steps=steps)
        if as_json:
            _print_json({"file": str(path)})
        else:
            terminal.summary("written", str(path))


@cli.command(short_help="Measure what FOLDER's network loses against float.")
@click.argument("folder")
@with_options(
    click.option("--data", metavar="FILE|FOLDER",
                 help="Images: an .npz file with eval_x and eval_y, or a folder with one folder of "
                      "pictures a class; by default those given to quantize."),
    click.option("--images", type=int, metavar="N", help="Take the first N images only."),
    OUTPUT_OPTIONS)
def evaluate(folder: str, data: str | None, images: int | None, quiet: bool,
             as_json: bool) -> None:
    """Measure what FOLDER's network loses against float; writes FOLDER/evaluation/results.json.

    Integers in eval_y are labels: top-1, top-5 and agreement with float are shown. Floating point
    numbers are what the network should return: the mean square error is shown.
    """
    from . import api
    from .api.quantized import EVALUATED
    from .summary import show_evaluated

    terminal, steps = _terminal(quiet, as_json)
    with terminal:
        found = api.evaluate(folder, data=data, images=images, steps=steps)
        if as_json:
            _print_json(found)
        else:
            show_evaluated(terminal, found, Path(folder) / EVALUATED)


@cli.command(short_help="Make the program of FOLDER's network.")
@click.argument("folder")
@with_options(
    CONFIG, DRAM_OPTIONS,
    click.option("--explain", is_flag=True,
                 help="Say for each layer what bounds it, and by how much."),
    FUSE, OUTPUT_OPTIONS)
def compile(folder: str, config: str, dram_latency: int,
            dram_bytes_per_cycle: float | None, explain: bool, fuse: bool, quiet: bool,
            as_json: bool) -> None:
    """Make the program of FOLDER's network; writes FOLDER/program."""
    from compiler.bounds import bounds

    from . import api
    from .options import Dram
    from .summary import show_bounds, show_compiled

    dram = Dram(dram_latency, dram_bytes_per_cycle)
    terminal, steps = _terminal(quiet, as_json)
    with terminal:
        program = api.compile(folder, config=config, dram=dram, fuse=fuse, steps=steps)
        path = Path(folder) / "program"
        if as_json and explain:
            _print_json({
                "cycles": program.prediction.cycles, "roofline_cycles": program.roofline_cycles,
                "layers": [bound.to_json() for bound in bounds(program)]})
        elif as_json:
            click.echo((path / "manifest.json").read_text())
        elif explain:
            show_bounds(terminal, program, path)
        else:
            show_compiled(terminal, program, path)


@cli.command(short_help="Write the Verilog of an accelerator.")
@click.argument("folder", required=False)
@with_options(
    click.option("--config", metavar="PRESET|FILE",
                 help="Accelerator; that of FOLDER's program by default."),
    click.option("--output", metavar="FOLDER", help="Folder for the result; FOLDER by default."),
    OUTPUT_OPTIONS)
def verilog(folder: str | None, config: str | None, output: str | None, quiet: bool,
            as_json: bool) -> None:
    """Write the Verilog of an accelerator; writes FOLDER/verilog/accelerator.v."""
    from . import api

    if folder is None and output is None:
        raise UsageError("verilog needs FOLDER, or --config and --output")
    terminal, steps = _terminal(quiet, as_json)
    with terminal:
        path = api.verilog(output if folder is None else folder, output=output, config=config,
                           steps=steps)
        if as_json:
            _print_json({"file": str(path)})
        else:
            terminal.summary("written", str(path))


@cli.command(short_help="Write FOLDER's accelerator as IP for a system on chip.")
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

    terminal, steps = _terminal(quiet, as_json)
    with terminal:
        path = api.ip(folder, output=output, config=config, clock_mhz=clock, steps=steps)
        if as_json:
            _print_json({"folder": str(path)})
        else:
            terminal.summary("written", str(path))


@cli.command(short_help="Run FOLDER's program on the Verilog.")
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

    terminal, steps = _terminal(quiet, as_json)
    with terminal:
        found = api.simulate(folder, images=images, image=image, layer=layer, waves=waves,
                             data=data, steps=steps)
        if as_json:
            _print_json(found)
        else:
            show_simulated(terminal, found)


@cli.command(short_help="Run FOLDER's program on a board.")
@click.argument("folder")
@click.argument("images", nargs=-1, metavar="[IMAGE]...")
@with_options(
    click.option("--port", required=True, metavar="NAME",
                 help="Serial port of the board, such as /dev/ttyUSB0, a URL of pyserial, or "
                      "'simulation' for the stand-alone design in Verilator."),
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

    terminal, steps = _terminal(quiet, as_json)
    with terminal:
        found = api.serial(folder, images, port=port, baud=baud, load=load, data=data, steps=steps)
        if as_json:
            _print_json(found)
        else:
            show_board(terminal, found)


@cli.command(short_help="Show where the engines first differ on FOLDER's program.")
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

    terminal, steps = _terminal(quiet, as_json)
    with terminal:
        found = api.diff(folder, image=image, verilog=verilog, data=data, steps=steps)
        if as_json:
            _print_json(found)
        else:
            show_difference(terminal, found)
    return 0 if found["equal"] else DIFFERENT


@cli.command(short_help="Write results.json and report.html.")
@click.argument("folder")
@with_options(CLOCK, OUTPUT_OPTIONS)
def report(folder: str, clock: float, quiet: bool, as_json: bool) -> None:
    """Write FOLDER/results.json and FOLDER/report.html of a simulated network."""
    from . import api
    from .summary import show_results

    terminal, steps = _terminal(quiet, as_json)
    with terminal:
        found = api.report(folder, clock_mhz=clock, steps=steps)
        if as_json:
            _print_json(found)
        else:
            show_results(terminal, found, Path(folder) / "report.html")


@cli.command(short_help="Show where each node of MODEL runs.")
@click.argument("model")
@OUTPUT_OPTIONS
def inspect(model: str, quiet: bool, as_json: bool) -> int:
    """Show where each node of MODEL runs, or why it cannot; exit code 2 if one cannot."""
    from . import api
    from .summary import show_inspection

    terminal, _ = _terminal(quiet, as_json)
    with terminal:
        nodes = api.inspect(model)
        if as_json:
            _print_json([dataclasses.asdict(node) for node in nodes])
        else:
            show_inspection(terminal, nodes)
    return 0 if all(node.supported for node in nodes) else USAGE


@cli.command(short_help="Say why a LAYER has its formats.")
@click.argument("folder")
@click.argument("layer")
@with_options(MOVED_DATA, OUTPUT_OPTIONS)
def explain(folder: str, layer: str, data: str | None, quiet: bool, as_json: bool) -> None:
    """Say why the formats of a LAYER of FOLDER's network were chosen."""
    from . import api
    from .summary import show_explanation

    terminal, steps = _terminal(quiet, as_json)
    with terminal:
        found = api.explain(folder, layer, data=data, steps=steps)
        if as_json:
            _print_json(_finite(found.to_json()))
        else:
            show_explanation(terminal, found)
