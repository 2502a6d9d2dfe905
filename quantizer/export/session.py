"""The exported model in onnxruntime: the second engine."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..execute import check_inputs
from ..model import QuantizedModel
from ..ranges import batches
from .builder import codes_name
from .qdq import export_qdq


__all__ = (
    "QdqSession",
    "ort_tensors",
)


class QdqSession:
    """The exported model, loaded into onnxruntime.

    Graph optimizations are off: onnxruntime's fused integer kernels may saturate on some
    processors. All cores are used.

    Parameters
    ----------
    model : QuantizedModel
        The network.
    tensors : sequence of str, optional
        Tensors whose codes are wanted; all by default.
    """

    def __init__(self, model: QuantizedModel, tensors: Sequence[str] | None = None) -> None:
        import onnxruntime

        self.model = model
        self.tensors = tuple(model.formats if tensors is None else tensors)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._session = onnxruntime.InferenceSession(
            export_qdq(model, tensors=self.tensors).SerializeToString(), options,
            providers=["CPUExecutionProvider"])

    def run(
        self, inputs: ArrayLike
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.int32]]]:
        """Return what the network says of images.

        Parameters
        ----------
        inputs : float, (n, *input_dims)
            Preprocessed images (not codes: quantizing them is part of the model).

        Returns
        -------
        float32, (n, *output_dims)
            Output of the network.
        dict from tensor name to int32, (n, c, h, w)
            Codes of the tensors asked for.

        Raises
        ------
        ModelError
            If the inputs have another shape or are not finite.
        """
        graph = self.model.graph
        images = check_inputs(inputs, graph)
        outputs = [np.zeros((0, *graph.output_dims), np.float32)]
        parts: list[list[NDArray[np.int32]]] = [
            [np.zeros((0, *graph.shapes[name]), np.int32)] for name in self.tensors]
        names = [graph.output, *(codes_name(name) for name in self.tensors)]
        for piece in batches(graph, len(images)):
            output, *results = self._session.run(names, {graph.input: images[piece]})
            outputs.append(output)
            for part, result in zip(parts, results, strict=True):
                part.append(result.astype(np.int32))
        return np.concatenate(outputs), {
            name: np.concatenate(part) for name, part in zip(self.tensors, parts, strict=True)}


def ort_tensors(model: QuantizedModel, inputs: ArrayLike) -> dict[str, NDArray[np.int32]]:
    """Run the exported model in onnxruntime and return the codes of every tensor.

    Parameters
    ----------
    model : QuantizedModel
        The network.
    inputs : float, (n, *input_dims)
        Preprocessed images.

    Returns
    -------
    dict from tensor name to int32, (n, c, h, w)
        Codes; the same tensors as ``execute`` returns.

    Raises
    ------
    ModelError
        If the inputs have another shape or are not finite.
    """
    return QdqSession(model).run(inputs)[1]
