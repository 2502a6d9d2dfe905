"""What a model's QDQ export says of itself, so that it can be imported again as it was.

The metadata ``dynafix`` of the file holds structure, formats and widths. Codes come from its
initializers; where a convolution is written as several, its codes are in the metadata, too.
"""

import base64
import json
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from arch.formats import Format, Rounding

from ..errors import ModelError
from ..execute import output_name
from ..graph import Activation, Conv, Graph, PRelu
from ..graph_json import graph_from_json, graph_to_json
from ..model import QuantizedModel, QuantizedSlopes, QuantizedWeights
from ..tables import model_table


__all__ = (
    "RECORD",
    "from_record",
    "to_record",
)


RECORD = "dynafix"
"""Key of the metadata."""

_SCHEMA = 2


def to_record(model: QuantizedModel, stored: set[str]) -> str:
    """Return the record of a model.

    Parameters
    ----------
    model : QuantizedModel
        The network.
    stored : set of str
        Names of the exported file's initializers.
    """
    return json.dumps({
        "schema": _SCHEMA,
        # Float weights go with codes.
        "graph": graph_to_json(_without_factors(model.graph)),
        "formats": {name: fmt.to_json() for name, fmt in model.formats.items()},
        "rounding": str(model.rounding),
        "preprocess": model.preprocess,
        "weights": {
            name: {"bits": weights.bits, "frac": weights.frac.tolist(),
                   "codes": None if f"{name}.weights" in stored else _packed(weights.codes)}
            for name, weights in model.weights.items()},
        "upper": {
            node.name: node.upper.tolist() for node in model.graph
            if isinstance(node, Conv) and node.upper.size},
        "slopes": {
            name: {"bits": slopes.bits, "frac": slopes.frac}
            for name, slopes in model.slopes.items()},
    })


def _without_factors(graph: Graph) -> Graph:
    """Return a graph that knows of no factors but those of its result."""
    exponents, offsets = (
        {name: values for name, values in each.items() if name == output_name(graph)}
        for each in (graph.exponents, graph.offsets))
    return replace(graph, exponents=exponents, offsets=offsets)


def _packed(codes: NDArray[np.int64]) -> dict[str, Any]:
    data = zlib.compress(codes.astype("<i2").tobytes())
    return {"shape": list(codes.shape), "data": base64.b64encode(data).decode()}


def _unpacked(entry: dict[str, Any]) -> NDArray[np.int64]:
    data = zlib.decompress(base64.b64decode(entry["data"]))
    return np.frombuffer(data, "<i2").reshape(entry["shape"]).astype(np.int64)


def from_record(proto: onnx.ModelProto, file: str) -> QuantizedModel:
    """Return the model that a file was exported from.

    The float weights, which are not in the file, are what the codes stand for.

    Parameters
    ----------
    proto : ModelProto
        The file, with a record.
    file : str
        Its name, for messages.

    Raises
    ------
    ModelError
        If the record is not readable; whether the rest of the file is what it says, is for the
        caller to check.
    """
    text = next(entry.value for entry in proto.metadata_props if entry.key == RECORD)
    try:
        record = json.loads(text)
        if record["schema"] != _SCHEMA:
            raise ModelError(f"{file}: the schema of metadata {RECORD!r} must be {_SCHEMA}, not "
                             f"{record['schema']!r}; export it again")
        return _model(record, {
            tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer})
    except (KeyError, TypeError, ValueError, AttributeError, zlib.error) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{file}: metadata {RECORD!r} is not readable ({error}); export the "
                         f"network again, or remove the metadata to import what is left") from error


def _model(record: dict[str, Any], stored: dict[str, NDArray[Any]]) -> QuantizedModel:
    formats = {name: Format.from_json(fmt) for name, fmt in record["formats"].items()}
    nodes = {node["name"]: node for node in record["graph"]["nodes"]}
    weights, slopes, arrays = {}, {}, {}
    for name, entry in record["weights"].items():
        codes = (stored[f"{name}.weights"].astype(np.int64) if entry["codes"] is None
                 else _unpacked(entry["codes"]))
        frac = np.array(entry["frac"], np.int64)
        bias = stored[f"{name}.bias"].astype(np.int64).reshape(-1)
        weights[name] = QuantizedWeights(codes, entry["bits"], frac, bias)
        x_frac = formats[nodes[name]["inputs"][0]].frac
        arrays[f"{name}/weight"] = np.ldexp(codes.astype(np.float64), -frac[:, None, None, None])
        arrays[f"{name}/upper"] = np.array(record["upper"].get(name, ()), np.float64)
        arrays[f"{name}/bias"] = np.ldexp(bias.astype(np.float64), -(x_frac + frac))
    for name, entry in record["slopes"].items():
        codes = stored[f"{name}.slopes"].astype(np.int64).reshape(-1)
        slopes[name] = QuantizedSlopes(codes, entry["bits"], entry["frac"])
        arrays[f"{name}/slope"] = np.ldexp(codes.astype(np.float64), -entry["frac"])
    graph = graph_from_json(record["graph"], arrays, source="")
    model = QuantizedModel(
        graph, formats, weights, Rounding(record["rounding"]), record["preprocess"], {}, slopes)
    missing = [node.name for node in graph if (isinstance(node, Conv) and node.name not in weights)
               or (isinstance(node, PRelu) and node.name not in slopes)]
    if missing:
        raise KeyError(f"integers of {missing[0]}")
    for node in graph:
        if isinstance(node, Activation):
            model.tables[node.name] = model_table(model, node)
    return model
