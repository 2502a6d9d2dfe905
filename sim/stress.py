"""The accelerator against a memory model that others wrote, under random back-pressure."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .build import accelerator_verilog, build
from .errors import SimulationError
from .memory import bench_job, memory_image, memory_map
from .result import ImageRun, SimulationResult, raise_for_status
from .runner import run_bench
from .trace import image_rows, read_rows


__all__ = (
    "PORTS",
    "TOP",
    "simulate_stressed",
)


TOP = "dynafix_accelerator"

# Benches see the ports of the accelerator, and nothing else.
PORTS = f"""`verilator_config
public_flat_rw -module "{TOP}" -var "clk"
public_flat_rw -module "{TOP}" -var "rst"
public_flat_rw -module "{TOP}" -var "interrupt"
public_flat_rw -module "{TOP}" -var "*_axi__*"
public_flat_rw -module "{TOP}" -var "trace__*"
"""


def simulate_stressed(
    program,
    inputs: Sequence[bytes],
    *,
    pause: float = 0.4,
    seed: int = 1,
    build_dir: Path | None = None,
    verilog: str | None = None,
    max_idle: int = 100_000,
) -> SimulationResult:
    """Run a program with cocotbext-axi as DRAM, which pauses at random on all five channels.

    Much slower than :func:`sim.simulate.simulate`, for small networks. Events and DRAM bytes are
    not recorded.

    Parameters
    ----------
    program : compiler.Program
        Compiled network.
    inputs : sequence of bytes
        Input region of each image.
    pause : float
        Probability that a channel pauses, from 0 to 1.
    seed : int
        Seed of the pauses.
    build_dir : Path, optional
        Folder of compiled simulations; :func:`sim.build.default_cache` if not given.
    verilog : str, optional
        Verilog of the accelerator; generated from the program's config if not given.
    max_idle : int
        Cycles without a transfer after which the run is given up.

    Returns
    -------
    SimulationResult
        Outputs, written rows and counters of every image.

    Raises
    ------
    SimulationError
        If the simulation cannot be built, the accelerator reports an error or does not finish, or
        a request changes before it is taken.
    """
    layout = memory_map(program, len(inputs))
    sources = {
        "ports.vlt": PORTS,
        "accelerator.v": verilog or accelerator_verilog(program.config, cache=build_dir),
    }
    built = build(sources, TOP, cache=build_dir)
    with tempfile.TemporaryDirectory(prefix="dynafix-") as name:
        folder = Path(name)
        memory = folder / "memory.bin"
        memory.write_bytes(memory_image(program, inputs, layout).tobytes())
        job = {
            **bench_job(program, layout),
            "memory": str(memory), "rows": str(folder / "rows"),
            "results": str(folder / "results.jsonl"), "outputs": layout.outputs,
            "output_size": program.output_size, "max_cycles": max_idle,
            "pause": pause, "seed": seed,
        }
        (folder / "job.json").write_text(json.dumps(job))
        try:
            run_bench(built, "sim.bench_axi", folder,
                      plusargs={"job": folder / "job.json"}, seed=seed)
        except SimulationError as error:
            raise SimulationError(f"{error} (pause {pause}, seed {seed})") from error
        return _collect(program, job, built.cached)


def _collect(program, job, cached: bool) -> SimulationResult:
    """Assemble the result from what the bench wrote."""
    records = [json.loads(line) for line in Path(job["results"]).read_text().splitlines()]
    written = read_rows(Path(job["rows"]), program.config.row_size)
    images, row = [], 0
    for image, record in enumerate(records):
        raise_for_status(record, image=image, program=program, events=[],
                         max_cycles=job["max_cycles"])
        numbers, rows = image_rows(program, record, written, row, record["rows"])
        images.append(ImageRun(
            cycles=record["cycles"],
            output=bytes.fromhex(record["output"]),
            rows=rows,
            row_numbers=numbers,
            counters={(layer, engine): counts for layer, engine, counts in record["counters"]},
            seconds=record["seconds"],
            cpu_seconds=record["cpu_seconds"],
        ))
        row = record["rows"][-1]
    return SimulationResult(images, sum(record["seconds"] for record in records), cached)
