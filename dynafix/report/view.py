"""What the templates show: ``results.json`` turned into words, rows and pictures."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from . import advice, tables
from .bitstreams import answer, bitstreams
from .charts import chart_data, multipliers
from .layers import layers as typed_layers
from .text import (
    count,
    macs,
    milliseconds,
    number,
    percent,
    plain,
    plural,
    ratio,
    real,
    size,
)
from .timeline import timeline


__all__ = ("view",)


MOST_PICTURES = 60
PICTURE_BUDGET = 1_500_000
"""Characters of all pictures together; with the chart library the page stays under 5 MB."""
_PICTURE = re.compile(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/]+={0,2}")
MOST_FACTS = 200
PRECISIONS = {
    "dynamic": "dynamic: a format for each layer", "static": "static: one format for all",
}


def view(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables of the templates.

    Parameters
    ----------
    results : mapping
        ``results.json``.
    """
    layers = typed_layers(results)
    events = timeline(results.get("timeline"))
    state, sentence = advice.works(results, layers)
    samples, left_out = _samples(results)
    accuracy = _accuracy(results)
    return {
        "network": plain(results.get("network"), 120),
        "facts": _facts(results),
        "state": state,
        "answers": {
            "works": sentence, "losses": advice.losses(layers),
            "spending": advice.spending(results, layers), "helps": advice.helps(results, layers),
            "boards": answer(results),
        },
        "bitstreams": bitstreams(results),
        "accuracy": accuracy,
        "figures": _figures(results),
        "samples": samples,
        "samples_left_out": left_out,
        "score": _score(results),
        "precision": PRECISIONS.get((results.get("options") or {}).get("precision"), "this run"),
        "bounds": {layer.bound_by for layer in layers if layer.macs},
        "formats": tables.formats(layers),
        "cycles": tables.cycles(
            layers, **{key: real(results.get(field)) for key, field in (
                ("measured", "cycles_per_image"), ("predicted", "predicted_cycles"),
                ("roofline", "roofline_cycles"), ("utilization", "utilization"))}),
        "counters": tables.counters(layers),
        "traffic": tables.traffic(layers, multipliers(results)),
        "what_if": advice.what_if(results, layers),
        "merged_gap": events.gap,
        "engines": [(engine.upper(), engine, percent(share, 0))
                    for engine, share in events.busy.items()],
        "charts": chart_data(results, layers, events),
        "command": plain((results.get("provenance") or {}).get("command"), 4000),
        "origins": _origins(results),
    }


def _facts(results: Mapping[str, Any]) -> list[str]:
    config = results.get("config") or {}
    facts = [plain(config.get("name"), 80)]
    if multipliers(results):
        facts.append(f"{config['in_lanes']} × {config['out_lanes']} multipliers")
    dram = results.get("dram") or {}
    if real(dram.get("bytes_per_cycle")) and real(dram.get("latency")) is not None:
        facts.append(f"DRAM of {count(dram['bytes_per_cycle'])} bytes a cycle, "
                     f"{plural(dram['latency'], 'cycle')} latency")
    facts.append(plain(advice.formats_name(results), 80))
    facts.append(plain((results.get("provenance") or {}).get("date"), 40)[:10])
    return facts


def _accuracy(results: Mapping[str, Any]) -> dict[str, Any] | None:
    interval = real(results.get("confidence_95"))
    named = [("float", "float", real(results.get("float_accuracy"))),
             ("quantized", advice.formats_name(results), real(results.get("quantized_accuracy"))),
             ("static", advice.formats_name(results, "static"),
              real(results.get("static_accuracy")))]
    rows = [row for row in named if row[2] is not None]
    if not rows:
        return None
    margin = interval or 0
    low = min(value for _, _, value in rows) - margin
    ticks = _ticks(max(0.0, low), 1.0)
    start = ticks[0]

    def place(value: float) -> float:
        return round(100 * (min(max(value, start), 1.0) - start) / (1.0 - start), 2)

    return {
        "images": count(real(results.get("images_evaluated"))),
        "interval": number(100 * interval, 2) if interval else None,
        "rows": [
            {"key": key, "name": plain(name, 40), "text": percent(value, 2),
             "at": place(value), "from": place(value - margin), "to": place(value + margin)}
            for key, name, value in rows
        ],
        "ticks": [(percent(tick, 0 if tick * 100 % 1 < 1e-6 else 1), place(tick))
                  for tick in ticks],
    }


def _ticks(low: float, high: float) -> list[float]:
    for step in (0.005, 0.01, 0.02, 0.05, 0.1, 0.25):
        amount = math.ceil((high - low) / step + 1e-9)
        if amount <= 5:
            break
    return [round(high - step * place, 6) for place in range(max(amount, 1), -1, -1)
            if high - step * place > -1e-9]


