"""Transposed convolution as plain ones: every stride-th output meets the same taps."""

from dataclasses import dataclass, replace
from functools import cached_property
from math import gcd

import numpy as np

from quantizer.graph import Window

from .buffers import Buffer
from .ir import WriteRecord
from .layers import ConvTask, Rect


__all__ = (
    "PhaseTask",
    "TransposedTask",
)


@dataclass(frozen=True)
class _Phase:
    """Outputs ``first``, ``first + stride``, ... along one axis, as those of a convolution.

    Parameters
    ----------
    first, count : int
        First output, and how many there are.
    taps : tuple of int
        Taps that they meet, in the order of the inputs.
    pad, dilation : int
        Zeros before the input, and inputs from tap to tap, for a convolution without strides.
    """

    first: int
    count: int
    taps: tuple[int, ...]
    pad: int
    dilation: int


def _phases(outputs: int, kernel: int, stride: int, pad: int, dilation: int) -> list[_Phase]:
    """Return the phases of one axis.

    Examples
    --------
    >>> for phase in _phases(8, 3, 2, 1, 1):
    ...     print(phase)
    _Phase(first=0, count=4, taps=(1,), pad=0, dilation=1)
    _Phase(first=1, count=4, taps=(2, 0), pad=0, dilation=1)
    """
    found = []
    for first in range(min(stride, outputs)):
        count = -(-(outputs - first) // stride)
        taps = tuple(
            tap for tap in reversed(range(kernel)) if (first + pad - tap * dilation) % stride == 0)
        before = -((first + pad - taps[0] * dilation) // stride) if taps else count
        found.append(_Phase(first, count, taps, before, dilation // gcd(stride, dilation)))
    return found


@dataclass(frozen=True)
class PhaseTask(ConvTask):
    """The convolution that gives every stride-th line and column of a transposed one.

    Its positions are counted on their own; ``output`` is the map of all phases.

    Parameters
    ----------
    first, every : (int, int)
        First line and column of the output, and the steps to the next ones.
    """

    first: tuple[int, int] = (0, 0)
    every: tuple[int, int] = (1, 1)

    def part(self, rect: Rect) -> Rect:
        """Return the positions of this phase in a rectangle of the output; it may be empty."""
        (y, x), (sy, sx) = self.first, self.every
        return Rect(
            -(-(rect.y0 - y) // sy), -(-(rect.y1 - y) // sy),
            -(-(rect.x0 - x) // sx), -(-(rect.x1 - x) // sx))

    def view(self, target: Buffer, part: Rect) -> Buffer:
        """Return the rows of a part, of a single line or without gaps, as a buffer of their own."""
        (y, x), (sy, sx) = self.first, self.every
        base = target.row(y + part.y0 * sy, x + part.x0 * sx)
        return Buffer(base, part, target.block0, target.blocks, sx * target.step)

    def placed(self, record: WriteRecord) -> WriteRecord:
        """Return a record of positions of this phase as one of the output's positions."""
        (y, x), (sy, sx) = self.first, self.every
        return replace(
            record, y0=y + record.y0 * sy, x0=x + record.x0 * sx, y_step=sy, x_step=sx)


@dataclass(frozen=True)
class TransposedTask(ConvTask):
    """A transposed convolution; ``window`` is that of the operator, see :class:`ConvTask`."""

    @property
    def depthwise(self) -> bool:
        """Whether every output channel has one input channel; its phases tell."""
        return False

    def input_rect(self, rect: Rect, index: int = 0) -> Rect:
        """Return the positions of the input that a rectangle of the output needs."""
        source, window = self.inputs[0], self.window

        def needed(start: int, stop: int, axis: int, size: int) -> tuple[int, int]:
            stride, pad = window.strides[axis], window.pads[axis]
            reach = window.dilations[axis] * (window.kernel[axis] - 1)
            first, last = -(-(start + pad - reach) // stride), (stop - 1 + pad) // stride
            first, last = min(max(first, 0), size - 1), min(max(last, 0), size - 1)
            return min(first, last), last + 1

        return Rect(
            *needed(rect.y0, rect.y1, 0, source.height),
            *needed(rect.x0, rect.x1, 1, source.width))

    @cached_property
    def phases(self) -> tuple[PhaseTask, ...]:
        """The convolutions of which it is made, one for each place between the strides."""
        window = self.window
        lines, columns = (
            _phases(size, window.kernel[axis], window.strides[axis], window.pads[axis],
                    window.dilations[axis])
            for axis, size in enumerate(self.output.shape[1:]))
        return tuple(self._phase(y, x) for y in lines for x in columns)

    def _phase(self, y: _Phase, x: _Phase) -> PhaseTask:
        codes = self.codes[:, :, y.taps][:, :, :, x.taps]
        pads = (y.pad, x.pad)
        if not codes.size:  # a tap of zero: nothing but the bias
            codes = np.zeros((*codes.shape[:2], 1, 1), np.int64)
            pads = (y.count, x.count)
        return PhaseTask(
            self.index, self.node, self.inputs, self.output, self.lo, self.hi,
            window=Window(
                (codes.shape[2], codes.shape[3]), (1, 1), (*pads, 0, 0), (y.dilation, x.dilation)),
            groups=self.groups, codes=codes, bias=self.bias, shift=self.shift, upper=self.upper,
            bits=self.bits,
            first=(y.first, x.first), every=self.window.strides)

    def phase(self, number: int) -> ConvTask:
        """Return the convolution that some pieces of the weights are for."""
        return self.phases[number]
