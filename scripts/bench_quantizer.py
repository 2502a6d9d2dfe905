"""Print what quantization loses: methods x networks x widths, beside other quantizers.

Formats are chosen on calibration images; accuracy is measured on others, in onnxruntime, after the
exported model has been proved equal to numpy. Every cell has the loss of top-1 against float in
points with its 95 % interval (paired, on the same images), and the signal-to-noise ratio of the
output before Softmax. Finished cells are kept in ``build/bench_quantizer`` and used again as long
as nothing that they depend on has changed, so that a run that was stopped goes on.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from quantizer_cells import Bench, Network
from quantizer_figure import draw
from quantizer_peers import PEERS

from dynafix.files import write_text
from dynafix.terminal import Column, Terminal


__all__ = (
    "ALL",
    "METHODS",
    "NETWORKS",
    "PAPER",
    "WIDTHS",
    "cell",
    "main",
)


ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"

NETWORKS = {
    "lenet_caffe_mnist": "mnist_dev", "mnist_cnn_onnxzoo": "mnist_dev",
    "cifar10_quick_caffe": "cifar10_dev", "resnet8_mlperftiny": "cifar10_dev",
    "resnet20_cifar10": "cifar10_dev", "vgg_small_cifar10jpeg": "cifar10jpeg_dev",
    "kws_dscnn": "kws_dev", "vww_mobilenetv1_025_96": "vww96_dev", "glyphs": "glyphs_dev",
    "squeezenet1_1_224": "imagenet_dev", "mobilenet_v1_025_224": "imagenet_dev",
    "mobilenet_v2_100_224": "imagenet_dev",
}
"""Images of each network, by the names of the files."""

QUICK = ("lenet_caffe_mnist", "resnet8_mlperftiny", "kws_dscnn")

METHODS: dict[str, dict[str, Any]] = {
    "plain": {},
    "l1": {"ranges": "l1"},
    "max": {"ranges": "max"},
    "percentile": {"ranges": "percentile:99.99"},
    "entropy": {"ranges": "entropy"},
    "mode": {"ranges": "mode"},
    "ends 16": {"first_last_bits": 16},
    "per channel": {"per_channel": True},
    "fit ends": {"fit_ends": True},
    "absorb": {"absorb": True},
    "equalize": {"equalize": True},
    "correct": {"correct": True},
    "feedback": {"weight_rounding": "feedback"},
    "learned": {"weight_rounding": "learned"},
    "refine": {"refine": True},
    "all per tensor": {
        "fit_ends": True, "equalize": True, "correct": True, "weight_rounding": "feedback"},
}
"""Options of ``quantizer.quantize`` by name; a method is one line."""

ALL: dict[str, Any] = {**METHODS["all per tensor"], "per_channel": True}
"""Options of all methods together that cost neither bits nor minutes."""

STATIC = {"precision": "static"}
STATIC_REFUSES = {
    "per_channel": "has one format for all weights", "refine": "has one format for all data"}
"""Options that static precision does not have, and why."""

WIDTHS: dict[str, dict[str, Any]] = {
    "16/16": {"data_bits": 16, "weight_bits": 16},
    "8/8": {"data_bits": 8, "weight_bits": 8},
    "8/6": {"data_bits": 8, "weight_bits": 6},
    "8/4": {"data_bits": 8, "weight_bits": 4},
    "8/8 static": {"data_bits": 8, "weight_bits": 8, **STATIC},
}
"""Widths of data and weights, by name."""

PAPER_NETWORKS = ("squeezenet1_1_224", "mobilenet_v2_100_224")
PAPER: dict[str, dict[str, Any]] = {
    f"{data}/{weights} {kind}": {"data_bits": data, "weight_bits": weights, **options}
    for data, weights in ((16, 16), (16, 8), (8, 8), (8, 4))
    for kind, options in (("static", STATIC), ("dynamic", {}), (
        "dynamic, per channel", {"per_channel": True}))
}
"""The rows of table 3 of Qiu et al., "Going Deeper with Embedded FPGA Platform", FPGA 2016."""


def cell(found: Mapping[str, Any]) -> str:
    """Return a cell as it is shown: loss in points, its interval, signal-to-noise ratio."""
    if "error" in found:
        return "–"
    low, high = found["loss"]["top1_interval"]
    snr = found["logits_snr_db"]
    text = f"{found['loss']['top1']:.2f} ({low:.1f} … {high:.1f})"
    return text if snr is None else f"{text} {snr:.1f} dB"


def _rows(bench: Bench, network: Network, widths: Iterable[str], methods: Sequence[str],
          ) -> Iterator[tuple[list[str], list[str]]]:
    """Yield a row of the table for each width, and the reasons for cells that are empty."""
    for name in widths:
        cells = {}
        for method in methods:
            options = {**WIDTHS[name], **({**ALL} if method == "all" else METHODS[method])}
            refused = [STATIC_REFUSES[key] for key in STATIC_REFUSES if options.get(key)]
            if options.get("precision") == "static" and refused:
                cells[method] = {"error": f"static precision {refused[0]}"}
                continue
            cells[method] = bench.method(network, f"{name} {method}", options)
        yield ([name, *map(cell, cells.values())], [
            f"{name} {method}: {found['error']}" for method, found in cells.items()
            if "error" in found])


def _network_table(bench: Bench, network: Network, terminal: Terminal, widths: Sequence[str],
                   methods: Sequence[str], *, peers: bool) -> str:
    """Print what is known of one network, and return it as Markdown."""
    columns = ["widths", *methods]
    rows, notes = [], []
    for row, reasons in _rows(bench, network, widths, methods):
        rows.append(row)
        notes += reasons
    for peer in PEERS if peers else ():
        found = bench.peer(network, peer)
        rows.append([peer.name, cell(found), *[""] * (len(methods) - 1)])
        notes += [f"{peer.name}: {found['error']}"] if "error" in found else []
    first = bench.method(network, "8/8 plain", WIDTHS["8/8"])
    title = network.name
    if "float" in first:
        title += f": {first['images']} images, float {100 * first['float']['top1']:.2f} %"
    terminal.summary("network", title)
    terminal.table([Column(name, right=index > 0) for index, name in enumerate(columns)], rows)
    for note in notes:
        terminal.note(note)
    terminal.blank()
    return _markdown(title, columns, rows, notes)


def _markdown(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]],
              notes: Iterable[str]) -> str:
    lines = [f"## {title}", "", f"| {' | '.join(columns)} |",
             f"| {' | '.join('---' for _ in columns)} |"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes), ""])


def _paper(bench: Bench, networks: Sequence[Network], terminal: Terminal, output: Path) -> str:
    """Print static against dynamic precision, draw the figure, and return it as Markdown."""
    columns, rows, bars = ["data/weights"], [[name] for name in PAPER], {}
    for network in networks:
        columns += [f"{network.name} top-1", "top-5"]
        float_accuracy = 0.0
        for row, (name, options) in zip(rows, PAPER.items(), strict=True):
            found = bench.method(network, name, options)
            if "error" in found:
                row += ["–", "–"]
                continue
            row += [_percent(found["quantized"], top) for top in ("top1", "top5")]
            float_accuracy = found["float"]["top1"]
            bars.setdefault(network.name, {"float": float_accuracy})[name] = (
                found["quantized"]["top1"])
    terminal.table([Column(name, right=index > 0) for index, name in enumerate(columns)], rows)
    if bars:
        draw(bars, output)
        terminal.summary("figure", str(output))
    return _markdown("Static and dynamic precision", columns, rows, ())


def _percent(found: Mapping[str, Any], top: str) -> str:
    if top not in found:
        return ""
    low, high = found[f"{top}_interval"]
    return f"{100 * found[top]:.2f} ({100 * low:.1f} … {100 * high:.1f})"


def main() -> int:
    """Measure what is asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", default="", help="names, separated by commas (all)")
    parser.add_argument("--methods", default="", help=f"of {', '.join(METHODS)}, all (all of them)")
    parser.add_argument("--widths", default="", help=f"of {', '.join(WIDTHS)} (all)")
    parser.add_argument("--quick", action="store_true",
                        help=f"{', '.join(QUICK)} with at most 500 images, 8/8 and 8/4")
    parser.add_argument("--peers", action="store_true", help="other quantizers, too")
    parser.add_argument("--paper", action="store_true",
                        help="static against dynamic precision, as in Qiu et al. 2016")
    parser.add_argument("--kept", action="store_true", help="show finished cells, compute nothing")
    parser.add_argument("--images", type=int, default=5000, help="most images to evaluate with")
    parser.add_argument("--calibration", type=int, default=100,
                        help="most images to calibrate with")
    parser.add_argument("--models", type=Path, default=SHARED / "models")
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench_quantizer")
    arguments = parser.parse_args()
    default = PAPER_NETWORKS if arguments.paper else QUICK if arguments.quick else tuple(NETWORKS)
    names = _chosen(parser, "networks", arguments.networks, NETWORKS, default)
    methods = _chosen(parser, "methods", arguments.methods, (*METHODS, "all"), (*METHODS, "all"))
    widths = _chosen(parser, "widths", arguments.widths, WIDTHS,
                     ("8/8", "8/4") if arguments.quick else tuple(WIDTHS))
    images = min(arguments.images, 500) if arguments.quick else arguments.images
    networks, pages = [], []
    with Terminal() as terminal:
        bench = Bench(arguments.output / "cells.json", terminal, arguments.kept)
        for name in names:
            network = Network(
                name, arguments.models / f"{name}.onnx", arguments.data / f"{NETWORKS[name]}.npz",
                arguments.calibration, images)
            if network.missing:
                terminal.summary("skipped", f"{name}, {network.missing}")
            elif arguments.paper:
                networks.append(network)
            else:
                pages.append(_network_table(
                    bench, network, terminal, widths, methods, peers=arguments.peers))
        if networks:
            pages.append(_paper(bench, networks, terminal, arguments.output / "precision.png"))
        page = arguments.output / ("precision.md" if arguments.paper else "table.md")
        write_text(page, "\n".join(pages))
        terminal.summary("written", str(page))
    return 0


def _chosen(parser: argparse.ArgumentParser, option: str, text: str, known: Iterable[str],
            default: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(text.split(",")) if text else default
    names = tuple(name.strip() for name in names)
    for name in names:
        if name not in tuple(known):
            parser.error(f"--{option} must be of {', '.join(known)}, not {name!r}")
    return names


if __name__ == "__main__":
    sys.exit(main())
