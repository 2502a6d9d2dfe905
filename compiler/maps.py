"""Input and output of a program as bytes, and back to codes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arch.formats import Format
from quantizer.graph import Window
from quantizer.layout import pack_map, unpack_map


__all__ = (
    "InputLayout",
    "OutputLayout",
)


def _checked(codes: ArrayLike, shape: tuple[int, int, int], fmt: Format) -> NDArray[np.int64]:
    values = np.asarray(codes)
    if values.shape != shape:
        raise ValueError(f"Input codes must have shape {shape}, not {values.shape}")
    if not np.issubdtype(values.dtype, np.integer):
        raise TypeError(f"Input codes must be integers, not {values.dtype}")
    if values.min() < fmt.min or values.max() > fmt.max:
        raise ValueError(
            f"Input codes must be in {fmt.min}..{fmt.max}, not {values.min()}..{values.max()}")
    return values.astype(np.int64)


@dataclass(frozen=True)
class InputLayout:
    """How the input lies in DRAM.

    Parameters
    ----------
    shape : (int, int, int)
        Shape ``(c, h, w)`` of the input.
    format : Format
        Format of the codes.
    lanes : int
        Codes of a row.
    unroll : str
        What the host unrolls into the lanes: ``none``, ``columns`` or ``taps``, see
        :func:`compiler.plan.unrolled`; ``loader``: nothing, the codes lie close together for LOAD
        to unroll them.
    window : Window
        Geometry of the first convolution, for unrolling.
    code_size : int
        Bytes of a code, 1 or 2.
    beat : int
        Bytes of a beat, of which a line takes whole ones in mode ``loader``.
    """

    shape: tuple[int, int, int]
    format: Format
    lanes: int
    unroll: str = "none"
    window: Window = Window()
    code_size: int = 1
    beat: int = 1

    def unrolled(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the map that the accelerator reads, ``(c, h, w)``; padding is code 0."""
        if self.unroll == "none":
            return codes
        (r, s), (sy, sx), (dy, dx) = (
            self.window.kernel, self.window.strides, self.window.dilations)
        top, left, bottom, right = self.window.pads
        height, width = self.window.output_size(*self.shape[1:])
        if self.unroll == "columns":
            padded = np.pad(codes, ((0, 0), (0, 0), (left, right)))
            return np.concatenate([
                padded[:, :, x * dx:x * dx + (width - 1) * sx + 1:sx] for x in range(s)])
        padded = np.pad(codes, ((0, 0), (top, bottom), (left, right)))
        return np.concatenate([
            padded[:, y * dy:y * dy + (height - 1) * sy + 1:sy,
                   x * dx:x * dx + (width - 1) * sx + 1:sx]
            for y in range(r) for x in range(s)])

    def _lines(self, codes: NDArray[np.int64]) -> bytes:
        """Return the codes line by line, position by position, lines padded to whole beats."""
        stored = codes.transpose(1, 2, 0).astype(f"<i{self.code_size}", casting="unsafe")
        lines = stored.reshape(len(stored), -1).view(np.uint8)
        return np.pad(lines, ((0, 0), (0, -lines.shape[1] % self.beat))).tobytes()

    def pack(self, codes: ArrayLike) -> bytes:
        """Return the bytes of region 1 for input codes ``(c, h, w)``."""
        checked = _checked(codes, self.shape, self.format)
        if self.unroll == "loader":
            return self._lines(checked)
        values = self.unrolled(checked)
        return pack_map(values, self.lanes, code_size=self.code_size)

    def to_json(self) -> dict[str, Any]:
        """Return all fields as plain values."""
        return {
            "shape": list(self.shape), "format": self.format.to_json(), "lanes": self.lanes,
            "unroll": self.unroll, "window": asdict(self.window), "code_size": self.code_size,
            "beat": self.beat}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "InputLayout":
        """Inverse of :meth:`to_json`."""
        window = {name: tuple(value) for name, value in fields["window"].items()}
        c, h, w = fields["shape"]
        return cls(
            (c, h, w), Format.from_json(fields["format"]), fields["lanes"], fields["unroll"],
            Window(**window), fields.get("code_size", 1), fields.get("beat", 1))


@dataclass(frozen=True)
class OutputLayout:
    """How the output lies in DRAM.

    Parameters
    ----------
    shape : (int, int, int)
        Shape ``(c, h, w)`` of the output.
    format : Format
        Format of the codes.
    lanes : int
        Codes of a row.
    code_size : int
        Bytes of a code, 1 or 2.
    """

    shape: tuple[int, int, int]
    format: Format
    lanes: int
    code_size: int = 1

    @property
    def size(self) -> int:
        """Bytes of region 2."""
        channels, height, width = self.shape
        return height * width * -(-channels // self.lanes) * self.lanes * self.code_size

    def unpack(self, data: bytes) -> NDArray[np.int64]:
        """Return the codes ``(c, h, w)`` in the bytes of region 2."""
        return unpack_map(
            data, self.shape, self.lanes, self.format.signed, code_size=self.code_size)

    def to_json(self) -> dict[str, Any]:
        """Return all fields as plain values."""
        return {
            "shape": list(self.shape), "format": self.format.to_json(), "lanes": self.lanes,
            "code_size": self.code_size}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "OutputLayout":
        """Inverse of :meth:`to_json`."""
        c, h, w = fields["shape"]
        return cls(
            (c, h, w), Format.from_json(fields["format"]), fields["lanes"],
            fields.get("code_size", 1))
