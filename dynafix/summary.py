"""What a command prints at its end, made from its results."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .terminal import Column, Terminal
from .text import grouped, rate


if TYPE_CHECKING:
    from compiler.program import Program
    from quantizer.explain import Candidate, Explanation
    from quantizer.inspect import NodeReport

    from .api.quantized import Quantized


__all__ = (
    "accuracy_text",
    "show_board",
    "show_bounds",
    "show_compiled",
    "show_difference",
    "show_evaluated",
    "show_explanation",
    "show_inspection",
    "show_quantized",
    "show_results",
    "show_simulated",
    "show_widths",
)


NAME_WIDTH = 24
NOTE_WIDTH = 120
LAYER_COLUMNS = (
    Column("layer", most=NAME_WIDTH), Column("operator"), Column("in → out"), Column("weights"),
    Column("data"), Column("SNR dB", right=True), Column("cycles", right=True),
    Column("util.", right=True), Column("bound by"), Column("DRAM bytes", right=True),
    Column("numpy = ort = RTL"),
)
FETCHED_EARLIER = (
    "DRAM bytes count for the layer that needs them, also when they are fetched while earlier "
    "layers compute.")


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"


def _shape(shape: Sequence[int]) -> str:
    channels, height, width = shape
    if height == width:
        return f"{channels}" if height == 1 else f"{channels}×{height}"
    return f"{channels}×{height}×{width}"


def _db(value: float | None) -> str:
    return "exact" if value is None else f"{value:.1f}"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _verdict(equal: bool | None) -> str:
    return "–" if equal is None else "✓" if equal else "✗"


def accuracy_text(found: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """Return the accuracies of float, quantized and static networks in one line.

    Parameters
    ----------
    found : mapping
        ``float_accuracy`` and so on, as in ``results.json``.
    options : mapping
        The options of quantization.
    """
    widths = f"{options['data_bits']}/{options['weight_bits']}"
    text = (f"float {_percent(found['float_accuracy'])}   {widths} {options['precision']} "
            f"{_percent(found['quantized_accuracy'])}   ({grouped(found['images_evaluated'])} "
            f"images, ± {100 * found['confidence_95']:.2f})")
    if found["static_accuracy"] is not None:
        text += f"   {widths} static {_percent(found['static_accuracy'])}"
    return text


def show_results(terminal: Terminal, results: Mapping[str, Any], report: Path) -> None:
    """Print the table of layers, accuracy, speed and predictions of a run."""
    if not terminal.quiet:
        terminal.blank()
        terminal.table(LAYER_COLUMNS, [_layer_row(each) for each in results["layers"]],
                       total=_total_row(results))
        if _fetched_earlier(results):
            terminal.note(FETCHED_EARLIER)
        terminal.blank()
    terminal.summary("engines", _engines(results, results["images_simulated"]))
    terminal.summary("predicted", _predictions(results["predictions"], results["class_names"]))
    terminal.summary("accuracy", accuracy_text(results, results["options"]))
    terminal.summary("speed", _speed(results))
    if results.get("host_steps"):
        terminal.summary("host", _host(
            (step["name"], step["operator"]) for step in results["host_steps"]))
    for text in results["warnings"]:
        terminal.summary("warning", text)
    terminal.summary("report", str(report))


def _layer_row(layer: Mapping[str, Any]) -> list[str]:
    return [
        layer["name"], layer["operator"],
        f"{_shape(layer['input_shape'])} → {_shape(layer['output_shape'])}",
        layer["weight_format"] or "–", layer["data_format"], _db(layer["snr_db"]),
        grouped(layer["cycles"]), _ratio(layer["utilization"]), layer["bound_by"],
        grouped(layer["dram_bytes"]), _verdict(layer["engines_equal"]),
    ]


def _total_row(results: Mapping[str, Any]) -> list[str]:
    return [
        "total", "", "", "", "", _db(results["layers"][-1]["snr_db"]),
        grouped(results["cycles_per_image"]), _ratio(results["utilization"]), _bound_by(results),
        grouped(results["dram_bytes"]),
        f"{_verdict(results['engines_equal'])} {_images(results['images_simulated'])}",
    ]


def _bound_by(results: Mapping[str, Any]) -> str:
    """Return what the whole image needs longest: the array, the DRAM or vector layers."""
    multipliers = results["config"]["in_lanes"] * results["config"]["out_lanes"]
    needs = {
        "array": results["macs"] / multipliers,
        "DRAM": results["dram_bytes"] / results["dram"]["bytes_per_cycle"],
        "vector": sum(layer["cycles"] for layer in results["layers"]
                      if layer["bound_by"] == "vector"),
    }
    return max(needs, key=needs.__getitem__)


def _fetched_earlier(results: Mapping[str, Any]) -> bool:
    """Tell whether a layer seems to move more bytes than fit its cycles."""
    speed = results["dram"]["bytes_per_cycle"]
    return any(layer["dram_bytes"] > speed * layer["cycles"] for layer in results["layers"])


def _images(count: int) -> str:
    return f"{count} image" if count == 1 else f"{count} images"


def _engines(found: Mapping[str, Any], count: int) -> str:
    engines = "numpy = onnxruntime = RTL" if found["engines_equal"] else "the engines differ"
    maps = "map that is written" if found["not_compared"] else "layer"
    return f"{engines} on every {maps} of {_images(count)}"


def _predictions(found: Sequence[Mapping[str, Any]], names: Sequence[str] | None) -> str:
    def name(index: int) -> str:
        return names[index] if names and index < len(names) else str(index)

    words = [
        name(each["predicted"])
        + ("" if each["predicted"] == each["label"] else f" (is {name(each['label'])})")
        for each in found
    ]
    right = sum(each["predicted"] == each["label"] for each in found)
    separator = ", " if names else " "
    return f"{right} of {len(found)} right: {separator.join(words)}"


def _host(steps: Iterable[tuple[str, str]]) -> str:
    """Say what the host computes between parts of a program."""
    names = ", ".join(f"{name} ({operator})" for name, operator in steps)
    return f"computes {names} while the program has stopped; its time is not counted"


def _speed(results: Mapping[str, Any]) -> str:
    cycles, clock = results["cycles_per_image"], results["clock_mhz"]
    return (f"{grouped(cycles)} cycles = {cycles / clock / 1000:.3f} ms at {clock:g} MHz; roofline "
            f"{grouped(results['roofline_cycles'])} (× {cycles / results['roofline_cycles']:.2f}); "
            f"model predicted {grouped(results['predicted_cycles'])}")


def show_quantized(terminal: Terminal, quantized: "Quantized") -> None:
    """Print the format of every tensor and the accuracy of a quantized network."""
    from .collapse import warnings

    model, losses = quantized.model, quantized.evaluation["tensors"]
    static = quantized.evaluation["static_accuracy"] is not None
    if not terminal.quiet:
        columns = (Column("layer", most=NAME_WIDTH), Column("weights"), Column("data"),
                   Column("SNR dB", right=True), Column("static", right=True))
        graph = model.graph
        rows = [["input", "–", str(model.formats[graph.input]), *_loss_cells(losses[graph.input])]]
        for node in graph.accelerated:
            factors = model.factor_fracs(node)
            rows.append([
                node.name, "–" if factors is None else _factors(*factors),
                str(model.formats[node.output]), *_loss_cells(losses[node.output])])
        terminal.blank()
        terminal.table(columns if static else columns[:-1], rows)
        terminal.blank()
    terminal.summary("accuracy",
                     accuracy_text(quantized.evaluation, quantized.provenance["options"]))
    for text in warnings(model, quantized.evaluation):
        terminal.summary("warning", text)
    terminal.summary("written", str(quantized.folder / "quantized"))


def show_evaluated(terminal: Terminal, found: Mapping[str, Any], path: Path) -> None:
    """Print what each layer loses, and the accuracy with its 95 % interval."""
    if not terminal.quiet:
        columns = (Column("layer", most=NAME_WIDTH), Column("weights"), Column("data"),
                   Column("SNR dB", right=True))
        terminal.blank()
        terminal.table(columns, [
            [layer["name"], layer["weight_format"] or "–", layer["data_format"],
             _db(layer["snr_db"])] for layer in found["layers"]])
        terminal.note(f"SNR against float on {_images(found['snr_images'])}")
        terminal.blank()
    columns = (Column(""), *(Column(title, right=True) for title in (
        "float", "quantized", "loss", "95 % interval of the loss")))
    terminal.table(columns, _score_rows(found))
    if found["agreement"] is not None:
        low, high = found["agreement_interval"]
        terminal.summary("agreement", f"{_percent(found['agreement'])} of images get the class of "
                                      f"float ({_percent(low)} … {_percent(high)})")
    terminal.summary("logits", f"{_db(found['logits_snr_db'])} dB against float")
    rate_ = found["images"] / found["seconds"]
    terminal.summary("images", f"{grouped(found['images'])}, {rate(rate_)}a second; numpy = "
                               f"onnxruntime on every layer of {found['proved_images']} of them")
    terminal.summary("written", str(path))


def _score_rows(found: Mapping[str, Any]) -> list[list[str]]:
    if found["metric"] != "classes":
        low, high = found["loss"]["error_interval"]
        return [[found["metric"], *(f"{found[name]['error']:.6g}" for name in (
            "float", "quantized", "loss")), f"{low:.4g} … {high:.4g}"]]
    rows = []
    for top in (name for name in found["float"] if not name.endswith("_interval")):
        low, high = found["loss"][f"{top}_interval"]
        cells = []
        for name in ("float", "quantized"):
            bounds = " … ".join(f"{100 * bound:.2f}" for bound in found[name][f"{top}_interval"])
            cells.append(f"{_percent(found[name][top])} ({bounds})")
        rows.append([f"top-{top[3:]}", *cells, f"{found['loss'][top]:.2f}",
                     f"{low:.2f} … {high:.2f} points"])
    return rows


def _loss_cells(loss: Mapping[str, Any]) -> list[str]:
    return [_db(loss["snr_db"]), _db(loss["static_snr_db"])]


def _factors(bits: int, low: int, high: int) -> str:
    return f"s{bits} .{low}" if low == high else f"s{bits} .{low} … .{high}"


def show_widths(terminal: Terminal, found: Mapping[str, Any], folder: Path) -> None:
    """Show the trade of cost for noise, and what was chosen."""
    columns = (Column("weights"), *(Column(name, right=True) for name in (
        "cycles", "DRAM bytes", "weight bytes", "SNR, dB")), Column(""))
    rows = []
    for point in found["points"]:
        bits = sorted(set(point["bits"].values()))
        widths = f"{bits[0]} bits" if len(bits) == 1 else f"{bits[0]} to {bits[-1]} bits"
        rows.append([
            widths, *(grouped(point[name]) for name in ("cycles", "bytes", "size")),
            f"{point['snr_db']:.1f}", "chosen" if point == found["chosen"] else ""])
    terminal.blank()
    terminal.table(columns, rows)
    terminal.blank()
    budget = found["budget"]
    terminal.summary("budget", f"{grouped(round(budget['limit']))} {budget['unit']}")
    terminal.summary("written", f"{folder / 'widths.json'} for quantize --width, pareto.csv and "
                                f"{folder / 'pareto.png'}")


def show_compiled(terminal: Terminal, program: "Program", folder: Path) -> None:
    """Print the predicted cycles of every layer of a program."""
    prediction = program.prediction
    if not terminal.quiet:
        columns = (Column("layer", most=NAME_WIDTH), Column("operator"), Column("in → out"),
                   Column("cycles", right=True), Column("roofline", right=True),
                   Column("bound by"))
        rows = [
            [layer.name, layer.operator,
             f"{_shape(layer.input_shape)} → {_shape(layer.output_shape)}",
             grouped(predicted.cycles), grouped(roofline), predicted.bound_by]
            for layer, predicted, roofline in zip(
                program.layers, prediction.layers, program.roofline, strict=True)
        ]
        total = ["total", "", "", grouped(prediction.cycles), grouped(program.roofline_cycles), ""]
        terminal.blank()
        terminal.table(columns, rows, total=total)
        terminal.blank()
    terminal.summary("predicted", f"{grouped(prediction.cycles)} cycles; roofline "
                                  f"{grouped(program.roofline_cycles)}")
    if program.host_steps:
        host = [program.layers[step.layer] for step in program.host_steps]
        terminal.summary("host", _host((layer.name, layer.operator) for layer in host))
    terminal.summary("written", str(folder))


def show_bounds(terminal: Terminal, program: "Program", folder: Path) -> None:
    """Print for every layer of a program where its predicted cycles go."""
    from compiler.bounds import BOUNDS, bounds

    layers, prediction = bounds(program), program.prediction
    columns = (Column("layer", most=NAME_WIDTH), Column("operator"), Column("cycles", right=True),
               Column("roofline", right=True), Column("bound by"),
               *(Column(bound, right=True) for bound in BOUNDS))
    rows = [
        [layer.name, layer.operator, grouped(layer.cycles), grouped(layer.roofline),
         "host" if program.layers[layer.index].host
         else f"{layer.bound_by} {100 * layer.share:.0f} %",
         *(_count(layer.parts[bound]) for bound in BOUNDS)]
        for layer in layers]
    sums = {bound: sum(layer.parts[bound] for layer in layers) for bound in BOUNDS}
    most = max(BOUNDS, key=lambda bound: sums[bound])
    share = f"{most} {100 * sums[most] / prediction.cycles:.0f} %"
    if not terminal.quiet:
        terminal.blank()
        terminal.table(columns, rows, total=[
            "total", "", grouped(prediction.cycles), grouped(program.roofline_cycles), share,
            *(_count(sums[bound]) for bound in BOUNDS)])
        terminal.blank()
    terminal.summary("predicted", f"{grouped(prediction.cycles)} cycles; roofline "
                                  f"{grouped(program.roofline_cycles)}; {share}")
    terminal.summary("written", str(folder))


def _count(cycles: int) -> str:
    return grouped(cycles) if cycles else "–"


def show_simulated(terminal: Terminal, simulation: Mapping[str, Any]) -> None:
    """Print verdict, cycles and predictions of a simulation."""
    count = len(simulation["images"])
    terminal.summary("engines", _engines(simulation, count))
    terminal.summary("predicted", _predictions(
        simulation["predictions"], simulation["class_names"]))
    terminal.summary("speed", f"{grouped(simulation['cycles'][0])} cycles an image; "
                              f"{rate(simulation['simulated_macs_per_second'])}MAC/s, "
                              f"{grouped(simulation['simulated_cycles_per_second'])} cycles/s")


def show_board(terminal: Terminal, found: Mapping[str, Any]) -> None:
    """Print what a board said about each image, and how long it took."""
    for image in found["images"]:
        cycles, clock = image["cycles"], found["clock_hz"]
        text = "a map" if image["class"] is None else (
            f"{image['name'] or image['class']} ({image['confidence']:.1%})".replace("%", " %"))
        if image["label"] not in (None, image["class"]):
            text += f", is {image['label']}"
        at = f" = {cycles / clock * 1e3:.3f} ms at {clock / 1e6:g} MHz" if clock else ""
        terminal.summary(
            "image", f"{image['image']}: {text}   {grouped(cycles)} cycles{at}, "
                     f"{image['seconds'] * 1e3:.1f} ms with its bytes on the line")
    if found["repeated_requests"]:
        terminal.summary("line", f"{found['repeated_requests']} requests had to be repeated")


def show_difference(terminal: Terminal, found: Mapping[str, Any]) -> None:
    """Print for each engine whether it equals numpy, or where it first does not."""
    for engine, text in found["texts"].items():
        terminal.summary("diff", f"✗ {engine} differs from numpy: {text}" if text else (
            f"✓ {engine} = numpy on every value of image {found['image']}"))


def show_inspection(terminal: Terminal, nodes: Sequence["NodeReport"]) -> None:
    """Print where each node of a model runs, and what cannot."""
    columns = (Column("node", most=NAME_WIDTH), Column("operator"), Column("runs on"),
               Column("MACs", right=True), Column("weights", right=True),
               Column("note", most=NOTE_WIDTH))
    rows = [
        [node.node, node.operator, node.runs_on if node.supported else "✗ nowhere",
         grouped(node.macs) if node.macs else "–",
         f"{grouped(node.bytes)} B" if node.bytes else "–",
         node.note if node.supported else "not supported, see below"]
        for node in nodes
    ]
    if not terminal.quiet:
        terminal.table(columns, rows)
        terminal.blank()
    refused = [node for node in nodes if not node.supported]
    for node in refused:
        terminal.summary("refused", f"node '{node.node}' ({node.operator}): {node.note}")
    macs = sum(node.macs for node in nodes)
    terminal.summary("inspect", f"{len(refused)} of {len(nodes)} nodes cannot run" if refused else (
        f"{len(nodes)} of {len(nodes)} nodes can run; {macs / 1e6:.2f} M MAC on the array"))


def show_explanation(terminal: Terminal, found: "Explanation") -> None:
    """Print why a layer has its formats."""
    fmt, (low, high) = found.format, found.fracs
    what = "weights" if found.operator == "Weights" else f"output ({found.operator})"
    frac = f"frac {low}" if low == high else f"frac {low} … {high}"
    terminal.summary(
        "explain", f"{found.layer} {what}, {'s' if fmt.signed else 'u'}{fmt.bits}, {frac} "
                   f"({fmt.min * fmt.step:g} … {fmt.max * fmt.step:g}, step {fmt.step:g})")
    terminal.summary("seen", f"{found.range[0]:.4g} … {found.range[1]:.4g}")
    columns = (Column(""), Column("frac", right=True), Column("clipped", right=True),
               Column("SNR dB", right=True), Column("network SNR dB", right=True), Column(""))
    if low != high:
        columns = (columns[0], Column("moved by", right=True), *columns[2:])
    terminal.table(columns, [_candidate_row(each) for each in found.candidates])
    terminal.summary("chosen by", found.chosen_by)
    terminal.summary("--formats", json.dumps(found.override))
    if found.weights is not None:
        terminal.blank()
        show_explanation(terminal, found.weights)


def _candidate_row(candidate: "Candidate") -> list[str]:
    mark = "▸" if candidate.chosen else ""
    if candidate.obstacle:
        return [mark, str(candidate.frac), "–", "–", "–", candidate.obstacle]
    return [mark, str(candidate.frac), _percent(candidate.clipped),
            *(_db(value if math.isfinite(value) else None)
              for value in (candidate.snr_db, candidate.network_snr_db)), ""]
