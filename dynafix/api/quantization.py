"""From an ONNX file and images to a quantized network."""

import datetime
from collections.abc import Mapping
from dataclasses import replace
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
from ..files import model_file, named, new_folder, sha256
from ..options import Options
from ..preprocess import Preprocess, resolve
from ..steps import Steps
from ..text import grouped
from ..versions import versions
from .evaluation import evaluate
from .quantized import Quantized, save_quantized


__all__ = (
    "now",
    "quantize",
    "widths_of",
)


STAGES = {"weights": "weights", "data": "formats"}


def quantize(
    model: str | Path, data: str | Path, output: str | Path, *, options: Options | None = None,
    preprocess: Mapping[str, Any] | None = None, command: str = "", limits: Limits | None = None,
    steps: Steps | None = None,
) -> Quantized:
    """Choose the formats of a network and measure what it loses.

    Parameters
    ----------
    model : path
        ONNX file.
    data : path
        Images, see :func:`dynafix.data.load_data`.
    output : path
        Folder for the results; ``quantized/`` is written.
    options : Options, optional
        How formats are chosen.
    preprocess : mapping, optional
        ``resize``, ``crop``, ``color``, ``mean``, ``std``, over the model's metadata.
    command : str
        What the person typed, for the records.
    limits : Limits, optional
        What the accelerator can align and accumulate; by default that of one whose widths are
        just enough.
    steps : Steps, optional
        Is told the progress.

    Returns
    -------
    Quantized
        The network and its images.

    Raises
    ------
    ValueError
        If the model, the images, an option or the folder cannot be used.
    """
    from quantizer.onnx_import import load_graph
    from quantizer.reference import FloatReference

    options, steps = options or Options(), steps or Steps()
    path = model_file(model)
    with steps.busy("import", path.name):
        graph = load_graph(path)
    overrides = _overrides(graph, options.formats)
    options = replace(options, widths=_widths(graph, options.widths, overrides))
    images = load_data(data, calibration=options.calibration)
    rule = resolve(graph.metadata.get("preprocess"), preprocess or {}, images, graph.input_dims,
                   model=str(path))
    with new_folder(output) as folder:
        steps.line("import", _describe(path, graph, rule))
        calibration = _calibration(images, rule, graph, steps)
        quantized = _search(graph, calibration, options, overrides, rule, limits, steps)
        static = _static(graph, calibration, options, rule, limits, steps)
        quantized.provenance.update({
            "model_file": str(path), "model_sha256": sha256(path),
            "data_file": str(images.path), "data_sha256": images.digest(),
            "class_names": list(images.class_names) if images.class_names else None,
            "options": options.to_json(), "command": command, "versions": versions(),
            "seeds": {"pictures": 0}, "date": now(),
        })
        part = images.evaluation
        evaluation = evaluate(
            FloatReference(graph), quantized, static, part,
            lambda indices: rule.apply(part.read(indices), graph.input_dims, part.name), steps)
        found = Quantized(folder, quantized, rule, evaluation, images)
        with steps.busy("save", str(folder / "quantized")):
            save_quantized(found)
    return found


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


def now() -> str:
    """Return the date and time, for the records."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _describe(path: Path, graph: Graph, rule: Preprocess) -> str:
    macs = sum(graph.macs(node) for node in graph)
    convs = [node for node in graph if isinstance(node, Conv)]
    parameters = sum(node.weight.size + node.bias.size * bool(node.bias.any()) for node in convs)
    operators = len({source for node in graph for source in node.sources}) or len(graph.nodes)
    dims = "×".join(map(str, graph.input_dims))
    return (f"{path.name}: {operators} operators, {macs / 1e6:.2f} M MAC, {grouped(parameters)} "
            f"parameters; input {dims}, {rule}")


def _calibration(images: Dataset, rule: Preprocess, graph: Graph,
                 steps: Steps) -> NDArray[np.float32]:
    part, batches = images.calibration, []
    for start in range(0, len(part), 16):
        steps.progress("read", start, len(part), "calibration images")
        indices = range(start, min(start + 16, len(part)))
        batches.append(rule.apply(part.read(indices), graph.input_dims, part.name))
    steps.progress("read", len(part), len(part), "calibration images")
    return np.concatenate(batches)


def _search(graph: Graph, calibration: NDArray[np.float32], options: Options,
            overrides: Mapping[str, Any] | None, rule: Preprocess,
            limits: Limits | None, steps: Steps,
            step: str | None = None) -> QuantizedModel:
    from quantizer.search import quantize as search

    def progress(stage: str, done: int, total: int) -> None:
        if step is None:
            unit = "steps" if options.precision == "static" and stage == "data" else "layers"
            note = f"greedy against float ({options.ranges})" if stage == "data" else ""
            steps.progress(STAGES.get(stage, stage), done, total, unit, note)
        elif stage == "data":
            steps.progress(step, done, total, "images", "the baseline: one format for all")

    model = search(
        graph, calibration, data_bits=options.data_bits, weight_bits=options.weight_bits,
        first_last_bits=options.first_last_bits, precision=options.precision, ranges=options.ranges,
        per_channel=options.per_channel, weight_rounding=options.weight_rounding,
        refine=options.refine, equalize=options.equalize, correct=options.correct,
        fuse_add=options.fuse_add, widths=options.widths, overrides=overrides, progress=progress,
        limits=limits, preprocess=rule.to_json())
    _tell_refined(model, steps)
    return model


def _tell_refined(model: QuantizedModel, steps: Steps) -> None:
    """Say what refinement gained, if there was one."""
    found = model.provenance["refined"]
    if found is not None:
        (before, after), moves = found["held_out_snr_db"], len(found["moves"])
        steps.line("refine", f"{moves} fractional lengths moved; output {before:.1f} dB before, "
                             f"{after:.1f} dB after, on images that did not choose")


def _static(graph: Graph, calibration: NDArray[np.float32], options: Options, rule: Preprocess,
            limits: Limits | None, steps: Steps) -> QuantizedModel | None:
    """Return the static baseline of a dynamic network, ``None`` where there is none."""
    if options.precision == "static":
        return None
    static = replace(
        options, precision="static", per_channel=False, equalize=False, correct=False,
        weight_rounding="nearest", refine=False, formats=None)
    try:
        return _search(graph, calibration, static, None, rule, limits, steps, "static")
    except ModelError as error:
        steps.line("static", f"no baseline with static precision: {error}")
        return None
