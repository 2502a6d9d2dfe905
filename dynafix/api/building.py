"""From a compiled network to the file that configures a board."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

from arch.boards import BOARD_PRESETS
from arch.config import AcceleratorConfig
from compiler.program import Program

from ..errors import UsageError
from ..files import existing_folder, output_folder, read_json, sha256, write_bytes, write_json
from ..results import SCHEMA as RESULTS_SCHEMA
from ..serial.board import DEFAULT_BAUD
from ..steps import Steps
from ..text import grouped
from .compilation import open_program
from .quantized import open_quantized
from .tops import EXTERNAL, STANDALONE, TOPS, check_top, choose_top, memory_advice


__all__ = (
    "BITSTREAM",
    "SCHEMA",
    "build",
    "built",
)


SCHEMA = 1
BITSTREAM = "bitstream"
"""Folder of the results, one folder a board and top below it."""

BAUD_TOLERANCE = 0.02
"""Most that the speed of the serial line may be off; a byte of ten bits then still fits."""


def build(
    folder: str | Path, *, board: str, top: str | None = None, freq: float | None = None,
    seeds: int = 1, baud: int | None = None, output: str | Path | None = None, force: bool = False,
    steps: Steps | None = None,
) -> dict[str, Any]:
    """Make the file that configures a board with the accelerator of a compiled network.

    SIGTERM then ends the program as Ctrl-C does: the tools with it, and no file is half-written.

    Parameters
    ----------
    folder : path
        Output folder that ``compile`` wrote.
    board : str
        Name of the board.
    top : str, optional
        What stands around the accelerator, one of :data:`dynafix.api.tops.TOPS`;
        ``"standalone"`` if not given, or ``"external"`` where the network does not fit on the chip
        and the board has an SDRAM.
    freq : float, optional
        Clock asked, in MHz; that of the board's table by default. The fastest that the board can
        make and that is not above is taken.
    seeds : int
        Placements to try; the one with the highest clock is taken.
    baud : int, optional
        Speed of the serial line, in bits a second; what :class:`dynafix.serial.Board` expects by
        default.
    output : path, optional
        Folder in which ``bitstream/`` is written; ``folder`` by default.
    force : bool
        Whether to write a file whose clock is not met.
    steps : Steps, optional
        Is told the progress.

    Returns
    -------
    dict
        Content of ``build.json``.

    Raises
    ------
    ValueError
        If an argument or a file cannot be used, a tool is missing, the network does not fit the
        board, or the clock is not met.
    """
    from hw.build import run
    from hw.build.boards import board as known_board
    from hw.build.clock import clocked_board
    from hw.build.signals import ending_in_order

    steps = steps or Steps()
    chosen = known_board(board)
    if top is not None and top not in TOPS:
        raise UsageError(f"--top must be one of {', '.join(TOPS)}, not {top!r}")
    if seeds < 1:
        raise UsageError(f"--seeds must be at least 1, not {seeds}")
    if freq is not None and not 0 < freq < float("inf"):
        raise UsageError(f"--freq must be a positive number of MHz, not {freq:g}")
    asked = None if freq is None else Fraction(str(freq))
    baud = DEFAULT_BAUD if baud is None else baud
    # What is wrong with the clock is said before a large network is read.
    _divisor(clocked_board(chosen, asked).frequency, baud)
    quantized = open_quantized(existing_folder(folder), steps=steps)
    program = open_program(quantized, suits=chosen.name if chosen.name in BOARD_PRESETS else None)
    steps.line("serial", f"{grouped(program.input_size)} bytes an image, "
                         f"{10e3 * program.input_size / baud:.1f} ms at {grouped(baud)} baud")
    results = output_folder(quantized.folder if output is None else output)

    def make(name: str) -> Any:
        kind = TOPS[name]
        clocked = clocked_board(chosen, asked, lead=kind.lead())
        check_top(name, program, chosen, round(clocked.frequency * 1_000_000))
        divisor = _divisor(clocked.frequency, baud)
        if advice := memory_advice(name, program, chosen):
            steps.line("memory", advice)
        return run.build(
            lambda: kind.make(program, clocked, divisor), clocked,
            name=f"{program.name} ({program.config.name})", lanes=program.config.out_lanes,
            seeds=range(1, seeds + 1), force=force,
            smaller=_smaller(program.config, chosen.name), progress=_Progress(steps))

    with ending_in_order():
        top, found = _build_top(make, top, program, chosen, steps)
        place = results / BITSTREAM / f"{chosen.name}-{top}"
        file = place / f"{chosen.name}.{chosen.file}"
        record = {
            "schema": SCHEMA, "network": program.name, "top": top, "baud": baud,
            "config": program.config.to_json(), "program_sha256": _program_hash(quantized.folder),
            **_record(found), "file": file.name, "file_size": len(found.bitstream),
            "flash": chosen.flash.format(file),
        }
        (place / "build.json").unlink(missing_ok=True)
        write_bytes(file, found.bitstream)
        write_json(place / "build.json", record)
        if results == quantized.folder:
            _update_report(quantized.folder, steps)
        return record


def _smaller(config: AcceleratorConfig, board: str) -> str:
    """Return what to do where an accelerator does not fit a board."""
    suits = BOARD_PRESETS.get(board)
    if suits is None or _sizes(suits) >= _sizes(config):
        return "compile for a smaller accelerator (--config)"
    return f"compile for the accelerator that suits this board (--config {board})"


def _sizes(config: AcceleratorConfig) -> tuple[int, int]:
    """Return multipliers, and bytes of the large memories."""
    return config.multipliers, (config.feature_depth * config.row_size
                                + config.weight_depth * config.weight_row_size)


def _build_top(make: Callable[[str], Any], top: str | None, program: Program, board: Any,
               steps: Steps) -> tuple[str, Any]:
    """Build the design asked for, or the one that fits; return its name, and what was built."""
    from hw.build.errors import FitError

    name, why = (top, "") if top else choose_top(program, board)
    if top is None and name != STANDALONE:
        steps.line("top", f"{name}: {why}")
    try:
        return name, make(name)
    except FitError as error:
        if name != STANDALONE or board.memory is None or error.resources != {"block_ram"}:
            raise
        if top:
            raise FitError(f"{error}, or keep the network in the board's SDRAM (--top {EXTERNAL})",
                           error.resources) from error
        steps.line("top", f"{EXTERNAL}: the network in the board's SDRAM, for {error}")
    return EXTERNAL, make(EXTERNAL)


def _update_report(folder: Path, steps: Steps) -> None:
    """Put the bitstreams of a folder into its report, where it has one."""
    from ..report import write_report

    if (folder / "results.json").exists():
        again = f"dynafix report {folder}"
        found = read_json(folder / "results.json", schema=RESULTS_SCHEMA, made_by=again)
        found["builds"] = built(folder)
        with steps.busy("report", "results.json, report.html"):
            write_json(folder / "results.json", found)
            write_report(found, folder / "report.html")


def built(folder: Path) -> list[dict[str, Any]]:
    """Return the ``build.json`` of each bitstream that has the program of a folder."""
    records = [
        read_json(path, schema=SCHEMA, made_by=f"dynafix build {folder} --board BOARD")
        for path in sorted((folder / BITSTREAM).glob("*/build.json"))]
    return [each for each in records if each["program_sha256"] == _program_hash(folder)]


def _program_hash(folder: Path) -> str:
    return sha256(folder / "program" / "manifest.json")


def _divisor(frequency: Fraction, baud: int) -> int:
    """Return the cycles of a bit of the serial line."""
    if baud < 1:
        raise UsageError(f"--baud must be a positive number of bits a second, not {baud}")
    divisor = round(frequency * 1_000_000 / baud)
    if divisor < 4 or abs(frequency * 1_000_000 / divisor / baud - 1) > BAUD_TOLERANCE:
        near = round(frequency * 1_000_000 / max(4, divisor))
        raise UsageError(f"--baud {baud} cannot be made from {float(frequency):g} MHz within "
                         f"{BAUD_TOLERANCE:.0%}. The nearest is --baud {near}")
    return divisor


def _record(found: Any) -> dict[str, Any]:
    """Return what was built as plain values."""
    board, report = found.clocked.board, found.report
    return {
        "board": board.name, "board_title": board.title, "device": board.device.name,
        "grade": board.grade,
        "clock_mhz": float(found.clocked.frequency), "clock_source_mhz": float(board.source),
        "pll": None if found.clocked.pll is None else {
            name: value if isinstance(value, (int, str)) else value.value
            for name, value in found.clocked.pll.parameters.items()},
        "fmax_mhz": _rounded(report.fmax_mhz), "asked_mhz": _rounded(report.asked_mhz),
        "met": report.met,
        **found.used, "available": dict(board.device.resources),
        "critical_path": report.path.to_json() if report.path else None,
        "seed": found.seed,
        "seeds": {str(seed): value if isinstance(value, str) else _rounded(value)
                  for seed, value in sorted(found.seeds.items())},
        "seconds": dict(found.seconds), "tools": dict(found.tools),
    }


def _rounded(clocks: Any) -> dict[str, float]:
    return {clock: round(value, 2) for clock, value in clocks.items()}


class _Progress:
    """Tells the steps of a build to a listener."""

    def __init__(self, steps: Steps):
        self._steps = steps
        self._busy: Any = None
        self._tell: Callable[[str], None] = lambda text: None

    def begin(self, phase: str, text: str) -> None:
        """Tell that a phase begins."""
        self.close()
        self._busy = self._steps.busy(phase, text)
        self._tell = self._busy.__enter__()

    def tell(self, text: str) -> None:
        """Tell how far it is."""
        self._tell(text)

    def end(self, phase: str, text: str) -> None:
        """Tell its outcome."""
        self.close()
        self._steps.line(phase, text)

    def close(self) -> None:
        """End the bar of a phase."""
        if self._busy is not None:
            self._busy.__exit__(None, None, None)
            self._busy = None
