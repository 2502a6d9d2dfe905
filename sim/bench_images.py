"""Run a program for several images; everything it needs is in the file +job.

The job has ``program`` (address) or ``programs`` (one for each image), ``regions`` (addresses for
each image), ``layers`` (whose counters are read) and ``results``, a file that gets a line of JSON
for each image as it ends.
"""

import json
from pathlib import Path

import cocotb

from sim.control import Control


__all__ = (
    "run_images",
)


@cocotb.test
async def run_images(dut) -> None:
    """Start the accelerator for one image after the other; stop at the first that fails."""
    job = json.loads(Path(cocotb.plusargs["job"]).read_text())
    control = Control(dut)
    await control.reset()
    with Path(job["results"]).open("w") as results:
        programs = job.get("programs") or [job["program"]] * len(job["regions"])
        for program, regions in zip(programs, job["regions"], strict=True):
            await control.configure(program=program, regions=dict(enumerate(regions)))
            reason, seconds = await control.run(dut.timeout, dut.stopped)
            if "waves" in cocotb.plusargs:
                return
            record = {"reason": reason, "seconds": seconds}
            record |= await control.results(job["layers"])
            results.write(json.dumps(record) + "\n")
            results.flush()
            if reason != "interrupt" or record["error"]:
                return
