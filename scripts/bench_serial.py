"""Print what an image costs on a serial line beside its cycles on the accelerator.

Takes the shipped LeNet-5, or output folders of `dynafix quantize`, compiles each for some configs,
once for the run alone and once for the way of the input, too (`dynafix compile --input-cycles`),
and counts the bytes that the host sends and receives, against a board that answers everything. What
operating system and USB adapter add is not in it.
"""

import argparse
import itertools
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from arch.boards import LINK_CYCLES, known_presets
from arch.config import AcceleratorConfig
from arch.isa import ISA_VERSION
from arch.registers import register
from arch.serial import (
    PROTOCOL_VERSION,
    Answer,
    Command,
    Status,
    encode_answer,
    encode_info,
)
from compiler import compile_model
from compiler.program import Program
from dynafix import api
from dynafix.serial import Board
from quantizer.model import QuantizedModel
from quantizer.storage import load


__all__ = (
    "BAUDS",
    "Cost",
    "cost",
    "main",
)


ROOT = Path(__file__).resolve().parents[1]
MODELS = ROOT / "dynafix" / "models"

BAUDS = (115_200, 1_000_000, 3_000_000)
_BITS = 10  # of a byte on the line


class _Willing:
    """A port whose board has any config and memory, and does everything at once."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self.timeout: float | None = None
        self.bytes = 0
        self._beat = config.dram_width
        self._registers = {
            "ID": 0x584E5944, "VERSION": ISA_VERSION, "STATUS": 0b10,
            "HASH_LO": config.hash & 0xFFFF_FFFF, "HASH_HI": config.hash >> 32}
        self._answer = b""

    def write(self, frame: bytes) -> None:
        """Take a request."""
        command, length = frame[2] & 15, int.from_bytes(frame[3:5], "little")
        address = int.from_bytes(frame[5:9], "little")
        data = b""
        if command == Command.INFO:
            data = encode_info(beat=self._beat, memory=1 << 32 - 1, clock=0, timeout=0)
        elif command == Command.READ_MEMORY:
            data = bytes(length)
        elif command == Command.READ_REGISTERS:
            places = {register(name).offset: value for name, value in self._registers.items()}
            data = b"".join(places.get(place, 0).to_bytes(4, "little")
                            for place in range(address, address + length, 4))
        self._answer = encode_answer(
            Answer(PROTOCOL_VERSION, command, frame[2] >> 4, data, Status.DONE))
        self.bytes += len(frame) + len(self._answer)

    def read(self, size: int) -> bytes:
        """Give the answer."""
        found, self._answer = self._answer[:size], self._answer[size:]
        return found

    def close(self) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Cost:
    """Bytes on the line, both ways, and cycles of the accelerator.

    Parameters
    ----------
    load : int
        Bytes that make a board ready.
    image : int
        Bytes of an image.
    input : int
        Bytes of an image's input.
    cycles : int
        Cycles of an image, as predicted.
    """

    load: int
    image: int
    input: int
    cycles: int

    def line_ms(self, baud: int) -> float:
        """Return the time that an image is on the line."""
        return self.image * _BITS / baud * 1e3

    def load_ms(self, baud: int) -> float:
        """Return the time of making a board ready."""
        return self.load * _BITS / baud * 1e3


def cost(program: Program) -> Cost:
    """Count the bytes of a program."""
    port = _Willing(program.config)
    board = Board(port)
    board.load(program)
    loaded = port.bytes
    board.run(np.zeros(program.input_layout.shape, np.int64))
    return Cost(
        loaded, port.bytes - loaded, program.input_size, round(program.prediction.cycles))


def _networks(folders: Sequence[str]) -> Iterator[tuple[str, QuantizedModel]]:
    for folder in folders:
        yield Path(folder).name, load(Path(folder) / "quantized")
    if not folders:
        with tempfile.TemporaryDirectory() as folder:
            api.quantize(MODELS / "lenet5_mnist.onnx", MODELS / "mnist_1000.npz", folder)
            yield "lenet5", load(Path(folder) / "quantized")


def _configs(names: Sequence[str]) -> Iterator[AcceleratorConfig]:
    for name in names:
        base, _, size = name.partition("+")
        config = known_presets()[base]
        yield replace(config, name=name, unroll_size=int(size)) if size else config


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", metavar="FOLDER",
                        help="output folders; by default the shipped LeNet-5")
    parser.add_argument("--configs", nargs="+", default=[
        "tiny", "tiny+1024", "small", "ecp5_85f", "ulx3s", "colorlight-i5"],
                        metavar="PRESET[+N]", help="presets, with an unroll_size of N bytes")
    parser.add_argument("--input-cycles", nargs="+", type=float, default=[0, LINK_CYCLES],
                        metavar="CYCLES", help="cycles that a byte of the input is taken to need "
                        f"where it is laid out (default 0 {LINK_CYCLES})")
    parser.add_argument("--clock", type=float, default=50.0, metavar="MHZ",
                        help="clock of the accelerator")
    options = parser.parse_args(arguments)
    for name, model in _networks(options.folders):
        print(f"{name}, accelerator at {options.clock:g} MHz; an image on the line, and loading")
        heads = [f"{baud:,} baud" for baud in BAUDS]
        print(f"{'config':14}{'input cycles':>12}{'input bytes':>12}{'line bytes':>12}"
               f"{'cycles':>10}{'ms':>8}"
              + "".join(f"{head:>22}" for head in heads))
        for config, cycles in itertools.product(_configs(options.configs), options.input_cycles):
            found = cost(compile_model(model, config, input_cycles=cycles))
            times = [
                f"{found.line_ms(baud):,.1f} ms, {found.load_ms(baud) / 1e3:,.2f} s"
                for baud in BAUDS]
            print(f"{config.name:14}{cycles:12g}{found.input:12,}{found.image:12,}{found.cycles:10,}"
                  f"{found.cycles / options.clock / 1e3:8.2f}"
                  + "".join(f"{text:>22}" for text in times), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
