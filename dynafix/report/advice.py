"""Short answers to the report's questions, computed from its numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .charts import multipliers
from .layers import BOUNDS, Layer
from .text import (
    UNIT_SPACE,
    count,
    decibels,
    milliseconds,
    number,
    percent,
    plural,
    ratio,
    real,
)


__all__ = (
    "formats_name",
    "helps",
    "losses",
    "spending",
    "what_if",
    "works",
)


NAMED_LAYERS = 3


def formats_name(results: Mapping[str, Any], precision: str | None = None) -> str:
    """Return the formats of a run in short, such as ``8/8 dynamic``."""
    options = results.get("options") or {}
    widths = "/".join(str(options.get(key, "?")) for key in ("data_bits", "weight_bits"))
    return f"{widths} {precision or options.get('precision', 'dynamic')}"


def works(results: Mapping[str, Any], layers: Sequence[Layer]) -> tuple[str, str]:
    """Answer *Does it work?*.

    Returns
    -------
    str
        ``yes``, ``no`` or ``unknown``.
    str
        One or two sentences.
    """
    images = real(results.get("images_simulated")) or 0
    equal = results.get("engines_equal")
    wrong = [layer.short for layer in layers if layer.equal is False]
    if equal is False or wrong:
        where = f" in {_names(wrong)}" if wrong else ""
        return "no", f"The three engines differ{where}. Nothing below may be trusted."
    if not equal or not images:
        return "unknown", "The hardware was not simulated, so nothing is known about it."
    amount = f"all {len(layers)} layers" if len(layers) > 1 else "the only layer"
    fused = sum(layer.fused for layer in layers)
    if fused:
        amount = f"all {len(layers) - fused} layers that write a map"
    on = f"all {count(images)} images" if images > 1 else "one image"
    return "yes", (f"In {amount} and on {on}, numpy, onnxruntime and the RTL computed the same "
                   f"integers, bit{UNIT_SPACE}for{UNIT_SPACE}bit.{_accuracy(results)}"
                   f"{_warnings(results)}")


def _warnings(results: Mapping[str, Any]) -> str:
    return "".join(f" But {text}." for text in results.get("warnings") or ())


def _accuracy(results: Mapping[str, Any]) -> str:
    exact, rounded, interval = (
        real(results.get(key)) for key in
        ("float_accuracy", "quantized_accuracy", "confidence_95"))
    if exact is None or rounded is None:
        return ""
    loss = 100 * (exact - rounded)
    if abs(loss) < 0.005:
        return " Quantization changes no accuracy."
    change = f"Quantization {'loses' if loss > 0 else 'gains'} {number(abs(loss), 2)} points"
    if interval is None:
        return f" {change}."
    inside = abs(loss) <= 100 * interval
    return (f" {change} of accuracy, {'less' if inside else 'more'} than the "
            f"±{UNIT_SPACE}{number(100 * interval, 2)} that so few images leave open.")


def losses(layers: Sequence[Layer]) -> str:
    """Answer *What did the numbers lose?*."""
    known = [layer for layer in layers if layer.snr is not None]
    if not known:
        return "Nothing was measured against the float network."
    last = known[-1]
    sentences = [f"The last layer keeps its signal {decibels(last.snr, 'dB')} above the error."]
    if last.static_snr is not None:
        sentences.append(f"With one static format for all layers it would be "
                         f"{decibels(last.static_snr, 'dB')}.")
    drops = [(before.snr - after.snr, after.short)
             for before, after in zip(known, known[1:], strict=False)]
    if drops and max(drops)[0] >= 0.5:
        drop, name = max(drops)
        sentences.append(f"The largest step down is at {name}: {decibels(drop, 'dB')}.")
    clipped = [layer.short for layer in layers if (layer.headroom or 0) < -0.005]
    if clipped:
        where = _names(clipped) if len(clipped) <= NAMED_LAYERS else (
            f"{len(clipped)} of {len(layers)} layers")
        sentences.append(f"In {where} the largest values are clipped: that gives all others finer "
                         f"steps.")
    return " ".join(sentences)


def spending(results: Mapping[str, Any], layers: Sequence[Layer]) -> str:
    """Answer *Where do the cycles go?*."""
    total = real(results.get("cycles_per_image"))
    spent = sorted((layer for layer in layers if layer.cycles), key=lambda it: -it.cycles)
    if not total or not spent:
        return "No cycles were counted: the hardware was not simulated."
    first = spent[0]
    share = percent(first.cycles / total, 0)
    sentences = [f"An image takes {count(total)} cycles, {share} of them in {first.short}."]
    bounds = {bound: sum(layer.cycles for layer in spent if layer.bound_by == bound)
              for bound in BOUNDS if bound not in ("hidden", "host")}
    bound, cycles = max(bounds.items(), key=lambda item: item[1])
    if cycles:
        sentences.append(f"Layers bound by the {BOUNDS[bound]} take {percent(cycles / total, 0)}.")
    utilization = real(results.get("utilization"))
    if utilization is not None and any(layer.products > 1 for layer in layers):
        sentences.append(f"A multiplier makes {number(utilization, 2)} products a cycle, of two "
                         f"where weights have at most 4 bits.")
    elif utilization is not None:
        sentences.append(f"The multipliers work in {percent(utilization, 0)} of all cycles.")
    host = [layer.short for layer in layers if layer.bound_by == "host"]
    if host:
        where = _names(host) if len(host) <= NAMED_LAYERS else plural(len(host), "layer")
        sentences.append(f"For {where} the program stops and the host computes, in time that is "
                         f"not counted here.")
    return " ".join(sentences)


def helps(results: Mapping[str, Any], layers: Sequence[Layer]) -> str:
    """Answer *What would help?*."""
    measured, floors = real(results.get("cycles_per_image")), _Floors.of(results, layers)
    if not measured or floors is None:
        return "Without measured cycles there is nothing to compare."
    bound = floors.cycles()
    by = ("the DRAM needs for its bytes" if floors.dram > floors.array
          else "the multipliers need for all products")
    gain = f"{plural(bound, 'cycle')}, {ratio(measured, bound)} as fast as now"
    sentences = [f"A better schedule alone can reach {gain}: that long {by}."]
    worst = max(layers, key=lambda layer: layer.excess)
    if worst.excess >= 1:
        sentences.append(f"The layer furthest above its own roofline is {worst.short}, by "
                         f"{plural(worst.excess, 'cycle')}.")
    return " ".join(sentences)


def what_if(results: Mapping[str, Any], layers: Sequence[Layer]) -> list[dict[str, str]]:
    """Bound the cycles of other hardware and formats.

    The bound is the larger of all MACs ÷ products of all multipliers per cycle and all DRAM bytes
    ÷ bytes per cycle. Other than a sum over layers it holds whatever is fetched ahead.

    Returns
    -------
    list of dict
        Rows with ``change``, ``cycles``, ``time`` and ``gain``; empty if a number is missing.
    """
    measured, floors = real(results.get("cycles_per_image")), _Floors.of(results, layers)
    if not measured or floors is None:
        return []
    rows = [
        ("as measured", measured), ("perfect overlap", floors.cycles()),
        ("with twice the multipliers", floors.cycles(array=2)),
        ("with twice the DRAM bandwidth", floors.cycles(dram=2)),
        ("with weights of half the bits", floors.cycles(weights=0.5)),
        ("with twice of both", floors.cycles(array=2, dram=2)),
    ]
    clock = real(results.get("clock_mhz"))
    return [{"change": change, "cycles": count(cycles), "time": milliseconds(cycles, clock),
             "gain": ratio(measured, cycles)} for change, cycles in rows]


@dataclass(frozen=True)
class _Floors:
    """Least cycles of an image, in the array alone and in the DRAM alone.

    Parameters
    ----------
    array, dram, weights : float
        Cycles of all MACs, of all DRAM bytes, and of those that are weights.
    """

    array: float
    dram: float
    weights: float

    @classmethod
    def of(cls, results: Mapping[str, Any], layers: Sequence[Layer]) -> "_Floors | None":
        lanes, bandwidth = multipliers(results), real(
            (results.get("dram") or {}).get("bytes_per_cycle"))
        macs = sum(layer.macs or 0 for layer in layers)
        if not lanes or not bandwidth or not macs:
            return None
        products = sum((layer.macs or 0) / layer.products for layer in layers)
        return cls(products / lanes, sum(layer.dram_bytes or 0 for layer in layers) / bandwidth,
                   sum(layer.streams["weights"] for layer in layers) / bandwidth)

    def cycles(self, *, array: float = 1, dram: float = 1, weights: float = 1) -> float:
        """Return the bound for a larger array, a faster DRAM or smaller weights."""
        return max(self.array / array, (self.dram - (1 - weights) * self.weights) / dram)


def _names(names: Sequence[str]) -> str:
    if len(names) > NAMED_LAYERS:
        names = [*names[:NAMED_LAYERS], f"{len(names) - NAMED_LAYERS} more layers"]
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
