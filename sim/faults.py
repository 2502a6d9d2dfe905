"""The accelerator against memory that fails, programs that are wrong, and resets at any time."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .build import accelerator_verilog, build
from .memory import bench_job, memory_image, memory_map
from .runner import run_bench
from .stress import PORTS, TOP


__all__ = (
    "run_faults",
)


def run_faults(
    program,
    data: bytes,
    runs: Sequence[Mapping[str, Any]],
    *,
    limit: int = 4_000,
    max_cycles: int = 20_000,
    build_dir: Path | None = None,
    verilog: str | None = None,
) -> list[dict[str, Any]]:
    """Run one image several times in one simulation, each time with other faults.

    Parameters
    ----------
    program : compiler.Program
        Compiled network.
    data : bytes
        Its input region.
    runs : sequence of mapping
        Faults of each run, as in :mod:`sim.bench_faults`; ``patches`` are relative to the
        program's first byte. A run without any is an ordinary one.
    limit : int
        Cycles after which the accelerator is to stop by itself.
    max_cycles : int
        Cycles after which a run counts as hanging; the accelerator is reset then.
    build_dir : Path, optional
        Folder of compiled simulations; :func:`sim.build.default_cache` if not given.
    verilog : str, optional
        Verilog of the accelerator; generated from the program's config if not given.

    Returns
    -------
    list of dict
        For each run ``reason`` (``"interrupt"``, ``"reset"`` or ``"hang"``), ``output`` (bytes),
        ``failed`` (address of the beat that ``read`` chose) and, after an interrupt, ``status``,
        ``error``, ``error_index``, ``error_done`` and the like.

    Raises
    ------
    SimulationError
        If the simulation cannot be built, or the bench itself fails.
    """
    layout = memory_map(program, 1)
    sources = {
        "ports.vlt": PORTS,
        "accelerator.v": verilog or accelerator_verilog(program.config, cache=build_dir),
    }
    built = build(sources, TOP, cache=build_dir)
    with tempfile.TemporaryDirectory(prefix="dynafix-") as name:
        folder = Path(name)
        memory, results = folder / "memory.bin", folder / "results.jsonl"
        memory.write_bytes(memory_image(program, [data], layout).tobytes())
        job = bench_job(program, layout)
        (folder / "job.json").write_text(json.dumps({
            **job, "regions": job["regions"][0], "memory": str(memory), "results": str(results),
            "output": [layout.outputs[0], program.output_size],
            "limit": limit, "max_cycles": max_cycles,
            "runs": [_run(run, layout.program) for run in runs]}))
        run_bench(built, "sim.bench_faults", folder, plusargs={"job": folder / "job.json"})
        records = [json.loads(line) for line in results.read_text().splitlines()]
    return [{**record, "output": bytes.fromhex(record["output"])} for record in records]


def _run(run: Mapping[str, Any], base: int) -> dict[str, Any]:
    """Return a run with plain values and absolute addresses."""
    patches = [(base + offset, data.hex()) for offset, data in run.get("patches", ())]
    return {**run, "patches": patches}
