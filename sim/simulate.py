"""Run whole networks on the Verilog of the accelerator."""

import concurrent.futures
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from .build import Build, build_accelerator
from .errors import SimulationError
from .memory import MemoryMap, bench_job, memory_image, memory_map
from .result import Dram, DramModel, ImageRun, SimulationResult, raise_for_status
from .runner import run_bench
from .trace import Event, ImageEnd, image_rows, read_beats, read_events, read_rows, split_events


__all__ = (
    "DramModel",
    "simulate",
)


_Progress = Callable[[str, int, int], None]


def simulate(
    program,
    inputs: Sequence[bytes],
    *,
    dram: Dram | None = None,
    waves: Path | None = None,
    layer: int | None = None,
    build_dir: Path | None = None,
    verilog: str | None = None,
    max_cycles: int | None = None,
    progress: _Progress | None = None,
) -> SimulationResult:
    """Run a program for some images on the Verilog, in Verilator.

    Parameters
    ----------
    program : compiler.Program
        Compiled network.
    inputs : sequence of bytes
        Input region of each image.
    dram : Dram, optional
        A :class:`DramModel`, or a :class:`sim.sdram.SdramMemory`.
    waves : Path, optional
        FST file to write; takes one image.
    layer : int, optional
        Layer whose cycles go to ``waves``; all if not given.
    build_dir : Path, optional
        Folder of compiled simulations; :func:`sim.build.default_cache` if not given.
    verilog : str, optional
        Verilog of the accelerator; generated from the program's config if not given.
    max_cycles : int, optional
        Cycles after which an image is given up; many times the prediction if not given.
    progress : callable, optional
        Called as ``progress(stage, done, total)`` with the stages ``"verilate"``, ``"simulate"``
        (in images) and ``"waves"``.

    Returns
    -------
    SimulationResult
        Outputs, written rows, counters and events of every image.

    Raises
    ------
    SimulationError
        If the simulation cannot be built, an input has the wrong size, or the accelerator reports
        an error or does not finish.
    """
    dram = dram or DramModel()
    progress = progress or (lambda stage, done, total: None)
    if not inputs:
        raise SimulationError("A simulation needs at least one image")
    if waves is not None and len(inputs) != 1:
        raise SimulationError(f"Waveforms are written of one image, not of {len(inputs)}")
    memory = dram.sources(program.config, build_dir)
    build = _verilate("verilate", program.config, verilog, False, memory, build_dir, progress)
    run = _Run(program, inputs, dram, max_cycles or _cycle_limit(program, dram))
    result = run.images(build, progress)
    if waves is not None:
        window = _window(result.images[0], program, layer)
        build = _verilate("waves", program.config, verilog, True, memory, build_dir, progress)
        run.waves(build, waves, window)
    return result


def _verilate(stage, config, verilog, waves, memory, build_dir, progress) -> Build:
    """Compile the accelerator, telling the progress."""
    progress(stage, 0, 1)
    build = build_accelerator(
        config, verilog=verilog, waves=waves, memory=memory, cache=build_dir)
    progress(stage, 1, 1)
    return build


def _cycle_limit(program, dram: Dram) -> int:
    """Return a number of cycles that only a hanging accelerator reaches."""
    slow = max(1.0, program.config.dram_width / dram.bytes_per_cycle) * max(1, dram.latency / 30)
    return int((1_000_000 + 50 * program.prediction.cycles) * slow)


def _window(run: ImageRun, program, layer: int | None) -> tuple[int, int]:
    """Return the first and last cycle since reset in which an engine works on a layer."""
    if layer is None:
        return run.first_cycle, run.since_reset(run.cycles)
    cycles = [cycle for cycle, _, _, number in run.events if number == layer]
    if not cycles:
        names = [f"{entry.index} {entry.name}" for entry in program.layers]
        if layer in (step.layer for step in program.host_steps):
            raise SimulationError(
                f"Layer {names[layer]} runs on the host, while the accelerator stands still; a "
                "waveform shows a layer before or behind it")
        raise SimulationError(
            f"No engine works on layer {layer}; the layers are: {', '.join(names)}")
    # A result is written some cycles after it is computed.
    return run.since_reset(max(0, min(cycles) - 4)), run.since_reset(max(cycles)) + 4


