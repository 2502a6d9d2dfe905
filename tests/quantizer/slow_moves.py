"""Operators that move positions, the obviously right way: (n, c, h, w), integers or floats."""

import numpy as np


def slow_transposed(node, values, weight, bias):
    """Let every position add its kernels to a large map, and cut the output out of it."""
    n, _, h, w = values.shape
    outputs, inputs, r, s = weight.shape
    (sy, sx), (dy, dx) = node.window.strides, node.window.dilations
    (top, left), size = node.window.pads[:2], node.output_size(h, w)
    large = np.zeros(
        (n, outputs, h * sy + dy * r + 2 * size[0], w * sx + dx * s + 2 * size[1]), weight.dtype)
    split = values.reshape(n, node.groups, inputs, h, w)
    weight = weight.reshape(node.groups, -1, inputs, r, s)
    for y in range(r):
        for x in range(s):
            part = np.einsum("ngchw,gkc->ngkhw", split, weight[..., y, x])
            large[:, :, y * dy:y * dy + h * sy:sy, x * dx:x * dx + w * sx:sx] += part.reshape(
                n, outputs, h, w)
    return large[:, :, top:top + size[0], left:left + size[1]] + bias[:, None, None]


def slow_resize(node, values, shape):
    result = np.empty((len(values), *shape), values.dtype)
    for y in range(shape[1]):
        for x in range(shape[2]):
            result[:, :, y, x] = values[
                :, :, node.offsets[0] + y // node.repeats[0] * node.steps[0],
                node.offsets[1] + x // node.repeats[1] * node.steps[1]]
    return result


def _inside(place, size, mode):
    while not 0 <= place < size:
        if mode == "edge":
            place += 1 if place < 0 else -1
        else:
            place = -place if place < 0 else 2 * (size - 1) - place
    return place


def slow_pad(node, values, fill):
    top, left, bottom, right = node.pads
    n, c, h, w = values.shape
    result = np.full((n, c, h + top + bottom, w + left + right), fill, values.dtype)
    if node.mode != "constant":
        for y in range(result.shape[2]):
            for x in range(result.shape[3]):
                result[:, :, y, x] = values[
                    :, :, _inside(y - top, h, node.mode), _inside(x - left, w, node.mode)]
        return result
    for y in range(h):
        for x in range(w):
            if 0 <= y + top < result.shape[2] and 0 <= x + left < result.shape[3]:
                result[:, :, y + top, x + left] = values[:, :, y, x]
    return result
