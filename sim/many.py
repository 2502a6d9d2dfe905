"""Many small programs for one accelerator, one image each, in one simulation."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .build import build_accelerator
from .errors import SimulationError
from .memory import job_steps
from .result import DramModel, ImageRun, raise_for_status
from .runner import run_bench
from .trace import image_rows, read_beats, read_events, read_rows, split_events


__all__ = (
    "simulate_many",
)


_PAGE = 4096


def simulate_many(
    jobs: Sequence[tuple],
    *,
    dram: DramModel | None = None,
    build_dir: Path | None = None,
    verilog: str | None = None,
    max_cycles: int = 5_000_000,
) -> list[ImageRun]:
    """Run programs one after the other on the Verilog, in one simulation without a reset.

    Parameters
    ----------
    jobs : sequence of (compiler.Program, bytes)
        Programs for the same config, each with its input region.
    dram : DramModel, optional
        Timing of the DRAM.
    build_dir : Path, optional
        Folder of compiled simulations; :func:`sim.build.default_cache` if not given.
    verilog : str, optional
        Verilog of the accelerator; generated from the config if not given.
    max_cycles : int
        Cycles after which a program is given up.

    Returns
    -------
    list of ImageRun
        One for each job, without counters.

    Raises
    ------
    SimulationError
        If the configs differ, the simulation cannot be built, or a program does not end well.
    """
    config = jobs[0][0].config
    if any(program.config.hash != config.hash for program, _ in jobs):
        raise SimulationError("Programs of one simulation must be made for the same config")
    dram, width = dram or DramModel(), config.dram_width
    programs, regions, writable, size = _addresses(jobs)
    memory = np.random.default_rng(1).integers(0, 256, size, np.uint8)
    for address, (weights, inputs, _, _), (program, data) in zip(programs, regions, jobs):
        for start, part in (
                (address, program.program_image), (weights, program.weight_image), (inputs, data)):
            memory[start:start + len(part)] = np.frombuffer(part, np.uint8)
    build = build_accelerator(config, verilog=verilog, cache=build_dir)
    with tempfile.TemporaryDirectory(prefix="dynafix-") as name:
        folder = Path(name)
        (folder / "image.bin").write_bytes(memory.reshape(-1, width)[:, ::-1].tobytes())
        (folder / "job.json").write_text(json.dumps({
            "programs": [
                [address, job_steps(program)] for address, (program, _) in zip(programs, jobs)],
            "width": width, "regions": regions, "layers": [],
            "results": str(folder / "results.jsonl")}))
        run_bench(build, "sim.bench_images", folder, plusargs={
            "job": folder / "job.json", "image": folder / "image.bin", "words": size // width,
            "writable": writable // width, **dram.plusargs,
            "max_cycles": max_cycles, "host": folder / "host", "rows": folder / "rows",
            "events": folder / "events",
            "dump": folder / "dump", "dump_first": writable // width, "dump_last": size // width})
        return _collect(folder, jobs, regions, writable, max_cycles)


def _addresses(jobs) -> tuple[list[int], list[list[int]], int, int]:
    """Return program and region addresses of each job, the first writable byte, and the end."""
    end = _PAGE

    def take(length: int) -> int:
        nonlocal end
        address, end = end, -(-(end + max(length, 1)) // _PAGE) * _PAGE
        return address

    programs = [take(len(program.program_image)) for program, _ in jobs]
    read = [[take(len(program.weight_image)), take(len(data))] for program, data in jobs]
    writable = end
    written = [[take(program.output_size), take(program.scratch_size)] for program, _ in jobs]
    return programs, [a + b for a, b in zip(read, written)], writable, end


def _collect(folder: Path, jobs, regions, writable: int, max_cycles: int) -> list[ImageRun]:
    """Assemble the results from what bench and simulator wrote."""
    config = jobs[0][0].config
    records = [json.loads(line) for line in
               (folder / "results.jsonl").read_text().splitlines()]
    events, ends = read_events(folder / "events")
    events_of = split_events(events, ends)
    parts = [len(program.segments) for program, _ in jobs]
    for number, record in enumerate(records):
        end = sum(parts[:number]) + record["segment"]
        seen = events_of[end] if end < len(ends) else []
        raise_for_status(record, image=number, program=jobs[number][0], events=seen,
                         max_cycles=max_cycles)
    written = read_rows(folder / "rows", config.row_size)
    dump = read_beats(folder / "dump", config.dram_width)
    runs, first, stops = [], 0, iter(ends)
    for (program, _), (_, _, output, _), record in zip(jobs, regions, records, strict=True):
        start = output - writable
        own = [next(stops) for _ in program.segments]
        numbers, rows = image_rows(program, record, written, first, [end.rows for end in own])
        starts = [
            end.cycle - cycles for end, cycles in zip(own, record["segment_cycles"], strict=True)]
        runs.append(ImageRun(
            cycles=record["cycles"], output=dump[start:start + program.output_size],
            rows=rows, row_numbers=numbers, first_cycle=starts[0], seconds=record["seconds"],
            cpu_seconds=record["cpu_seconds"],
            segment_cycles=record["segment_cycles"], segment_starts=starts))
        first = own[-1].rows
    return runs
