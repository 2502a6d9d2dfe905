"""Programs as a folder of files, with hashes that must match."""

import dataclasses
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from arch.config import AcceleratorConfig
from arch.formats import Format
from arch.isa import INSTRUCTION_SIZE, ISA_VERSION, Opcode, decode, decode_header

from .cycles import Prediction
from .describe import Layer
from .errors import CompileError
from .host import HostStep, Segment, segments_of
from .ir import DramTiming, Instruction, WriteRecord
from .maps import InputLayout, OutputLayout
from .program import Program
from .text_images import intel_hex, readmemh


__all__ = (
    "load",
    "save",
)


SCHEMA = 1
_MANIFEST = "manifest.json"


def _files(program: Program) -> Iterator[tuple[str, bytes]]:
    """Yield name and contents of all files but the manifest."""
    width = program.config.dram_width
    for name, image in (("program", program.program_image), ("weights", program.weight_image)):
        yield f"{name}.bin", image
        yield f"{name}.mem", readmemh(image, width)
        yield f"{name}.hex", intel_hex(image)
    yield "program.txt", program.disassemble().encode()


def _write(program: Program, folder: Path) -> None:
    """Write all files to an empty folder."""
    entries = {}
    for name, data in _files(program):
        (folder / name).write_bytes(data)
        entries[name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    text = json.dumps(_manifest(program, entries), indent=1, ensure_ascii=False)
    (folder / _MANIFEST).write_text(text + "\n", encoding="utf-8")


def _manifest(program: Program, entries: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "name": program.name,
        "isa_version": ISA_VERSION,
        "config": program.config.to_json(),
        "config_hash": f"{program.config.hash:#018x}",
        "model_hash": program.model_hash,
        "files": dict(entries),
        "sizes": {
            "program": entries["program.bin"]["size"], "weights": len(program.weight_image),
            "input": program.input_size, "output": program.output_size,
            "scratch": program.scratch_size},
        "input": {"tensor": program.input_name, **program.input_layout.to_json()},
        "output": {"tensor": program.output_name, **program.output_layout.to_json()},
        "layers": [dataclasses.asdict(layer) for layer in program.layers],
        "tensors": {
            name: {"shape": list(shape), "format": fmt.to_json()}
            for name, (shape, fmt) in program.tensors.items()},
        "places": program.places,
        "parts": {name: list(part) for name, part in program.parts.items()},
        "dram": dataclasses.asdict(program.dram),
        "compulsory_bytes": program.compulsory,
        "prediction": program.prediction.to_json(),
        "segments": [
            {"offset": part.offset, "size": part.size, "instructions": part.stop - part.first + 1}
            for part in program.segments],
        "host_steps": [step.to_json() for step in program.host_steps],
        "writes": [list(dataclasses.astuple(record)) for record in program.writes],
        "notes": [instruction.note for instruction in program.instructions],
    }


def save(program: Program, folder: Path | str) -> None:
    """Write a program to a folder, all or nothing; what was in the folder is replaced.

    Parameters
    ----------
    program : Program
        What to write: ``program.bin``, ``weights.bin``, both as ``.mem`` for ``$readmemh`` (a bus
        word a line) and as Intel ``.hex``, the disassembly ``program.txt``, ``manifest.json``.
    folder : Path
        Folder to make.

    Raises
    ------
    CompileError
        If the folder cannot be written.
    """
    target = Path(folder)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise CompileError(f"Folder '{target}' cannot be written: {error.strerror}") from error
    try:
        fresh, old = work / "new", work / "old"
        fresh.mkdir()
        _write(program, fresh)
        if target.exists():
            target.rename(old)
        fresh.rename(target)
    except OSError as error:
        raise CompileError(f"Folder '{target}' cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CompileError(f"'{path}' cannot be read: {error.strerror}") from error


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / _MANIFEST
    try:
        manifest = json.loads(_read(path))
    except ValueError as error:
        raise CompileError(f"'{path}' is not a manifest: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        found = manifest.get("schema") if isinstance(manifest, dict) else None
        raise CompileError(f"'{path}' must have schema {SCHEMA}, not {found!r}; compile again")
    return manifest


def _checked_files(folder: Path, manifest: Mapping[str, Any]) -> dict[str, bytes]:
    """Check every file against the manifest; return the binary ones."""
    contents = {}
    for name, entry in manifest["files"].items():
        data = _read(folder / name)
        digest = hashlib.sha256(data).hexdigest()
        if digest != entry["sha256"]:
            raise CompileError(
                f"'{folder / name}' does not match the manifest: SHA-256 must be "
                f"{entry['sha256'][:16]}…, not {digest[:16]}…; compile again")
        if name.endswith(".bin"):
            contents[name] = data
    return contents


def _instructions(
    image: bytes, notes: list[str], segments: Sequence[Segment]
) -> list[Instruction]:
    found: list[Instruction] = []
    for part in segments:
        words = image[part.offset:part.offset + part.size]
        expected = part.stop - part.first + 1
        count = decode_header(words)["instruction_count"]
        if expected != count or len(words) != part.size or (
                part is segments[-1] and len(image) != part.offset + part.size):
            raise CompileError(
                f"program.bin must have {expected} instructions, as the manifest says, "
                f"not {count}")
        for index, note in enumerate(notes[part.first:part.stop]):
            start = (index + 1) * INSTRUCTION_SIZE
            opcode, values = decode(words[start:start + INSTRUCTION_SIZE])
            found.append(Instruction(Opcode(opcode), values, values["layer"], note))
    return found


def _layer(fields: Mapping[str, Any]) -> Layer:
    values = dict(fields)
    for name in ("inputs", "input_shape", "output_shape"):
        values[name] = tuple(values[name])
    return Layer(**values)


def _tensor(fields: Mapping[str, Any]) -> tuple[tuple[int, int, int], Format]:
    c, h, w = fields["shape"]
    return (c, h, w), Format.from_json(fields["format"])


def _program(manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> Program:
    config = AcceleratorConfig.from_json(manifest["config"])
    if f"{config.hash:#018x}" != manifest["config_hash"]:
        raise CompileError(
            f"The manifest's config has hash {config.hash:#018x}, not "
            f"{manifest['config_hash']}; compile again")
    notes = manifest["notes"]
    host_steps = [HostStep.from_json(fields) for fields in manifest["host_steps"]]
    segments = segments_of([step.position for step in host_steps], len(notes))
    return Program(
        name=manifest["name"], config=config,
        instructions=_instructions(files["program.bin"], notes, segments),
        weight_image=files["weights.bin"],
        layers=[_layer(fields) for fields in manifest["layers"]],
        input_layout=InputLayout.from_json(manifest["input"]),
        output_layout=OutputLayout.from_json(manifest["output"]),
        input_name=manifest["input"]["tensor"], output_name=manifest["output"]["tensor"],
        input_size=manifest["sizes"]["input"], scratch_size=manifest["sizes"]["scratch"],
        writes=[WriteRecord(*fields) for fields in manifest["writes"]],
        tensors={name: _tensor(fields) for name, fields in manifest["tensors"].items()},
        places=manifest["places"],
        parts={name: (whole, block) for name, (whole, block) in manifest["parts"].items()},
        dram=DramTiming(**manifest["dram"]), compulsory=manifest["compulsory_bytes"],
        prediction=Prediction.from_json(manifest["prediction"]),
        model_hash=manifest["model_hash"], host_steps=host_steps)


def load(folder: Path | str) -> Program:
    """Read a program that :func:`save` wrote.

    Parameters
    ----------
    folder : Path
        Folder.

    Raises
    ------
    CompileError
        If a file is missing, or does not match the manifest.
    """
    path = Path(folder)
    manifest = _read_manifest(path)
    try:
        return _program(manifest, _checked_files(path, manifest))
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, CompileError):
            raise
        raise CompileError(
            f"'{path / _MANIFEST}' is damaged ({error!r}); compile again") from error
