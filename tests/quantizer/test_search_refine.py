"""Refinement by the error of the output: gains, limits, and what it leaves alone."""

import sys

import numpy as np
import pytest

from arch.formats import Format
from quantizer.accumulators import check_limits
from quantizer.errors import ModelError
from quantizer.execute import execute, quantize_input
from quantizer.model import Limits
from quantizer.ranges import snr_db
from quantizer.search import refine as refinement
from quantizer.storage import load, save
from tests.quantizer.networks import SlowReference, inputs_for, quantized, small_graph
from tests.quantizer.test_export import assert_engines_equal


def output_snr(model, images):
    exact = SlowReference(model.graph).tensors(images)["fc_out"]
    codes = execute(model, quantize_input(model, images))["fc_out"]
    return snr_db(exact, model.formats["fc_out"].dequantize(codes))


@pytest.mark.parametrize("options", [
    {}, {"per_channel": True}, {"ranges": "max"}, {"weight_rounding": "feedback"},
])
def test_output_comes_nearer(options):
    graph = small_graph()
    images = inputs_for(graph, 12)
    options = {"data_bits": 5, "weight_bits": 4, **options}
    before = quantized(graph, images, fuse_add=False, **options)
    model = quantized(graph, images, fuse_add=False, refine=True, **options)
    found = model.provenance["refined"]
    assert found["images"] == 12
    assert found["moves"] or "weight_rounding" in options  # which leaves little to gain
    for key, part in (("snr_db", images[::2]), ("held_out_snr_db", images[1::2])):
        assert found[key][0] == pytest.approx(output_snr(before, part))
        assert found[key][1] == pytest.approx(output_snr(model, part))
        assert found[key][1] > found[key][0] or not found["moves"]
    check_limits(model, Limits())
    assert_engines_equal(model, images[:4])
    for name in found["moves"]:
        assert model.provenance["chosen"][name]["rule"].endswith(", refined")


def test_nothing_single_is_better_afterwards():
    """No tensor's fractional length, one smaller or one larger, improves both halves."""
    graph = small_graph()
    images = inputs_for(graph, 12)
    model = quantized(graph, images, fuse_add=False, data_bits=5, weight_bits=4, refine=True)
    for name in ("conv2_out", "add_out", "mean_out", "fc_out"):
        for delta in (-1, 1):
            moved = refinement.with_tensor(model, name, model.formats[name].frac + delta)
            try:
                check_limits(moved, Limits())
            except ModelError:
                continue
            assert min(
                output_snr(moved, part) - output_snr(model, part)
                for part in (images[::2], images[1::2])) < 0.01


def test_bad_start_is_mended(monkeypatch):
    """A tensor four bits too coarse comes back; passes are bounded."""
    graph = small_graph()
    images = inputs_for(graph, 8)
    natural = quantized(graph, images, fuse_add=False).formats["conv2_out"].frac
    seen = {}

    def spoiled(context, progress):
        context.model.formats["conv2_out"] = Format(8, natural - 4)
        refinement.refine(context, progress)
        seen.update(context.refined["moves"])

    monkeypatch.setattr(sys.modules["quantizer.search.quantize"], "refine_search", spoiled)
    model = quantized(graph, images, fuse_add=False, refine=True)
    assert seen["conv2_out"] >= 1
    assert model.formats["conv2_out"].frac > natural - 4


def test_overrides_stay_and_runs_are_equal(tmp_path):
    graph = small_graph()
    images = inputs_for(graph, 8)
    overrides = {"conv1_out": Format(5, 1, signed=False), "fc.weights": Format(4, 0)}
    calls = []
    options = {"data_bits": 5, "weight_bits": 4, "overrides": overrides, "refine": True}
    model = quantized(
        graph, images, fuse_add=False, progress=lambda *call: calls.append(call), **options)
    assert model.formats["conv1_out"] == overrides["conv1_out"]
    assert set(model.weights["fc"].frac) == {0}
    again = quantized(graph, images, fuse_add=False, **options)
    assert again.formats == model.formats
    assert again.provenance == model.provenance
    refined = [call for call in calls if call[0] == "refine"]
    assert [call[1] for call in refined] == sorted(call[1] for call in refined)
    assert refined[-1][1] == refined[-1][2]
    save(model, tmp_path)
    assert load(tmp_path).provenance["refined"] == model.provenance["refined"]


def test_a_single_image():
    graph = small_graph()
    images = inputs_for(graph, 1)
    model = quantized(graph, images, fuse_add=False, refine=True, data_bits=4)
    found = model.provenance["refined"]
    assert found["images"] == 1
    assert found["snr_db"] == found["held_out_snr_db"]
    zeros = quantized(graph, np.zeros_like(images), refine=True).provenance["refined"]
    assert np.isfinite(zeros["snr_db"]).all()


def test_refuses_static():
    with pytest.raises(ModelError) as error:
        quantized(small_graph(), precision="static", refine=True)
    assert str(error.value) == (
        "refine must be off with static precision, which has one fractional length for all data")
