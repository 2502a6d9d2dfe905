"""Widths for a budget, from the command line to the files."""

import csv
import json
import re
from itertools import pairwise

import pytest
from PIL import Image

from dynafix import api, mixed, pareto
from dynafix.api.widths import Budget
from dynafix.errors import UsageError
from dynafix.options import Options
from dynafix.steps import Steps
from quantizer.budget import Choice
from quantizer.graph import Conv
from quantizer.onnx_import import load_graph


@pytest.fixture(scope="module")
def found(network, images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("widths")
    return folder, api.choose_widths(
        network, images, folder, budget="size=75%", config="tiny", narrower=(3, 5), images=4)


def test_budget_is_kept(found):
    _, result = found
    widest = result["points"][0]
    assert result["budget"]["limit"] == 0.75 * widest["size"]
    assert result["chosen"]["size"] <= result["budget"]["limit"] < widest["size"]
    within = [point for point in result["points"]
              if point["kind"] == "mixed" and point["size"] <= result["budget"]["limit"]]
    assert result["chosen"]["noise"] == min(
        point["noise"] for point in [*within, result["chosen"]])


def test_widths_are_those_that_quantize_takes(found, network, images, tmp_path):
    folder, result = found
    path = folder / "widths.json"
    assert json.loads(path.read_text()) == result["widths"]
    quantized = api.quantize(network, images, tmp_path / "out", options=Options(widths=path))
    widths = {f"{name}.weights": each.bits for name, each in quantized.model.weights.items()}
    assert widths == result["widths"]
    program = api.compile(quantized, config="tiny")
    assert sum(layer.stored_size for layer in program.layers) == result["chosen"]["size"]


def test_widths_that_are_given_stay(network, images, tmp_path):
    given = {"conv1": 6, "fc.weights": 7}
    result = api.choose_widths(
        network, images, tmp_path / "out", budget="size=90%", config="tiny", narrower=(4,),
        images=1, options=Options(widths=given))
    widths = json.loads((tmp_path / "out" / "widths.json").read_text())
    assert widths == result["widths"]
    assert widths["fc.weights"] == 7
    quantized = api.quantize(
        network, images, tmp_path / "net", options=Options(widths=tmp_path / "out/widths.json"))
    model = quantized.model
    assert model.formats[model.graph.node("conv1").output].bits == 6
    assert {f"{name}.weights": each.bits for name, each in model.weights.items()}.items() <= (
        widths.items())


def test_front_as_numbers_and_as_picture(found):
    folder, result = found
    rows = list(csv.DictReader((folder / "pareto.csv").read_text().splitlines()))
    assert [int(row["size"]) for row in rows] == [point["size"] for point in result["points"]]
    assert [row["kind"] for row in rows[:3]] == ["uniform"] * 3
    assert sum(int(row["chosen"]) for row in rows) == 1
    with Image.open(folder / "pareto.png") as picture:
        assert len(picture.getcolors(1 << 20)) > 5


def test_weights_of_formats_stay(network, images, tmp_path, monkeypatch):
    """Also where a convolution could do an Add if they were lower."""
    seen = []

    def fuse_adds(model, limits, *, fixed):
        seen.append((set(fixed), {name: each.bits for name, each in model.weights.items()}))
        return model

    monkeypatch.setattr(mixed, "fuse_adds", fuse_adds)
    name = next(node.name for node in load_graph(network) if isinstance(node, Conv))
    formats = tmp_path / "formats.json"
    formats.write_text(json.dumps({f"{name}.weights": {"bits": 7, "frac": 6}}))
    result = api.choose_widths(
        network, images, tmp_path / "out", budget="size=90%", config="tiny", narrower=(4,),
        images=2, options=Options(formats=formats))
    assert {frozenset(fixed) for fixed, _ in seen} == {frozenset({name})}
    assert {bits[name] for _, bits in seen} == {7}
    assert f"{name}.weights" not in result["widths"]


def test_line_goes_through_what_no_other_point_beats():
    points = [
        mixed.Measured("mixed", {}, cycles, 0, 0, noise)
        for cycles, noise in ((9, 1.0), (7, 2.0), (5, 4.0), (6, 5.0), (5, 4.0))]
    assert pareto._front(points, "cycles") == [points[0], points[1], points[2], points[4]]


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_front_reaches_from_end_to_end(share):
    """Whatever the budget, no part of the front is left out."""
    choices = {
        f"layer{index}": [Choice(bits, 100 * bits, (index + 1) * 4.0**-bits) for bits in (2, 4, 8)]
        for index in range(40)}

    def measured(kind, bits):
        cost = 100 * sum(bits.values())
        noise = sum((index + 1) * 4.0**-width for index, width in enumerate(bits.values()))
        return mixed.Measured(kind, dict(bits), cost, cost, cost, noise), None

    mixer = object.__new__(mixed.Mixer)
    mixer._steps, mixer.mixed, mixer._measured = Steps(), lambda bits: bits, measured
    mixer.choices = lambda metric: choices
    mixer.uniform = [measured("uniform", dict.fromkeys(choices, bits))[0] for bits in (8, 4, 2)]
    widest, narrowest = mixer.uniform[0].bytes, mixer.uniform[-1].bytes
    front, best = mixer.front("bytes", share * widest)
    assert best.bytes <= share * widest
    costs = [widest, *(point.bytes for point in front), narrowest]
    assert max(a - b for a, b in pairwise(costs)) < (widest - narrowest) / 4
    assert {point.kind for point in front} == {"mixed", "uniform"}  # these are not run again


def test_budget_that_cannot_be_met_leaves_nothing(dynafix, network, images, tmp_path):
    folder = tmp_path / "out"
    code, _, error = dynafix(
        "widths", network, "--data", images, "--output", folder, "--config", "tiny",
        "--narrower", "4", "--images", "2", "--budget", "bytes=10")
    assert code == 2
    assert "--budget: the budget must be at least" in error
    assert "bytes of DRAM traffic" in error
    assert not folder.exists()


@pytest.mark.parametrize("metric", ["cycles", "bytes", "size"])
def test_smallest_budget_is_the_one_that_is_told(network, images, tmp_path, metric):
    def choose(budget, name):
        return api.choose_widths(
            network, images, tmp_path / name, budget=f"{metric}={budget}", config="tiny",
            narrower=(4,), images=1)

    with pytest.raises(UsageError, match="the budget must be at least") as error:
        choose(1, "none")
    least = int(re.search(r"at least ([\d ]+) ", str(error.value))[1].replace(" ", ""))
    assert choose(least, "least")["chosen"][metric] == least
    with pytest.raises(UsageError, match=f"at least {least:,}".replace(",", " ")):
        choose(least - 1, "less")


def test_command(dynafix, network, images, tmp_path):
    folder = tmp_path / "out"
    code, out, _ = dynafix(
        "widths", network, "--data", images, "--output", folder, "--config", "tiny",
        "--narrower", "4", "--images", "2", "--budget", "bytes=95%")
    assert code == 0
    assert "chosen" in out
    assert {path.name for path in folder.iterdir()} == {"widths.json", "pareto.csv", "pareto.png"}


@pytest.mark.parametrize(("text", "message"), [
    ("bytes", "--budget must be"), ("time=3", "--budget must be"), ("cycles=-1", "not 'cycles=-1'"),
    ("size=0%", "--budget must be"),
])
def test_bad_budget(text, message):
    with pytest.raises(UsageError, match=message):
        Budget.parse(text)


@pytest.mark.parametrize(("changes", "message"), [
    ({"narrower": (8,)}, r"--narrower must be widths in 2\.\.7 bits, not 8"),
    ({"narrower": (2.5,)}, "not 2.5"),
    ({"options": Options(weight_bits=2)},
     "--weight-bits must be at least 3, so that there are narrower widths to choose from, not 2"),
    ({"narrower": ()}, "not none"),
    ({"images": 0}, "--images must be at least 1"),
    ({"options": Options(weight_bits=12)}, "--weight-bits must be at most 8"),
    ({"options": Options(precision="static")}, "--precision must be dynamic"),
])
def test_bad_options(network, images, tmp_path, changes, message):
    with pytest.raises(UsageError, match=message):
        api.choose_widths(network, images, tmp_path, budget="bytes=50%", config="tiny", **changes)
