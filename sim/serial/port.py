"""A serial port whose other end is a simulated design."""

import contextlib
import struct
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from arch.config import AcceleratorConfig
from hw.tops import STANDALONE_NAME

from ..build import Build, build, generated_verilog
from ..errors import SimulationError


__all__ = (
    "LINE",
    "SimulatedPort",
    "build_pins",
    "build_standalone",
)


LINE = Path(__file__).with_name("line.cpp")
"""Main program of a design with a serial line."""

_PINS = """
module pins(input clk, rst, uart_rx, output uart_tx);
  // verilator lint_off PINMISSING
  {top} board(.{clock}(clk), .{receive}(uart_rx), .{transmit}(uart_tx));
endmodule
"""


def build_standalone(
    config: AcceleratorConfig, *, size: int, divisor: int, clock: int, timeout: int | None = None,
    image: bytes | None = None, cache: Path | None = None,
) -> Build:
    """Compile a stand-alone design for :class:`SimulatedPort`.

    Parameters
    ----------
    config : AcceleratorConfig
        Accelerator.
    size, divisor, clock, timeout, image
        As :class:`hw.tops.StandaloneTop` takes them.
    cache : Path, optional
        Folder of compiled simulations; :func:`sim.build.default_cache` if not given.
    """
    arguments = {"size": size, "divisor": divisor, "clock": clock, "timeout": timeout}

    def make() -> str:
        from hw.tops import StandaloneTop, standalone_verilog

        return standalone_verilog(StandaloneTop(config, image, **arguments))

    held = {**arguments, "config": config.to_json(), "image": (image or b"").hex()}
    sources = {
        "standalone.v": generated_verilog("standalone", held, make, cache=cache),
        LINE.name: LINE.read_text()}
    return build(sources, STANDALONE_NAME, cache=cache)


def build_pins(
    verilog: str, top: str, *, clock: str, receive: str, transmit: str, cache: Path | None = None,
) -> Build:
    """Compile a design with the pins of a board for :class:`SimulatedPort`; it resets itself.

    Parameters
    ----------
    verilog : str
        The design, with the models of its cells.
    top : str
        Name of its top module.
    clock, receive, transmit : str
        Its ports: the pins of the oscillator and of the serial line. Others stay open.
    cache : Path, optional
        Folder of compiled simulations; :func:`sim.build.default_cache` if not given.
    """
    pins = _PINS.format(top=top, clock=clock, receive=receive, transmit=transmit)
    sources = {"design.v": verilog, "pins.v": pins, LINE.name: LINE.read_text()}
    return build(sources, "pins", cache=cache)


class SimulatedPort:
    """A serial port as pyserial has them; time is that of the simulated design.

    Parameters
    ----------
    simulation : Build
        What :func:`build_standalone` returns, or another design with ``uart_rx`` and ``uart_tx``.
    divisor : int
        Cycles of a bit.
    clock : int
        Cycles of a second, for ``timeout``.
    options : mapping from name to value, optional
        Options for ``$value$plusargs``.

    Attributes
    ----------
    timeout : float or None
        Simulated seconds without a byte after which a read ends; ``None`` for as many as there
        are.
    """

    def __init__(
        self, simulation: Build, *, divisor: int, clock: int,
        options: Mapping[str, object] | None = None,
    ) -> None:
        self.name = "simulation"
        self.timeout: float | None = 1.0
        self._clock = clock
        self._messages = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [simulation.folder / simulation.top, str(divisor),
             *(f"+{name}={value}" for name, value in (options or {}).items())],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._messages)

    def __enter__(self) -> Self:
        """Return the port."""
        return self

    def __exit__(self, *error: object) -> None:
        """End the simulation."""
        self.close()

    @property
    def cycles(self) -> int:
        """Cycles since reset."""
        self._request(b"c")
        return struct.unpack("<Q", self._answer(8))[0]

    def seconds(self) -> float:
        """Return the simulated seconds since reset."""
        return self.cycles / self._clock

    def write(self, data: bytes) -> int:
        """Send bytes; they are on their way while a read waits."""
        self._request(b"w" + struct.pack("<I", len(data)) + data)
        return len(data)

    def hold(self, level: int, cycles: int) -> None:
        """Hold the line at a level, behind what is to be sent."""
        self._request(b"l" + struct.pack("<IB", cycles, level))

    def read(self, size: int = 1) -> bytes:
        """Return ``size`` bytes, or those that came until ``timeout``."""
        cycles = (1 << 32) - 1 if self.timeout is None else int(self.timeout * self._clock)
        self._request(b"r" + struct.pack("<II", size, cycles))
        return self._answer(struct.unpack("<I", self._answer(4))[0])

    def close(self) -> None:
        """End the simulation."""
        # What was not taken by a simulation that has ended is lost.
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
        self._messages.close()

    def _request(self, data: bytes) -> None:
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except OSError as error:
            raise SimulationError(self._ended()) from error

    def _answer(self, size: int) -> bytes:
        data = self._process.stdout.read(size)
        if len(data) != size:
            raise SimulationError(self._ended())
        return data

    def _ended(self) -> str:
        code = self._process.wait()
        self._messages.seek(0)
        told = self._messages.read().decode(errors="replace").strip()
        why = "a byte of the design came without its stop bit" if code == 3 else (
            told or f"exit code {code}")
        return f"The simulation of the serial line stopped: {why}"
