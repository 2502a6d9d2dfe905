"""What a quantized network loses against the float network, on all images of a data file.

The images run in onnxruntime, on the exported model and on all cores, after that has been proved
equal to numpy, bit for bit, on the first of them.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quantizer.execute import execute, output_name, quantize_input
from quantizer.model import QuantizedModel

from ..data import Images, load_evaluation
from ..errors import UsageError, VerificationError
from ..files import sha256, write_json
from ..intervals import mean_interval, paired_interval, wilson_interval
from ..results import layer_formats
from ..steps import Steps
from ..versions import versions
from .evaluation import COMPARED, Loss, check_labels, losses
from .quantized import EVALUATED, Quantized, open_quantized


__all__ = (
    "Tensors",
    "classes",
    "evaluate",
    "measure",
    "prove",
)


SCHEMA = 1
PROVED = 4
MOST_IMAGES = 64
MOST_VALUES = 1 << 23
TOP = (1, 5)

Inputs = Callable[[Sequence[int]], NDArray[np.float32]]


class Tensors(Protocol):
    """The float network; :class:`quantizer.reference.FloatReference` is one."""

    def tensors(self, inputs: NDArray[np.float32], names: Iterable[str] | None = None,
                ) -> dict[str, NDArray[np.float32]]:
        """Return tensors of the graph by name, all by default, (n, c, h, w)."""


def evaluate(folder: str | Path | Quantized, *, data: str | Path | None = None,
             images: int | None = None, steps: Steps | None = None) -> dict[str, Any]:
    """Measure a quantized network against its float network; writes ``evaluation/results.json``.

    Parameters
    ----------
    folder : path or Quantized
        The output folder of ``quantize`` or ``import_model``.
    data : path, optional
        Images, see :func:`dynafix.data.load_evaluation`; those that the network was quantized
        with by default.
    images : int, optional
        Take the first ones only.
    steps : Steps, optional
        Is told the progress.

    Returns
    -------
    dict
        Content of ``evaluation/results.json``, see :func:`measure`.

    Raises
    ------
    ValueError
        If the images, the folder or an argument cannot be used.
    VerificationError
        If onnxruntime and numpy differ; the message names the layer.
    """
    from compiler.compile import model_hash

    steps = steps or Steps()
    if images is not None and images < 1:
        raise UsageError(f"--images must be at least 1, not {images}")
    quantized = open_quantized(folder, steps=steps)
    path, part = _images(quantized, data)
    count = len(part) if images is None else min(images, len(part))
    found = measure(quantized.model, part, count, lambda indices: quantized.inputs(part, indices),
                    steps)
    found = {
        "schema": SCHEMA, "network": quantized.model.graph.name,
        "model_hash": model_hash(quantized.model), "data_file": str(path),
        "data_sha256": sha256(path), "options": quantized.provenance["options"],
        "versions": versions(), **found}
    write_json(quantized.folder / EVALUATED, found)
    return found


def _images(quantized: Quantized, data: str | Path | None) -> tuple[Path, Images]:
    """Return the evaluation images, never one that the network was calibrated with."""
    if data is None:
        return quantized.data.path, quantized.data.evaluation
    path = Path(data)
    same = path.exists() and sha256(path) == quantized.provenance["data_sha256"]
    calibration = quantized.provenance["options"]["calibration"] if same else None
    return path, load_evaluation(data, calibration=calibration)


def measure(model: QuantizedModel, images: Images, count: int, inputs: Inputs, steps: Steps, *,
            reference: Tensors | None = None, layers: bool = True) -> dict[str, Any]:
    """Compare a quantized network with its float network.

    Parameters
    ----------
    model : QuantizedModel
        The network; the float network is where it was imported from.
    images : Images
        Evaluation images with labels or targets.
    count : int
        How many of them to take.
    inputs : callable
        Takes indices of images and returns inputs.
    steps : Steps
        Is told the progress.
    reference : Tensors, optional
        The float network, where it is not to be loaded anew.
    layers : bool
        Whether single layers are measured, too.

    Returns
    -------
    dict
        ``metric`` is ``"classes"`` with labels, or ``"mean square error"`` with targets. ``float``
        and ``quantized`` hold ``top1`` and ``top5`` (fractions; the latter with more than 5
        classes), or ``error``, with ``…_interval``; ``loss`` the same in points, paired, and
        positive where the quantized network is worse. ``agreement`` is the share of images on
        which both say the same class; ``logits_snr_db`` the signal-to-noise ratio of the last
        tensor before Softmax, on all images, ``layers`` those of each layer on the first
        ``snr_images``. ``proved_images`` were compared with numpy bit for bit.

    Raises
    ------
    ValueError
        If labels or images do not fit the network.
    VerificationError
        If onnxruntime and numpy differ.
    """
    from quantizer.export import QdqSession
    from quantizer.reference import FloatReference

    graph = model.graph
    score = _score(images, count, model)
    started = time.perf_counter()
    proved = min(PROVED, count)
    full = prove(model, inputs(range(proved)), steps)
    reference = reference or FloatReference(graph.unfitted())
    logits = output_name(graph)
    session, loss = QdqSession(model, [logits]), Loss()
    outputs: dict[str, list[NDArray[np.float64]]] = {"float": [], "quantized": []}
    step = max(1, min(MOST_IMAGES, MOST_VALUES // int(np.prod(graph.input_dims))))
    for start in range(0, count, step):
        steps.progress("evaluate", start, count, "images", "onnxruntime")
        x = inputs(range(start, min(start + step, count)))
        exact = reference.tensors(x, dict.fromkeys([graph.output, logits]))
        rounded, codes = session.run(x)
        loss.add(exact[logits], model.real(logits, codes[logits]))
        for name, value in (("float", exact[graph.output]), ("quantized", rounded)):
            outputs[name].append(value.reshape(len(x), -1))
    steps.progress("evaluate", count, count, "images", "onnxruntime")
    seconds = time.perf_counter() - started
    compared, lost = min(COMPARED, count), {}
    if layers:
        lost = losses(reference, [(model, lambda x: full.run(x)[1])], compared, inputs, steps)
    return {
        "images": count, "proved_images": proved,
        **score(*(np.concatenate(parts) for parts in outputs.values())),
        "logits_snr_db": loss.snr_db, "snr_images": compared,
        "layers": _layers(model, lost) if layers else [], "seconds": seconds,
    }


def prove(model: QuantizedModel, inputs: NDArray[np.float32], steps: Steps) -> Any:
    """Prove that onnxruntime and numpy compute the same codes for inputs.

    Parameters
    ----------
    model : QuantizedModel
        The network.
    inputs : float32, (n, *input_dims)
        Inputs.
    steps : Steps
        Is told the progress.

    Returns
    -------
    QdqSession
        The exported model with all tensors.

    Raises
    ------
    VerificationError
        Names the first layer that differs, image, position and both values.
    """
    from quantizer.export import QdqSession
    from sim.compare import compare_tensors

    session = QdqSession(model)
    for index in range(len(inputs)):
        steps.progress("prove", index, len(inputs), "images", "numpy = onnxruntime on every layer")
        codes = quantize_input(model, inputs[index:index + 1])
        found = {name: value[0] for name, value in session.run(inputs[index:index + 1])[1].items()}
        expected = {name: value[0] for name, value in execute(model, codes).items()}
        if not np.array_equal(found[model.graph.input], codes[0]):
            raise VerificationError(f"input {model.graph.input}, image {index}: onnxruntime "
                                    f"quantizes it to other codes than numpy")
        for difference in compare_tensors(model, expected, found):
            raise VerificationError(difference.text(index, "onnxruntime"))
    steps.progress(
        "prove", len(inputs), len(inputs), "images", "numpy = onnxruntime on every layer")
    return session


def _score(images: Images, count: int, model: QuantizedModel) -> Callable[..., dict[str, Any]]:
    """Return the function of float and quantized outputs that measures; checks the truth."""
    if images.targets is None:
        check_labels(images, model.graph)
        labels = images.labels[:count]
        return lambda exact, rounded: classes(labels, exact, rounded)
    expected = (len(images), *model.graph.output_dims)
    if images.targets.shape != expected:
        raise UsageError(f"{images.labels_name}: must hold {expected}, the shape of the network's "
                         f"output for each image, not {images.targets.shape}")
    targets = images.targets[:count].reshape(count, -1).astype(np.float64)
    return lambda exact, rounded: _errors(targets, exact, rounded)


def ranks(outputs: NDArray, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many classes come before the right one, (n,); of equal ones the first is first.

    Examples
    --------
    >>> ranks(np.array([[1.0, 3.0, 3.0]] * 3), np.array([0, 1, 2])).tolist()
    [2, 0, 1]
    """
    value = np.take_along_axis(outputs, labels[:, None], axis=1)
    before = (outputs == value) & (np.arange(outputs.shape[1]) < labels[:, None])
    return np.sum((outputs > value) | before, axis=1)


