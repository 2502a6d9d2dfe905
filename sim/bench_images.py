"""Run a program for several images; everything it needs is in the file +job.

The job has ``program`` (address) and ``steps`` (what a run consists of), or ``programs`` (both for
each image), ``regions`` (addresses for each image), ``width`` (bytes of a beat), ``layers`` (whose
counters are read) and ``results``, a file that gets a line of JSON for each image as it ends.
"""

import json
from pathlib import Path

import cocotb

from sim.control import Control
from sim.host import DramAccess, run_steps


__all__ = (
    "run_images",
)


@cocotb.test
async def run_images(dut) -> None:
    """Start the accelerator for one image after the other; stop at the first that fails."""
    job = json.loads(Path(cocotb.plusargs["job"]).read_text())
    control = Control(dut)
    memory = DramAccess(dut, Path(cocotb.plusargs["host"]), job["width"])
    await control.reset()
    free = "waves" not in cocotb.plusargs
    with Path(job["results"]).open("w") as results:
        programs = job.get("programs") or [[job["program"], job["steps"]]] * len(job["regions"])
        for (program, steps), regions in zip(programs, job["regions"], strict=True):
            record = await run_steps(
                control, steps, program, regions, memory,
                lambda: control.run(dut.timeout, dut.stopped, free=free), job["layers"])
            if not free:
                return
            results.write(json.dumps(record) + "\n")
            results.flush()
            if record["reason"] != "interrupt" or record["error"]:
                return
