"""Files of format overrides, and what they may say."""

import json

import pytest

from arch.formats import Format
from quantizer.errors import ModelError
from quantizer.overrides import check_overrides, load_overrides
from tests.quantizer.networks import small_graph


def test_reads(tmp_path):
    path = tmp_path / "formats.json"
    path.write_text(json.dumps({
        "conv1_out": {"bits": 8, "frac": 5, "signed": False},
        "conv1.weights": {"bits": 4, "frac": -1}}))
    overrides = load_overrides(path)
    assert overrides == {
        "conv1_out": Format(8, 5, signed=False), "conv1.weights": Format(4, -1)}
    check_overrides(small_graph(), overrides)


@pytest.mark.parametrize(("text", "message"), [
    ("{", ("must be a JSON file of formats: Expecting property name enclosed in double quotes: "
           "line 1 column 2 (char 1)")),
    ("[1]", "must hold an object from names to formats, not list"),
    ('{"t": 3}', ("format of 't' must be an object such as "
                  '{"bits": 8, "frac": 4, "signed": true}, not 3')),
    ('{"t": {"bits": 8}}', "format of 't' must have the key 'frac'"),
    ('{"t": {"bits": 8, "frac": 1, "sign": true}}',
     "format of 't' must have the keys bits, frac and signed only, not 'sign'"),
    ('{"t": {"bits": 8, "frac": 1.5}}', "frac of 't' must be an integer, not 1.5"),
    ('{"t": {"bits": true, "frac": 1}}', "bits of 't' must be an integer, not true"),
    ('{"t": {"bits": 8, "frac": 1, "signed": 1}}', "signed of 't' must be true or false, not 1"),
    ('{"t": {"bits": 17, "frac": 1}}', "bits of 't' must be in 2..16, not 17"),
    ('{"t": {"bits": 8, "frac": 61}}', "frac of 't' must be in -60..60, not 61"),
])
def test_refuses_file(tmp_path, text, message):
    path = tmp_path / "formats.json"
    path.write_text(text)
    with pytest.raises(ModelError) as error:
        load_overrides(path)
    assert str(error.value) == f"{path}: {message}"


def test_refuses_missing_file(tmp_path):
    with pytest.raises(ModelError) as error:
        load_overrides(tmp_path / "no.json")
    assert str(error.value) == f"{tmp_path / 'no.json'}: cannot be read: No such file or directory"


@pytest.mark.parametrize(("overrides", "message"), [
    ({"conv1_otu": Format(8, 1)},
     ("Override 'conv1_otu' must name a tensor or layer of 'net', or a convolution followed by "
      ".weights; did you mean 'conv1_out'? Layers are conv1, pool1, conv2, add, mean, fc")),
    ({"zzzzzz": Format(8, 1)},
     ("Override 'zzzzzz' must name a tensor or layer of 'net', or a convolution followed by "
      ".weights; layers are conv1, pool1, conv2, add, mean, fc")),
    ({"add.weights": Format(8, 1)},
     ("Override 'add.weights' must name a tensor or layer of 'net', or a convolution followed by "
      ".weights; did you mean 'fc.weights'? Layers are conv1, pool1, conv2, add, mean, fc")),
    ({"conv1": Format(8, 1), "conv1_out": Format(8, 2)},
     "Override 'conv1' must not name 'conv1_out', which another override names"),
    ({"conv1_out": Format(17, 1)}, "Override 'conv1_out' must have 2..16 bits, not 17"),
    ({"conv1_out": Format(8, 99)}, "Override 'conv1_out' must have frac in -60..60, not 99"),
    ({"conv1.weights": Format(8, 1, signed=False)},
     "Override 'conv1.weights' must be signed, as all weights are"),
])
def test_refuses_override(overrides, message):
    with pytest.raises(ModelError) as error:
        check_overrides(small_graph(), overrides)
    assert str(error.value) == message


def test_layer_stands_for_its_output():
    found = check_overrides(small_graph(), {"conv1": Format(8, 5), "conv1.weights": Format(4, 1)})
    assert found == {"conv1_out": Format(8, 5), "conv1.weights": Format(4, 1)}
