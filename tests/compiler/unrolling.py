"""Networks whose first layer has few channels."""

from .networks import NetworkBuilder


__all__ = ("random_first_layer",)


def random_first_layer(rng, *, data_bits=8):
    """Return a convolution over at most four channels, and another behind it.

    Kernels, strides and paddings are drawn at random; lines are not multiples of a beat.
    """
    while True:
        kernel = tuple(int(size) for size in rng.integers(1, 6, 2))
        shape = (int(rng.integers(1, 5)), *(int(size) for size in rng.integers(1, 20, 2)))
        pads = tuple(int(rng.integers(0, size)) for size in kernel * 2)
        outside = any(
            size + pads[axis] + pads[axis + 2] < kernel[axis]
            for axis, size in enumerate(shape[1:]))
        if kernel != (1, 1) and not outside:
            break
    b = NetworkBuilder(rng, shape, bits=data_bits, weight_bits=8)
    x = b.conv("input", int(rng.integers(1, 12)), kernel, pads=pads,
               strides=tuple(int(step) for step in rng.integers(1, 4, 2)))
    return b.model(b.conv(x, int(rng.integers(1, 10)), (1, 1)))
