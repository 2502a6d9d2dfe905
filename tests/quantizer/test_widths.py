"""Widths of single layers: what may be said, and that the search keeps them."""

import pytest

from arch.formats import Format
from quantizer.accumulators import code_bounds
from quantizer.errors import ModelError
from quantizer.execute import execute, quantize_input
from quantizer.explain import explain
from quantizer.storage import load, save
from quantizer.widths import check_widths, load_widths
from tests.quantizer.networks import SlowReference, inputs_for, quantized, small_graph
from tests.quantizer.test_export import assert_engines_equal


WIDTHS = {"x": 7, "conv1": 5, "conv2.weights": 3, "add": 4, "fc.weights": 2, "fc": 12}


def refused(function, *arguments):
    with pytest.raises(ModelError) as error:
        function(*arguments)
    return str(error.value)


@pytest.mark.parametrize(("name", "text"), [
    ("a.toml", 'conv1.weights = 4\n"fc.weights" = 2\n'),
    ("a.json", '{"conv1.weights": 4, "fc": {"weights": 2}}'),
])
def test_reads(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    assert load_widths(path) == {"conv1.weights": 4, "fc.weights": 2}


@pytest.mark.parametrize(("name", "text", "message"), [
    ("a.json", "{", ("must be a JSON file of widths: Expecting property name enclosed in double "
                     "quotes: line 1 column 2 (char 1)")),
    ("a.toml", "a =", ("must be a TOML file of widths: Invalid value (at end of document)")),
    ("a.json", "[1]", "must hold an object from names to bits, not list"),
    ("a.json", '{"fc": 1}', "Width of 'fc' must be in 2..16 bits, not 1"),
    ("a.json", '{"fc": 1.5}', "Width of 'fc' must be an integer, not 1.5"),
    ("a.json", '{"fc": true}', "Width of 'fc' must be an integer, not true"),
])
def test_refuses_file(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    assert refused(load_widths, path) == f"{path}: {message}"


def test_refuses_missing_file(tmp_path):
    path = tmp_path / "no.json"
    assert refused(load_widths, path) == f"{path}: cannot be read: No such file or directory"


@pytest.mark.parametrize(("widths", "message"), [
    ({"conv1_otu": 4},
     ("Width 'conv1_otu' must name a tensor or layer of 'net', or a convolution followed by "
      ".weights; did you mean 'conv1_out'? Layers are conv1, pool1, conv2, add, mean, fc")),
    ({"conv1": 17}, "Width of 'conv1' must be in 2..16 bits, not 17"),
    ({"conv1.weights": 0}, "Width of 'conv1.weights' must be in 2..16 bits, not 0"),
    ({"pool1": 4}, ("Width of 'pool1' cannot be set, since 'pool1_out' copies codes of "
                    "'conv1_out'; set that of 'conv1_out'")),
    ({"conv1_out": 4, "conv1": 4},
     "Width of 'conv1' is that of 'conv1_out', which is given twice"),
])
def test_refuses_width(widths, message):
    assert refused(check_widths, small_graph(), widths) == message


def test_refuses_width_of_an_override():
    assert refused(
        check_widths, small_graph(), {"fc": 4}, {"fc_out": Format(8, 3)}) == (
        "Width of 'fc' must not be set, since an override gives the format of 'fc_out'")


@pytest.mark.parametrize("precision", ["dynamic", "static"])
def test_search_keeps_them_and_engines_agree(precision, tmp_path):
    graph = small_graph()
    model = quantized(graph, widths=WIDTHS, precision=precision, data_bits=8)
    bits = {name: fmt.bits for name, fmt in model.formats.items()}
    assert bits == {"x": 7, "conv1_out": 5, "pool1_out": 5, "add_out": 4,
                    "mean_out": 8, "fc_out": 12}
    assert {name: each.bits for name, each in model.weights.items()} == {
        "conv1": 8, "conv2": 3, "fc": 2}
    assert abs(model.weights["conv2"].codes).max() <= 4
    assert code_bounds(model, "add_out") == (0, 15)
    images = inputs_for(graph, 5, seed=9) * 1.5
    assert_engines_equal(model, images)
    save(model, tmp_path)
    codes = quantize_input(model, images)
    found = execute(load(tmp_path), codes)
    for name, expected in execute(model, codes).items():
        assert (found[name] == expected).all()
    assert found["add_out"].max() == 15
    assert load(tmp_path).provenance["options"]["widths"]["conv1_out"] == 5


def test_is_explained():
    graph = small_graph()
    model = quantized(graph, widths=WIDTHS)
    found = explain(model, "fc", inputs_for(graph), reference=SlowReference(graph))
    assert found.chosen_by.startswith("search, 12 bits as given: least sum of squared errors")
    assert found.weights.chosen_by.startswith("search, 2 bits as given: ")
