"""A quantized model as a folder, and back.

===============  =================================================================================
``formats.json``  schema version, formats, network structure, preprocessing, provenance, and the
                  SHA-256 of the other files and of itself
``model.onnx``    the network as QDQ ONNX
``network.npz``   float weights, biases and slopes, their integers, and the tables of activations
``float.onnx``    the float network as it was imported, where its file is known
===============  =================================================================================
"""

import hashlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arch.formats import Format, Rounding

from .errors import ModelError
from .export import export_qdq
from .graph import Graph
from .graph_json import ARRAYS, graph_from_json, graph_to_json
from .model import ActivationTable, QuantizedModel, QuantizedSlopes, QuantizedWeights
from .tiles import code_type


__all__ = (
    "SCHEMA",
    "load",
    "save",
)


SCHEMA = 3

_FORMATS = "formats.json"
_MODEL = "model.onnx"
_NETWORK = "network.npz"
_FLOAT = "float.onnx"


def _plain(value: Any) -> Any:
    """Return numpy numbers as Python's, for JSON."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _digest(content: Mapping[str, Any]) -> str:
    own = {key: value for key, value in content.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()


def _network(model: QuantizedModel) -> bytes:
    """Return all arrays as the bytes of an ``.npz``; names are ``<node>/<array>``."""
    arrays: dict[str, NDArray[Any]] = {}
    for node in model.graph:
        for key in ARRAYS.get(type(node).__name__, ()):
            arrays[f"{node.name}/{key}"] = getattr(node, key)
    for name, weights in model.weights.items():
        arrays[f"{name}/codes"] = weights.codes.astype(code_type(Format(weights.bits, 0)))
        arrays[f"{name}/bias_codes"] = weights.bias
        arrays[f"{name}/frac"] = weights.frac
        arrays[f"{name}/correction"] = weights.correction
    for name, slopes in model.slopes.items():
        arrays[f"{name}/slope_codes"] = slopes.codes.astype(code_type(Format(slopes.bits, 0)))
    for name, table in model.tables.items():
        arrays[f"{name}/base"] = table.base.astype(np.int32)
        arrays[f"{name}/delta"] = table.delta.astype(np.int32)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays.items():
            # A fixed date: the same model gives the same bytes.
            entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
    return stream.getvalue()


def _float_network(graph: Graph) -> bytes | None:
    """Return the float network as one ONNX file, if it is still where it was imported from."""
    from .onnx_import.reader import read_model
    if not graph.source or not Path(graph.source).is_file():
        return None
    return bytes(read_model(graph.source).SerializeToString())


def _replace(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, then rename it: it is never half there."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _content(model: QuantizedModel, files: Mapping[str, bytes]) -> bytes:
    content = {
        "schema": SCHEMA,
        "formats": {name: fmt.to_json() for name, fmt in model.formats.items()},
        "weights": {
            name: {"bits": weights.bits, "frac": sorted({int(f) for f in weights.frac})}
            for name, weights in model.weights.items()},
        "slopes": {
            name: {"bits": slopes.bits, "frac": slopes.frac}
            for name, slopes in model.slopes.items()},
        "tables": list(model.tables),
        "rounding": str(model.rounding),
        "preprocess": model.preprocess,
        "graph": graph_to_json(model.graph),
        "provenance": model.provenance,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }
    try:
        content = json.loads(json.dumps(content, default=_plain, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"Preprocessing and provenance of a model must be plain JSON: {error}") from error
    content["sha256"] = _digest(content)
    return (json.dumps(content, indent=1) + "\n").encode()


def save(model: QuantizedModel, folder: str | Path) -> None:
    """Write a model to a folder, which is made if it is not there.

    Each file is written under another name and then renamed; ``formats.json``, with the hashes of
    the others, comes last. A folder whose writing broke off is refused by :func:`load`.

    Parameters
    ----------
    model : QuantizedModel
        The network.
    folder : path
        Where to write; the files of a model that is there already are replaced.

    Raises
    ------
    ModelError
        If the folder cannot be written.
    """
    folder = Path(folder)
    files = {_MODEL: export_qdq(model).SerializeToString(), _NETWORK: _network(model)}
    source = _float_network(model.graph)
    if source is not None:
        files[_FLOAT] = source
    files[_FORMATS] = _content(model, files)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            _replace(folder / name, data)
        if source is None:
            (folder / _FLOAT).unlink(missing_ok=True)
    except OSError as error:
        raise ModelError(f"{folder}: cannot be written: {error.strerror}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"{path}: cannot be read: {error.strerror}; a quantized model is a folder with "
            f"{_FORMATS}, {_MODEL} and {_NETWORK}, as 'save' writes it") from error


def _read_formats(path: Path) -> dict[str, Any]:
    data = _read(path)
    try:
        content = json.loads(data.decode())
    except ValueError as error:
        raise ModelError(f"{path}: must be JSON: {error}") from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        raise ModelError(
            f"{path}: schema must be {SCHEMA}, not {schema!r}; quantize the network again")
    if content.get("sha256") != _digest(content):
        raise ModelError(
            f"{path}: was changed after it was written; set formats when quantizing, or quantize "
            "the network again")
    return dict(content)


def load(folder: str | Path) -> QuantizedModel:
    """Read a model that :func:`save` wrote.

    Parameters
    ----------
    folder : path
        The folder.

    Returns
    -------
    QuantizedModel
        Equal to the one written.

    Raises
    ------
    ModelError
        If a file is missing, was changed, or does not belong to the others.
    """
    folder = Path(folder)
    content = _read_formats(folder / _FORMATS)
    files = {}
    for name, digest in content["files"].items():
        files[name] = _read(folder / name)
        if hashlib.sha256(files[name]).hexdigest() != digest:
            raise ModelError(
                f"{folder / name}: does not belong to {_FORMATS} beside it (SHA-256 differs); "
                "quantize the network again")
    with np.load(io.BytesIO(files[_NETWORK]), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    source = str(folder / _FLOAT) if _FLOAT in files else ""
    weights = {
        name: QuantizedWeights(
            arrays[f"{name}/codes"].astype(np.int64), entry["bits"], arrays[f"{name}/frac"],
            arrays[f"{name}/bias_codes"], arrays[f"{name}/correction"])
        for name, entry in content["weights"].items()}
    slopes = {
        name: QuantizedSlopes(
            arrays[f"{name}/slope_codes"].astype(np.int64), entry["bits"], entry["frac"])
        for name, entry in content.get("slopes", {}).items()}
    tables = {
        name: ActivationTable(*(
            arrays[f"{name}/{key}"].astype(np.int64) for key in ("base", "delta")))
        for name in content.get("tables", ())}
    return QuantizedModel(
        graph_from_json(content["graph"], arrays, source=source),
        {name: Format.from_json(fmt) for name, fmt in content["formats"].items()},
        weights, Rounding(content["rounding"]), content["preprocess"], content["provenance"],
        slopes, tables)
