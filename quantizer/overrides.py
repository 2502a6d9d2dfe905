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
    "fixed_weights",
    "load_overrides",
    "target_of",
)


BITS = range(2, 17)
FRACS = range(-FRAC_LIMIT, FRAC_LIMIT + 1)
WEIGHTS_SUFFIX = ".weights"
_LISTED = 40  # layers, in a message

_FIELDS = {"bits": int, "frac": int, "signed": bool}


def fixed_weights(overrides: Mapping[str, Format]) -> dict[str, Format]:
    """Return the formats of weights among overrides, by name of their convolution."""
    return {
        name.removesuffix(WEIGHTS_SUFFIX): fmt for name, fmt in overrides.items()
        if name.endswith(WEIGHTS_SUFFIX)}


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

    The file is JSON: an object from the name of a tensor, of the node that writes it, or of a
    convolution followed by ``.weights``,
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


def _unknown(graph: Graph, name: str, known: list[str], what: str) -> ModelError:
    close = difflib.get_close_matches(name, known, 1)
    layers = [node.name for node in graph.accelerated]
    more = ", ..." if len(layers) > _LISTED else ""
    hint = f"did you mean '{close[0]}'? Layers" if close else "layers"
    return ModelError(
        f"{what} '{name}' must name a tensor or layer of '{graph.name}', or a convolution "
        f"followed by {WEIGHTS_SUFFIX}; {hint} are {', '.join(layers[:_LISTED])}{more}")


def _weight_names(graph: Graph) -> list[str]:
    return [node.name + WEIGHTS_SUFFIX for node in graph if isinstance(node, Conv)]


def target_of(graph: Graph, name: str, what: str) -> str:
    """Return the tensor, or the convolution followed by ``.weights``, that a name stands for.

    Parameters
    ----------
    graph : Graph
        The network.
    name : str
        Name of a tensor, of a layer, which stands for its output, or of weights.
    what : str
        What the message calls it.

    Raises
    ------
    ModelError
        If there is none.
    """
    tensors = [graph.input, *(node.output for node in graph.accelerated)]
    layers = {node.name: node.output for node in graph.accelerated}
    known = [*tensors, *_weight_names(graph), *layers]
    if name not in known:
        raise _unknown(graph, name, known, what)
    return layers[name] if known.index(name) >= len(known) - len(layers) else name


def check_overrides(graph: Graph, overrides: Mapping[str, Format]) -> dict[str, Format]:
    """Check that every override names something that has a format, and gives it a legal one.

    Returns
    -------
    dict from name to Format
        The overrides; where the name was that of a layer, that of its output tensor.

    Raises
    ------
    ModelError
        Names the override and the rule.
    """
    weights = _weight_names(graph)
    found: dict[str, Format] = {}
    for name, fmt in overrides.items():
        target = target_of(graph, name, "Override")
        if target in found or (target != name and target in overrides):
            raise ModelError(
                f"Override '{name}' must not name '{target}', which another override names")
        if fmt.bits not in BITS:
            raise ModelError(
                f"Override '{name}' must have {BITS[0]}..{BITS[-1]} bits, not {fmt.bits}")
        if fmt.frac not in FRACS:
            raise ModelError(
                f"Override '{name}' must have frac in {FRACS[0]}..{FRACS[-1]}, not {fmt.frac}")
        if target in weights and not fmt.signed:
            raise ModelError(f"Override '{name}' must be signed, as all weights are")
        found[target] = fmt
    return found
