"""What the search of formats starts from: network, images, and what the person chose."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arch.formats import Format
from quantizer.errors import ModelError
from quantizer.graph import Conv, Graph
from quantizer.model import Limits, QuantizedModel

from ..data import Dataset, load_data
from ..errors import UsageError
from ..files import model_file, named
from ..options import Options
from ..preprocess import Preprocess, resolve
from ..steps import Steps
from ..text import grouped


__all__ = (
    "Prepared",
    "prepare",
    "search_formats",
    "widths_of",
)


STAGES = {"weights": "weights", "data": "formats"}


@dataclass(frozen=True)
class Prepared:
    """All that a search needs, checked.

    Parameters
    ----------
    path : Path
        ONNX file.
    graph : Graph
        The float network.
    images : Dataset
        Images.
    rule : Preprocess
        How an image becomes an input.
    options : Options
        What the person chose; its widths are read and checked.
    overrides : mapping from name to Format, or None
        Formats that are not searched.
    """

    path: Path
    graph: Graph
    images: Dataset
    rule: Preprocess
    options: Options
    overrides: Mapping[str, Format] | None

    def describe(self) -> str:
        """Return size and input of the network, for the terminal."""
        graph = self.graph
        macs = sum(graph.macs(node) for node in graph)
        convs = [node for node in graph if isinstance(node, Conv)]
        parameters = sum(
            node.weight.size + node.bias.size * bool(node.bias.any()) for node in convs)
        operators = len({source for node in graph for source in node.sources}) or len(graph.nodes)
        dims = "×".join(map(str, graph.input_dims))
        return (f"{self.path.name}: {operators} operators, {macs / 1e6:.2f} M MAC, "
                f"{grouped(parameters)} parameters; input {dims}, {self.rule}")

    def calibration(self, steps: Steps) -> NDArray[np.float32]:
        """Return the calibration images as inputs, (n, *input_dims).

        Raises
        ------
        UsageError
            If they cannot be read, or all their numbers are the same.
        """
        part, batches = self.images.calibration, []
        for start in range(0, len(part), 16):
            steps.progress("read", start, len(part), "calibration images")
            indices = range(start, min(start + 16, len(part)))
            batches.append(
                self.rule.apply(part.read(indices), self.graph.input_dims, part.name))
        steps.progress("read", len(part), len(part), "calibration images")
        inputs = np.concatenate(batches)
        if inputs.min() == inputs.max():
            raise UsageError(f"{part.name}: calibration images must differ from a single color, "
                             f"or no range can be chosen; all numbers of all {len(part)} are "
                             f"{inputs.min():g}. Give images like those that the network will see")
        return inputs


def prepare(model: str | Path, data: str | Path, options: Options,
            preprocess: Mapping[str, Any], steps: Steps) -> Prepared:
    """Open network and images, and check what was chosen against them.

    Raises
    ------
    ValueError
        If the model, the images or an option cannot be used.
    """
    from quantizer.onnx_import import load_graph

    path = model_file(model)
    with steps.busy("import", path.name):
        graph = load_graph(path)
    overrides = _overrides(graph, options.formats)
    options = replace(options, widths=_widths(graph, options.widths, overrides))
    images = load_data(data, calibration=options.calibration)
    rule = resolve(graph.metadata.get("preprocess"), preprocess, images, graph.input_dims,
                   model=str(path))
    return Prepared(path, graph, images, rule, options, overrides)


def search_formats(
    prepared: Prepared, calibration: NDArray[np.float32], limits: Limits | None, steps: Steps,
    step: tuple[str, str] | None = None,
) -> QuantizedModel:
    """Search the formats of a network.

    Parameters
    ----------
    prepared : Prepared
        Network and options.
    calibration : float32 (n, *input_dims)
        Calibration images.
    limits : Limits or None
        What the accelerator can align and accumulate.
    steps : Steps
        Is told the progress.
    step : (str, str), optional
        Name and note of the only step to show, where the search is not the main one.
    """
    from quantizer.search import quantize as search

    options = prepared.options

    def progress(stage: str, done: int, total: int) -> None:
        unit = "steps" if options.precision == "static" and stage == "data" else "layers"
        if step is None:
            note = f"greedy against float ({options.ranges})" if stage == "data" else ""
            steps.progress(STAGES.get(stage, stage), done, total, unit, note)
        elif stage == "data":
            steps.progress(step[0], done, total, unit, step[1])

    model = search(
        prepared.graph, calibration, data_bits=options.data_bits, weight_bits=options.weight_bits,
        first_last_bits=options.first_last_bits, precision=options.precision, ranges=options.ranges,
        per_channel=options.per_channel, weight_rounding=options.weight_rounding,
        refine=options.refine, fit_ends=options.fit_ends, absorb=options.absorb,
        equalize=options.equalize, correct=options.correct, fuse_add=options.fuse_add,
        widths=options.widths,
        overrides=prepared.overrides, progress=progress, limits=limits,
        preprocess=prepared.rule.to_json())
    _tell_refined(model, steps)
    return model


def _tell_refined(model: QuantizedModel, steps: Steps) -> None:
    """Say what refinement gained, if there was one."""
    found = model.provenance["refined"]
    if found is not None:
        (before, after), moves = found["held_out_snr_db"], len(found["moves"])
        steps.line("refine", f"{moves} fractional lengths moved; output {before:.1f} dB before, "
                             f"{after:.1f} dB after, on images that did not choose")


def _overrides(graph: Graph, path: str | Path | None) -> dict[str, Format] | None:
    from quantizer.overrides import check_overrides, load_overrides

    if path is None:
        return None
    try:
        loaded = load_overrides(named(path, "--formats"))
    except ModelError as error:
        raise UsageError(f"--formats {error}") from error
    try:
        return check_overrides(graph, loaded)
    except ModelError as error:
        raise UsageError(f"--formats {path}: {error}") from error


def widths_of(widths: Mapping[str, int] | str | Path) -> Mapping[str, int]:
    """Return widths of single layers, read from their file where there is one.

    Raises
    ------
    UsageError
        If the file cannot be used.
    """
    from quantizer.widths import load_widths

    try:
        return (
            widths if isinstance(widths, Mapping) else load_widths(named(widths, "--width")))
    except ModelError as error:
        raise UsageError(f"--width {error}") from error


def _widths(graph: Graph, widths: Mapping[str, int] | str | Path,
            overrides: Mapping[str, Format] | None) -> dict[str, int]:
    from quantizer.widths import check_widths

    loaded = widths_of(widths)
    try:
        return check_widths(graph, loaded, overrides)
    except ModelError as error:
        raise UsageError(f"--width: {error}") from error