class _Run:
    """One memory image, and the simulations that start from it.

    Parameters
    ----------
    program : compiler.Program
        Compiled network.
    inputs : sequence of bytes
        Input region of each image.
    dram : Dram
        The DRAM.
    max_cycles : int
        Cycles after which an image is given up.
    """

    def __init__(
        self, program, inputs: Sequence[bytes], dram: Dram, max_cycles: int
    ) -> None:
        self._program = program
        self._count = len(inputs)
        self._dram = dram
        self._max_cycles = max_cycles
        self._map: MemoryMap = memory_map(program, self._count)
        self._memory = memory_image(program, inputs, self._map)

    def images(self, build: Build, progress: _Progress) -> SimulationResult:
        """Simulate all images."""
        with tempfile.TemporaryDirectory(prefix="dynafix-") as name:
            folder = Path(name)
            width = self._program.config.dram_width
            self._bench(build, folder, progress, {
                "rows": folder / "rows", "events": folder / "events", "dump": folder / "dump",
                "dump_first": self._map.outputs[0] // width,
                "dump_last": self._map.scratch // width,
            })
            return self._collect(folder, build)

    def waves(self, build: Build, path: Path, window: tuple[int, int]) -> None:
        """Simulate the only image until the end of a window of cycles, writing its waveform."""
        first, last = window
        with tempfile.TemporaryDirectory(prefix="dynafix-") as name:
            self._bench(build, Path(name), lambda stage, done, total: None, {
                "waves": path.resolve(), "wave_first": first, "wave_last": last})

    def _bench(self, build: Build, folder: Path, progress: _Progress, plusargs: dict) -> None:
        """Run the bench, telling the progress from the lines that it writes."""
        width = self._program.config.dram_width
        image, results = folder / "image.bin", folder / "results.jsonl"
        image.write_bytes(self._memory.reshape(-1, width)[:, ::-1].tobytes())
        job = folder / "job.json"
        job.write_text(json.dumps({
            **bench_job(self._program, self._map), "width": width, "results": str(results)}))
        results.touch()
        plusargs = {
            "job": job, "image": image, "words": self._map.size // width,
            "writable": self._map.writable // width, "max_cycles": self._max_cycles,
            "host": folder / "host", **self._dram.plusargs, **plusargs,
        }
        done = -1
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            future = pool.submit(
                run_bench, build, "sim.bench_images", folder, plusargs=plusargs)
            while True:
                finished = concurrent.futures.wait([future], timeout=0.1).done
                count = results.read_text().count("\n")
                if count != done:
                    progress("simulate", count, self._count)
                    done = count
                if finished:
                    future.result()
                    return

    def _collect(self, folder: Path, build: Build) -> SimulationResult:
        """Assemble the result from what bench and simulator wrote."""
        program, config = self._program, self._program.config
        records = [json.loads(line) for line in
                   (folder / "results.jsonl").read_text().splitlines()]
        events, ends = read_events(folder / "events")
        events_of = split_events(events, ends)
        count = len(program.segments)
        for image, record in enumerate(records):
            number = image * count + record["segment"]
            seen = events_of[number] if number < len(ends) else events
            raise_for_status(record, image=image, program=program, events=seen,
                             max_cycles=self._max_cycles)
        written = read_rows(folder / "rows", config.row_size)
        dump = read_beats(folder / "dump", config.dram_width)
        images = []
        before = ImageEnd(0, 0, 0, 0)
        for image, record in enumerate(records):
            own = slice(image * count, (image + 1) * count)
            stops = ends[own]
            starts = [
                stop.cycle - cycles
                for stop, cycles in zip(stops, record["segment_cycles"], strict=True)]
            numbers, rows = image_rows(
                program, record, written, before.rows, [stop.rows for stop in stops])
            address = self._map.outputs[image] - self._map.outputs[0]
            images.append(ImageRun(
                cycles=record["cycles"],
                output=dump[address:address + program.output_size],
                rows=rows,
                row_numbers=numbers,
                counters={(layer, engine): counts for layer, engine, counts in record["counters"]},
                events=_joined(events_of[own], starts, record["segment_cycles"]),
                dram_read_bytes=(stops[-1].read_beats - before.read_beats) * config.dram_width,
                dram_written_bytes=(
                    stops[-1].write_beats - before.write_beats) * config.dram_width,
                first_cycle=starts[0],
                seconds=record["seconds"],
                cpu_seconds=record["cpu_seconds"],
                segment_cycles=record["segment_cycles"],
                segment_starts=starts,
            ))
            before = stops[-1]
        return SimulationResult(
            images, sum(record["seconds"] for record in records), build.cached)


def _joined(
    events: Sequence[Sequence[Event]], starts: Sequence[int], cycles: Sequence[int]
) -> list[Event]:
    """Count the cycles of the events of each segment from its start, behind those before."""
    found: list[Event] = []
    before = 0
    for part, start, count in zip(events, starts, cycles, strict=True):
        found += [
            (before + cycle - start, engine, kind, layer) for cycle, engine, kind, layer in part]
        before += count
    return found
