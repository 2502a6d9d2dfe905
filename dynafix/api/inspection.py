"""What a model holds, and why a format was chosen."""

from pathlib import Path

import numpy as np

from quantizer.inspect import NodeReport

from ..errors import UsageError
from ..steps import Steps
from .quantized import open_quantized


__all__ = (
    "inspect",
)


def inspect(model: str | Path) -> list[NodeReport]:
    """Return where each node of an ONNX file runs, or why it cannot.

    Parameters
    ----------
    model : path
        ONNX file.

    Raises
    ------
    ValueError
        If the file is missing or no ONNX file.
    """
    from quantizer.inspect import inspect_model

    path = Path(model)
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    return inspect_model(path)
