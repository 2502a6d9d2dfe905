"""The words and numbers of the report, computed from those of a run."""

import math

import pytest

from dynafix.report import advice, charts
from dynafix.report.layers import layers
from dynafix.report.text import (
    NARROW_SPACE,
    UNIT_SPACE,
    milliseconds,
    number,
    real,
    short_names,
    size,
)
from dynafix.report.timeline import Timeline, timeline
from dynafix.report.view import view

from .results_fixture import large, lenet


def plain(text):
    return text.replace(NARROW_SPACE, " ").replace(UNIT_SPACE, " ")


def one_layer(**fields):
    return layers({"layers": [fields]})[0]


@pytest.mark.parametrize(("value", "text"), [
    (0, "0 B"), (1023, "1 023 B"), (1024, "1.0 KiB"), (3 << 20, "3.0 MiB"),
    (5 << 40, "5 120.0 GiB"), (None, "–"),
])
def test_size(value, text):
    assert plain(size(value)) == text


@pytest.mark.parametrize(("cycles", "text"), [
    (8412, "0.0561 ms"), (150_000, "1.00 ms"), (11_063_833, "73.8 ms"), (150_000_000, "1 000 ms"),
    (0, "0 ms"), (None, "–"),
])
def test_milliseconds(cycles, text):
    assert plain(milliseconds(cycles, 150)) == text


@pytest.mark.parametrize("value", [None, math.nan, math.inf, True, "7", [1]])
def test_no_number(value):
    assert real(value) is None


def test_number_writes_a_minus_sign():
    assert number(-1234.5, 1) == f"−1{NARROW_SPACE}234.5"


def test_short_names_of_paths_without_operator():
    names = ["/net/a/conv/Conv", "/net/b/conv/Conv", "/net/head/Gemm"]
    assert short_names(names) == ["net/a/conv", "net/b/conv", "net/head"]


def test_short_names_keep_the_operator_that_tells_nodes_apart():
    assert short_names(["/a/Conv", "/a/Relu"]) == ["a/Conv", "a/Relu"]


def test_short_names_stay_different():
    names = [f"{'deep/' * 9}stage{place}/the_one_convolution" for place in range(3)]
    short = short_names(names)
    assert len(set(short)) == 3
    assert all(len(name) <= 16 for name in short)


@pytest.mark.parametrize(("signed", "high", "text"), [
    (False, 2.0, "1.0 bits of headroom"), (True, 1.984375, "0.0 bits of headroom"),
    (False, 7.96875, "largest value is clipped: 2.00 × the top"), (False, 0.0, "no values seen"),
])
def test_headroom(signed, high, text):
    layer = one_layer(format={"bits": 8, "frac": 6, "signed": signed}, range=[0.0, high])
    assert charts.headroom(layer) == text


def test_ribbon_is_in_octaves():
    found = charts.chart_data({}, layers({"layers": [
        {"format": {"bits": 8, "frac": 4, "signed": True}, "range": [-4.0, 2.0]},
        {"format": {"bits": 8, "frac": -3, "signed": False}, "range": [0.0, 0.0]},
    ]}), Timeline({}))["ribbon"]
    assert found["low"] == [-4.0, 3.0]
    assert found["high"] == [math.log2(127 / 16), math.log2(255 * 8)]
    assert found["seen"] == [2.0, None]


def test_roofline_points():
    found = charts.chart_data(lenet(), layers(lenet()), Timeline({}))["roofline"]
    assert (found["multipliers"], found["bandwidth"]) == (128, 8)
    assert [point["name"] for point in found["points"]] == ["conv1", "conv2", "fc1", "fc2"]
    entry = lenet()["layers"][0]
    assert found["points"][0]["x"] == entry["macs"] / entry["dram_bytes"]
    assert found["points"][0]["y"] == entry["macs"] / entry["cycles"]


def test_layer_without_traffic_is_a_point_without_intensity():
    results = lenet()
    results["layers"][0]["dram_bytes"] = 0
    points = charts.chart_data(results, layers(results), Timeline({}))["roofline"]["points"]
    assert points[0]["x"] is None


def test_two_products_of_a_multiplier():
    results = lenet()
    assert "The multipliers work in" in advice.spending(results, layers(results))
    for layer in results["layers"]:
        layer["products"] = 2
    assert "products a cycle, of two" in advice.spending(results, layers(results))
    results["dram"]["bytes_per_cycle"] = 1000
    halved = int(plain(advice.what_if(results, layers(results))[1]["cycles"]).replace(" ", ""))
    macs = sum(layer["macs"] for layer in results["layers"])
    lanes = results["config"]["in_lanes"] * results["config"]["out_lanes"]
    assert halved == round(macs / lanes / 2)


