"""``results.json``: everything that the table and the report show, for programs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from arch.formats import Format
from compiler.program import Program
from quantizer.model import QuantizedModel

from .collapse import warnings


__all__ = (
    "SCHEMA",
    "assemble",
    "layer_formats",
)


SCHEMA = 1


def assemble(model: QuantizedModel, program: Program, evaluation: Mapping[str, Any],
             simulation: Mapping[str, Any], *, clock_mhz: float,
             builds: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Put together what the steps found.

    Parameters
    ----------
    model : QuantizedModel
        Formats and provenance.
    program : Program
        Layers and prediction.
    evaluation : mapping
        Accuracies and losses, see :func:`.api.evaluation.evaluate`.
    simulation : mapping
        Measured cycles and bytes, see :func:`.api.simulation.simulate`.
    clock_mhz : float
        Clock at which latency is shown, in MHz.
    builds : sequence of mapping
        Bitstreams of the program, see :func:`.api.building.build`.

    Returns
    -------
    dict
        Content of ``results.json``.
    """
    config, provenance = program.config, model.provenance
    layers = _layers(model, program, evaluation["tensors"], simulation)
    macs = sum(layer["macs"] for layer in layers)
    cycles = round(float(np.mean(simulation["cycles"])))
    accuracies = ("float_accuracy", "quantized_accuracy", "static_accuracy", "images_evaluated",
                  "confidence_95")
    measured = ("engines_equal", "not_compared", "dram_read_bytes", "dram_written_bytes",
                "simulated_macs_per_second", "simulated_cycles_per_second", "predictions",
                "timeline", "dram")
    return {
        "schema": SCHEMA,
        "network": program.name,
        "model_file": provenance["model_file"],
        "config": config.to_json(),
        "config_hash": f"{config.hash:#018x}",
        "options": provenance["options"],
        "preprocess": model.preprocess,
        **{name: evaluation[name] for name in accuracies},
        "images_simulated": len(simulation["images"]),
        "cycles_per_image": cycles,
        "utilization": macs / (config.multipliers * cycles),
        "roofline_cycles": round(program.roofline_cycles),
        "predicted_cycles": program.prediction.cycles,
        "dram_bytes": simulation["dram_read_bytes"] + simulation["dram_written_bytes"],
        **{name: simulation[name] for name in measured},
        "macs": macs,
        "host_steps": [
            {"layer": step.layer, "name": program.layers[step.layer].name,
             "operator": program.layers[step.layer].operator} for step in program.host_steps],
        "clock_mhz": clock_mhz,
        "class_names": provenance["class_names"],
        "warnings": warnings(model, evaluation),
        "layers": layers,
        "builds": list(builds),
        "provenance": {name: provenance[name] for name in (
            "command", "versions", "model_sha256", "data_file", "data_sha256", "seeds", "date")},
    }


def _layers(model: QuantizedModel, program: Program, losses: Mapping[str, Any],
            simulation: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = []
    for layer, predicted, roofline, products, cycles, counters in zip(
            program.layers, program.prediction.layers, program.roofline, program.products,
            simulation["layer_cycles"], simulation["counters"], strict=True):
        if program.config.layer_depth:
            beats = counters["load"]["beats"] + counters["save"]["beats"]
            moved = beats * program.config.dram_width + predicted.traffic["program"]
        else:
            moved, counters = sum(predicted.traffic.values()), {}
        capacity = program.config.multipliers * cycles
        found.append({
            "index": layer.index, "name": layer.name, "operator": layer.operator,
            "input_shape": list(layer.input_shape), "output_shape": list(layer.output_shape),
            "macs": layer.macs,
            **layer_formats(model, layer.name, layer.output),
            **losses[layer.output],
            "cycles": cycles,
            "utilization": layer.macs / capacity if layer.macs and cycles else None,
            "predicted_cycles": predicted.cycles,
            "roofline_cycles": round(roofline),
            "products": products,
            "bound_by": predicted.bound_by,
            "dram_bytes": moved,
            "dram_by_stream": predicted.traffic,
            "fused": layer.fused,
            "engines_equal": (
                None if layer.output in simulation["not_compared"] else
                simulation["engines_equal"]),
            "counters": counters,
        })
    return found


def layer_formats(model: QuantizedModel, name: str, output: str) -> dict[str, Any]:
    """Return the formats of a layer's weights and of its output, for people and for programs."""
    node, fmt = model.graph.node(name), model.formats[output]
    found = {"weight_format": None, "data_format": str(fmt), "format": fmt.to_json(),
             "weight_fracs": None}
    factors = model.factor_fracs(node)
    if factors is not None:
        bits, low, high = factors
        text = str(Format(bits, low))
        found["weight_format"] = text if low == high else f"{text} … .{high}"
        found["weight_fracs"] = [low, high]
    return found
