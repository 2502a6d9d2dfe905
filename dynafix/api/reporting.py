"""From the files of all steps to ``results.json`` and the report."""

from pathlib import Path
from typing import Any

from compiler.program import Program

from .. import results
from ..errors import UsageError
from ..files import output_folder, read_json, sha256, write_json
from ..steps import Steps
from .building import built
from .compilation import open_program
from .quantized import Quantized, open_quantized
from .simulation import SCHEMA


__all__ = (
    "CLOCK_MHZ",
    "check_clock",
    "report",
)


CLOCK_MHZ = 150.0


def check_clock(clock_mhz: float) -> None:
    """Refuse a clock that is none."""
    if not 0 < clock_mhz < float("inf"):
        raise UsageError(f"--clock must be a positive number of MHz, not {clock_mhz:g}")


def report(
    folder: str | Path | Quantized, *, program: Program | None = None,
    clock_mhz: float = CLOCK_MHZ, steps: Steps | None = None,
) -> dict[str, Any]:
    """Write ``results.json`` and ``report.html`` of a simulated network.

    Parameters
    ----------
    folder : path or Quantized
        Output folder that ``simulate`` wrote.
    program : Program, optional
        Its program, where it is at hand.
    clock_mhz : float
        Clock at which latency is shown, in MHz.
    steps : Steps, optional
        Is told the progress.

    Returns
    -------
    dict
        Content of ``results.json``.

    Raises
    ------
    ValueError
        If a file is missing, or files do not belong together.
    """
    from ..report import write_report

    check_clock(clock_mhz)
    steps = steps or Steps()
    quantized = open_quantized(folder, steps=steps)
    program = program or open_program(quantized)
    output_folder(quantized.folder)
    again = f"dynafix simulate {quantized.folder}"
    simulation = read_json(quantized.folder / "simulation" / "simulation.json", schema=SCHEMA,
                           made_by=again)
    manifest = quantized.folder / "program" / "manifest.json"
    if simulation["program_sha256"] != sha256(manifest):
        raise UsageError(f"{quantized.folder}: the simulation ran another program. "
                         f"Simulate again: {again}")
    found = results.assemble(quantized.model, program, quantized.evaluation, simulation,
                             clock_mhz=clock_mhz, builds=built(quantized.folder))
    with steps.busy("report", "results.json, report.html"):
        write_json(quantized.folder / "results.json", found)
        write_report(found, quantized.folder / "report.html")
    return found
