"""Accuracy of float and quantized networks, and what each layer loses."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quantizer.execute import execute, quantize_input, run
from quantizer.graph import Graph
from quantizer.model import QuantizedModel

from ..data import Images
from ..errors import UsageError
from ..steps import Steps


__all__ = (
    "Loss",
    "Reference",
    "check_labels",
    "confidence",
    "evaluate",
    "losses",
)


COMPARED = 32
CHUNK_MACS = 1 << 30
LEAST_DB = -99.0
TINY = float(np.finfo(np.float64).tiny)
CHUNK_VALUES = 1 << 23

Inputs = Callable[[Sequence[int]], NDArray[np.float32]]
Codes = Callable[[NDArray[np.float32]], dict[str, NDArray]]


class Reference(Protocol):
    """The float network; :class:`quantizer.reference.FloatReference` is one."""

    def run(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the output for inputs (n, *input_dims)."""

    def tensors(self, inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Return every tensor of the graph, (n, c, h, w)."""


def confidence(accuracy: float, count: int) -> float:
    """Return half the 95 % interval of an accuracy measured on ``count`` images."""
    return 1.96 * float(np.sqrt(accuracy * (1 - accuracy) / count))


def evaluate(reference: Reference, model: QuantizedModel, static: QuantizedModel | None,
             images: Images, inputs: Inputs, steps: Steps) -> dict[str, Any]:
    """Measure accuracy and losses.

    Parameters
    ----------
    reference : Reference
        The float network.
    model : QuantizedModel
        The quantized network.
    static : QuantizedModel or None
        The same with static precision.
    images : Images
        Evaluation images, with labels that :func:`check_labels` has seen.
    inputs : callable
        Takes indices of images and returns inputs.
    steps : Steps
        Is told the progress.

    Returns
    -------
    dict
        ``float_accuracy``, ``quantized_accuracy``, ``static_accuracy`` (fractions),
        ``images_evaluated``, ``confidence_95``, ``float_classes`` (what the float network says of
        each image) and ``tensors``: for each ``snr_db``, ``static_snr_db`` and ``range`` on the
        first images.
    """
    runs = {"float": reference.run, "quantized": lambda x: run(model, x)}
    if static is not None:
        runs["static"] = lambda x: run(static, x)
    found = {name: [] for name in runs}
    step = _chunk(model.graph)
    for start in range(0, len(images), step):
        indices = range(start, min(start + step, len(images)))
        steps.progress("evaluate", start, len(images), "images")
        x = inputs(indices)
        for name, function in runs.items():
            found[name] += function(x).reshape(len(x), -1).argmax(axis=1).tolist()
    steps.progress("evaluate", len(images), len(images), "images")
    accuracy = {name: float(np.mean(classes == images.labels)) for name, classes in found.items()}
    return {
        "float_accuracy": accuracy["float"],
        "quantized_accuracy": accuracy["quantized"],
        "static_accuracy": accuracy.get("static"),
        "images_evaluated": len(images),
        "confidence_95": confidence(accuracy["quantized"], len(images)),
        "float_classes": found["float"],
        "tensors": _tensors(reference, model, static, min(COMPARED, len(images)), inputs, steps),
    }


def check_labels(images: Images, graph: Graph) -> None:
    """Refuse labels that are no output of the network."""
    classes = int(np.prod(graph.output_dims))
    lowest, highest = int(images.labels.min()), int(images.labels.max())
    if lowest < 0 or highest >= classes:
        raise UsageError(f"{images.labels_name or images.name}: labels must be in "
                         f"0..{classes - 1}, the network's outputs, "
                         f"not {lowest if lowest < 0 else highest}")


def _chunk(graph: Graph) -> int:
    macs = sum(graph.macs(node) for node in graph)
    values = int(np.prod(graph.input_dims))
    return max(1, min(CHUNK_MACS // max(macs, 1), CHUNK_VALUES // values))


class Loss:
    """Power of a signal and of its distance to another, and the range of the signal."""

    def __init__(self) -> None:
        self.signal = self.noise = 0.0
        self.low, self.high = np.inf, -np.inf

    def add(self, reference: NDArray, value: NDArray) -> None:
        """Take more values of both."""
        reference = reference.astype(np.float64)
        self.signal += float(np.square(reference).sum())
        self.noise += float(np.square(reference - value).sum())
        self.low = min(self.low, float(reference.min()))
        self.high = max(self.high, float(reference.max()))

    @property
    def snr_db(self) -> float | None:
        """Signal-to-noise ratio, ``None`` where there is no noise."""
        if not self.noise:
            return None
        return max(LEAST_DB, 10 * float(np.log10(max(self.signal, TINY) / self.noise)))


def _tensors(reference: Reference, model: QuantizedModel, static: QuantizedModel | None,
             count: int, inputs: Inputs, steps: Steps) -> dict[str, dict[str, Any]]:
    models = [model] if static is None else [model, static]
    found = losses(
        reference, [(each, partial(_codes, each)) for each in models], count, inputs, steps)
    return {
        name: {"snr_db": each["snr_db"],
               "static_snr_db": None if static is None else each["others"][0],
               "range": each["range"]}
        for name, each in found.items()}


def _codes(model: QuantizedModel, inputs: NDArray[np.float32]) -> dict[str, NDArray]:
    return execute(model, quantize_input(model, inputs))


def losses(reference: Reference, models: Sequence[tuple[QuantizedModel, Codes]], count: int,
           inputs: Inputs, steps: Steps) -> dict[str, dict[str, Any]]:
    """Measure what every tensor loses.

    Parameters
    ----------
    reference : Reference
        The float network.
    models : sequence of (QuantizedModel, callable)
        Quantized networks, each with what computes the codes of all tensors from inputs.
    count : int
        How many images, the first ones.
    inputs : callable
        Takes indices of images and returns inputs.
    steps : Steps
        Is told the progress.

    Returns
    -------
    dict
        For each tensor ``snr_db`` of the first model, ``others``, those of the other models, and
        ``range`` in float.
    """
    graph = models[0][0].graph
    names = [graph.input, *(node.output for node in graph.accelerated)]
    found = {name: [Loss() for _ in models] for name in names}
    size = sum(int(np.prod(graph.shapes[name])) for name in names)
    step = max(1, CHUNK_VALUES // size)
    for start in range(0, count, step):
        steps.progress("losses", start, count, "images", "every layer against float")
        x = inputs(range(start, min(start + step, count)))
        exact = reference.tensors(x)
        for index, (model, compute) in enumerate(models):
            codes = compute(x)
            for name in names:
                found[name][index].add(exact[name], model.real(name, codes[name]))
    steps.progress("losses", count, count, "images", "every layer against float")
    return {
        name: {"snr_db": first.snr_db, "others": [other.snr_db for other in others],
               "range": [first.low, first.high]}
        for name, (first, *others) in found.items()
    }
