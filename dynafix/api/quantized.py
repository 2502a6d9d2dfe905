"""A quantized network in its output folder, with the images that belong to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantizer.model import QuantizedModel

from ..data import Dataset, Images, load_data
from ..errors import UsageError
from ..files import discard_results, existing_folder, named, read_json, write_json
from ..preprocess import Preprocess
from ..steps import Steps


__all__ = (
    "EVALUATED",
    "Quantized",
    "open_quantized",
    "save_quantized",
)


EVALUATION = "evaluation.json"
EVALUATED = "evaluation/results.json"
SCHEMA = 1


@dataclass
class Quantized:
    """A quantized network and its images.

    Parameters
    ----------
    folder : Path
        The output folder.
    model : QuantizedModel
        The network.
    rule : Preprocess
        How an image becomes an input.
    evaluation : dict
        Accuracies and losses, see :func:`.evaluation.evaluate`.
    dataset : Dataset or None
        Its images, where they are open already.
    data_path : path or None
        The images, where they are no longer where they were.
    """

    folder: Path
    model: QuantizedModel
    rule: Preprocess
    evaluation: dict[str, Any]
    dataset: Dataset | None = None
    data_path: str | Path | None = None

    @property
    def provenance(self) -> dict[str, Any]:
        """Options, hashes and versions, as stored with the model."""
        return self.model.provenance

    @property
    def data(self) -> Dataset:
        """The images; ``UsageError`` if they are gone or are others than before."""
        if self.dataset is None:
            self.dataset = _open_images(self)
        return self.dataset

    def inputs(self, images: Images, indices: Sequence[int]) -> NDArray[np.float32]:
        """Return inputs of the float network, (n, *input_dims)."""
        return self.rule.apply(images.read(indices), self.model.graph.input_dims, images.name)


def open_quantized(folder: str | Path | Quantized, *, data: str | Path | None = None,
                   steps: Steps | None = None) -> Quantized:
    """Open what ``quantize`` made.

    Parameters
    ----------
    folder : path or Quantized
        The output folder; a network that is open already is returned.
    data : path or None
        The images, where they are no longer where ``quantize`` found them.
    steps : Steps, optional
        Is told the progress.

    Returns
    -------
    Quantized
        Network and images.

    Raises
    ------
    UsageError
        If something is missing, or files do not belong together.
    """
    from compiler.compile import model_hash
    from quantizer.storage import load

    if isinstance(folder, Quantized):
        return folder
    folder = existing_folder(folder)
    again = f"dynafix quantize MODEL.onnx --data DATA --output {folder}"
    if not (folder / "quantized").is_dir():
        raise UsageError(f"{folder}: holds no quantized network. Make it with: {again}")
    with (steps or Steps()).busy("open", str(folder)):
        model = load(folder / "quantized")
    evaluation = read_json(folder / "quantized" / EVALUATION, schema=SCHEMA, made_by=again)
    if evaluation["model_hash"] != model_hash(model):
        raise UsageError(f"{folder}: {EVALUATION} is of another quantized network. "
                         f"Make it again with: {again}")
    return Quantized(folder, model, Preprocess.from_json(model.preprocess), evaluation,
                     data_path=data)


def _open_images(quantized: Quantized) -> Dataset:
    stored = quantized.provenance
    path = Path(stored["data_file"]) if quantized.data_path is None else (
        named(quantized.data_path, "--data"))
    if not path.exists():
        raise UsageError(f"{path}: the images that {quantized.folder} was made with are gone. "
                         f"Say where they are with --data")
    images = load_data(path, calibration=stored["options"]["calibration"])
    if images.digest() != stored["data_sha256"]:
        raise UsageError(f"{path}: not the images that {quantized.folder} was made with. Quantize "
                         f"again, or give the same images with --data")
    return images


def save_quantized(quantized: Quantized) -> None:
    """Write network and evaluation to ``quantized/``."""
    from compiler.compile import model_hash
    from quantizer.storage import save

    discard_results(quantized.folder)
    (quantized.folder / EVALUATED).unlink(missing_ok=True)
    save(quantized.model, quantized.folder / "quantized")
    write_json(quantized.folder / "quantized" / EVALUATION, {
        "schema": SCHEMA, "model_hash": model_hash(quantized.model), **quantized.evaluation})
