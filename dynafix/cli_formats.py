"""The commands that choose formats, and show and move what they made."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import click

from .cli_options import (
    CONFIG,
    DATA,
    DRAM_OPTIONS,
    FORMAT_OPTIONS,
    MOVED_DATA,
    OUTPUT,
    OUTPUT_OPTIONS,
    PREPROCESS_OPTIONS,
    numbers,
    split_options,
    typed_command,
    with_options,
)
from .cli_output import USAGE, open_terminal, print_json


__all__ = (
    "evaluate",
    "explain",
    "export",
    "import_",
    "inspect",
    "quantize",
    "widths",
)


def _print_quantized(found: Any) -> None:
    print_json({
        **found.evaluation, "provenance": found.provenance,
        "formats": {name: fmt.to_json() for name, fmt in found.model.formats.items()}})


def _finite(value: Any) -> Any:
    """Return a value in which numbers that JSON does not know are ``None``."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@click.command(short_help="Choose the formats of MODEL.")
@click.argument("model")
@with_options(DATA, OUTPUT, FORMAT_OPTIONS, PREPROCESS_OPTIONS, OUTPUT_OPTIONS)
def quantize(model: str, data: str, output: str, quiet: bool, as_json: bool,
             **values: Any) -> None:
    """Choose the formats of MODEL; writes FOLDER/quantized."""
    from . import api
    from .summary import show_quantized

    options, preprocess = split_options(values)
    terminal, steps = open_terminal(quiet, as_json)
    with terminal:
        found = api.quantize(model, data, output, options=options, preprocess=preprocess,
                             command=typed_command(), steps=steps)
        if as_json:
            _print_quantized(found)
        else:
            show_quantized(terminal, found)


@click.command(short_help="Choose a width for each layer of MODEL.")
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
    FOLDER/pareto.csv and FOLDER/pareto.png. Data keeps the widths of --data-bits and --width:
    maps take whole bytes, so that narrower ones would save nothing.
    """
    from . import api
    from .options import Dram
    from .summary import show_widths

    chosen, preprocess = split_options(values)
    terminal, steps = open_terminal(quiet, as_json)
    with terminal:
        found = api.choose_widths(
            model, data, output, budget=budget, config=config, options=chosen, images=images,
            dram=Dram(dram_latency, dram_bytes_per_cycle), narrower=narrower,
            preprocess=preprocess, steps=steps)
        if as_json:
            print_json(found)
        else:
            show_widths(terminal, found, Path(output))


@click.command("import", short_help="Take MODEL, which is quantized already.")
@click.argument("model")
@with_options(DATA, OUTPUT, PREPROCESS_OPTIONS, OUTPUT_OPTIONS)
def import_(model: str, data: str, output: str, quiet: bool, as_json: bool,
            **preprocess: Any) -> None:
    """Take MODEL, quantized already, as QDQ or QONNX, bit for bit; writes FOLDER/quantized.

    Scales must be powers of two and zero points 0. What cannot be kept exactly is refused.
    """
    from . import api
    from .summary import show_quantized

    terminal, steps = open_terminal(quiet, as_json)
    with terminal:
        found = api.import_model(model, data, output, preprocess=preprocess,
                                 command=typed_command(), steps=steps)
        if as_json:
            _print_quantized(found)
        else:
            show_quantized(terminal, found)


@click.command(short_help="Write FOLDER's network for other tools.")
@click.argument("folder")
@with_options(
    click.option("--format", "form", default="qdq", show_default=True, metavar="qdq|qonnx",
                 help="QuantizeLinear and DequantizeLinear, or the Quant nodes of QONNX."),
    click.option("--output", required=True, metavar="FILE", help="The ONNX file."),
    OUTPUT_OPTIONS)
def export(folder: str, form: str, output: str, quiet: bool, as_json: bool) -> None:
    """Write FOLDER's quantized network as one ONNX file."""
    from . import api

    terminal, steps = open_terminal(quiet, as_json)
    with terminal:
        path = api.export(folder, output, form=form, steps=steps)
        if as_json:
            print_json({"file": str(path)})
        else:
            terminal.summary("written", str(path))


@click.command(short_help="Measure what FOLDER's network loses against float.")
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

    terminal, steps = open_terminal(quiet, as_json)
    with terminal:
        found = api.evaluate(folder, data=data, images=images, steps=steps)
        if as_json:
            print_json(found)
        else:
            show_evaluated(terminal, found, Path(folder) / EVALUATED)


@click.command(short_help="Show where each node of MODEL runs.")
@click.argument("model")
@OUTPUT_OPTIONS
def inspect(model: str, quiet: bool, as_json: bool) -> int:
    """Show where each node of MODEL runs, or why it cannot; exit code 2 if one cannot."""
    from . import api
    from .summary import show_inspection

    terminal, _ = open_terminal(quiet, as_json)
    with terminal:
        nodes = api.inspect(model)
        if as_json:
            print_json([dataclasses.asdict(node) for node in nodes])
        else:
            show_inspection(terminal, nodes)
    return 0 if all(node.supported for node in nodes) else USAGE


@click.command(short_help="Say why a LAYER has its formats.")
@click.argument("folder")
@click.argument("layer")
@with_options(MOVED_DATA, OUTPUT_OPTIONS)
def explain(folder: str, layer: str, data: str | None, quiet: bool, as_json: bool) -> None:
    """Say why the formats of a LAYER of FOLDER's network were chosen."""
    from . import api
    from .summary import show_explanation

    terminal, steps = open_terminal(quiet, as_json)
    with terminal:
        found = api.explain(folder, layer, data=data, steps=steps)
        if as_json:
            print_json(_finite(found.to_json()))
        else:
            show_explanation(terminal, found)
