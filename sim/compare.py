"""Compare what the accelerator computed with the reference, value by value."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import SimulationError
from .result import ImageRun, SimulationResult


__all__ = (
    "Difference",
    "check",
    "compare",
    "compare_tensors",
)


@dataclass(frozen=True)
class Difference:
    """The first value of a layer that differs from the reference.

    Parameters
    ----------
    layer : str
        Name of the layer, or of the output region.
    index : int
        Number of the layer.
    tensor : str
        Name of the tensor that it computes.
    position : (int, int, int)
        Channel, line and column.
    expected, got : int
        Code of the reference, and the accelerator's.
    expected_value, got_value : float
        Real numbers that they stand for.
    count, total : int
        Values of the tensor that differ, and all.
    """

    layer: str
    index: int
    tensor: str
    position: tuple[int, int, int]
    expected: int
    got: int
    expected_value: float
    got_value: float
    count: int
    total: int

    def __str__(self) -> str:
        """Return a sentence with layer, position and both values."""
        k, h, w = self.position
        return (
            f"layer {self.index}, {self.layer!r}, position (k={k}, h={h}, w={w}): the reference is "
            f"{self.expected} ({self.expected_value:g}), the accelerator computed {self.got} "
            f"({self.got_value:g}); {self.count} of {self.total} values differ")

    def text(self, image: int, engine: str) -> str:
        """Return a sentence that names image and engine, for what is compared with numpy."""
        k, h, w = self.position
        return (f"layer {self.layer}, image {image}: {engine} differs from numpy at (k {k}, "
                f"h {h}, w {w}): {self.got} ({self.got_value:.4f}) instead of "
                f"{self.expected} ({self.expected_value:.4f})")


def compare_tensors(
    model, expected: Mapping[str, ArrayLike], got: Mapping[str, NDArray[np.integer]]
) -> list[Difference]:
    """Compare tensors by name, in execution order.

    Parameters
    ----------
    model : quantizer.QuantizedModel
        Gives the order and the formats.
    expected : mapping from tensor name to int, (c, h, w)
        Codes of the reference.
    got : mapping from tensor name to int, (c, h, w)
        Codes that the accelerator computed; a tensor that it does not keep may be missing.

    Returns
    -------
    list of Difference
        The first difference of every tensor that has one.
    """
    result = []
    for index, node in enumerate(model.graph.accelerated):
        if node.output not in got:
            continue
        want, have = np.asarray(expected[node.output]), np.asarray(got[node.output])
        if want.shape != have.shape:
            raise SimulationError(
                f"Tensor {node.output!r} must have shape {want.shape}, not {have.shape}")
        wrong = want != have
        if not wrong.any():
            continue
        k, h, w = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
        left, right = int(want[k, h, w]), int(have[k, h, w])
        step = model.formats[node.output].step
        result.append(Difference(
            node.name, index, node.output, (int(k), int(h), int(w)), left, right,
            left * step, right * step, int(wrong.sum()), wrong.size))
    return result


def compare(
    program, model, codes: ArrayLike, run: ImageRun,
    *, expected: Mapping[str, ArrayLike] | None = None,
) -> list[Difference]:
    """Compare every tensor of one image with the reference.

    Parameters
    ----------
    program : compiler.Program
        Compiled network.
    model : quantizer.QuantizedModel
        The network that was compiled.
    codes : int, (c, h, w)
        Input codes of the image.
    run : ImageRun
        What the accelerator did.
    expected : mapping from tensor name to int, (c, h, w), optional
        Codes of the reference; computed from ``codes`` if not given.

    Returns
    -------
    list of Difference
        The first difference of every layer that has one, then of the output region; empty when
        all is equal.

    Raises
    ------
    SimulationError
        If the accelerator wrote another number of rows than the program says.
    """
    if expected is None:
        from quantizer.execute import execute

        batch = execute(model, np.asarray(codes)[np.newaxis])
        expected = {name: values[0] for name, values in batch.items()}
    count = sum(write.row_count for write in program.writes)
    if len(run.rows) != count:
        raise SimulationError(
            f"The accelerator wrote {len(run.rows)} rows, but the program computes {count}")
    differences = compare_tensors(model, expected, program.tensors_from_rows(run.rows))
    output = model.graph.accelerated[-1].output
    stored = compare_tensors(model, expected, {output: program.output_layout.unpack(run.output)})
    return differences or stored


def check(
    program, model, codes_list: Sequence[ArrayLike], result: SimulationResult,
    *, folder: str = "FOLDER", first_image: int = 0,
) -> None:
    """Stop at the first value of any layer of any image that differs from the reference.

    Parameters
    ----------
    program : compiler.Program
        Compiled network.
    model : quantizer.QuantizedModel
        The network that was compiled.
    codes_list : sequence of int, (c, h, w)
        Input codes of each image.
    result : SimulationResult
        What the accelerator did.
    folder : str
        Folder of the results, for the command in the message.
    first_image : int
        Number of the first image, for the message.

    Raises
    ------
    SimulationError
        If anything differs; names layer, image, position, both values, and the command that
        writes the waveform of that layer.
    """
    for image, (codes, run) in enumerate(
            zip(codes_list, result.images, strict=True), start=first_image):
        differences = compare(program, model, codes, run)
        if differences:
            first = differences[0]
            raise SimulationError(
                f"Image {image}, {first}; its waveform: "
                f"dynafix simulate {shlex.quote(folder)} --image {image} "
                f"--layer {shlex.quote(first.layer)} --waves")