def _figures(results: Mapping[str, Any]) -> list[dict[str, str]]:
    def get(key: str) -> float | None:
        return real(results.get(key))

    cycles, clock = get("cycles_per_image"), get("clock_mhz")
    seconds = cycles / (clock * 1e6) if cycles and clock else None
    roofline, predicted = get("roofline_cycles"), get("predicted_cycles")
    figures = [
        ("latency", milliseconds(cycles, clock),
         f"at {count(clock)} MHz, {number(1 / seconds, 0)} images a second" if seconds else ""),
        ("cycles per image", count(cycles),
         f"predicted {count(predicted)}; roofline {count(roofline)}"
         + (f" ({ratio(cycles, roofline)})" if cycles and roofline else "")),
        ("utilization", percent(get("utilization")),
         f"{macs(get('macs') / seconds, 'MAC/s')}; {macs(get('macs'))} an image"
         if seconds and get("macs") else ""),
        ("DRAM traffic", size(get("dram_bytes")),
         f"{size(get('dram_read_bytes'))} read, {size(get('dram_written_bytes'))} written"),
    ]
    return [{"label": label, "value": value, "note": note} for label, value, note in figures]


def _samples(results: Mapping[str, Any]) -> tuple[list[dict[str, Any]], int]:
    predictions = results.get("predictions") or []
    names, budget, samples = results.get("class_names"), PICTURE_BUDGET, []
    for entry in predictions[:MOST_PICTURES]:
        picture = entry.get("png")
        if not isinstance(picture, str) or not _PICTURE.fullmatch(picture):
            picture = None
        budget -= len(picture or "")
        if budget < 0:
            break
        samples.append(_sample(entry, picture, names))
    return samples, len(predictions) - len(samples)


def _score(results: Mapping[str, Any]) -> str:
    """Tell how many of the labeled predictions are right."""
    labeled = [entry for entry in results.get("predictions") or []
               if entry.get("label") is not None]
    right = sum(entry.get("predicted") == entry["label"] for entry in labeled)
    return f"{count(right)} of {count(len(labeled))} are right. " if labeled else ""


def _sample(entry: Mapping[str, Any], picture: str | None, names: Any) -> dict[str, Any]:
    def class_name(index: Any) -> str:
        if isinstance(names, list) and isinstance(index, int) and 0 <= index < len(names):
            return plain(names[index], 40)
        return plain(index, 40)

    scores = [real(score) or 0.0 for score in entry.get("probabilities") or []]
    shares = bool(scores) and min(scores) >= 0 and abs(sum(scores) - 1) < 0.02
    best = sorted(range(len(scores)), key=lambda place: -scores[place])[:3]
    label, predicted, exact = (entry.get(key) for key in ("label", "predicted", "float_predicted"))
    return {
        "index": plain(entry.get("index"), 12), "picture": picture,
        "predicted": class_name(predicted),
        "label": None if label is None else class_name(label),
        "wrong": label is not None and predicted != label,
        "float": class_name(exact) if exact is not None and exact != predicted else None,
        "best": [
            {"name": class_name(place), "share": round(100 * scores[place], 1),
             "text": percent(scores[place], 0)}
            for place in best
        ] if shares else [],
    }


def _origins(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    provenance = {key: value for key, value in (results.get("provenance") or {}).items()
                  if key != "command"}
    speed = real(results.get("simulated_macs_per_second"))
    rate = real(results.get("simulated_cycles_per_second"))
    simulation = {
        "images simulated": results.get("images_simulated"),
        "speed": f"{macs(speed, 'MAC/s')}, {macs(rate, 'cycles/s')}" if speed and rate else None,
        **{f"DRAM {key.replace('_', ' ')}": value
           for key, value in (results.get("dram") or {}).items()},
    }
    groups = [
        ("Versions, hashes and seeds", {"model file": results.get("model_file"), **provenance}),
        ("Formats", results.get("options")), ("Preprocessing", results.get("preprocess")),
        ("Simulation", simulation),
        ("Accelerator", {**(results.get("config") or {}), "hash": results.get("config_hash")}),
    ]
    return [{"title": title, "rows": list(_flat(group))[:MOST_FACTS]} for title, group in groups
            if group]


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, entry in value.items():
        name = plain(f"{prefix}{key}".replace("_", " "), 80)
        if isinstance(entry, Mapping):
            yield from _flat(entry, f"{name} · ")
        elif isinstance(entry, list):
            yield name, plain(", ".join(str(item) for item in entry[:50]))
        else:
            yield name, plain(_word(entry))


def _word(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.10g}" if isinstance(value, float) else value
