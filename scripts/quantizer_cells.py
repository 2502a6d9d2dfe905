"""What ``bench_quantizer.py`` measures, one cell at a time, and keeps in a file."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import quantizer_peers
from numpy.typing import NDArray
from quantizer_peers import Peer

from dynafix.api.accuracy import measure
from dynafix.data import Dataset, load_data
from dynafix.files import sha256, write_json
from dynafix.preprocess import Preprocess, resolve
from dynafix.steps import Steps
from quantizer import FloatReference, load_graph, quantize
from quantizer.errors import ModelError
from quantizer.graph import Graph


__all__ = (
    "Bench",
    "Memory",
    "Network",
)


ROOT = Path(__file__).resolve().parents[1]
SCHEMA = 1


class Memory:
    """The float network, whose results for evaluation images are computed once."""

    def __init__(self, reference: FloatReference) -> None:
        self._reference = reference
        self._known: dict[tuple[bytes, tuple[str, ...]], dict[str, NDArray[np.float32]]] = {}

    def tensors(self, inputs: NDArray[np.float32], names: Iterable[str] | None = None,
                ) -> dict[str, NDArray[np.float32]]:
        """Return tensors by name, (n, c, h, w)."""
        if names is None:
            return self._reference.tensors(inputs)
        key = hashlib.sha256(inputs.tobytes()).digest(), tuple(names)
        if key not in self._known:
            self._known[key] = self._reference.tensors(inputs, key[1])
        return dict(self._known[key])


@dataclass
class Network:
    """A network with its images.

    Parameters
    ----------
    name : str
        Title.
    model, data : Path
        The files.
    calibration, images : int
        Most images to calibrate and to evaluate with.
    """

    name: str
    model: Path
    data: Path
    calibration: int
    images: int

    @property
    def missing(self) -> str:
        """What keeps it from being measured, empty for nothing."""
        absent = [str(path) for path in (self.model, self.data) if not path.is_file()]
        return f"not found: {', '.join(absent)}" if absent else ""

    @cached_property
    def digest(self) -> str:
        """Digest of the files and of how many images are taken."""
        return _digest(sha256(self.model), sha256(self.data), self.calibration, self.images)

    @cached_property
    def graph(self) -> Graph:
        """The float network."""
        return load_graph(self.model)

    @cached_property
    def float(self) -> FloatReference:
        """The float network in onnxruntime."""
        return FloatReference(self.graph)

    @cached_property
    def reference(self) -> Memory:
        """Its results for evaluation images."""
        return Memory(self.float)

    @cached_property
    def dataset(self) -> Dataset:
        """The images."""
        return load_data(self.data, calibration=self.calibration)

    @cached_property
    def rule(self) -> Preprocess:
        """How an image becomes an input."""
        return resolve(self.graph.metadata.get("preprocess"), {}, self.dataset,
                       self.graph.input_dims, model=str(self.model))

    @property
    def count(self) -> int:
        """Evaluation images."""
        return min(self.images, len(self.dataset.evaluation))

    @cached_property
    def calibration_inputs(self) -> NDArray[np.float32]:
        """Inputs to calibrate with."""
        part = self.dataset.calibration
        return self.rule.apply(part.read(range(len(part))), self.graph.input_dims, part.name)

    def inputs(self, indices: Sequence[int]) -> NDArray[np.float32]:
        """Return inputs to evaluate with."""
        part = self.dataset.evaluation
        return self.rule.apply(part.read(indices), self.graph.input_dims, part.name)


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


_MEASURE = ("dynafix/api/accuracy.py", "dynafix/intervals.py")


def _software(*patterns: str) -> str:
    """Return a digest of the code that cells depend on."""
    files = [path for pattern in (*patterns, *_MEASURE)
             for path in sorted(ROOT.glob(pattern)) if path.parent.name != "quantized_import"]
    return _digest(*(path.read_text() for path in files))


def _own_software() -> str:
    return _software("arch/formats.py", "quantizer/**/*.py")


@dataclass
class Bench:
    """Cells, computed or from the file.

    Parameters
    ----------
    path : Path
        JSON file of finished cells.
    steps : Steps
        Is told the progress.
    kept : bool
        Whether only cells that are finished already are given.
    """

    path: Path
    steps: Steps
    kept: bool = False
    software: str = field(default_factory=_own_software)

    @cached_property
    def cells(self) -> dict[str, dict[str, Any]]:
        """Finished cells by the digest of what they depend on."""
        try:
            content = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return {}
        return content["cells"] if content.get("schema") == SCHEMA else {}

    def cell(self, network: Network, title: str, options: Mapping[str, Any],
             compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return a cell, and store it as soon as it is known."""
        peer = "peer" in options  # which does not depend on how we quantize
        key = _digest(_software() if peer else self.software, network.digest,
                      title if peer else "", options)
        if key not in self.cells and self.kept:
            return {"error": "not measured yet"}
        if key not in self.cells:
            started = time.process_time()
            try:
                found = compute()
            except ModelError as error:
                found = {"error": str(error)}
            self.cells[key] = {
                "network": network.name, "title": title, **found,
                "cpu_seconds": time.process_time() - started}
            write_json(self.path, {"schema": SCHEMA, "cells": self.cells})
        return self.cells[key]

    def method(self, network: Network, title: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the cell of a method of ours."""
        def compute() -> dict[str, Any]:
            def progress(stage: str, done: int, total: int) -> None:
                self.steps.progress("quantize", done, total, stage, f"{network.name}, {title}")

            model = quantize(network.graph, network.calibration_inputs, progress=progress,
                             reference=network.float, **options)
            return _kept(measure(
                model, network.dataset.evaluation, network.count, network.inputs, self.steps,
                reference=network.reference, layers=False))
        return self.cell(network, title, options, compute)

    def peer(self, network: Network, peer: Peer) -> dict[str, Any]:
        """Return the cell of another quantizer, or why there is none."""
        if peer.missing:
            return {"error": peer.missing}
        code = _digest(Path(quantizer_peers.__file__).read_text())
        options = {"peer": peer.version, "code": code}

        def compute() -> dict[str, Any]:
            try:
                return _kept(peer.measure(
                    network.model, network.graph, network.calibration_inputs, network.inputs,
                    network.dataset.evaluation.labels[:network.count], network.reference))
            except Exception as error:  # whatever another quantizer fails with
                return {"error": f"fails with {type(error).__name__}: {error}".splitlines()[0]}
        return self.cell(network, peer.name, options, compute)


def _kept(found: Mapping[str, Any]) -> dict[str, Any]:
    names = ("float", "quantized", "loss", "agreement", "logits_snr_db", "images")
    return {name: found.get(name) for name in names}
