"""Warnings of a network that quantization has ruined."""

import pytest

from arch.formats import Format
from dynafix.collapse import warnings
from quantizer.graph import Graph, Pool
from quantizer.model import QuantizedModel


def _model(**options):
    names = ("x", "a", "b", "c")
    nodes = [Pool(f"to_{new}", (old,), new) for old, new in zip(names, names[1:], strict=False)]
    graph = Graph("chain", "x", "c", nodes, dict.fromkeys(names, (3, 1, 1)), (3,), (3,))
    options = {"data_bits": 8, "weight_bits": 8, "precision": "dynamic", "per_channel": False,
               **options}
    return QuantizedModel(graph, dict.fromkeys(names, Format(8, 0)), {},
                          provenance={"options": options})


def _evaluation(ratios, *, exact=0.9, rounded=0.9):
    tensors = {name: {"snr_db": ratio} for name, ratio in zip("xabc", ratios, strict=True)}
    return {"float_accuracy": exact, "quantized_accuracy": rounded, "confidence_95": 0.02,
            "tensors": tensors}


def test_all_is_well():
    assert warnings(_model(), _evaluation([None, 30, 20, 5])) == []
    assert warnings(_model(), _evaluation([None, 30, 20, None], rounded=0.81)) == []


def test_noise():
    (found,) = warnings(_model(), _evaluation([60, 50, 20, 4.9]))
    assert found == (
        "the output is mostly noise, 4.9 dB against float; to_b loses most, 50.0 → 20.0 dB. Try "
        "--per-channel or more bits (--data-bits 16 --weight-bits 16, with dynafix quantize only)")


@pytest.mark.parametrize(("options", "ways"), [
    ({"weight_bits": 4}, "--per-channel or more bits (--weight-bits 8)"),
    ({"weight_bits": 4, "data_bits": 6, "per_channel": True},
     "more bits (--data-bits 8 --weight-bits 8)"),
    ({"weight_bits": 4, "precision": "static"},
     "--precision dynamic or --per-channel or more bits (--weight-bits 8)"),
])
def test_accuracy(options, ways):
    found = _evaluation([60, 20, 20, 18], exact=0.95, rounded=0.1)
    (text,) = warnings(_model(**options), found)
    assert text == (
        f"quantization takes accuracy from 95.0 to 10.0 %; to_a loses most, 60.0 → 20.0 dB. "
        f"Try {ways}")
