"""Print what networks that do not fit on a chip cost in an SDRAM.

Each network runs image by image on the accelerator's Verilog, first with the controller and the
model of the SDRAM that checks every rule, then with an ideal memory of the same bandwidth and
latency, and with one as wide as the accelerator's bus. Every map and the output must be those of
numpy. Why the network needs the SDRAM is counted in block RAM: that of program, weights and maps,
and the least that the accelerator's own memories take, against what the chip of the board has.

The exit code is 1 when a network differs from numpy, or the SDRAM reaches less of the ideal memory
than asked.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compiler import Program
from compiler.memory_image import place
from dynafix import api
from dynafix.options import Dram
from dynafix.terminal import Column, Terminal
from dynafix.text import grouped
from hw.build.boards import board as known_board
from hw.build.fit import image_block_ram, least_block_ram
from hw.build.sdram import PAD_REGISTERS
from quantizer.execute import execute, quantize_input
from sim.result import DramModel, ImageRun
from sim.sdram import SdramMemory
from sim.simulate import simulate


__all__ = (
    "Measured",
    "main",
    "row",
)


ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
NETWORKS = {
    "LeNet of Caffe": ("lenet_caffe_mnist", "mnist_dev"),
    "ResNet-20": ("resnet20_cifar10", "cifar10_dev"),
    "VGG, small": ("vgg_small_cifar10jpeg", "cifar10jpeg_dev"),
}
LEAST_EFFICIENCY = 0.9
COLUMNS = (
    Column("network"), *(Column(name, right=True) for name in (
        "bytes", "block RAM + accelerator", "chip has", "DRAM bytes an image", "cycles",
        "ideal memory", "efficiency", "bus used", "wide memory", "bits equal")))


@dataclass(frozen=True)
class Measured:
    """A network in an SDRAM.

    Parameters
    ----------
    title : str
        Its name.
    program : Program
        Compiled for the accelerator.
    sdram, ideal, wide : int
        Cycles an image: with the SDRAM, with an ideal memory of its bandwidth, and with one that
        is as wide as the bus.
    traffic : int
        Bytes an image that cross the bus.
    equal, images : int
        Images whose maps and output are those of numpy, and all.
    """

    title: str
    program: Program
    sdram: int
    ideal: int
    wide: int
    traffic: int
    equal: int
    images: int

    @property
    def efficiency(self) -> float:
        """Cycles with the ideal memory over those with the SDRAM."""
        return self.ideal / self.sdram


def row(measured: Measured, board: str) -> list[str]:
    """Return the cells of a network on a board."""
    device = known_board(board).device
    size = place(measured.program).size
    image, least = (image_block_ram(size, device.technology),
                    least_block_ram(measured.program.config, device.technology))
    width = known_board(board).memory.data_bits // 8
    return [
        measured.title, grouped(size), f"{image} + {least}", str(device.resources["block_ram"]),
        grouped(measured.traffic), grouped(measured.sdram), grouped(measured.ideal),
        f"{100 * measured.efficiency:.1f} %",
        f"{100 * measured.traffic / width / measured.sdram:.1f} %", grouped(measured.wide),
        f"{measured.equal} of {measured.images} images"]


def _equal(program: Program, run: ImageRun, expected: dict[str, np.ndarray]) -> bool:
    """Return whether every map and the output of a run are those of numpy."""
    maps = program.tensors_from_rows(run.rows)
    maps[program.output_name] = program.output_layout.unpack(run.output)
    return all(np.array_equal(values, expected[name][0]) for name, values in maps.items())


def measure(
    title: str, model: Path, data: Path, output: Path, *, config: str, memory: SdramMemory,
    images: int, steps: Terminal,
) -> Measured:
    """Quantize, compile and simulate a network."""
    quantized = api.quantize(model, data, output, steps=steps)
    program = api.compile(quantized, config=config, steps=steps, dram=Dram(
        latency=memory.latency, bytes_per_cycle=memory.bytes_per_cycle))
    codes = quantize_input(
        quantized.model, quantized.inputs(quantized.data.evaluation, range(images)))
    inputs = [program.input_layout.pack(each) for each in codes]

    def run(name: str, dram: DramModel | SdramMemory, count: int = 1) -> list[ImageRun]:
        with steps.busy(name, f"{count} images"):
            return simulate(program, inputs[:count], dram=dram).images

    runs = run("sdram", memory, images)
    ideal, = run("ideal", DramModel(memory.latency, memory.bytes_per_cycle))
    wide, = run("wide", DramModel(memory.latency, program.config.dram_width))
    first = runs[0]
    return Measured(
        title, program, first.cycles, ideal.cycles, wide.cycles,
        first.dram_read_bytes + first.dram_written_bytes,
        sum(_equal(program, run, execute(quantized.model, each[None]))
            for run, each in zip(runs, codes, strict=True)), len(runs))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the networks and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=SHARED,
                        help="folder of models and data (default ../shared)")
    parser.add_argument("--only", default="", metavar="TEXT",
                        help="only networks with this in their name")
    parser.add_argument("--config", default="small", metavar="PRESET")
    parser.add_argument("--board", default="ulx3s", help="one with an SDRAM (default ulx3s)")
    parser.add_argument("--clock", type=float, default=50.0, metavar="MHZ",
                        help="clock of accelerator and memory (default 50)")
    parser.add_argument("--images", type=int, default=10, help="images to simulate (default 10)")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench_sdram",
                        help="folder for results (default build/bench_sdram)")
    options = parser.parse_args(arguments)
    part = known_board(options.board).memory
    if part is None:
        parser.error(f"--board must have an SDRAM, not be {options.board}")
    memory = SdramMemory(part, round(options.clock * 1e6), PAD_REGISTERS)
    rows, code = [], 0
    with Terminal() as terminal:
        for title, (name, images) in NETWORKS.items():
            if options.only.lower() not in title.lower():
                continue
            model = options.shared / "models" / f"{name}.onnx"
            data = options.shared / "data" / f"{images}.npz"
            if not (model.is_file() and data.is_file()):
                missing = f"not measured: needs {model} and {data}"
                rows.append([title, missing, *[""] * (len(COLUMNS) - 2)])
                continue
            found = measure(
                title, model, data, options.output / name, config=options.config, memory=memory,
                images=options.images, steps=terminal)
            rows.append(row(found, options.board))
            if found.equal < found.images or found.efficiency < LEAST_EFFICIENCY:
                code = 1
        terminal.blank()
        terminal.table(COLUMNS, rows)
        terminal.blank()
        terminal.note(
            f"{options.config}, {options.clock:g} MHz, {memory.bytes_per_cycle:g} bytes a cycle; "
            f"asked: every bit, at least {LEAST_EFFICIENCY:.0%} of the ideal memory")
    return code


if __name__ == "__main__":
    sys.exit(main())
