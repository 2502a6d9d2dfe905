"""Other quantizers on the same images, where they are installed; none is needed by the project."""

import contextlib
import importlib.metadata
import importlib.util
import io
import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from dynafix.api.accuracy import Tensors, classes
from dynafix.api.evaluation import Loss
from quantizer.execute import output_name
from quantizer.graph import Graph


__all__ = (
    "PEERS",
    "Peer",
)


BATCH = 32
Inputs = Callable[[Sequence[int]], NDArray[np.float32]]


class _Reader:
    """Calibration images as onnxruntime and Quark want them, one at a time."""

    def __init__(self, name: str, images: NDArray[np.float32]) -> None:
        self._name, self._images = name, images
        self.rewind()

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._left, None)

    def rewind(self) -> None:
        self._left = iter([{self._name: image[None]} for image in self._images])


def _onnxruntime(source: Path, target: Path, reader: _Reader, **options: Any) -> None:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = source.with_name("prepared.onnx")
    quant_pre_process(source, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared, target, reader, quant_format=QuantFormat.QDQ, activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8, **options)


def _channels(source: Path, target: Path, reader: _Reader) -> None:
    _onnxruntime(source, target, reader, per_channel=True)


def _quark(source: Path, target: Path, reader: _Reader) -> None:
    """Quantize with XINT8, Quark's preset of power-of-two scales for 8-bit CNN accelerators."""
    from quark.onnx import ModelQuantizer
    from quark.onnx.quantization.config import Config, get_default_config

    config = Config(global_quant_config=get_default_config("XINT8"))
    ModelQuantizer(config).quantize_model(str(source), str(target), reader)


@dataclass(frozen=True)
class Peer:
    """Another quantizer.

    Parameters
    ----------
    name : str
        Title.
    package, module : str
        Distribution, and the module that must be there.
    quantize : callable
        Takes source and target file and a reader of calibration images.
    """

    name: str
    package: str
    module: str
    quantize: Callable[[Path, Path, _Reader], None]

    @property
    def missing(self) -> str:
        """Why it cannot run, empty if it can."""
        try:
            found = importlib.util.find_spec(self.module) is not None
        except ModuleNotFoundError:
            found = False
        return "" if found else f"not installed: pip install {self.package}"

    @property
    def version(self) -> str:
        """Version of the package."""
        return importlib.metadata.version(self.package)

    def measure(self, model: Path, graph: Graph, calibration: NDArray[np.float32], inputs: Inputs,
                labels: NDArray[np.int64], reference: Tensors) -> dict[str, Any]:
        """Quantize a network and measure it, as :func:`dynafix.api.accuracy.measure` does ours.

        Parameters
        ----------
        model : Path
            ONNX file.
        graph : Graph
            The same, imported.
        calibration : float32, (n, *input_dims)
            Inputs to calibrate with.
        inputs : callable
            Takes indices of evaluation images and returns inputs.
        labels : int64, (images,)
            Their labels.
        reference : Tensors
            The float network.
        """
        logging.disable(logging.WARNING)
        try:
            return self._measure(model, graph, calibration, inputs, labels, reference)
        finally:
            logging.disable(logging.NOTSET)

    def _measure(self, model: Path, graph: Graph, calibration: NDArray[np.float32],
                 inputs: Inputs, labels: NDArray[np.int64], reference: Tensors) -> dict[str, Any]:
        logits, loss = output_name(graph), Loss()
        exact, rounded = [], []
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "float.onnx", Path(folder) / "quantized.onnx"
            onnx.utils.extract_model(str(model), str(source), [graph.input], [logits])
            # Quark prints tables, and leaves files where it runs.
            with contextlib.redirect_stdout(io.StringIO()), contextlib.chdir(folder):
                self.quantize(source, target, _Reader(graph.input, calibration))
            run, step = _session(target)
            for start in range(0, len(labels), BATCH):
                x = inputs(range(start, min(start + BATCH, len(labels))))
                exact.append(reference.tensors(x, [logits])[logits].reshape(len(x), -1))
                rounded.append(np.concatenate([
                    run(x[at:at + step]).reshape(min(step, len(x) - at), -1)
                    for at in range(0, len(x), step)]))
                loss.add(exact[-1], rounded[-1])
        found = classes(labels, np.concatenate(exact), np.concatenate(rounded))
        return {**found, "logits_snr_db": loss.snr_db, "images": len(labels)}


def _session(path: Path) -> tuple[Callable[[NDArray[np.float32]], NDArray[np.float32]], int]:
    """Return what runs a model, and how many images at once."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        path.read_bytes(), options, providers=["CPUExecutionProvider"])
    (value,) = session.get_inputs()
    fixed = isinstance(value.shape[0], int)
    return lambda x: session.run(None, {value.name: x})[0], value.shape[0] if fixed else BATCH


PEERS = (
    Peer("onnxruntime static", "onnxruntime", "onnxruntime.quantization", _onnxruntime),
    Peer("onnxruntime static, per channel", "onnxruntime", "onnxruntime.quantization", _channels),
    Peer("Quark XINT8", "amd-quark", "quark.onnx", _quark),
)
