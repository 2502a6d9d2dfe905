"""Layers of ``results.json``, checked and typed: what is missing or no number is ``None``."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .text import ABSENT, plain, real, shape, short_names


__all__ = (
    "BOUNDS",
    "ENGINES",
    "STREAMS",
    "Layer",
    "layers",
)


BOUNDS = {
    "array": "array",
    "DRAM": "DRAM",
    "vector": "vector engine",
    "hidden": "hidden behind others",
    "host": "runs on the host",
}
ENGINES = ("load", "calc", "save")
STREAMS = {"weights": "weights", "maps_in": "maps in", "maps_out": "maps out", "program": "program"}
NAME_LENGTH = 120


@dataclass(frozen=True)
class Layer:
    """One layer of the network as the report shows it.

    Parameters
    ----------
    index : int
        Number that the timeline uses.
    name, short : str
        The node's name, and one for charts that tells it from the other layers.
    operator, inputs, outputs : str
        What it is, and the shapes of its tensors.
    data_format, weight_format, weight_fracs : str
        Formats, as text.
    bound_by : str
        A key of :data:`BOUNDS`, or ``""``.
    step, top : float or None
        Smallest and largest positive value of the output's format.
    low, high : float or None
        Smallest and largest value seen in calibration.
    snr, static_snr : float or None
        Signal to noise against the float network, in dB; ``None`` where there is no error.
    products : float
        Most products that a multiplier makes per cycle.
    macs, cycles, predicted, roofline, utilization, dram_bytes : float or None
        Per image, as measured, predicted and bounded.
    streams : dict from a key of :data:`STREAMS` to float
        DRAM bytes by what they are.
    counters : dict from engine to dict from counter to float or None
        Counters of the hardware.
    equal : bool or None
        Whether the engines agree; ``None`` when they were not compared.
    fused : bool
        Whether its tensor does not exist, because what comes of it is pooled first.
    """

    index: int
    name: str
    short: str
    operator: str
    inputs: str
    outputs: str
    data_format: str
    weight_format: str
    weight_fracs: str
    bound_by: str
    step: float | None
    top: float | None
    low: float | None
    high: float | None
    snr: float | None
    static_snr: float | None
    macs: float | None
    cycles: float | None
    predicted: float | None
    roofline: float | None
    utilization: float | None
    dram_bytes: float | None
    products: float = 1
    streams: dict[str, float] = field(default_factory=dict)
    counters: dict[str, dict[str, float | None]] = field(default_factory=dict)
    equal: bool | None = None
    fused: bool = False

    @property
    def seen(self) -> float | None:
        """Largest magnitude seen in calibration."""
        if self.low is None or self.high is None:
            return None
        return max(abs(self.low), abs(self.high))

    @property
    def headroom(self) -> float | None:
        """Unused upper bits of the format; negative when values are clipped."""
        if not self.seen or not self.top:
            return None
        return math.log2(self.top / self.seen)

    @property
    def excess(self) -> float:
        """Cycles above the roofline."""
        return max((self.cycles or 0) - (self.roofline or 0), 0)


def layers(results: Mapping[str, Any]) -> list[Layer]:
    """Return the layers of ``results`` in their order."""
    entries = results.get("layers") or []
    names = [plain(entry.get("name"), NAME_LENGTH) for entry in entries]
    return [_layer(place, *named)
            for place, named in enumerate(zip(entries, names, short_names(names), strict=True))]


def _layer(place: int, entry: Mapping[str, Any], name: str, short: str) -> Layer:
    def value(key: str) -> float | None:
        return real(entry.get(key))

    step, top = _limits(entry.get("format") or {})
    low, high = (*(entry.get("range") or ()), None, None)[:2]
    index = value("index")
    bound = entry.get("bound_by")
    return Layer(
        index=place if index is None else int(index),
        name=name, short=short,
        operator=plain(entry.get("operator"), NAME_LENGTH),
        inputs=shape(entry.get("input_shape")), outputs=shape(entry.get("output_shape")),
        data_format=plain(entry.get("data_format"), 20),
        weight_format=plain(entry.get("weight_format"), 20),
        weight_fracs=_fracs(entry.get("weight_fracs")),
        bound_by=bound if bound in BOUNDS else "",
        step=step, top=top, low=real(low), high=real(high),
        snr=value("snr_db"), static_snr=value("static_snr_db"), macs=value("macs"),
        cycles=value("cycles"), predicted=value("predicted_cycles"),
        roofline=value("roofline_cycles"), utilization=value("utilization"),
        dram_bytes=value("dram_bytes"), products=value("products") or 1,
        streams={key: real((entry.get("dram_by_stream") or {}).get(key)) or 0 for key in STREAMS},
        counters={
            engine: {key: real(amount) for key, amount in (counters or {}).items()}
            for engine, counters in (entry.get("counters") or {}).items() if engine in ENGINES
        },
        equal=entry.get("engines_equal"), fused=bool(entry.get("fused")),
    )


def _limits(fmt: Mapping[str, Any]) -> tuple[float | None, float | None]:
    bits, frac = real(fmt.get("bits")), real(fmt.get("frac"))
    if bits is None or frac is None or not 0 < bits <= 64 or abs(frac) > 200:
        return None, None
    step = 2.0 ** -frac
    return step, (2 ** (int(bits) - bool(fmt.get("signed"))) - 1) * step


def _fracs(value: Any) -> str:
    if not value:
        return ABSENT
    least, most = value[0], value[-1]
    return plain(least if least == most else f"{least} … {most}", 20)