def test_what_if_against_hand_computed_bounds():
    results = {
        "config": {"in_lanes": 2, "out_lanes": 4}, "dram": {"bytes_per_cycle": 4},
        "clock_mhz": 100, "cycles_per_image": 3000, "roofline_cycles": None,
        "layers": [
            {"macs": 8000, "dram_bytes": 2400,
             "dram_by_stream": {"weights": 200, "maps_in": 0, "maps_out": 0, "program": 200}},
            {"macs": 80, "dram_bytes": 2000, "dram_by_stream": {"weights": 1600}},
        ],
    }
    rows = advice.what_if(results, layers(results))
    assert [(plain(row["cycles"]), plain(row["gain"])) for row in rows] == [
        ("3 000", "× 1.00"), ("1 100", "× 2.73"), ("1 100", "× 2.73"), ("1 010", "× 2.97"),
        ("1 010", "× 2.97"), ("550", "× 5.45")]
    assert plain(rows[1]["time"]) == "0.0110 ms"
    assert plain(advice.helps(results, layers(results))) == (
        "A better schedule alone can reach 1 100 cycles, × 2.73 as fast as now: that long the DRAM "
        "needs for its bytes.")


@pytest.mark.parametrize(("quantized", "text"), [
    (0.988, "Quantization changes no accuracy."),
    (0.990, "Quantization gains 0.20 points of accuracy, less than the ± 0.95"),
    (0.900, "Quantization loses 8.80 points of accuracy, more than the ± 0.95"),
])
def test_accuracy_sentence(quantized, text):
    results = {**lenet(), "quantized_accuracy": quantized}
    assert text in plain(advice.works(results, layers(results))[1])


def test_warnings_are_part_of_the_verdict():
    results = {**lenet(), "warnings": ["the output is mostly noise"]}
    assert advice.works(results, layers(results))[1].endswith(" But the output is mostly noise.")


def test_losses_name_the_step_and_the_clipped():
    results = lenet()
    for layer, value in zip(results["layers"], (40, 40, 31, 31, 30, 29)):
        layer.update(snr_db=value, static_snr_db=None, range=[0.0, 0.1])
    results["layers"][4]["range"] = [0.0, 1000.0]
    assert plain(advice.losses(layers(results))) == (
        "The last layer keeps its signal 29.0 dB above the error. The largest step down is at "
        "conv2: 9.0 dB. In fc1 the largest values are clipped: that gives all others finer steps.")


def test_timeline_of_one_image():
    found = timeline([
        {"engine": "calc", "layer": 1, "start": 30, "end": 40},
        {"engine": "calc", "layer": 0, "start": 10, "end": 20},
        {"engine": "load", "layer": 0, "start": 0, "end": 10},
        {"engine": "load", "layer": 0, "start": 7, "end": 7},
        {"engine": "dma", "layer": 0, "start": 0, "end": 90},
        {"engine": "calc", "layer": None, "start": 0, "end": 90},
    ])
    assert found.cycles == 40
    assert found.busy == {"load": 0.25, "calc": 0.5, "save": 0}
    assert found.layers() == [(10, 20, 0), (30, 40, 1)]
    assert found.to_json()[1] == {"name": "CALC", "key": "calc", "busy": 0.5, "start": [10, 20],
                                  "length": [10, 10], "layer": [0, 1]}


def test_engine_that_starts_before_it_is_done():
    found = Timeline({"load": [(0, 50, 0), (10, 40, 0), (30, 60, 1), (80, 100, 1)]})
    assert found.busy == {"load": 0.8}


def test_timeline_merges_neighbors_of_one_layer_only():
    spans = [(10 * place, 10 * place + 8, place // 50) for place in range(100)]
    found = Timeline({"calc": spans}, most=10)
    assert found.gap == 2
    assert found.spans == {"calc": [(0, 498, 0), (500, 998, 1)]}
    assert found.busy["calc"] == 800 / 998


def test_timeline_keeps_what_fits():
    events = large()["timeline"]
    found = timeline(events)
    assert found.gap == 0
    assert sum(len(engine["start"]) for engine in found.to_json()) == len(events)


@pytest.mark.parametrize(("values", "ticks"), [
    ((0.988, 0.986, 0.912), ["90 %", "92 %", "94 %", "96 %", "98 %", "100 %"]),
    ((0.999, 0.998, None), ["98.5 %", "99 %", "99.5 %", "100 %"]),
    ((0.5, 0.001, None), ["0 %", "25 %", "50 %", "75 %", "100 %"]),
])
def test_accuracy_axis(values, ticks):
    results = lenet()
    for key, value in zip(("float", "quantized", "static"), values):
        results[f"{key}_accuracy"] = value
    accuracy = view(results)["accuracy"]
    assert [plain(text) for text, _ in accuracy["ticks"]] == ticks
    assert accuracy["ticks"][0][1] == 0
    assert accuracy["ticks"][-1][1] == 100
    assert all(0 <= row["from"] <= row["at"] <= row["to"] <= 100 for row in accuracy["rows"])


def test_scores_that_are_no_probabilities_have_no_bars():
    results = lenet()
    results["predictions"][0]["probabilities"] = [3.0, -1.0, 9.0]
    samples = view(results)["samples"]
    assert samples[0]["best"] == []
    assert [best["name"] for best in samples[1]["best"]][0] == "1"


def test_class_names():
    results = lenet()
    results["class_names"] = [f"digit {place}" for place in range(10)]
    sample = view(results)["samples"][3]
    assert (sample["predicted"], sample["label"], sample["wrong"]) == ("digit 5", "digit 3", True)
