"""The output error of a convolution as a quadratic form of its weights.

For each output channel, with quantized inputs ``x``, float inputs ``y`` and float weights ``w``,

    mean over positions of (q . x + b - w . y - b_float) ** 2
        = (q - t) . H (q - t) + what no choice of q changes

once the bias ``b`` has removed the mean error: ``H`` is the covariance of ``x``, and the target
``t`` solves ``H t = cov(x, w . y)``, so that it makes up for the errors of the inputs.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...graph import Conv
from .feedback import Feedback
from .patches import output_size, patches


__all__ = (
    "Quadratic",
    "blocks",
    "gather",
)


_POSITIONS = 1 << 16  # output positions that are looked at
_LARGEST = 4096  # inputs of a kernel that are judged together
# What is added to the diagonal, relative to its mean: a little always, and more where there are few
# positions for the inputs, as in fully connected layers. Chosen on calibration images that took no
# part in the search (4-bit weights, glyphs: 25.5 dB without the second term, 26.5 dB with it).
_DAMPING = 0.01
_UNSEEN_DAMPING = 0.3  # times inputs / positions
_PRECISION = 2.0**-22  # of a sum of products, relative


@dataclass(frozen=True)
class Quadratic:
    """Quadratic form of the weights of one convolution, or of some of their inputs.

    Parameters
    ----------
    hessian : float64, (groups, p, p)
        Positive definite.
    target : float64, (groups, k / groups, p)
        Real weights with the least error.
    mean : float64, (groups, p)
        Mean of the quantized inputs.
    mean_output : float64, (groups, k / groups)
        Mean of what the float network adds up.
    """

    hessian: NDArray[np.float64]
    target: NDArray[np.float64]
    mean: NDArray[np.float64]
    mean_output: NDArray[np.float64]

    @cached_property
    def feedback(self) -> Feedback:
        """Rounding by error feedback, made once for all widths and fractional lengths."""
        return Feedback(self.hessian)

    def errors(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean squared error of each output channel, (groups, k / groups)."""
        difference = weights - self.target
        return np.asarray(np.einsum("gkp,gkp->gk", difference @ self.hessian, difference))

    def mean_error(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what the bias has to add to each output channel, (groups, k / groups)."""
        return np.asarray(self.mean_output - np.einsum("gkp,gp->gk", weights, self.mean))


def blocks(node: Conv) -> list[slice]:
    """Cut the inputs of a kernel into parts that are judged together."""
    count = node.weight[0].size
    parts = -(-count // _LARGEST)
    cuts = [count * index // parts for index in range(parts + 1)]
    return [slice(a, b) for a, b in zip(cuts, cuts[1:], strict=False)]


def _positions(node: Conv, shape: tuple[int, ...], images: int) -> list[NDArray[np.int64]]:
    """Return the output positions to look at in each image, spread evenly."""
    total = int(np.prod(output_size(node, *shape[:2])))
    each = min(total, max(1, _POSITIONS // images))
    rng = np.random.default_rng(0)
    return [
        np.arange(total) if each == total else np.sort(rng.choice(total, each, replace=False))
        for _ in range(images)]


def gather(
    node: Conv, part: slice, coded: NDArray[np.integer], step: float,
    exact: Iterable[NDArray[np.float32]],
) -> Quadratic:
    """Measure the quadratic form on images, one after the other.

    Parameters
    ----------
    node : Conv
        The convolution.
    part : slice
        One of :func:`blocks`.
    coded : int, (n, h, w, c)
        Codes of the inputs.
    step : float
        What a code stands for.
    exact : iterable of float32, (h, w, c)
        Inputs in the float network, image by image.

    Returns
    -------
    Quadratic
        Means over positions.
    """
    groups, kernels = node.groups, len(node.weight)
    weight = node.weight.reshape(groups, kernels // groups, -1)[:, :, part].astype(np.float64)
    kernel = weight.transpose(0, 2, 1).astype(np.float32)
    size = weight.shape[2]
    square = np.zeros((groups, size, size))
    cross = np.zeros((groups, size, kernels // groups))
    inputs, outputs = np.zeros((groups, size)), np.zeros((groups, kernels // groups))
    count = 0
    places = _positions(node, coded.shape[1:], len(coded))
    for codes, values, positions in zip(coded, exact, places, strict=True):
        x = patches(codes, node, positions)[:, :, part].astype(np.float32)
        wanted = patches(values, node, positions)[:, :, part] @ kernel
        square += x.transpose(0, 2, 1) @ x
        cross += x.transpose(0, 2, 1) @ wanted
        inputs += x.sum(1, dtype=np.float64)
        outputs += wanted.sum(1, dtype=np.float64)
        count += len(positions)
    mean, mean_output = inputs * step / count, outputs / count
    square *= step**2 / count
    least = _PRECISION * np.trace(square, axis1=1, axis2=2)
    square -= mean[:, :, None] * mean[:, None, :]
    cross *= step / count
    cross -= mean[:, :, None] * mean_output[:, None, :]
    damping = np.maximum(_damping(square, count), least)
    hessian = square + damping[:, None, None] * np.eye(size)
    change = np.linalg.solve(hessian, cross - square @ weight.transpose(0, 2, 1))
    return Quadratic(hessian, weight + change.transpose(0, 2, 1), mean, mean_output)


def _damping(square: NDArray[np.float64], positions: int) -> NDArray[np.float64]:
    """Return what is added to the diagonals, (groups,): what was not seen keeps its weights."""
    size = square.shape[1]
    strength = np.trace(square, axis1=1, axis2=2) / size
    factor = _DAMPING + _UNSEEN_DAMPING * size / positions
    return np.asarray(np.where(strength > 0, strength, 1.0) * factor)
