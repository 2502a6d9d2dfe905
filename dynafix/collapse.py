"""What a person must know of a network that runs, but that quantization has ruined."""

from collections.abc import Mapping
from typing import Any

from quantizer.model import QuantizedModel


__all__ = ("warnings",)


LEAST_DB = 5.0
MOST_LOSS = 0.1
EXACT_DB = 60.0
"""More is as good as exact: an input that lies on the grid of its codes has 150 and more."""


def warnings(model: QuantizedModel, evaluation: Mapping[str, Any]) -> list[str]:
    """Return one sentence if a network lost its accuracy or its output is mostly noise.

    Parameters
    ----------
    model : QuantizedModel
        The network.
    evaluation : mapping
        Accuracies and losses, see :func:`.api.evaluation.evaluate`.

    Returns
    -------
    list of str
        What is wrong, the layer where the signal-to-noise ratio falls most, and what may help;
        empty if all is well.
    """
    found = _symptom(model, evaluation)
    if not found:
        return []
    name, before, after = _steepest(model, evaluation["tensors"])
    ways = _ways_out(model.provenance["options"])
    return [f"{found}; {name} loses most, {before:.1f} → {after:.1f} dB. Try {ways}"]


def _symptom(model: QuantizedModel, evaluation: Mapping[str, Any]) -> str:
    exact, rounded = evaluation["float_accuracy"], evaluation["quantized_accuracy"]
    if exact - rounded > max(MOST_LOSS, 2 * evaluation["confidence_95"]):
        return f"quantization takes accuracy from {100 * exact:.1f} to {100 * rounded:.1f} %"
    snr = _db(evaluation["tensors"], model.graph.accelerated[-1].output)
    if snr < LEAST_DB:
        return f"the output is mostly noise, {snr:.1f} dB against float"
    return ""


def _db(tensors: Mapping[str, Any], name: str) -> float:
    snr = tensors[name]["snr_db"]
    return EXACT_DB if snr is None else min(snr, EXACT_DB)


def _steepest(model: QuantizedModel, tensors: Mapping[str, Any]) -> tuple[str, float, float]:
    """Return the first layer whose output is worse than its inputs by most, and both ratios."""
    steps = [
        (node.name, min(_db(tensors, name) for name in node.inputs), _db(tensors, node.output))
        for node in model.graph.accelerated]
    return max(steps, key=lambda step: step[1] - step[2])


def _ways_out(options: Mapping[str, Any]) -> str:
    ways = []
    if options["precision"] == "static":
        ways.append("--precision dynamic")
    if not options["per_channel"]:
        ways.append("--per-channel")
    narrow = [name for name in ("data", "weight") if options[f"{name}_bits"] < 8]
    if narrow:
        ways.append(f"more bits ({' '.join(f'--{name}-bits 8' for name in narrow)})")
    else:
        ways.append("more bits (--data-bits 16 --weight-bits 16, with dynafix quantize only)")
    return " or ".join(ways)
