"""Results that are kept by a digest of everything that they are made from."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path


__all__ = (
    "alone",
    "cache_folder",
    "digest",
    "entry",
    "kept",
    "prune",
    "used",
)


def cache_folder(name: str) -> Path:
    """Return the folder ``dynafix/name`` in the user's cache."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "dynafix" / name


def digest(*parts: object) -> str:
    """Return a short digest of plain values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def used(path: Path) -> bool:
    """Return whether a file of an entry is there, and note that the entry was used."""
    if not path.exists():
        return False
    with contextlib.suppress(OSError):
        os.utime(path.parent)
    return True


def prune(cache: Path, size: int) -> None:
    """Remove the entries that were not used for longest until all have at most ``size`` bytes."""
    with alone(cache, "0"):
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
def alone(cache: Path, key: str) -> Iterator[None]:
    """Wait until no other process is inside this block with the same hexadecimal key."""
    with (cache / ".lock").open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX, 1, int(key[:12], 16))
        yield


@contextlib.contextmanager
def entry(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``folder`` when the block succeeds.

    Raises
    ------
    OSError
        If folders cannot be made there.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
    try:
        yield temporary
        # Another process may have been faster: its entry is the same.
        with contextlib.suppress(OSError):
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def kept(folder: Path, file: str, make: Callable[[Path], None]) -> bool:
    """Make an entry unless it is there; return whether it was.

    Parameters
    ----------
    folder : Path
        The entry.
    file : str
        A file that it has.
    make : callable
        Is given an empty folder, and leaves the files of the entry in it.
    """
    if used(folder / file):
        return True
    with entry(folder) as temporary:
        make(temporary)
    return False
