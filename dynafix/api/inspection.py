"""What a model holds, and why a format was chosen."""

from pathlib import Path
from typing import TYPE_CHECKING

from quantizer.inspect import NodeReport

from ..files import model_file
from ..steps import Steps
from .quantized import Quantized, open_quantized


if TYPE_CHECKING:
    from quantizer.explain import Explanation


__all__ = (
    "explain",
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

    return inspect_model(model_file(model))


def explain(
    folder: str | Path | Quantized, layer: str, *, data: str | Path | None = None,
    steps: Steps | None = None,
) -> "Explanation":
    """Say why a layer has its formats, and what one bit more or less would do.

    Parameters
    ----------
    folder : path or Quantized
        Output folder that ``quantize`` wrote.
    layer : str
        Name of a layer, of its output, or of the network's input.
    data : path, optional
        The images, where they are no longer where ``quantize`` found them.
    steps : Steps, optional
        Is told the progress.

    Returns
    -------
    Explanation
        Range, choice and its neighbors; for a convolution those of its weights too.

    Raises
    ------
    ValueError
        If there is no such layer, or the folder cannot be used.
    """
    from quantizer.explain import explain as search

    steps = steps or Steps()
    quantized = open_quantized(folder, data=data, steps=steps)
    images = quantized.data.calibration
    inputs = quantized.inputs(images, range(len(images)))
    return search(
        quantized.model, layer, inputs,
        progress=lambda stage, done, total: steps.progress("measure", done, total, "images"))
