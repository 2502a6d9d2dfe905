"""Quantized networks from other tools, and for them."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from quantizer.model import QuantizedModel

from ..data import load_data
from ..errors import UsageError, VerificationError
from ..files import model_file, named, new_folder, sha256, write_bytes
from ..options import Options
from ..preprocess import Preprocess, resolve
from ..steps import Steps
from ..versions import versions
from .evaluation import check_labels, evaluate
from .quantization import now
from .quantized import Quantized, open_quantized, save_quantized


__all__ = (
    "FORMATS",
    "export",
    "import_model",
)


FORMATS = ("qdq", "qonnx")
PROVED = 4


def import_model(
    model: str | Path, data: str | Path, output: str | Path, *,
    preprocess: Mapping[str, Any] | None = None, command: str = "", steps: Steps | None = None,
) -> Quantized:
    """Take a network that is quantized already, bit for bit, and measure it.

    Parameters
    ----------
    model : path
        ONNX file in QDQ form or QONNX.
    data : path
        Images, see :func:`dynafix.data.load_data`.
    output : path
        Folder for the results; ``quantized/`` is written, as by ``quantize``.
    preprocess : mapping, optional
        ``resize``, ``crop``, ``color``, ``mean``, ``std``, over the model's metadata.
    command : str
        What the person typed, for the records.
    steps : Steps, optional
        Is told the progress.

    Returns
    -------
    Quantized
        The network and its images. What it is measured against is itself without rounding of data.

    Raises
    ------
    ValueError
        If the model, the images, an option or the folder cannot be used.
    VerificationError
        If onnxruntime computes other results from a file in QDQ form.
    """
    from quantizer.export import export_float
    from quantizer.quantized_import import import_quantized
    from quantizer.reference import FloatReference

    steps = steps or Steps()
    path = model_file(model)
    with steps.busy("import", path.name):
        found = import_quantized(path)
    graph = found.graph
    images = load_data(data)
    check_labels(images.evaluation, graph)
    rule = _rule(found, resolve(
        graph.metadata.get("preprocess"), preprocess or {}, images, graph.input_dims,
        model=str(path)), preprocess or {})
    part = images.evaluation

    def inputs(indices: Any) -> NDArray[np.float32]:
        return rule.apply(part.read(indices), graph.input_dims, part.name)

    with new_folder(output) as folder, TemporaryDirectory() as temporary:
        steps.line("import", f"{path.name}: {len(graph.accelerated)} layers; {rule}")
        _prove(path, found, inputs(range(min(PROVED, len(part)))), steps)
        source = Path(temporary) / "float.onnx"
        onnx.save(export_float(found), source)
        found = replace(found, graph=replace(graph, source=str(source)), preprocess=rule.to_json())
        found.provenance.update({
            "model_file": str(path), "model_sha256": sha256(path),
            "data_file": str(images.path), "data_sha256": images.digest(),
            "class_names": list(images.class_names) if images.class_names else None,
            "options": _options(found), "command": command, "versions": versions(),
            "seeds": {"pictures": 0}, "date": now(),
            "chosen": {name: {"rule": "imported"} for name in (
                *found.formats, *(f"{name}.weights" for name in found.weights))},
        })
        evaluation = evaluate(
            FloatReference(found.graph.unfitted()), found, None, part, inputs, steps)
        quantized = Quantized(folder, found, rule, evaluation, images)
        with steps.busy("save", str(folder / "quantized")):
            save_quantized(quantized)
    return open_quantized(folder)


def _rule(model: QuantizedModel, rule: Preprocess, given: Mapping[str, Any]) -> Preprocess:
    """Return the rule of preprocessing; that of a file of our own is stored in full."""
    if model.preprocess and not any(value is not None for value in given.values()):
        return Preprocess.from_json(model.preprocess)
    return rule


def _options(model: QuantizedModel) -> dict[str, Any]:
    """Return widths in the place of options that nobody has chosen."""
    return {
        **Options().to_json(), "precision": "imported",
        "data_bits": max(fmt.bits for fmt in model.formats.values()),
        "weight_bits": max((weights.bits for weights in model.weights.values()), default=8),
        "per_channel": any(np.ptp(weights.frac) > 0 for weights in model.weights.values()),
    }


def _prove(path: Path, model: QuantizedModel, inputs: NDArray[np.float32], steps: Steps) -> None:
    """Compare the file, in onnxruntime, with what was imported; QONNX does not run there."""
    import onnxruntime

    from quantizer.export import QdqSession
    from quantizer.export.qonnx import QONNX_DOMAIN

    domains = {node.domain for node in onnx.load(path, load_external_data=False).graph.node}
    if QONNX_DOMAIN in domains:
        steps.line("prove", "not compared: onnxruntime does not run operators of QONNX")
        return
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4  # what fails is told by the exception
    with _refused(path):
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"])
    imported, text = QdqSession(model, ()), "what was imported = the file, in onnxruntime"
    for index in range(len(inputs)):
        steps.progress("prove", index, len(inputs), "images", text)
        image = inputs[index:index + 1]
        with _refused(path):
            expected = session.run(None, {model.graph.input: image})[0]
        got = imported.run(image)[0].reshape(expected.shape)
        if not np.array_equal(got, expected):
            raise VerificationError(
                f"{path}, image {index}: onnxruntime computes other results from the file, by up "
                f"to {float(np.abs(got - expected).max()):g}; sums of more than 24 bits are not "
                f"exact in float32, quantize to fewer bits")
    steps.progress("prove", len(inputs), len(inputs), "images", text)


@contextlib.contextmanager
def _refused(path: Path) -> Iterator[None]:
    """Turn what onnxruntime raises about a file into an error for the person."""
    try:
        yield
    except Exception as error:  # its exceptions have no base class but this one
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f"{path}: onnxruntime does not run the file ({reason}); export it "
                         f"again") from error


def export(folder: str | Path | Quantized, output: str | Path, *, form: str = "qdq",
           steps: Steps | None = None) -> Path:
    """Write a quantized network as one ONNX file for other tools.

    Parameters
    ----------
    folder : path or Quantized
        The output folder of ``quantize`` or ``import_model``.
    output : path
        The file.
    form : str
        ``"qdq"``: QuantizeLinear and DequantizeLinear, runs in onnxruntime; ``"qonnx"``: Quant
        nodes.
    steps : Steps, optional
        Is told the progress.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If the folder or an argument cannot be used, or QONNX has no form for the network.
    """
    from quantizer.export import export_qdq, export_qonnx

    if form not in FORMATS:
        raise UsageError(f"--format must be {' or '.join(FORMATS)}, not {form!r}")
    path = named(output, "--output")
    if path.is_dir():
        raise UsageError(f"--output {path}: is a folder, must be a file")
    quantized = open_quantized(folder, steps=steps)
    make = {"qdq": export_qdq, "qonnx": export_qonnx}[form]
    return write_bytes(path, make(quantized.model).SerializeToString())
