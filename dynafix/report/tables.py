"""Tables of the report: every chart's numbers, for reading, sorting and screen readers."""

from collections.abc import Sequence
from dataclasses import dataclass

from .charts import headroom, magnitude
from .layers import BOUNDS, ENGINES, STREAMS, Layer
from .text import ABSENT, count, decibels, macs, number, percent, ratio, size


__all__ = (
    "Cell",
    "Column",
    "Table",
    "counters",
    "cycles",
    "formats",
    "traffic",
)


@dataclass(frozen=True)
class Column:
    """One column.

    Parameters
    ----------
    title : str
        Header.
    numeric : bool
        Whether cells are numbers, aligned to the right.
    """

    title: str
    numeric: bool = True


@dataclass(frozen=True)
class Cell:
    """One cell.

    Parameters
    ----------
    text : str
        What it shows.
    value : float or None
        What the column is sorted by; the text when ``None``.
    share : float or None
        Length of a bar under the text, as a fraction of the column.
    kind : str
        CSS class.
    """

    text: str
    value: float | None = None
    share: float | None = None
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """A table with one layer a row; the first cell of a row is its header.

    Parameters
    ----------
    caption : str
        What it shows, for screen readers.
    columns : sequence of Column
        Columns; the first names the layer.
    rows : sequence of sequence of Cell
        Cells.
    total : sequence of Cell
        Last row, or empty.
    """

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    total: Sequence[Cell] = ()


LAYER = Column("layer", numeric=False)
OPERATOR = Column("operator", numeric=False)


def formats(layers: Sequence[Layer]) -> Table:
    """Return formats, ranges and errors."""
    static = any(layer.static_snr is not None for layer in layers)
    columns = [LAYER, OPERATOR, Column("data", numeric=False), Column("weights", numeric=False),
               Column("weight frac"), Column("values seen"), Column("step"), Column("top"),
               Column("headroom, bits"), Column("SNR, dB")]
    rows = [
        [Cell(layer.name), Cell(layer.operator), Cell(layer.data_format),
         Cell(layer.weight_format), Cell(layer.weight_fracs),
         Cell(f"{magnitude(layer.low)} … {magnitude(layer.high)}", layer.seen),
         _cell(magnitude, layer.step), _cell(magnitude, layer.top),
         Cell(number(layer.headroom, 1), layer.headroom,
              kind="warn" if "clipped" in headroom(layer) else ""),
         Cell("exact" if layer.snr is None else decibels(layer.snr), layer.snr),
         *([_cell(decibels, layer.static_snr)] if static else [])]
        for layer in layers
    ]
    return Table("Formats, ranges and signal to noise of each layer",
                 [*columns, *([Column("static SNR, dB")] if static else [])], rows)


def cycles(layers: Sequence[Layer], *, measured: float | None, predicted: float | None,
           roofline: float | None, utilization: float | None) -> Table:
    """Return cycles, utilization and bounds; totals are those of the whole image."""
    most = max((layer.cycles or 0 for layer in layers), default=0) or 1
    rows = [
        [Cell(layer.name), Cell(layer.operator), Cell(f"{layer.inputs} → {layer.outputs}"),
         Cell(count(layer.cycles), layer.cycles, share=(layer.cycles or 0) / most),
         _cell(count, layer.predicted), _cell(count, layer.roofline),
         Cell(_excess(layer.cycles, layer.roofline), layer.excess),
         Cell(percent(layer.utilization) if layer.macs else ABSENT, layer.utilization),
         Cell(BOUNDS.get(layer.bound_by, ABSENT), kind=f"bound {layer.bound_by.lower()}"),
         Cell("fused") if layer.fused else _equal(layer.equal)]
        for layer in layers
    ]
    total = [Cell("whole image"), Cell(""), Cell(""), Cell(count(measured)),
             Cell(count(predicted)), Cell(count(roofline)), Cell(_excess(measured, roofline)),
             Cell(percent(utilization)), Cell(""),
             _equal(_all_equal(layers))]
    columns = [LAYER, OPERATOR, Column("in → out", numeric=False), Column("cycles"),
               Column("predicted"), Column("roofline"), Column("of roofline"),
               Column("utilization"), Column("bound by", numeric=False),
               Column("equal", numeric=False)]
    return Table("Cycles of each layer: measured, predicted, and at the roofline", columns, rows,
                 total)


def counters(layers: Sequence[Layer]) -> Table | None:
    """Return the counters of the engines, or ``None`` if there are none."""
    present = [(engine, key) for engine in ENGINES for key in ("busy", "wait", "stall", "beats")
               if any(layer.counters.get(engine, {}).get(key) is not None for layer in layers)]
    if not present:
        return None
    rows = [
        [Cell(layer.name),
         *(_cell(count, layer.counters.get(engine, {}).get(key)) for engine, key in present)]
        for layer in layers
    ]
    columns = [LAYER, *(Column(f"{engine.upper()} {key}") for engine, key in present)]
    return Table("Hardware counters of each layer, in cycles and beats", columns, rows)


def traffic(layers: Sequence[Layer], lanes: float | None) -> Table:
    """Return MACs, DRAM bytes and intensities."""
    most = max((layer.dram_bytes or 0 for layer in layers), default=0) or 1
    rows = []
    for layer in layers:
        speed = layer.macs / layer.cycles if layer.macs and layer.cycles else None
        intensity = layer.macs / layer.dram_bytes if layer.macs and layer.dram_bytes else None
        rows.append([
            Cell(layer.name), _cell(macs, layer.macs or None),
            *(Cell(size(layer.streams[key]) if layer.streams[key] else ABSENT, layer.streams[key])
              for key in STREAMS),
            Cell(size(layer.dram_bytes), layer.dram_bytes, share=(layer.dram_bytes or 0) / most),
            _cell(_tenths, intensity), _cell(_tenths, speed),
            Cell(percent(speed / lanes) if speed and lanes else ABSENT, speed),
        ])
    columns = [LAYER, Column("work"), *(Column(name) for name in STREAMS.values()),
               Column("all DRAM traffic"), Column("MAC per byte"), Column("MAC per cycle"),
               Column("of the array")]
    total = [
        Cell("whole image"), Cell(macs(_sum(layer.macs for layer in layers))),
        *(Cell(size(_sum(layer.streams[key] for layer in layers))) for key in STREAMS),
        Cell(size(_sum(layer.dram_bytes for layer in layers))), Cell(""), Cell(""), Cell(""),
    ]
    return Table("Work and DRAM traffic of each layer", columns, rows, total)


def _cell(write, value: float | None) -> Cell:
    return Cell(write(value), value)


def _tenths(value: float | None) -> str:
    return number(value, 1)


def _sum(values) -> float:
    return sum(value or 0 for value in values)


def _excess(measured: float | None, bound: float | None) -> str:
    return ratio(measured, bound) if measured is not None else ABSENT


def _all_equal(layers: Sequence[Layer]) -> bool | None:
    """Return whether the engines agree on all tensors that exist."""
    written = [layer for layer in layers if not layer.fused]
    return all(layer.equal for layer in written) if written else None


def _equal(equal: bool | None) -> Cell:
    if equal is None:
        return Cell("not run")
    return Cell("✓ equal", kind="good") if equal else Cell("✗ differs", kind="bad")
