"""From an ONNX file and images to a quantized network."""

import datetime
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantizer.errors import ModelError
from quantizer.model import Limits, QuantizedModel

from ..files import new_folder, sha256
from ..options import Options
from ..steps import Steps
from ..versions import versions
from .evaluation import check_labels, evaluate
from .preparation import Prepared, prepare, search_formats
from .quantized import Quantized, save_quantized


__all__ = (
    "now",
    "quantize",
)


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
    from quantizer.reference import FloatReference

    steps = steps or Steps()
    prepared = prepare(model, data, options or Options(), preprocess or {}, steps)
    path, graph, images, rule = prepared.path, prepared.graph, prepared.images, prepared.rule
    check_labels(images.evaluation, graph)
    with new_folder(output) as folder:
        steps.line("import", prepared.describe())
        calibration = prepared.calibration(steps)
        quantized = search_formats(prepared, calibration, limits, steps)
        static = _static(prepared, calibration, limits, steps)
        quantized.provenance.update({
            "model_file": str(path), "model_sha256": sha256(path),
            "data_file": str(images.path), "data_sha256": images.digest(),
            "class_names": list(images.class_names) if images.class_names else None,
            "options": prepared.options.to_json(), "command": command, "versions": versions(),
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


def now() -> str:
    """Return the date and time, for the records."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _static(prepared: Prepared, calibration: NDArray[np.float32], limits: Limits | None,
            steps: Steps) -> QuantizedModel | None:
    """Return the static baseline of a dynamic network, ``None`` where there is none."""
    if prepared.options.precision == "static":
        return None
    static = replace(
        prepared.options, precision="static", per_channel=False, fit_ends=False, absorb=False,
        equalize=False, correct=False, weight_rounding="nearest", refine=False, formats=None)
    try:
        return search_formats(
            replace(prepared, options=static, overrides=None), calibration, limits, steps,
            ("static", "the baseline: one format for all"))
    except ModelError as error:
        steps.line("static", f"no baseline with static precision: {error}")
        return None
