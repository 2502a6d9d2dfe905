"""Widths of single layers, where they differ from those of all."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import ModelError
from .graph import Graph
from .overrides import BITS, target_of
from .ranges import format_root


__all__ = (
    "check_widths",
    "load_widths",
)


def _checked(name: str, bits: Any) -> int:
    if isinstance(bits, bool) or not isinstance(bits, int):
        raise ModelError(f"Width of '{name}' must be an integer, not {json.dumps(bits)}")
    if bits not in BITS:
        raise ModelError(f"Width of '{name}' must be in {BITS[0]}..{BITS[-1]} bits, not {bits}")
    return bits


def load_widths(path: str | Path) -> dict[str, int]:
    """Read a file of widths.

    The file is TOML if its name ends so, else JSON: names of layers, or of convolutions followed
    by ``.weights``, and numbers of bits. A table stands for its parts: ``conv1.weights = 4``.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    dict from name to int
        Argument ``widths`` of ``quantize``, in bits.

    Raises
    ------
    ModelError
        If the file cannot be read, or an entry is no width.
    """
    path = Path(path)
    kind, parse = ("TOML", tomllib.loads) if path.suffix == ".toml" else ("JSON", json.loads)
    try:
        content: Any = parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ModelError(f"{path}: must be a {kind} file of widths: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(
            f"{path}: must hold an object from names to bits, not {type(content).__name__}")
    flat: dict[str, Any] = {}
    for name, value in content.items():
        parts = value if isinstance(value, dict) else {"": value}
        flat |= {f"{name}.{part}" if part else name: bits for part, bits in parts.items()}
    try:
        return {name: _checked(name, bits) for name, bits in flat.items()}
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def check_widths(
    graph: Graph, widths: Mapping[str, int], taken: Mapping[str, Any] | None = None
) -> dict[str, int]:
    """Check that every width names something that has one, and is a legal one.

    Parameters
    ----------
    graph : Graph
        The network.
    widths : mapping from name to int
        Bits, by name of a layer or tensor, or of a convolution followed by ``.weights``.
    taken : mapping, optional
        Overrides, as ``check_overrides`` returns them.

    Returns
    -------
    dict from name to int
        The widths; where the name was that of a layer, that of its output tensor.

    Raises
    ------
    ModelError
        Names the width and the rule.
    """
    found: dict[str, int] = {}
    for name, bits in widths.items():
        target = target_of(graph, name, "Width")
        _checked(name, bits)
        root = format_root(graph, target)
        if root != target:
            raise ModelError(
                f"Width of '{name}' cannot be set, since '{target}' copies codes of '{root}'; "
                f"set that of '{root}'")
        if target in found:
            raise ModelError(f"Width of '{name}' is that of '{target}', which is given twice")
        if target in (taken or {}):
            raise ModelError(
                f"Width of '{name}' must not be set, since an override gives the format of "
                f"'{target}'")
        found[target] = bits
    return found
