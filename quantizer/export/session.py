"""The exported model in onnxruntime: the second engine."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..execute import to_maps
from ..model import QuantizedModel
from ..ranges import batches
from .builder import codes_name
from .qdq import export_qdq


__all__ = ("ort_tensors",)


def ort_tensors(model: QuantizedModel, inputs: ArrayLike) -> dict[str, NDArray[np.int32]]:
    """Run the exported model in onnxruntime and return the codes of every tensor.

    Graph optimizations are off: onnxruntime's fused integer kernels may saturate on some
    processors.

    Parameters
    ----------
    model : QuantizedModel
        The network.
    inputs : float, (n, *input_dims)
        Preprocessed images (not codes: quantizing them is part of the model).

    Returns
    -------
    dict from tensor name to int32, (n, c, h, w)
        Codes; the same tensors as ``execute`` returns.

    Raises
    ------
    ModelError
        If the inputs have another shape or are not finite.
    """
    import onnxruntime

    graph = model.graph
    maps = to_maps(inputs, graph).reshape(-1, *graph.input_dims)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        export_qdq(model, all_tensors=True).SerializeToString(), options,
        providers=["CPUExecutionProvider"])
    names = list(model.formats)
    parts: list[list[NDArray[np.int32]]] = [
        [np.zeros((0, *graph.shapes[name]), np.int32)] for name in names]
    for piece in batches(graph, len(maps)):
        results = session.run(
            [codes_name(name) for name in names], {graph.input: maps[piece]})
        for part, result in zip(parts, results, strict=True):
            part.append(result.astype(np.int32))
    return {name: np.concatenate(part) for name, part in zip(names, parts, strict=True)}
