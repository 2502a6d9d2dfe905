"""Run cocotb benches; nothing else calls the runner of cocotb."""

from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from cocotb_tools.check_results import get_results

from .build import Build
from .errors import SimulationError
from .toolchain import CocotbVerilator


__all__ = (
    "run_bench",
)


def run_bench(
    build: Build,
    bench: str,
    folder: Path,
    *,
    plusargs: Mapping[str, object] | None = None,
    test_filter: str | None = None,
    seed: int = 1,
) -> int:
    """Run the cocotb tests of a module against a compiled simulation.

    Parameters
    ----------
    build : Build
        The compiled simulation.
    bench : str
        Importable name of the module.
    folder : Path
        Existing folder to run in; gets ``<bench>.log`` and ``<bench>.xml``.
    plusargs : mapping from name to value, optional
        Options for ``$value$plusargs`` and ``cocotb.plusargs``.
    test_filter : str, optional
        Regular expression; only tests whose names match are run.
    seed : int
        Seed of every random generator.

    Returns
    -------
    int
        Number of tests that passed, at least 1.

    Raises
    ------
    SimulationError
        If a test fails, the module cannot be imported, no test is run, or the simulator stops.
    """
    folder = folder.resolve()
    log, results = folder / f"{bench}.log", folder / f"{bench}.xml"
    try:
        CocotbVerilator().test(
            test_module=bench, hdl_toplevel=build.top, hdl_toplevel_lang="verilog",
            build_dir=build.folder, test_dir=folder, results_xml=str(results), log_file=log,
            plusargs=[f"+{name}={value}" for name, value in (plusargs or {}).items()],
            test_filter=test_filter, seed=seed)
    except (RuntimeError, SystemExit):
        # The simulator or, under pytest, a test failed: the results say which.
        pass
    try:
        count, failed = get_results(results)
    except (RuntimeError, ElementTree.ParseError):
        raise SimulationError(
            f"Bench {bench} stopped before its end: {_reason(log)}") from None
    if failed:
        raise SimulationError(f"Bench {bench} failed: {_failure(results)}{_hdl_errors(log)}")
    passed = count - _skipped(results)
    if passed == 0:
        raise SimulationError(f"Bench {bench} ran no test")
    return passed


def _reason(log: Path) -> str:
    """Return the end of a log."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join(lines[-12:]) or "it wrote no log"


def _hdl_errors(log: Path) -> str:
    """Return the lines that ``$error`` and ``$fatal`` wrote."""
    lines = log.read_text(errors="replace").splitlines()
    return "".join(f"\n{line}" for line in lines if line.startswith("["))[-2000:]


def _skipped(results: Path) -> int:
    """Return the number of tests that were not run."""
    cases = ElementTree.parse(results).getroot().iter("testcase")
    return sum(case.find("skipped") is not None for case in cases)


def _failure(results: Path) -> str:
    """Return the message of the first test that failed."""
    for case in ElementTree.parse(results).getroot().iter("testcase"):
        for kind in ("failure", "error"):
            entry = case.find(kind)
            if entry is not None:
                text = entry.get("error_msg") or entry.get("message") or entry.text or kind
                return f"{case.get('name')}: {text.strip()}"
    return str(results)
