"""Max pooling of the results of a convolution, before they are written.

A maximum commutes with the choice of channels, so that the pooling of a Concat is a pooling of
each of its inputs, and with clamps. The convolution then writes the pooled map, its own map and
that of the Concat do not exist.
"""

from dataclasses import dataclass

from arch.config import AcceleratorConfig
from arch.isa import pool_ends
from arch.timing import POOL_LINE
from quantizer.graph import Concat, Conv, Graph, Pool, Window
from quantizer.model import QuantizedModel

from .layers import Rect


__all__ = (
    "Fusion",
    "Pooling",
    "find_fusions",
)


_MAX_KERNEL = 4


@dataclass(frozen=True)
class Pooling:
    """A max pooling of the results of a convolution.

    Parameters
    ----------
    window : Window
        Geometry; kernel and stride are the same along both axes.
    source, result : (int, int)
        Lines and columns of the map of the convolution, and of the pooled one.
    blocks : int
        Channel blocks of the convolution.
    """

    window: Window
    source: tuple[int, int]
    result: tuple[int, int]
    blocks: int

    @property
    def kernel(self) -> int:
        """Lines and columns of a window."""
        return self.window.kernel[0]

    @property
    def stride(self) -> int:
        """Lines and columns from window to window."""
        return self.window.strides[0]

    @property
    def overlaps(self) -> bool:
        """Whether windows have a line in common, so that tiles go on where others ended."""
        return self.kernel > self.stride

    @property
    def rows(self) -> int:
        """Rows of the line buffer: a line for each block where tiles go on."""
        return self.result[1] * (self.blocks if self.overlaps else 1)

    def _stop(self, axis: int, count: int) -> int:
        """Return the end of what the first ``count`` windows of an axis cover."""
        if not count:
            return 0
        return min(
            self.source[axis], (count - 1) * self.stride - self.window.pads[axis] + self.kernel)

    def computed(self, rect: Rect) -> Rect:
        """Return the positions of the convolution for whole lines of the pooled map.

        Lines that an earlier tile has computed are not among them.
        """
        start = max(self._stop(0, rect.y0), rect.y0 * self.stride - self.window.pads[0])
        return Rect(start, self._stop(0, rect.y1), 0, self._stop(1, self.result[1]))

    def base(self, block: int) -> int:
        """Return the first row of the line buffer of a block."""
        return self.result[1] * block if self.overlaps else 0

    def _open(self, axis: int) -> bool:
        """Return whether the last window of an axis is not complete."""
        return self._stop(axis, self.result[axis]) < (
            (self.result[axis] - 1) * self.stride - self.window.pads[axis] + self.kernel)

    def fields(self, rect: Rect, row: int) -> dict[str, int]:
        """Return the fields of a CONV that computes some lines of the pooled map.

        Parameters
        ----------
        rect : Rect
            Whole lines of the pooled map.
        row : int
            First row of the line buffer.
        """
        top, left = self.window.pads[:2]
        return {
            "pool_kernel": self.kernel - 1, "pool_stride": self.stride - 1,
            "pool_x": left % self.stride,
            "pool_y": (self.computed(rect).y0 + top) % self.stride,
            "pool_first": int(rect.y0 == 0 or not self.overlaps),
            "pool_right": int(self._open(1)),
            "pool_bottom": int(rect.y1 == self.result[0] and self._open(0)),
            "pool_row": row,
        }

    def runs(self, config: AcceleratorConfig) -> bool:
        """Return whether an accelerator can do it."""
        (r, s), (sy, sx), (dy, dx) = (
            self.window.kernel, self.window.strides, self.window.dilations)
        if r != s or sy != sx or r > min(_MAX_KERNEL, sy + 1) or sy > _MAX_KERNEL:
            return False
        if (dy > 1 and r > 1) or (dx > 1 and s > 1) or r == sy == 1:
            return False
        if self.rows > config.pool_depth or not (self._covers(0) and self._covers(1)):
            return False
        columns = self._stop(1, self.result[1])
        return columns >= POOL_LINE and self.kernel * columns <= config.acc_depth

    def _covers(self, axis: int) -> bool:
        """Return whether every window of an axis ends once, in order, and at its own place."""
        ends = pool_ends(
            self._stop(axis, self.result[axis]), kernel=self.kernel, stride=self.stride,
            before=self.window.pads[axis] % self.stride, first=True, last=self._open(axis))
        return ends == [self._stop(axis, count + 1) - 1 for count in range(self.result[axis])]


@dataclass(frozen=True)
class Fusion:
    """What a convolution computes besides.

    Parameters
    ----------
    pool : Pool
        Pooling that it does.
    pooling : Pooling
        Its geometry.
    channel : int
        First channel of the pooled map that it writes.
    join : Concat, optional
        Concat between both, of which nothing is left.
    """

    pool: Pool
    pooling: Pooling
    channel: int = 0
    join: Concat | None = None


def _sources(model: QuantizedModel, pool: Pool, lanes: int) -> tuple[Concat | None, list[str]]:
    """Return the maps that a pooling takes together: its input, or those of a Concat."""
    graph = model.graph
    (tensor,) = pool.inputs
    join = graph.producer(tensor)
    if not isinstance(join, Concat):
        return None, [tensor]
    names = list(join.inputs)
    aligned = all(graph.shapes[name][0] % lanes == 0 for name in names[:-1])
    alike = all(model.formats[name] == model.formats[tensor] for name in names)
    only = (
        len(graph.consumers(tensor)) == 1 and tensor != graph.output
        and len(set(names)) == len(names))
    return join, names if aligned and alike and only else []


def _convolution(graph: Graph, tensor: str) -> Conv | None:
    """Return the convolution whose result one layer reads and nothing else."""
    node = graph.producer(tensor)
    alone = len(graph.consumers(tensor)) == 1 and tensor != graph.output
    return node if type(node) is Conv and alone else None


def find_fusions(model: QuantizedModel, config: AcceleratorConfig) -> dict[str, Fusion]:
    """Return the max poolings that convolutions can do, by name of the convolution.

    Parameters
    ----------
    model : QuantizedModel
        Network.
    config : AcceleratorConfig
        Accelerator.
    """
    graph = model.graph
    found: dict[str, Fusion] = {}
    for pool in graph.accelerated:
        if not isinstance(pool, Pool) or pool.kind != "max" or not config.pool_depth:
            continue
        if model.formats[pool.output] != model.formats[pool.inputs[0]]:
            continue
        join, names = _sources(model, pool, config.out_lanes)
        fusions: dict[str, Fusion] = {}
        channel = 0
        for name in names:
            node = _convolution(graph, name)
            channels, height, width = graph.shapes[name]
            _, lines, columns = graph.shapes[pool.output]
            pooling = Pooling(
                pool.window, (height, width), (lines, columns), -(-channels // config.out_lanes))
            if node is None or not pooling.runs(config):
                break
            fusions[node.name] = Fusion(pool, pooling, channel, join)
            channel += channels
        else:
            found |= fusions
    return found
