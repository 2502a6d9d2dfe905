"""Entry of the import: which form a file has."""

import os
from dataclasses import replace

import onnx

from ..errors import ModelError
from ..export import export_qdq
from ..export.record import RECORD, from_record
from ..model import QuantizedModel
from ..onnx_import.reader import read_model
from .assemble import assemble
from .ends import without_ends
from .qdq import plain_of_qdq
from .qonnx import OPERATORS as QONNX_OPERATORS
from .qonnx import plain_of_qonnx


__all__ = ("import_quantized",)


_QDQ = ("QuantizeLinear", "DequantizeLinear")


def import_quantized(path: str | os.PathLike[str]) -> QuantizedModel:
    """Import a network that is quantized already.

    Parameters
    ----------
    path : path
        ONNX file in QDQ form or QONNX, with power-of-two scales and zero points 0.

    Returns
    -------
    QuantizedModel
        Computes the results of the file bit for bit, where float32 sums of the file are exact.

    Raises
    ------
    ModelError
        If the file cannot be read, or holds something that cannot be kept exactly; names node,
        value, rule and what to do.
    """
    model, file = read_model(path), str(path)
    if any(entry.key == RECORD for entry in model.metadata_props):
        return _exported(model, file)
    operators = {node.op_type for node in model.graph.node}
    forms = {"QDQ": not operators.isdisjoint(_QDQ), "QONNX": not operators.isdisjoint(
        QONNX_OPERATORS)}
    if all(forms.values()):
        raise ModelError(f"{file}: must be in QDQ form or QONNX, and holds quantizers of both; "
                         f"export again in one form")
    if not any(forms.values()):
        raise ModelError(f"{file}: holds no quantizers; give a float network to 'quantize'")
    inner, ends = without_ends(model)
    plain = plain_of_qdq(inner, file) if forms["QDQ"] else plain_of_qonnx(inner, file)
    found = assemble(plain, file)
    return replace(found, graph=ends.around(found.graph))


def _exported(proto: onnx.ModelProto, file: str) -> QuantizedModel:
    """Return the model that a file of our own was exported from; the file must be its export."""
    model = from_record(proto, file)
    again = export_qdq(model).graph
    if list(proto.graph.node) != list(again.node) or (
            sorted(tensor.SerializeToString() for tensor in proto.graph.initializer)
            != sorted(tensor.SerializeToString() for tensor in again.initializer)):
        raise ModelError(
            f"{file}: was changed after dynafix exported it, or exported by another version; "
            f"export it again, or remove its metadata {RECORD!r} to import what it computes")
    return model
