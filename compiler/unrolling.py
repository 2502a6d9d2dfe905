"""The input whose kernel taps LOAD makes into channels, and how long it takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from arch.config import AcceleratorConfig
from quantizer.graph import Window

from .errors import CompileError


__all__ = (
    "Unrolling",
    "unroll_cycles",
)


def unroll_cycles(values: Mapping[str, int], rows: int, row_size: int, width: int) -> int:
    """Return the cycles that a LOAD takes to make rows of lines that are there.

    Parameters
    ----------
    values : mapping from field name to int
        Fields of the LOAD.
    rows : int
        Rows that it makes.
    row_size : int
        Bytes of a row.
    width : int
        Bytes of a beat.
    """
    segment, lines = values["segment"], values["kernel_lines"]
    starts = (
        number * values["advance"] - values["before"] for number in range(values["positions"]))
    line = sum(lines * -(-(start % width + segment) // width) for start in starts)
    line += values["positions"] * -(-values["fill"] // width)
    size = lines * segment + values["fill"]
    count = rows * row_size // (size * values["positions"])
    return count * line + (count - 1) * (values["stride_lines"] + 1)


@dataclass(frozen=True)
class Unrolling:
    """Geometry of an input whose taps LOAD makes into channels.

    Parameters
    ----------
    tensor : str
        Name of the input.
    shape : (int, int, int)
        Its shape ``(c, h, w)``.
    window : Window
        Geometry of the first convolution.
    config : AcceleratorConfig
        Accelerator.

    Raises
    ------
    CompileError
        If the accelerator cannot unroll it.
    """

    tensor: str
    shape: tuple[int, int, int]
    window: Window
    config: AcceleratorConfig

    def __post_init__(self) -> None:
        """Check that the lines of a kernel fit, and that it is plain."""
        (r, _), (top, _, bottom, _) = self.window.kernel, self.window.pads
        size = r * self.map_beats * self.config.dram_width
        if size > self.config.unroll_size:
            raise CompileError(
                f"Input '{self.tensor}': the lines of a kernel are {size} bytes, LOAD of config "
                f"'{self.config.name}' holds {self.config.unroll_size} (unroll_size)")
        if self.window.dilations != (1, 1) or max(top, bottom) >= r:
            raise CompileError(
                f"Input '{self.tensor}': LOAD unrolls kernels without dilation that are larger "
                f"than their padding, not {self.window}")

    @property
    def map_beats(self) -> int:
        """Beats of a line in DRAM."""
        c, _, w = self.shape
        return -(-c * w * self.config.code_size // self.config.dram_width)

    @property
    def size(self) -> int:
        """Bytes of the input in DRAM."""
        return self.shape[1] * self.map_beats * self.config.dram_width

    @cached_property
    def _line(self) -> dict[str, int]:
        """Fields that are the same for all lines."""
        (r, s), (sy, sx), left = self.window.kernel, self.window.strides, self.window.pads[1]
        code = self.shape[0] * self.config.code_size
        _, width = self.window.output_size(*self.shape[1:])
        return {
            "kernel_lines": r, "stride_lines": sy, "map_beats": self.map_beats,
            "segment": s * code, "advance": sx * code, "before": left * code,
            "positions": width, "fill": -r * s * code % self.config.row_size}

    def fields(self, first: int, stop: int) -> dict[str, int]:
        """Return the fields of the LOAD of some lines of positions, its place in DRAM too.

        Parameters
        ----------
        first, stop : int
            Lines ``first`` up to ``stop`` of the unrolled map.
        """
        r, sy, top = self.window.kernel[0], self.window.strides[0], self.window.pads[0]
        start = first * sy - top
        y0, y1 = max(start, 0), min((stop - 1) * sy - top + r, self.shape[1])
        return {
            "address": y0 * self.map_beats * self.config.dram_width,
            "line_beats": (y1 - y0) * self.map_beats,
            "lines_above": y0 - start, "map_lines": y1 - y0, **self._line}

    @cached_property
    def position_cycles(self) -> float:
        """Cycles of a position, on average."""
        config, fields = self.config, self._line
        size = fields["kernel_lines"] * fields["segment"] + fields["fill"]
        rows = fields["positions"] * size // config.row_size
        return unroll_cycles(fields, rows, config.row_size, config.dram_width) / (
            fields["positions"])
