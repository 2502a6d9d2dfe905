"""Versions, scripts, shipped files."""

import json
import os
import shutil
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import pytest
from packaging.requirements import Requirement

from hw.build.tools import TOOLS


ROOT = Path(__file__).resolve().parents[1]
TOOLS_OF_SETUP = ("g++", "make", "perl")


def _pins(lock="requirements.lock"):
    lines = (ROOT / lock).read_text("utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def _requirements():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for text in (*project["dependencies"], *project["optional-dependencies"]["dev"]):
        yield Requirement(text)


def _synthesis():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return [Requirement(text) for text in project["optional-dependencies"]["synth"]]


def test_lock_keeps_the_ranges():
    pins = {name.lower(): pin for name, pin in _pins().items()}
    for requirement in _requirements():
        assert requirement.specifier.contains(pins[requirement.name]), requirement


def test_synthesis_lock():
    """It keeps the ranges, has no version twice, and has all tools of PyPI."""
    pins = _pins("requirements-synth.lock")
    for requirement in _synthesis():
        assert requirement.specifier.contains(pins[requirement.name]), requirement
    assert not pins.keys() & _pins().keys()
    assert {requirement.name for requirement in _synthesis()} == {
        tool.distribution for tool in TOOLS.values()}


def test_every_dependency_has_its_reason():
    lines = (ROOT / "pyproject.toml").read_text("utf-8").splitlines()
    for requirement in (*_requirements(), *_synthesis()):
        number = next(n for n, line in enumerate(lines) if f'"{requirement.name}' in line)
        assert lines[number - 1].strip().startswith("# "), requirement


def test_tested_versions_are_the_pinned_ones():
    for requirement in _requirements():
        pins = {name.lower(): pin for name, pin in _pins().items()}
        assert version(requirement.name) == pins[requirement.name]


def test_data_files_are_packaged():
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    suffixes = {pattern[1:] for pattern in tools["setuptools"]["package-data"]["*"]}
    for room in tools["coverage"]["run"]["source"]:
        for path in (ROOT / room).rglob("*.*"):
            assert path.suffix in suffixes | {".py", ".pyc"}, path


def test_shipped_images(mnist):
    data = np.load(mnist)
    assert {key: (value.shape, str(value.dtype)) for key, value in data.items()} == {
        "calib_x": ((500, 28, 28), "uint8"), "calib_y": ((500,), "uint8"),
        "eval_x": ((1000, 28, 28), "uint8"), "eval_y": ((1000,), "uint8"),
    }
    calib = {image.tobytes() for image in data["calib_x"]}
    assert not any(image.tobytes() in calib for image in data["eval_x"])


def test_shipped_network(lenet, mnist):
    onnxruntime = pytest.importorskip("onnxruntime")
    model = onnx.load(lenet)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(metadata["preprocess"]) == {"color": "GRAY", "mean": [0], "std": [255]}
    assert sum(int(np.prod(w.dims)) for w in model.graph.initializer) == 61_706
    data = np.load(mnist)
    inputs = data["eval_x"][:, None].astype(np.float32) / 255
    output, = onnxruntime.InferenceSession(lenet).run(None, {"input": inputs})
    accuracy = np.mean(output.argmax(1) == data["eval_y"])
    assert accuracy >= 0.98
    assert accuracy == pytest.approx(float(metadata["float_accuracy"]), abs=0.0015)


@pytest.fixture
def copy(tmp_path):
    """Return a function that runs scripts/setup of a bare copy with few commands on PATH."""
    for name in ("requirements.lock", "requirements-synth.lock", "pyproject.toml",
                 "scripts/setup"):
        target = tmp_path / "copy" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("sh", "dirname", "cat", "sha256sum", "cut"):
        (commands / name).symlink_to(shutil.which(name))

    def run(*tools, options=(), **scripts):
        for name in tools:
            (commands / name).symlink_to(shutil.which("true"))
        for name, text in scripts.items():
            (commands / name).write_text(f"#!{shutil.which('sh')}\n{text}\n")
            (commands / name).chmod(0o755)
        return subprocess.run(
            [str(tmp_path / "copy" / "scripts" / "setup"), *options], capture_output=True,
            text=True, stdin=subprocess.DEVNULL, check=False, env={"PATH": str(commands)},
            timeout=20)
    return run


def test_setup_names_missing_tools(copy):
    result = copy("make")
    assert result.returncode == 2
    assert result.stderr == "error: not found: g++ perl. Get them: sudo apt install g++ perl\n"


def test_setup_knows_one_option(copy):
    result = copy(*TOOLS_OF_SETUP, options=["--synthesis"])
    assert result.returncode == 2
    assert result.stderr == "error: setup takes --synth or nothing, not --synthesis\n"


def test_setup_refuses_old_python(copy):
    result = copy(*TOOLS_OF_SETUP, python3='[ "$1" = --version ] && echo Python 3.9.2; exit 1')
    assert result.returncode == 2
    assert result.stderr == (
        "error: Python 3.11 or newer is needed, python3 is Python 3.9.2. Get it: sudo apt install "
        "python3 python3-venv (Debian 12, Ubuntu 24.04), or name it: PYTHON=/path/to/python "
        "./scripts/setup\n")


def test_setup_names_missing_venv(copy):
    result = copy(*TOOLS_OF_SETUP, python3='case "$2" in *ensurepip*) exit 1;; esac')
    assert result.returncode == 2
    assert result.stderr == (
        "error: python3 has no venv module. Get it: sudo apt install python3-venv\n")


@pytest.mark.parametrize("script", [
    "scripts/setup", "scripts/demo", "scripts/test", "scripts/check", ".ci/run"])
def test_scripts_can_be_run(script):
    path = ROOT / script
    assert os.access(path, os.X_OK)
    assert path.read_text("utf-8").startswith("#!/bin/sh\n")