def classes(labels: NDArray[np.int64], exact: NDArray, rounded: NDArray) -> dict[str, Any]:
    """Score classes, see :func:`measure`.

    Parameters
    ----------
    labels : int64, (n,)
        The right ones.
    exact, rounded : (n, classes)
        Outputs of the float and of the quantized network.
    """
    count, outputs = exact.shape
    found: dict[str, Any] = {"metric": "classes", "float": {}, "quantized": {}, "loss": {}}
    for top in (top for top in TOP if top < outputs):
        right = {name: ranks(values, labels) < top
                 for name, values in (("float", exact), ("quantized", rounded))}
        for name, hits in right.items():
            found[name][f"top{top}"] = float(hits.mean())
            found[name][f"top{top}_interval"] = list(wilson_interval(int(hits.sum()), count))
        lost = int((right["float"] & ~right["quantized"]).sum())
        gained = int((right["quantized"] & ~right["float"]).sum())
        found["loss"][f"top{top}"] = 100 * (lost - gained) / count
        found["loss"][f"top{top}_interval"] = [
            100 * bound for bound in paired_interval(lost, gained, count)]
    same = int((exact.argmax(axis=1) == rounded.argmax(axis=1)).sum())
    return {**found, "agreement": same / count,
            "agreement_interval": list(wilson_interval(same, count))}


def _errors(targets: NDArray, exact: NDArray, rounded: NDArray) -> dict[str, Any]:
    errors = {name: np.square(values - targets).mean(axis=1)
              for name, values in (("float", exact), ("quantized", rounded))}
    errors["loss"] = errors["quantized"] - errors["float"]
    return {"metric": "mean square error", "agreement": None, **{
        name: {"error": float(values.mean()), "error_interval": list(mean_interval(values))}
        for name, values in errors.items()}}


def _layers(model: QuantizedModel, found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    graph = model.graph
    first = {"name": "input", "tensor": graph.input, "weight_format": None,
             "data_format": str(model.formats[graph.input]),
             "snr_db": found[graph.input]["snr_db"]}
    return [first, *(
        {"name": node.name, "tensor": node.output, **layer_formats(model, node.name, node.output),
         "snr_db": found[node.output]["snr_db"]}
        for node in graph.accelerated)]
