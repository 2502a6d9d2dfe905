"""Exact operators on NHWC maps that move positions: Resize, Pad, transposed convolution."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .convolution import Convolution
from .graph import Conv, ConvTranspose, Pad, Resize, Window
from .model import QuantizedWeights
from .tiles import Tile


__all__ = (
    "pad",
    "resize",
    "spread",
    "transposed_tiles",
)


_SPREAD_SIZE = 1 << 24  # bytes of maps spread out at once


def resize(x: NDArray[Any], node: Resize, size: tuple[int, int]) -> NDArray[Any]:
    """Return the lines and columns that a Resize takes, (n, h, w, c); ``size`` is its output's."""
    lines, columns = (
        offset + np.arange(count) // repeat * step
        for count, repeat, step, offset in zip(
            size, node.repeats, node.steps, node.offsets, strict=True))
    taken: NDArray[Any] = x[:, lines][:, :, columns]
    return taken


def pad(x: NDArray[Any], node: Pad, fill: int) -> NDArray[Any]:
    """Return a map with ``fill`` around it, or what else the mode asks for, (n, h, w, c)."""
    top, left, bottom, right = node.pads
    _, height, width, _ = x.shape
    inner = x[:, max(-top, 0):height + min(bottom, 0), max(-left, 0):width + min(right, 0)]
    widths = (
        (0, 0), (max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0)), (0, 0))
    if node.mode != "constant":
        return np.pad(inner, widths, node.mode)
    return np.pad(inner, widths, constant_values=fill)


def spread(x: NDArray[Any], node: ConvTranspose, size: tuple[int, int]) -> NDArray[Any]:
    """Return a map with zeros between its positions, over which a plain convolution is the same."""
    window = node.window
    extent = [d * (k - 1) for d, k in zip(window.dilations, window.kernel, strict=True)]
    n, *_, channels = x.shape
    apart = np.zeros((n, size[0] + extent[0], size[1] + extent[1], channels), x.dtype)
    taken, places = [], []
    for axis in (0, 1):
        place = np.arange(x.shape[1 + axis]) * window.strides[axis]
        place += extent[axis] - window.pads[axis]
        inside = (place >= 0) & (place < apart.shape[1 + axis])
        taken.append(np.flatnonzero(inside))
        places.append(place[inside])
    apart[:, places[0][:, None], places[1]] = x[:, taken[0][:, None], taken[1]]
    return apart


def transposed_tiles(
    x: NDArray[Any], node: ConvTranspose, weights: QuantizedWeights, x_frac: int,
    bounds: tuple[int, int],
) -> Iterator[Tile]:
    """Yield the accumulators of a transposed convolution; see :class:`.convolution.Convolution`."""
    size = node.output_size(*x.shape[1:3])
    plain = Conv(
        node.name, node.inputs, node.output, groups=node.groups,
        window=Window(node.window.kernel, dilations=node.window.dilations))
    turned = replace(weights, codes=weights.codes[:, :, ::-1, ::-1])
    convolution = Convolution(plain, turned, x_frac, bounds)
    images = max(1, _SPREAD_SIZE // (4 * size[0] * size[1] * x.shape[3] * x.itemsize))
    for first in range(0, len(x), images):
        apart = spread(x[first:first + images], node, size)
        for tile in convolution.tiles(apart):
            start, stop, _ = tile.images.indices(len(apart))
            yield replace(tile, images=slice(first + start, first + stop))
