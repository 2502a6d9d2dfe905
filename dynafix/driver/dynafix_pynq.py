"""Driver of the accelerator for PYNQ: needs numpy and the folder that ``dynafix ip`` wrote.

On a board, registers and memory come from PYNQ::

    import pynq
    from dynafix_pynq import Accelerator

    overlay = pynq.Overlay("design.bit")
    mmio = pynq.MMIO(overlay.ip_dict["dynafix_axi_0"]["phys_addr"], 4096)
    accelerator = Accelerator("ip", mmio, pynq.allocate)
    scores = accelerator.run_pixels(picture)

Anything with the same methods does: the tests give a simulation of the Verilog. The file stands
alone, so that it can be copied to a board.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


__all__ = (
    "Accelerator",
    "DriverError",
)


_POLL_SECONDS = 1e-4
_MEMORIES = ("program", "weights", "input", "output", "scratch")


class DriverError(RuntimeError):
    """The accelerator is not what the network needs, or a run failed.

    Attributes
    ----------
    code, source : str or None
        What the accelerator reported, and which of its parts.
    """

    def __init__(self, text: str, *, code: str | None = None, source: str | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.source = source


def _sleep() -> None:
    time.sleep(_POLL_SECONDS)


class Accelerator:
    """An accelerator with one network.

    Parameters
    ----------
    folder : path
        Folder ``ip`` of a compiled network.
    mmio
        Registers: ``read(offset)`` and ``write(offset, value)``, as of ``pynq.MMIO``.
    allocate : callable
        Memory that the accelerator sees: called with ``shape`` and ``dtype``, returns an array
        with ``device_address``, ``flush()`` and ``invalidate()``, as ``pynq.allocate`` does.
    host : callable, optional
        Does a step of the host, for networks that need any: called with the step, as
        ``network.json`` has it, and the bytes of its source, returns the bytes of its result.
    wait : callable, optional
        Called while the accelerator runs; sleeps a moment if not given.
    interrupt : bool
        Whether a run raises the interrupt, for a ``wait`` that waits for it.
    seconds : float
        Time after which a run is given up.

    Raises
    ------
    DriverError
        If the registers are no accelerator's, or those of another one than the network was
        compiled for, or memory is where the accelerator cannot see it.
    """

    def __init__(
        self, folder: str | Path, mmio: Any, allocate: Callable[..., Any], *,
        host: Callable[[dict[str, Any], bytes], bytes] | None = None,
        wait: Callable[[], None] = _sleep, interrupt: bool = False, seconds: float = 10.0,
    ) -> None:
        folder = Path(folder)
        self.network = json.loads((folder / "network.json").read_text())
        self._about = json.loads((folder / "accelerator.json").read_text())
        self._mmio = mmio
        self._host = host
        self._wait = wait
        self._interrupt = interrupt
        self._seconds = seconds
        self.cycles = 0
        self._check()
        sizes = self.network["sizes"]
        self._buffers = {
            name: self._allocate(allocate, name, sizes[name]) for name in _MEMORIES}
        for name in ("program", "weights"):
            image = np.fromfile(folder / "images" / f"{name}.bin", np.uint8)
            self._buffers[name][:len(image)] = image
        for buffer in self._buffers.values():
            buffer.flush()
        for region, name in enumerate(_MEMORIES[1:]):
            self.write(f"REGION_{region}", self._buffers[name].device_address)
        self.write("STATUS", self._mask("STATUS_DONE"))

    def _check(self) -> None:
        """Check that this is the accelerator that the network was compiled for."""
        about, network = self._about, self.network
        found = self.read("ID")
        if found != about["id"]:
            raise DriverError(f"There is no accelerator: register ID must be {about['id']:#010x}, "
                              f"not {found:#010x}")
        version = self.read("VERSION")
        if version != network["isa_version"]:
            raise DriverError(f"The accelerator has version {version} of the instruction set, the "
                              f"network version {network['isa_version']}; build both again")
        found = self.read("HASH_LO") | self.read("HASH_HI") << 32
        if found != int(network["config_hash"], 16):
            raise DriverError(f"The accelerator has config hash {found:#018x}, the network was "
                              f"compiled for {network['config_hash']}")
        if self.read("STATUS") & self._mask("STATUS_BUSY"):
            raise DriverError("The accelerator still runs; wait, or load the design again")

    def _allocate(self, allocate: Callable[..., Any], name: str, size: int) -> Any:
        alignment = self._about["alignment"]
        size = -(-max(size, 1) // alignment) * alignment
        buffer = allocate(shape=(size,), dtype=np.uint8)
        address = buffer.device_address
        if address % alignment or address + size > 1 << 32:
            raise DriverError(
                f"Memory for {name} must start at a multiple of {alignment} and end below 4 GB, "
                f"not be {size} bytes at {address:#x}")
        return buffer

    # ---- Registers ------------------------------------------------------------------------------

    def read(self, name: str) -> int:
        """Read the register called ``name``."""
        return int(self._mmio.read(self._about["registers"][name]))

    def write(self, name: str, value: int) -> None:
        """Write the register called ``name``."""
        self._mmio.write(self._about["registers"][name], int(value))

    def _mask(self, field: str) -> int:
        return int(self._about["fields"][field]["mask"])

    def _field(self, field: str, word: int) -> int:
        entry = self._about["fields"][field]
        return (word & entry["mask"]) >> entry["first"]

    def limit(self, cycles: int) -> None:
        """Set the cycles after which a run ends with an error; 0: never."""
        self.write("LIMIT", cycles)

    def counters(self, layer: int) -> dict[str, dict[str, int]]:
        """Return what each engine counted for a layer, in the last segment that ran."""
        found = {}
        for number, engine in enumerate(self._about["engines"]):
            self.write("SELECT", layer << self._about["fields"]["SELECT_LAYER"]["first"]
                       | number << self._about["fields"]["SELECT_ENGINE"]["first"])
            found[engine] = {
                name: self.read(f"COUNT_{name.upper()}") for name in self._about["counters"]}
        return found

    # ---- Runs -----------------------------------------------------------------------------------

    def run_codes(self, codes: ArrayLike) -> NDArray[np.int64]:
        """Run the network on codes.

        Parameters
        ----------
        codes : int, (c, h, w)
            Input, in the network's input format.

        Returns
        -------
        int64, (c, h, w)
            Output, in its output format. :attr:`cycles` has the cycles that it took.

        Raises
        ------
        ValueError
            If the codes have another shape, or are none.
        DriverError
            If the accelerator reports an error, or does not answer in time.
        """
        buffer = self._buffers["input"]
        data = self.pack(codes)
        buffer[:len(data)] = np.frombuffer(data, np.uint8)
        buffer.flush()
        self.cycles = 0
        for step in self.network["steps"]:
            if "segment" in step:
                self._segment(step["segment"])
            else:
                self._host_step(step["host"])
        output = self._buffers["output"]
        output.invalidate()
        return self.unpack(bytes(output[:self.network["sizes"]["output"]]))

    def run(self, values: ArrayLike) -> NDArray[np.float64]:
        """Run the network on numbers (c, h, w), as the float network takes them; return numbers."""
        return self._numbers(self.run_codes(self.quantize(values)))

    def run_pixels(self, pixels: ArrayLike) -> NDArray[np.float64]:
        """Run the network on a picture; return numbers (c, h, w).

        Parameters
        ----------
        pixels : uint8, (h, w) or (h, w, c)
            Picture, in the size of the network's input, its colors in the network's order.
        """
        return self._numbers(self.run_codes(self.pixel_codes(pixels)))

    def _numbers(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        values = np.ldexp(codes.astype(np.float64), -self.network["output"]["format"]["frac"])
        result = self.network["result"]
        if result is None:
            return values
        scales, offsets = (np.asarray(result[name]) for name in ("scales", "offsets"))
        return values * scales[:, None, None] + offsets[:, None, None]

    def _segment(self, offset: int) -> None:
        """Run a part of the program."""
        self.write("PROGRAM", self._buffers["program"].device_address + offset)
        enable = self._mask("CONTROL_INTERRUPT") if self._interrupt else 0
        self.write("CONTROL", self._mask("CONTROL_START") | enable)
        end = time.monotonic() + self._seconds
        while not (status := self.read("STATUS")) & self._mask("STATUS_DONE"):
            if time.monotonic() > end:
                raise DriverError(f"The accelerator did not answer in {self._seconds:g} s")
            self._wait()
        self.cycles += self.read("CYCLES_LO") | self.read("CYCLES_HI") << 32
        error = self.read("ERROR")
        index, done = self.read("ERROR_INDEX"), self.read("ERROR_DONE")
        self.write("STATUS", self._mask("STATUS_DONE"))
        if status & self._mask("STATUS_ERROR"):
            code, source = self._field("ERROR_CODE", error), self._field("ERROR_ENGINE", error)
            text, where = self._about["errors"][code], self._about["error_sources"][source]
            raise DriverError(
                f"The accelerator reported: {text}. Seen by {where}, which had done {done} "
                f"instructions, after {index} were fetched", code=text, source=where)

    def _host_step(self, step: dict[str, Any]) -> None:
        """Do a step of the host, from memory to memory."""
        if self._host is None:
            raise DriverError(f"The network needs the host for {step['node']}; give a function for "
                              f"it as host=")
        source, result = (self._place(step, step[name]) for name in ("source", "result"))
        buffer, first, last = source
        buffer.invalidate()
        data = self._host(step, bytes(buffer[first:last]))
        buffer, first, last = result
        buffer[first:last] = np.frombuffer(data, np.uint8)
        buffer.flush()

    def _place(self, step: dict[str, Any], which: dict[str, Any]) -> tuple[Any, int, int]:
        channels, height, width = which["shape"]
        row = -(-channels // step["lanes"]) * step["lanes"] * step["code_size"]
        first = which["address"]
        return self._buffers[_MEMORIES[1 + which["region"]]], first, first + height * width * row

    # ---- Layouts --------------------------------------------------------------------------------

    def quantize(self, values: ArrayLike) -> NDArray[np.int64]:
        """Return the input codes of numbers (c, h, w), with those around them."""
        low, high = _bounds(self.network["input"]["format"])
        numbers, intake = np.asarray(values, np.float32), self.network["intake"]
        if intake is not None:
            top, left, bottom, right = intake["pads"]
            numbers = np.pad(numbers, ((0, 0), (top, bottom), (left, right)))
            offset, factor = (
                np.asarray(intake[name], np.float32)[:, None, None]
                for name in ("offset", "factor"))
            numbers = (numbers - offset) * factor
        scaled = np.ldexp(
            numbers.astype(np.float64), self.network["input"]["format"]["frac"])
        rounded = {
            "half_even": np.rint, "floor": np.floor, "half_up": lambda x: np.floor(x + 0.5),
            "half_away": lambda x: np.copysign(np.floor(np.abs(x) + 0.5), x),
        }[self.network["rounding"]](scaled)
        return np.clip(rounded, low, high).astype(np.int64)

    def pixel_codes(self, pixels: ArrayLike) -> NDArray[np.int64]:
        """Return the input codes (c, h, w) of a picture (h, w) or (h, w, c), uint8.

        With them come the codes around the picture.
        """
        table = self.network["pixel_codes"]
        if table is None:
            raise DriverError("The network has no rule for pixels; use run() or run_codes()")
        channels, height, width = self.network["image_shape"]
        picture = np.asarray(pixels)
        if picture.dtype != np.uint8 or picture.size != channels * height * width:
            raise ValueError(
                f"Pixels must be uint8 of shape {(height, width, channels)}, not {picture.dtype} "
                f"of shape {picture.shape}")
        codes = np.broadcast_to(np.asarray(table, np.int64), (channels, 256))
        planes = picture.reshape(height, width, channels).transpose(2, 0, 1)
        inside = codes[np.arange(channels)[:, None, None], planes]
        pads = self.network["pad_codes"]
        if pads is None:
            return inside
        around = np.empty(self.network["input"]["shape"], np.int64)
        around[:] = np.asarray(pads)[:, None, None]
        top, left = self.network["intake"]["pads"][:2]
        around[:, top:top + height, left:left + width] = inside
        return around

    def pack(self, codes: ArrayLike) -> bytes:
        """Return the bytes of the input region for codes (c, h, w)."""
        layout = self.network["input"]
        values = np.asarray(codes)
        low, high = _bounds(layout["format"])
        if values.shape != tuple(layout["shape"]) or values.dtype.kind not in "iu":
            raise ValueError(f"Input codes must be integers of shape {tuple(layout['shape'])}, "
                             f"not {values.dtype} of shape {values.shape}")
        if values.min() < low or values.max() > high:
            raise ValueError(
                f"Input codes must be in {low}..{high}, not {values.min()}..{values.max()}")
        kind = f"<i{layout['code_size']}"
        if layout["unroll"] == "loader":
            lines = values.transpose(1, 2, 0).astype(np.int64).astype(kind)
            stored = lines.reshape(len(lines), -1).view(np.uint8)
            return np.pad(stored, ((0, 0), (0, -stored.shape[1] % layout["beat"]))).tobytes()
        unrolled = _unrolled(values.astype(np.int64), layout)
        channels, height, width = unrolled.shape
        rows = np.zeros((height, width, -(-channels // layout["lanes"]) * layout["lanes"]), kind)
        rows[:, :, :channels] = unrolled.transpose(1, 2, 0)
        return rows.tobytes()

    def unpack(self, data: bytes) -> NDArray[np.int64]:
        """Return the codes (c, h, w) in the bytes of the output region."""
        layout = self.network["output"]
        channels, height, width = layout["shape"]
        kind = f"<{'i' if layout['format']['signed'] else 'u'}{layout['code_size']}"
        rows = np.frombuffer(data, kind).reshape(height, width, -1)
        return rows[:, :, :channels].transpose(2, 0, 1).astype(np.int64)


def _bounds(fmt: dict[str, Any]) -> tuple[int, int]:
    """Return the smallest and the largest code of a format."""
    if fmt["signed"]:
        return -(1 << (fmt["bits"] - 1)), (1 << (fmt["bits"] - 1)) - 1
    return 0, (1 << fmt["bits"]) - 1


def _unrolled(codes: NDArray[np.int64], layout: dict[str, Any]) -> NDArray[np.int64]:
    """Return the map (c, h, w) that the accelerator reads: kernel taps as channels."""
    if layout["unroll"] == "none":
        return codes
    window = layout["window"]
    (lines, columns), (sy, sx), (dy, dx) = (
        window[name] for name in ("kernel", "strides", "dilations"))
    top, left, bottom, right = window["pads"]
    if layout["unroll"] == "columns":
        lines, sy, dy, top, bottom = 1, 1, 1, 0, 0
    padded = np.pad(codes, ((0, 0), (top, bottom), (left, right)))
    height = (padded.shape[1] - (lines - 1) * dy - 1) // sy + 1
    width = (padded.shape[2] - (columns - 1) * dx - 1) // sx + 1
    return np.concatenate([
        padded[:, y * dy:y * dy + (height - 1) * sy + 1:sy,
               x * dx:x * dx + (width - 1) * sx + 1:sx]
        for y in range(lines) for x in range(columns)])
