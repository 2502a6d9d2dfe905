"""Networks with their IP folder, and a function that runs scenarios on the Verilog."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest

from arch.config import preset
from arch.isa import Region
from compiler.host_ends import HostEnds
from compiler.program import Program
from dynafix import api
from dynafix.api.packaging import accelerator_files, network_files
from quantizer.execute import execute, quantize_input
from sim.build import build_accelerator
from sim.memory import job_steps
from sim.runner import run_bench
from sim.simulate import simulate
from tests.sim.test_host import compiled as host_program

from .c_driver import build_library


ADDRESS = 4096


@dataclass
class Packaged:
    """A network as IP, with images and what they must give.

    Parameters
    ----------
    folder : Path
        The folder ``ip``.
    program : Program
        Compiled network.
    codes, values, pixels : arrays, (n, c, h, w)
        Images in three forms, ``codes`` with what the host puts around them; ``pixels`` may be
        empty.
    expected : int64, (n, c, h, w)
        Codes of the output, by numpy.
    numbers : float64, (n, c, h, w)
        What they stand for.
    """

    folder: Path
    program: Program
    codes: np.ndarray
    values: np.ndarray
    pixels: np.ndarray
    expected: np.ndarray
    numbers: np.ndarray

    @cached_property
    def cycles(self):
        """Cycles of an image, by the simulation that compares every layer."""
        data = self.program.input_layout.pack(self.codes[0])
        return simulate(self.program, [data]).images[0].cycles


def write_ip(program, folder, pixel_codes=None, ends=None):
    """Write what drivers and the C compiler read of a program; return the folder."""
    files = [
        *accelerator_files(program.config, 100.0),
        *network_files(program, ends or HostEnds(), pixel_codes)]
    for path, content in files:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


@pytest.fixture(scope="package")
def lenet_ip(lenet, mnist, tmp_path_factory):
    """Shipped LeNet on ``small``, quantized on few images."""
    folder = tmp_path_factory.mktemp("lenet")
    data = np.load(mnist)
    few = {name: values[:16] for name, values in data.items()}
    np.savez(folder / "few.npz", **few)
    quantized = api.quantize(lenet, folder / "few.npz", folder)
    program = api.compile(folder, config="small")
    path = api.ip(folder)
    inputs = quantized.inputs(quantized.data.evaluation, [0, 1])
    codes = quantize_input(quantized.model, inputs)
    expected = execute(quantized.model, codes)[program.output_name]
    return Packaged(
        path, program, codes, inputs.reshape(2, 1, 28, 28), few["eval_x"][:2, None],
        expected, quantized.model.real(program.output_name, expected))


@pytest.fixture(scope="package")
def host_ip(tmp_path_factory):
    """A network with steps of the host, on ``tiny``: the files, but for the Verilog."""
    model, program, codes, _ = host_program(preset("tiny"))
    folder = write_ip(program, tmp_path_factory.mktemp("host") / "ip")
    values = program.input_layout.format.dequantize(codes)
    expected = execute(model, codes)[program.output_name]
    return Packaged(folder, program, codes, values, np.empty(0), expected,
                    model.real(program.output_name, expected))


@pytest.fixture
def run_scenarios(tmp_path):
    """Return a function that runs scenarios of ``bench_drivers.py`` for a packaged network."""
    def run(scenarios, packaged, verilog=None):
        program, width = packaged.program, packaged.program.config.dram_width
        sizes = (
            len(program.program_image), len(program.weight_image), program.input_size,
            program.output_size, max(program.scratch_size, 1))
        ends = ADDRESS + np.cumsum([-(-size // 64) * 64 for size in sizes])
        size = -(-2 * int(ends[-1]) // 4096) * 4096
        image = tmp_path / "image.bin"
        image.write_bytes(np.random.default_rng(1).bytes(size))
        job = {
            "width": width, "address": ADDRESS, "second": int(ends[-1]),
            "folder": str(packaged.folder), "steps": job_steps(program),
            "library": str(build_library(packaged.folder, program.name, tmp_path)),
            "layer": program.layers[0].index, "cycles": packaged.cycles}
        for name in ("codes", "values", "pixels", "expected", "numbers"):
            job[name] = str(tmp_path / f"{name}.npy")
            np.save(job[name], getattr(packaged, name))
        (tmp_path / "job.json").write_text(json.dumps(job))
        writable = int(ends[Region.OUTPUT])
        count = run_bench(
            build_accelerator(program.config, verilog=verilog),
            "tests.dynafix.driver.bench_drivers", tmp_path, plusargs={
                "job": tmp_path / "job.json", "image": image, "words": size // width,
                "writable": writable // width, "latency": 30, "rate": 8 * 1024,
                "max_cycles": 200_000, "host": tmp_path / "host"},
            test_filter=f"scenario=({'|'.join(scenarios)})$")
        assert count == len(scenarios)
    return run
