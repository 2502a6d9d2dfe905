"""What commands print at their end."""

import io
from pathlib import Path

import pytest

from dynafix.summary import accuracy_text, show_inspection, show_results, show_simulated
from dynafix.terminal import Terminal
from dynafix.text import grouped, rate
from quantizer.inspect import NodeReport

from .results_fixture import large, lenet


def _printed(show, *arguments, **options):
    stream = io.StringIO()
    with Terminal(stream, **options) as terminal:
        show(terminal, *arguments)
    return stream.getvalue().splitlines()


REPORT = Path("out/report.html")


def test_run():
    results = lenet()
    lines = _printed(show_results, results, REPORT)
    table = lines[1:9]
    assert table[0].split("  ")[0] == " layer"
    assert table[0].endswith("numpy = ort = RTL")
    for line, layer in zip(table[1:7], results["layers"], strict=True):
        assert line.startswith(f" {layer['name']} ")
        assert f" {layer['operator']} " in line
        assert f" {grouped(layer['cycles'])} " in line
        assert f" {grouped(layer['dram_bytes'])} " in line
        assert line.endswith("✓")
    assert table[7].startswith(" total ")
    assert table[7].endswith("✓ 10 images")
    cycles = results["cycles_per_image"]
    assert lines[9:] == [
        "",
        " engines    numpy = onnxruntime = RTL on every layer of 10 images",
        " predicted  9 of 10 right: 0 1 2 5 (is 3) 4 5 6 7 8 9",
        (" accuracy   float 98.80 %   8/8 dynamic 98.60 %   (500 images, ± 0.95)   8/8 static "
        "91.20 %"),
        (f" speed      {grouped(cycles)} cycles = {cycles / 150_000:.3f} ms at 150 MHz; roofline "
        f"{grouped(results['roofline_cycles'])} "
        f"(× {cycles / results['roofline_cycles']:.2f}); model predicted "
        f"{grouped(results['predicted_cycles'])}"),
        " report     out/report.html",
    ]


@pytest.mark.parametrize("width", [80, 100, 120, 200])
@pytest.mark.parametrize("network", [lenet, large])
def test_nothing_wraps(network, width):
    results = network()
    for name in ("float_accuracy", "quantized_accuracy", "confidence_95"):
        results[name] = 0.5
    lines = _printed(show_results, results, REPORT, width=width)
    assert max(map(len, lines)) <= width
    count = len(results["layers"])
    assert [line[1:7].strip() for line in lines[1:count + 3:count + 1]] == ["layer", "total"]
    dropped = "not shown at" in lines[count + 3]
    assert dropped == ("numpy = ort = RTL" not in lines[1])


def test_bound_of_the_whole_image():
    results = lenet()
    for layer in results["layers"]:
        layer["bound_by"] = "array"
    results["dram_bytes"], results["dram"]["bytes_per_cycle"] = 86_416, 8
    line = _printed(show_results, results, REPORT)[8]
    assert line.split("  ")[0] == " total"
    assert " DRAM " in line
    results["dram"]["bytes_per_cycle"] = 1000
    assert " array " in _printed(show_results, results, REPORT)[8]
    for layer in results["layers"]:
        layer["bound_by"] = "vector"
    assert " vector " in _printed(show_results, results, REPORT)[8]


def test_bytes_fetched_earlier():
    results = lenet()
    text = (" DRAM bytes count for the layer that needs them, also when they are fetched while "
            "earlier layers compute.")
    assert text not in _printed(show_results, results, REPORT)
    results["layers"][4]["cycles"] = 100
    assert _printed(show_results, results, REPORT)[9] == text


def test_warning():
    results = lenet()
    results["warnings"] = ["all is lost"]
    assert " warning    all is lost" in _printed(show_results, results, REPORT, quiet=True)


def test_quiet_run():
    lines = _printed(show_results, lenet(), REPORT, quiet=True)
    assert [line.split()[0] for line in lines] == [
        "engines", "predicted", "accuracy", "speed", "report"]


def test_failed_engines_and_class_names():
    results = lenet()
    results["class_names"] = [f"digit {index}" for index in range(10)]
    results["engines_equal"] = results["layers"][2]["engines_equal"] = False
    results["predictions"] = results["predictions"][2:4]
    lines = _printed(show_results, results, REPORT)
    assert lines[4].endswith("✗")
    assert lines[8].endswith("✗ 10 images")
    assert lines[10] == " engines    the engines differ on every layer of 10 images"
    assert lines[11] == " predicted  1 of 2 right: digit 2, digit 5 (is digit 3)"


def test_accuracy_without_baseline():
    found = {"float_accuracy": 0.5, "quantized_accuracy": 0.25, "static_accuracy": None,
             "images_evaluated": 1234, "confidence_95": 0.0123}
    options = {"data_bits": 6, "weight_bits": 4, "precision": "static"}
    assert accuracy_text(found, options) == (
        "float 50.00 %   6/4 static 25.00 %   (1 234 images, ± 1.23)")


def test_inspection():
    nodes = [NodeReport("conv", "Conv", "array", 1000, 72, "", True),
             NodeReport("up", "Resize", "-", 0, 0, "mode must be nearest, not 'cubic'", False)]
    assert _printed(show_inspection, nodes) == [
        " node  operator  runs on     MACs  weights  note",
        " conv  Conv      array      1 000     72 B",
        " up    Resize    ✗ nowhere      –        –  not supported, see below",
        "",
        " refused    node 'up' (Resize): mode must be nearest, not 'cubic'",
        " inspect    1 of 2 nodes cannot run",
    ]
    assert _printed(show_inspection, nodes[:1])[-1] == (
        " inspect    1 of 1 nodes can run; 0.00 M MAC on the array")


def test_simulated():
    simulation = {
        "images": [0], "engines_equal": True, "not_compared": [],
        "cycles": [8412], "class_names": None,
        "predictions": [{"predicted": 7, "label": 7}], "simulated_macs_per_second": 63.4e6,
        "simulated_cycles_per_second": 718_000.0,
    }
    assert _printed(show_simulated, simulation) == [
        " engines    numpy = onnxruntime = RTL on every layer of 1 image",
        " predicted  1 of 1 right: 7",
        " speed      8 412 cycles an image; 63 M MAC/s, 718 000 cycles/s",
    ]


@pytest.mark.parametrize(("number", "text"), [
    (63.4e6, "63 M "), (6.34e6, "6.3 M "), (634_000, "634 k "), (63.4, "63 ")])
def test_rate(number, text):
    assert rate(number) == text
