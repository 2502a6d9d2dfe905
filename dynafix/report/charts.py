"""Numbers behind the charts, as the page's script wants them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .layers import BOUNDS, STREAMS, Layer
from .text import count, decibels, macs, number, percent, plain, real, size
from .timeline import Timeline


__all__ = (
    "chart_data",
    "magnitude",
    "multipliers",
)


EMPTY_FORMAT = "no values seen"


def chart_data(results: Mapping[str, Any], layers: Sequence[Layer],
               timeline: Timeline) -> dict[str, Any]:
    """Return what the script draws; a chart without numbers is ``None``.

    Parameters
    ----------
    results : mapping
        ``results.json``.
    layers : sequence of Layer
        Its layers.
    timeline : Timeline
        Its timeline.
    """
    return {
        "layers": [{"index": layer.index, "name": layer.name,
                    "short": layer.short} for layer in layers],
        "snr": _snr(layers),
        "ribbon": _ribbon(layers),
        "timeline": {
            "cycles": timeline.cycles, "engines": timeline.to_json(), "layers": timeline.layers(),
        } if timeline.cycles else None,
        "roofline": _roofline(results, layers),
        "dram": _dram(layers),
    }


def multipliers(results: Mapping[str, Any]) -> float | None:
    """Return the number of multipliers of the array, if the config tells it."""
    config = results.get("config") or {}
    lanes = real(config.get("in_lanes")), real(config.get("out_lanes"))
    return lanes[0] * lanes[1] if None not in lanes else None


def _snr(layers: Sequence[Layer]) -> dict[str, Any] | None:
    dynamic, static = [layer.snr for layer in layers], [layer.static_snr for layer in layers]
    if all(value is None for value in dynamic + static):
        return None
    return {
        "dynamic": dynamic,
        "static": static if any(value is not None for value in static) else None,
        "hover": [
            [layer.name, f"{layer.operator}, {layer.data_format}",
             "exact" if layer.snr is None else decibels(layer.snr, "dB"),
             *([f"static: {decibels(layer.static_snr, 'dB')}"] if layer.static_snr is not None
               else [])]
            for layer in layers
        ],
    }


def _ribbon(layers: Sequence[Layer]) -> dict[str, Any] | None:
    if not any(layer.top for layer in layers):
        return None
    return {
        "low": [_log2(layer.step) for layer in layers],
        "high": [_log2(layer.top) for layer in layers],
        "seen": [_log2(layer.seen) for layer in layers],
        "hover": [
            [layer.name, f"format {layer.data_format}",
             f"step {magnitude(layer.step)}, up to {magnitude(layer.top)}",
             f"values seen {magnitude(layer.low)} … {magnitude(layer.high)}",
             headroom(layer)]
            for layer in layers
        ],
    }


def headroom(layer: Layer) -> str:
    """Tell how the values seen fill the format."""
    if layer.headroom is None:
        return EMPTY_FORMAT
    if layer.headroom < -0.005:
        return f"largest value is clipped: {number(layer.seen / layer.top, 2)} × the top"
    return f"{number(abs(layer.headroom), 1)} bits of headroom"


def _roofline(results: Mapping[str, Any], layers: Sequence[Layer]) -> dict[str, Any] | None:
    lanes = multipliers(results)
    bandwidth = real((results.get("dram") or {}).get("bytes_per_cycle"))
    points = [layer for layer in layers if layer.macs and layer.cycles]
    if not lanes or not bandwidth or not points:
        return None
    total = real(results.get("macs")), real(results.get("cycles_per_image"))
    traffic = real(results.get("dram_bytes"))
    return {
        "multipliers": lanes, "bandwidth": bandwidth,
        "points": [
            {"name": layer.name, "short": layer.short,
             "x": layer.macs / layer.dram_bytes if layer.dram_bytes else None,
             "y": layer.macs / layer.cycles, "cycles": layer.cycles, "bound": layer.bound_by,
             "hover": _roofline_hover(layer, lanes)}
            for layer in points
        ],
        "network": {
            "x": total[0] / traffic, "y": total[0] / total[1],
            "hover": ["whole network", f"{number(total[0] / total[1], 1)} MAC/cycle",
                      f"{number(total[0] / traffic, 1)} MAC per DRAM byte"],
        } if all(total) and traffic else None,
    }


def _roofline_hover(layer: Layer, lanes: float) -> list[str]:
    speed = layer.macs / layer.cycles
    return [
        layer.name, layer.operator,
        f"{macs(layer.macs)}, {size(layer.dram_bytes)} of DRAM traffic",
        f"{number(speed, 1)} MAC/cycle, {percent(speed / lanes)} of the array",
        f"{count(layer.cycles)} cycles, bound by: {BOUNDS.get(layer.bound_by, 'unknown')}",
    ]


def _dram(layers: Sequence[Layer]) -> dict[str, Any] | None:
    if not any(layer.dram_bytes for layer in layers):
        return None
    return {
        "streams": [{"key": key, "name": name, "bytes": [layer.streams[key] for layer in layers]}
                    for key, name in STREAMS.items()],
        "hover": [
            [f"{layer.name}: {size(layer.dram_bytes)}",
             *(f"{name} {size(layer.streams[key])}" for key, name in STREAMS.items()
               if layer.streams[key])]
            for layer in layers
        ],
    }


def _log2(value: float | None) -> float | None:
    return math.log2(value) if value else None


def magnitude(value: float | None) -> str:
    """Write a value of a tensor with four significant digits."""
    return plain(None if value is None else f"{value:.4g}".replace("-", "−"))
