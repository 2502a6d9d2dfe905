"""The arrows between the rooms: who may import whom."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parents[1]

ROOMS = {
    "arch": set(),
    "quantizer": {"arch"},
    "compiler": {"arch", "quantizer"},
    "hw": {"arch"},
    "sim": {"arch", "quantizer", "compiler", "hw"},
    "dynafix": {"arch", "quantizer", "compiler", "hw", "sim"},
}

# Third-party packages that must not be there after `import` of everything in a room.
FOREIGN = {
    "arch": {"amaranth", "cocotb", "onnx", "onnxruntime", "plotly", "rich", "click"},
    "quantizer": {"amaranth", "cocotb", "plotly", "rich", "click"},
    "compiler": {"amaranth", "cocotb", "plotly", "rich", "click"},
    "hw": {"cocotb", "onnx", "onnxruntime", "plotly", "rich", "click"},
    "sim": {"plotly", "rich", "click"},
    "dynafix": set(),
}


def _modules(room):
    for path in sorted((ROOT / room).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield path, ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _loaded(*modules):
    code = f"import {', '.join(modules)}, sys; print(' '.join(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return {name.split(".")[0] for name in run.stdout.split()}


@pytest.mark.parametrize("room", ROOMS)
def test_imports_in_fresh_interpreter(room):
    loaded = _loaded(*(name for _, name in _modules(room)))
    assert loaded & (ROOMS.keys() - ROOMS[room] - {room}) == set()
    assert loaded & FOREIGN[room] == set()


@pytest.mark.parametrize("room", ROOMS)
def test_imports_inside_functions(room):
    allowed = ROOMS[room] | {room}
    for path, _ in _modules(room):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            else:
                continue
            for name in names:
                first = name.split(".")[0]
                assert first not in ROOMS or first in allowed, f"{path}:{node.lineno}: {name}"
                assert first not in {"tests", "scripts"}, f"{path}:{node.lineno}: {name}"


@pytest.mark.parametrize("room", ["arch", "quantizer", "compiler", "dynafix"])
def test_package_import_is_cheap(room):
    assert _loaded(room) & {"onnxruntime", "cocotb", "plotly", "amaranth"} == set()


def test_every_room_is_packaged():
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert folders - {"tests"} == ROOMS.keys()
