"""Files of an output folder: written whole or not at all, read with a clear word when missing."""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import UsageError


__all__ = (
    "discard_results",
    "existing_folder",
    "model_file",
    "named",
    "new_folder",
    "output_folder",
    "read_json",
    "sha256",
    "write_bytes",
    "write_json",
    "write_text",
)


def named(path: str | Path, option: str) -> Path:
    """Return ``path``; ``UsageError`` if it is empty, which would mean the current folder."""
    if not str(path):
        raise UsageError(f"{option} must not be empty")
    return Path(path)


def model_file(path: str | Path) -> Path:
    """Return ``path`` as the file of a model; ``UsageError`` if it is none."""
    file = named(path, "MODEL")
    if file.is_dir():
        raise UsageError(f"{file}: is a folder, must be an ONNX file")
    if not file.is_file():
        raise UsageError(f"{file}: no such file")
    return file


@contextlib.contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Create a folder for results as :func:`output_folder` does, for the context.

    If the context fails, folders that were made here and are still empty are removed.
    """
    folder = named(path, "--output")
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        yield output_folder(folder)
    except BaseException:
        for each in made:
            with contextlib.suppress(OSError):
                each.rmdir()
        raise


def output_folder(path: str | Path, *, option: str = "--output") -> Path:
    """Create a folder for results where there is none.

    Parameters
    ----------
    path : path
        The folder.
    option : str
        Name of the option that gave it, for the message.

    Returns
    -------
    Path
        The folder; it exists and files can be made in it.

    Raises
    ------
    UsageError
        If it cannot be written.
    """
    folder = named(path, option)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"{option} {folder}: cannot be written ({error.strerror}). "
                         f"Choose a folder that you may write to") from error
    return folder


def existing_folder(path: str | Path) -> Path:
    """Return ``path`` as the output folder of an earlier step; ``UsageError`` if it is none."""
    folder = named(path, "FOLDER")
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder. Make it with: dynafix quantize MODEL.onnx "
                         f"--data DATA --output {folder}")
    return folder


def discard_results(folder: Path) -> None:
    """Remove the results of a run whose steps are done anew, so that none are out of date."""
    for name in ("results.json", "report.html"):
        (folder / name).unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> Path:
    """Write a file under a temporary name, then rename it; return ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        mask = os.umask(0)
        os.umask(mask)
        Path(temporary).chmod(0o666 & ~mask)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def write_text(path: Path, text: str) -> Path:
    """Write a text file whole or not at all; return ``path``."""
    return write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> Path:
    """Write a JSON file whole or not at all; numbers must be finite; return ``path``."""
    return write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, *, schema: int, made_by: str) -> dict[str, Any]:
    """Read a file that an earlier step wrote.

    Parameters
    ----------
    path : Path
        The file.
    schema : int
        Version that this program reads.
    made_by : str
        Command that makes the file, for the messages.

    Returns
    -------
    dict
        What the file holds.

    Raises
    ------
    UsageError
        If it is missing, unreadable or of another schema version.
    """
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UsageError(f"{path}: missing. Make it with: {made_by}") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not readable as JSON. Make it again with: {made_by}") from error
    found = value.get("schema") if isinstance(value, dict) else None
    if found != schema:
        raise UsageError(f"{path}: schema must be {schema}, not {found!r}. "
                         f"Make it again with: {made_by}")
    return value


def _contents(path: Path) -> Iterator[bytes]:
    if path.is_dir():
        for entry in sorted(path.rglob("*")):
            if entry.is_file():
                yield entry.relative_to(path).as_posix().encode()
                yield from _contents(entry)
        return
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            yield block


def sha256(path: Path) -> str:
    """Return the SHA-256 digest of a file, or of all files of a folder with their names."""
    digest = hashlib.sha256()
    for block in _contents(path):
        digest.update(block)
    return digest.hexdigest()
