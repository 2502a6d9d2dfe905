"""What the kernels of a convolution see, at some of its output positions."""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ...graph import Conv, ConvTranspose, Window
from ...moves import spread


__all__ = (
    "output_size",
    "patches",
)


def output_size(node: Conv, height: int, width: int) -> tuple[int, int]:
    """Return the lines and columns of a convolution's output."""
    if isinstance(node, ConvTranspose):
        return node.output_size(height, width)
    return node.window.output_size(height, width)


def _padded(image: NDArray[Any], node: Conv, size: tuple[int, int]) -> NDArray[Any]:
    """Return an image (h, w, c) with the zeros that a convolution of stride 1 or more sees."""
    if isinstance(node, ConvTranspose):
        apart: NDArray[Any] = spread(image[None], node, size)[0]
        return apart
    top, left, bottom, right = node.window.pads
    return np.pad(image, ((top, bottom), (left, right), (0, 0)))


def patches(
    image: NDArray[Any], node: Conv, positions: NDArray[np.int64]
) -> NDArray[Any]:
    """Return what the kernels see, group by group.

    Parameters
    ----------
    image : any type, (h, w, c)
        Input of the convolution.
    node : Conv
        Geometry and groups; also a transposed convolution.
    positions : int64, (m,)
        Output positions, line by line.

    Returns
    -------
    type of ``image``, (groups, m, c / groups * r * s)
        Inputs, in the order of ``node.weight[k].ravel()``.
    """
    size = output_size(node, *image.shape[:2])
    window = node.window
    if isinstance(node, ConvTranspose):
        window = Window(window.kernel, dilations=window.dilations)
    padded = _padded(image, node, size)
    extent = tuple(
        d * (k - 1) + 1 for d, k in zip(window.dilations, window.kernel, strict=True))
    views = sliding_window_view(padded, extent, axis=(0, 1))[
        ::window.strides[0], ::window.strides[1], :,
        ::window.dilations[0], ::window.dilations[1]]
    if isinstance(node, ConvTranspose):
        views = views[..., ::-1, ::-1]
    lines, columns = np.divmod(positions, size[1])
    taken = views[lines, columns]  # (m, c, r, s)
    return taken.reshape(len(positions), node.groups, -1).transpose(1, 0, 2)
