"""The float network in onnxruntime, with every tensor of the graph as output."""

import os
from collections.abc import Iterable, Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray

from .errors import ModelError
from .execute import check_inputs
from .graph import Graph
from .onnx_import import load_graph
from .onnx_import.reader import needed_nodes, read_model
from .prepare.absorb import less
from .prepare.scale import multiplied


if TYPE_CHECKING:
    import onnxruntime


__all__ = ("FloatReference",)


_IR_VERSION = 10  # that of opset 21; onnx may write versions that onnxruntime does not read
_CHUNK_SIZE = 64 << 20
_CHUNK_IMAGES = 64


class FloatReference:
    """The original ONNX file, executed in float32.

    Nothing of the import takes part but the names and shapes of the tensors, so that what the
    graph computes can be judged by it. A file with a fixed batch runs in pieces of that size.

    Parameters
    ----------
    network : Graph or path
        The network; a path is imported first.
    source : path, optional
        ONNX file that ``network`` was imported from, where it is no longer at ``Graph.source``.

    Raises
    ------
    ModelError
        If the file cannot be read, or is not the one that the graph was imported from.
    """

    def __init__(
        self, network: Graph | str | os.PathLike[str], *,
        source: str | os.PathLike[str] | None = None,
    ) -> None:
        self.graph = network if isinstance(network, Graph) else load_graph(network)
        self.source = str(source) if source is not None else self.graph.source
        if not self.source:
            raise ModelError(f"{self.graph.name}: the float network is not known; name the ONNX "
                             f"file that it was imported from")
        self._batch = _fixed_batch(read_model(self.source), self.source, self.graph)
        self._sessions: dict[tuple[str, ...], onnxruntime.InferenceSession] = {}
        self._steps: dict[tuple[str, ...], int] = {}

    def run(self, inputs: ArrayLike) -> NDArray[np.float32]:
        """Return the output of the network.

        Parameters
        ----------
        inputs : float32, (n, *input_dims)
            Images.

        Returns
        -------
        float32, (n, *output_dims)
            Output, after Softmax where the network has it.
        """
        output = self.graph.output
        return self.tensors(inputs, [output])[output].reshape(-1, *self.graph.output_dims)

    def tensors(
        self, inputs: ArrayLike, names: Iterable[str] | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Return tensors of the network.

        Parameters
        ----------
        inputs : float32, (n, *input_dims)
            Images.
        names : iterable of str, optional
            Which tensors; all tensors of the graph when not given.

        Returns
        -------
        dict from tensor name to float32, (n, c, h, w)
            The input as the host hands it over (:attr:`Graph.intake`), all others as they are,
            less what the graph subtracts from its channels (:attr:`Graph.offsets`), times
            the factors that it multiplies them by (:attr:`Graph.exponents`).

        Raises
        ------
        ModelError
            If the images have another shape or are not finite, or the network makes a value that
            is not.
        """
        images = self._checked(inputs)
        asked = tuple(self.graph.shapes if names is None else names)
        parts = list(self._run_chunks(images, tuple(n for n in asked if n != self.graph.input)))
        result = {}
        for name in asked:
            values = (self.graph.take(images) if name == self.graph.input else
                      _joined([part.pop(name) for part in parts]))
            result[name] = multiplied(
                less(values.reshape(-1, *self.graph.shapes[name]), self.graph.offsets.get(name)),
                self.graph.exponents.get(name))
            if not np.isfinite(result[name]).all():
                raise ModelError(f"{self.source}: tensor {name!r} becomes NaN or infinite in "
                                 f"float32 on these images")
        return result

    def _checked(self, inputs: ArrayLike) -> NDArray[np.float32]:
        """Return the images as float32, (n, *input_dims)."""
        images = check_inputs(inputs, self.graph)
        if len(images) == 0:
            raise ModelError(f"Inputs must hold at least one image for {self.graph.name!r}")
        return images

    def _run_chunks(
        self, images: NDArray[np.float32], names: tuple[str, ...]
    ) -> Iterator[dict[str, NDArray[np.float32]]]:
        """Run the images in pieces."""
        if not names:
            return
        session = self._session(names)
        step = self._batch or self._step(session, names, images)
        for start in range(0, len(images), step):
            chunk = images[start:start + step]
            count = len(chunk)
            if self._batch and count < self._batch:
                chunk = np.resize(chunk, (self._batch, *chunk.shape[1:]))
            found = self._run(session, names, chunk)
            yield {name: value[:count] for name, value in found.items()}

    def _step(
        self, session: "onnxruntime.InferenceSession", names: Sequence[str],
        images: NDArray[np.float32],
    ) -> int:
        """Return how many images to run at once: one, if images in a batch are not independent."""
        image_size = 4 * sum(prod(self.graph.shapes[name]) for name in names)
        step = min(_CHUNK_SIZE // image_size, _CHUNK_IMAGES)
        if len(images) == 1 or step < 2:
            return 1
        if tuple(names) not in self._steps:
            self._steps[tuple(names)] = self._checked_step(session, names, images, step)
        return self._steps[tuple(names)]

    def _checked_step(
        self, session: "onnxruntime.InferenceSession", names: Sequence[str],
        images: NDArray[np.float32], step: int,
    ) -> int:
        """Return ``step``, or one if two images together give something else than alone."""
        alone = [self._run(session, names, images[i:i + 1]) for i in range(2)]
        try:
            together = self._run(session, names, images[:2])
        except ModelError:
            return 1  # the batch is free by name only
        for name in names:
            expected = np.concatenate([part[name] for part in alone])
            largest = np.abs(expected).max(initial=0, where=np.isfinite(expected))
            if not np.allclose(together[name], expected, rtol=1e-3, atol=1e-3 * float(largest),
                               equal_nan=True):
                return 1
        return step

    def _run(
        self, session: "onnxruntime.InferenceSession", names: Sequence[str],
        chunk: NDArray[np.float32],
    ) -> dict[str, NDArray[np.float32]]:
        """Run one piece; every tensor is (n, elements)."""
        try:
            values: list[Any] = session.run(list(names), {self.graph.input: chunk})
        except Exception as error:  # onnxruntime's errors have no common class
            raise ModelError(f"{self.source}: onnxruntime cannot run the network: "
                             f"{error}") from None
        result = {}
        for name, value in zip(names, values, strict=True):
            if value.size != len(chunk) * prod(self.graph.shapes[name]):
                raise ModelError(
                    f"{self.source}: tensor {name!r} of shape {value.shape} does not hold "
                    f"{self.graph.shapes[name]} for each of {len(chunk)} images")
            result[name] = value.reshape(len(chunk), -1)
        return result

    def _session(self, names: tuple[str, ...]) -> "onnxruntime.InferenceSession":
        """Return a session whose outputs are ``names``."""
        if names not in self._sessions:
            import onnxruntime  # heavy; the rest of the package does without

            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3
            options.enable_cpu_mem_arena = False  # it would keep what results have taken
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            try:
                self._sessions[names] = onnxruntime.InferenceSession(
                    _part(read_model(self.source), names).SerializeToString(), options,
                    providers=["CPUExecutionProvider"], disabled_optimizers=["Pad_Fusion"])
            except ModelError:
                raise
            except Exception as error:  # onnxruntime's errors have no common class
                raise ModelError(
                    f"{self.source}: onnxruntime cannot load the network: {error}") from None
        return self._sessions[names]


def _joined(parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _fixed_batch(model: onnx.ModelProto, source: str, graph: Graph) -> int | None:
    """Return the batch of the network's input, ``None`` when it is free."""
    for value in model.graph.input:
        if value.name == graph.input:
            size = int(value.type.tensor_type.shape.dim[0].dim_value)
            return size if size > 0 else None
    raise ModelError(f"{source}: has no input {graph.input!r}; it must be the file that "
                     f"{graph.name!r} was imported from")


def _part(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """Reduce a model to what computes ``names``, in place: weights may be large."""
    needed, used = needed_nodes(model, names)
    graph = model.graph
    stored = {tensor.name for tensor in graph.initializer}
    for field, keep in (
            (graph.node, needed),
            (graph.initializer, [tensor.name in used for tensor in graph.initializer]),
            (graph.input, [v.name in used and v.name not in stored for v in graph.input])):
        for index in reversed(range(len(keep))):
            if not keep[index]:
                del field[index]
    del graph.output[:]
    del graph.value_info[:]
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    for node in graph.node:
        node.name = ""  # onnxruntime refuses names that occur twice
    model.ir_version = _IR_VERSION
    return model
