"""Formats that the user sets instead of the search."""

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arch.formats import Format

from .errors import ModelError
from .graph import Conv, Graph
from .ranges import FRAC_LIMIT


__all__ = (
    "BITS",
    "FRACS",
    "WEIGHTS_SUFFIX",
    "check_overrides",
    "load_overrides",
)


BITS = range(2, 17)
FRACS = range(-FRAC_LIMIT, FRAC_LIMIT + 1)
WEIGHTS_SUFFIX = ".weights"

_FIELDS = {"bits": int, "frac": int, "signed": bool}


def _format(name: str, fields: Any, path: Path) -> Format:
    if not isinstance(fields, dict):
        raise ModelError(
            f"{path}: format of '{name}' must be an object such as "
            f'{{"bits": 8, "frac": 4, "signed": true}}, not {json.dumps(fields)}')
    for key in fields:
        if key not in _FIELDS:
            raise ModelError(
                f"{path}: format of '{name}' must have the keys bits, frac and signed only, "
                f"not {key!r}")
    values = {"signed": True, **fields}
    for key, kind in _FIELDS.items():
        if key not in values:
            raise ModelError(f"{path}: format of '{name}' must have the key {key!r}")
        if type(values[key]) is not kind:
            raise ModelError(
                f"{path}: {key} of '{name}' must be "
                f"{'an integer' if kind is int else 'true or false'}, "
                f"not {json.dumps(values[key])}")
    for key, allowed in (("bits", BITS), ("frac", FRACS)):
        if values[key] not in allowed:
            raise ModelError(
                f"{path}: {key} of '{name}' must be in {allowed[0]}..{allowed[-1]}, "
                f"not {values[key]}")
    return Format(values["bits"], values["frac"], values["signed"])


def load_overrides(path: str | Path) -> dict[str, Format]:
    """Read a file of format overrides.

    The file is JSON: an object from the name of a tensor, or of a node followed by ``.weights``,
    to ``{"bits": 8, "frac": 4, "signed": true}``; ``signed`` may be left out.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    dict from name to Format
        Argument ``overrides`` of ``quantize``.

    Raises
    ------
    ModelError
        If the file cannot be read, is not JSON, or an entry breaks a rule.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ModelError(f"{path}: must be a JSON file of formats: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(
            f"{path}: must hold an object from names to formats, not {type(content).__name__}")
    return {name: _format(name, fields, path) for name, fields in content.items()}


def check_overrides(graph: Graph, overrides: Mapping[str, Format]) -> None:
    """Check that every override names something that has a format, and gives it a legal one.

    Raises
    ------
    ModelError
        Names the override and the rule.
    """
    tensors = [graph.input, *(node.output for node in graph.accelerated)]
    weights = [node.name + WEIGHTS_SUFFIX for node in graph if isinstance(node, Conv)]
    for name, fmt in overrides.items():
        if name not in tensors and name not in weights:
            close = difflib.get_close_matches(name, [*tensors, *weights], 1)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            raise ModelError(
                f"Override '{name}' must name a tensor of '{graph.name}' or a convolution "
                f"followed by {WEIGHTS_SUFFIX}{hint}")
        if fmt.bits not in BITS:
            raise ModelError(
                f"Override '{name}' must have {BITS[0]}..{BITS[-1]} bits, not {fmt.bits}")
        if fmt.frac not in FRACS:
            raise ModelError(
                f"Override '{name}' must have frac in {FRACS[0]}..{FRACS[-1]}, not {fmt.frac}")
        if name in weights and name not in tensors and not fmt.signed:
            raise ModelError(f"Override '{name}' must be signed, as all weights are")
