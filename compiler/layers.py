"""Layers to be lowered, and the maps between them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from arch.formats import Format
from quantizer.graph import Node, Pool, Window

from .ir import WriteRecord


if TYPE_CHECKING:
    from .pooling import Pooling


__all__ = (
    "AddTask",
    "ConvTask",
    "FreeTask",
    "HostTask",
    "JoinTask",
    "MulTask",
    "PoolTask",
    "Rect",
    "SlopeTask",
    "StoredMap",
    "TableTask",
    "Task",
    "window_rect",
)


@dataclass(frozen=True)
class Rect:
    """Lines ``y0`` up to ``y1`` and columns ``x0`` up to ``x1`` of a map."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def lines(self) -> int:
        """Lines."""
        return self.y1 - self.y0

    @property
    def columns(self) -> int:
        """Columns."""
        return self.x1 - self.x0

    @property
    def size(self) -> int:
        """Positions."""
        return self.lines * self.columns


@dataclass(frozen=True)
class StoredMap:
    """A map in rows of ``lanes`` codes: line by line, position by position, block by block.

    Parameters
    ----------
    name : str
        Name of the tensor.
    channels, height, width : int
        Shape as stored; for an unrolled input not that of the tensor.
    lanes : int
        Codes of a row.
    format : Format
        Format of the codes.
    home : StoredMap, optional
        The joined map of which this one is some blocks; it is never a part itself.
    block0 : int
        First of those blocks.
    constant : bool
        Whether it is part of the network's weights; no layer writes it.
    whole, first : str, int
        Tensor of which the map holds blocks from ``first`` on, if it lies on its own.
    """

    name: str
    channels: int
    height: int
    width: int
    lanes: int
    format: Format
    home: "StoredMap | None" = None
    block0: int = 0
    constant: bool = False
    whole: str = ""
    first: int = 0

    @property
    def place(self) -> "StoredMap":
        """The map that takes up memory: the joined map, or this one."""
        return self.home or self

    def part(self, first: int, stop: int) -> "StoredMap":
        """Return blocks ``first`` up to ``stop`` of the map, as a map."""
        channels = min(stop * self.lanes, self.channels) - first * self.lanes
        return replace(self, channels=channels, home=self.place, block0=self.block0 + first)

    def cut(self, first: int, stop: int) -> "StoredMap":
        """Return a map that holds nothing but blocks ``first`` up to ``stop``."""
        part = self.part(first, stop)
        return replace(
            part, name=f"{self.name} blocks {first}..{stop - 1}", home=None, block0=0,
            first=first, whole=self.name)

    @property
    def blocks(self) -> int:
        """Rows of one position."""
        return -(-self.channels // self.lanes)

    @property
    def rows(self) -> int:
        """Rows of the map."""
        return self.height * self.width * self.blocks

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape ``(c, h, w)``."""
        return self.channels, self.height, self.width

    @property
    def rect(self) -> Rect:
        """All positions."""
        return Rect(0, self.height, 0, self.width)


@dataclass(frozen=True)
class Task:
    """A layer to be lowered.

    Parameters
    ----------
    index : int
        Index of the layer.
    node : Node
        Operator.
    inputs : tuple of StoredMap
        Maps read.
    output : StoredMap
        Map written.
    lo, hi : int
        Bounds of a result, as codes.
    """

    index: int
    node: Node
    inputs: tuple[StoredMap, ...]
    output: StoredMap
    lo: int
    hi: int

    @property
    def name(self) -> str:
        """Name of the layer."""
        return self.node.name

    @property
    def key(self) -> tuple[int, int, int]:
        """What tells the parts of a layer from each other."""
        return self.index, self.output.block0, self.output.first

    @property
    def smallest_rows(self) -> int:
        """Rows that one output position in the middle needs on chip."""
        y, x = self.output.height // 2, self.output.width // 2
        rect = Rect(y, y + 1, x, x + 1)
        return self.output.blocks + sum(
            self.input_rect(rect, index).size * stored.blocks
            for index, stored in enumerate(self.inputs))

    def input_rect(self, rect: Rect, index: int = 0) -> Rect:
        """Return the positions of an input that a rectangle of the output needs."""
        return rect


def _needed(
    start: int, stop: int, stride: int, pad: int, kernel: int, dilation: int, size: int
) -> tuple[int, int]:
    """Return the lines that outputs ``start`` up to ``stop`` need; at least one."""
    first = start * stride - pad
    last = (stop - 1) * stride - pad + (kernel - 1) * dilation
    first, last = min(max(first, 0), size - 1), min(max(last, 0), size - 1)
    return first, last + 1


def window_rect(window: Window, source: StoredMap, rect: Rect) -> Rect:
    """Return the positions of ``source`` under the windows of ``rect``."""
    (r, s), (sy, sx), (dy, dx) = window.kernel, window.strides, window.dilations
    top, left = window.pads[:2]
    return Rect(
        *_needed(rect.y0, rect.y1, sy, top, r, dy, source.height),
        *_needed(rect.x0, rect.x1, sx, left, s, dx, source.width))


@dataclass(frozen=True)
class ConvTask(Task):
    """A convolution; see :class:`Task`.

    Parameters
    ----------
    window : Window
        Geometry over the stored input.
    groups : int
        Groups.
    codes : int64, (k, c / groups, r, s)
        Weight codes, reordered when the input is unrolled.
    bias, shift, upper : int64, (k,)
        Biases, right shifts, and upper bounds of the results.
    bits : int
        Width of a weight code in DRAM.
    pooling : Pooling, optional
        Max pooling of the results; ``output`` is the pooled map then.
    factors : int64, (k, 1, r, 1), optional
        What the codes of the second input, the addend, are added with: ``r`` times, each time
        multiplied by a power of two, or by 0.
    factor_bits : int
        Width of a factor; above the config's weights, it takes the place of two of them.
    """

    window: Window
    groups: int
    codes: NDArray[np.int64]
    bias: NDArray[np.int64]
    shift: NDArray[np.int64]
    upper: NDArray[np.int64]
    bits: int = 8
    pooling: "Pooling | None" = None
    factors: NDArray[np.int64] | None = None
    factor_bits: int = 8

    @cached_property
    def addend(self) -> "ConvTask | None":
        """The depthwise convolution of the second input that adds it; all taps at its position."""
        if self.factors is None:
            return None
        return replace(
            self, inputs=self.inputs[1:], factors=None, codes=self.factors,
            window=Window((self.factors.shape[2], 1), dilations=(0, 1)),
            groups=len(self.factors), bits=self.factor_bits)

    @property
    def depthwise(self) -> bool:
        """Whether every output channel has one input channel, its own."""
        return self.groups == len(self.codes) == self.inputs[0].channels

    @property
    def computed(self) -> tuple[int, int]:
        """Lines and columns of the map of the convolution, before a pooling."""
        if self.pooling is None:
            return self.output.height, self.output.width
        return self.pooling.source

    def computed_rect(self, rect: Rect) -> Rect:
        """Return the positions of the convolution for a rectangle of the output."""
        return rect if self.pooling is None else self.pooling.computed(rect)

    def input_rect(self, rect: Rect, index: int = 0) -> Rect:
        """Return the positions of an input that a rectangle of the output needs."""
        if index and self.factors is not None:
            return self.computed_rect(rect)
        return window_rect(self.window, self.inputs[0], self.computed_rect(rect))

    def phase(self, number: int) -> "ConvTask":
        """Return the convolution that some pieces of the weights are for: 0 this, 1 its addend."""
        if not number:
            return self
        assert self.addend is not None
        return self.addend

    def placed(self, record: WriteRecord) -> WriteRecord:
        """Return a record of positions of this convolution as one of the output's positions."""
        return record


@dataclass(frozen=True)
class JoinTask(ConvTask):
    """A Concat or Slice that moves data: a 1 x 1 convolution of maps; see :class:`ConvTask`.

    The kernel of an output channel is one number, ``codes`` (k, 1, 1, 1), that meets the channel
    that is copied.

    Parameters
    ----------
    skip : int
        Channels of the first input that are left out.
    """

    skip: int = 0

    @property
    def depthwise(self) -> bool:
        """Whether every output channel has one input channel, its own."""
        return False

    def parts(self, first: int, last: int) -> Iterator[tuple[int, int, int, int]]:
        """Yield what fills some output channels.

        Parameters
        ----------
        first, last : int
            Output channels ``first`` up to ``last``; those past the end do not count.

        Yields
        ------
        (int, int, int, int)
            Number of an input, its first channel, the first output channel, and how many.
        """
        start, last = -self.skip, min(last, self.output.channels)
        for number, stored in enumerate(self.inputs):
            c0, c1 = max(first, start), min(last, start + stored.channels)
            if c0 < c1:
                yield number, c0 - start, c0, c1 - c0
            start += stored.channels


@dataclass(frozen=True)
class FreeTask(Task):
    """A layer of which nothing is left to do; it has no inputs to read.

    A Concat or Slice whose result lies where its inputs do, a pooling that convolutions do, or a
    Concat between both, whose ``output`` is the pooled map then.
    """


@dataclass(frozen=True)
class HostTask(Task):
    """A step of the host: both maps are in DRAM, and the program stops for it."""


@dataclass(frozen=True)
class PoolTask(Task):
    """A pooling; see :class:`Task`."""

    pool: Pool

    def input_rect(self, rect: Rect, index: int = 0) -> Rect:
        """Return the positions of the input that a rectangle of the output needs."""
        return window_rect(self.pool.window, self.inputs[0], rect)


@dataclass(frozen=True)
class AddTask(Task):
    """A sum of two maps, or of a map and a channel vector; see :class:`Task`."""

    @property
    def has_vector(self) -> bool:
        """Whether the second input has one position, for all of the output."""
        return self.inputs[1].rect.size < self.output.rect.size

    def input_rect(self, rect: Rect, index: int = 0) -> Rect:
        """Return the positions of an input that a rectangle of the output needs."""
        return self.inputs[1].rect if index == 1 and self.has_vector else rect


@dataclass(frozen=True)
class MulTask(AddTask):
    """A product of two maps, or of a map and a channel vector; see :class:`Task`."""


@dataclass(frozen=True)
class SlopeTask(AddTask):
    """A map times the slopes of its channels, where it is negative; see :class:`Task`.

    The second input is the map of the slopes, a constant.

    Parameters
    ----------
    slopes : int64, (c,)
        Codes of the slopes.
    """

    slopes: NDArray[np.int64]

    @property
    def has_vector(self) -> bool:
        """Whether the second input has one position, for all of the output."""
        return True


@dataclass(frozen=True)
class TableTask(Task):
    """A function of one code, from a table; see :class:`Task`.

    Parameters
    ----------
    entries : int64, (entries,)
        Entries of the table, as the hardware wants them.
    index_shift : int
        Bits of a code below an index of the table.
    scale : int
        Bits by which the first entry of a result is shifted left, and the result right.
    """

    entries: NDArray[np.int64]
    index_shift: int
    scale: int
