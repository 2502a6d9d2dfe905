"""Inputs that the host fits to their codes: what is chosen, and that nothing changes in float."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arch.formats import Format
from quantizer.execute import execute, quantize_input, run
from quantizer.export import export_qdq, ort_tensors
from quantizer.graph import Add, Conv, Pool, Window
from quantizer.intake import Intake
from quantizer.prepare import TakingReference, choose_intake, fit_input
from quantizer.quantized_import import import_quantized
from quantizer.ranges import snr_db
from quantizer.storage import load, save
from tests.quantizer.networks import SlowReference, conv, inputs_for, make_graph, quantized
from tests.quantizer.test_execute import assert_same


U8 = Format(8, 0, signed=False)
SAME = Window((3, 3), pads=(1, 1, 1, 1))
MEAN = np.array([123.675, 116.28, 103.53], np.float32)[:, None, None]
DEVIATION = np.array([58.395, 57.12, 57.375], np.float32)[:, None, None]


def pictures(count, seed=0, size=24):
    """Return normalized pictures, and their bytes."""
    bytes_ = np.random.default_rng(seed).integers(0, 256, (count, 3, size, size))
    return ((bytes_.astype(np.float32) - MEAN) / DEVIATION), bytes_


def network(window=SAME, size=24):
    rng = np.random.default_rng(3)
    return make_graph((3, size, size), [
        conv(rng, "a", "x", 3, 6, window=window, relu=True),
        conv(rng, "b", "a_out", 6, 4)])


def noise(graph, images, **options):
    """Return the mean squared error of the codes of an input, in the units of the file."""
    model = quantized(graph, images, **options)
    values = model.formats["x"].dequantize(quantize_input(model, images))
    intake = model.graph.intake
    if intake is not None:
        top, left = intake.pads[:2]
        height, width = images.shape[2:]
        values = values / intake.factor[:, None, None] + intake.offset[:, None, None]
        values = values[:, :, top:top + height, left:left + width]
    return np.square(values - images).mean()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 9999), st.sampled_from([1, 3]), st.tuples(*[st.integers(0, 2)] * 4))
def test_the_same_in_float(seed, groups, pads):
    rng = np.random.default_rng(seed)
    window = Window((3, 2), (2, 1), pads, (1, 2))
    graph = make_graph((3, 7, 6), [
        conv(rng, "a", "x", 3, 6, groups=groups, window=window, relu=True),
        conv(rng, "b", "x", 3, 6, window=window), Add("s", ("a_out", "b_out"), "s_out")])
    intake = Intake(rng.normal(0, 3, 3).astype(np.float32),
                    np.exp2(rng.uniform(-9, 9, 3)).astype(np.float32), pads)
    fitted = fit_input(graph, intake)
    images = inputs_for(graph, 2, seed) * 5
    expected = TakingReference(SlowReference(graph), fitted).tensors(images)
    found = SlowReference(fitted).tensors(images)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-4, err_msg=name)


def test_codes_are_the_bytes_of_a_picture():
    images, bytes_ = pictures(8)
    model = quantized(network(), images, fit_ends=True)
    assert not model.formats["x"].signed
    codes = quantize_input(model, pictures(3, 1)[0])
    np.testing.assert_array_equal(codes[:, :, 1:-1, 1:-1], pictures(3, 1)[1])
    border = np.rint(MEAN[:, 0, 0])  # zero of the file
    np.testing.assert_array_equal(codes[:, :, 0, 0], np.broadcast_to(border, (3, 3)))
    assert model.graph.node("a").window.pads == (0, 0, 0, 0)


def test_levels_are_kept_where_the_ends_were_not_seen():
    images = np.random.default_rng(0).integers(-83, 43, (10, 1, 30, 20)) * np.float32(0.5847)
    intake = choose_intake(make_graph((1, 30, 20), [
        conv(np.random.default_rng(1), "a", "x", 1, 2)]), images, U8)
    step = np.float32(0.5847) * intake.factor[0]
    assert np.frexp(step)[0] == pytest.approx(0.5, rel=1e-6)  # a power of two: two codes a level
    steps = intake.apply(images) / step
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
    assert 0 < steps.min() < 1.1


def test_a_range_that_is_no_grid_fills_the_codes():
    graph = network()
    images = np.random.default_rng(0).uniform(-0.3, 1.9, (8, 3, 24, 24)).astype(np.float32)
    fitted = noise(graph, images, fit_ends=True)
    assert fitted < noise(graph, images) / 2.5
    np.testing.assert_allclose(fitted, (2.2 / 255) ** 2 / 12, rtol=0.05)


def test_outliers_are_clipped():
    images = np.random.default_rng(0).normal(0, 1, (16, 1, 40, 40)).astype(np.float32)
    images[0, 0, 0, 0] = 30
    graph = make_graph((1, 40, 40), [conv(np.random.default_rng(1), "a", "x", 1, 2)])
    unclipped = (30 - images.min()) / 15
    assert noise(graph, images, fit_ends=True, data_bits=4) < unclipped**2 / 12 / 2


def test_few_numbers_share_a_fit():
    images = np.random.default_rng(0).uniform(-1, 2, (5, 40)).astype(np.float32)
    graph = make_graph((40, 1, 1), [
        conv(np.random.default_rng(1), "a", "x", 40, 2)], input_dims=(40,))
    intake = choose_intake(graph, images, U8)
    assert np.ptp(intake.offset) == np.ptp(intake.factor) == 0


@pytest.mark.parametrize(("images", "why"), [
    (np.random.default_rng(0).integers(0, 256, (8, 3, 24, 24)), "bytes"),
    (np.random.default_rng(0).integers(0, 256, (8, 3, 24, 24)) / 256, "bytes by a power of two"),
    (np.zeros((8, 3, 24, 24)), "nothing")])
def test_what_suits_already_stays(images, why):
    assert choose_intake(network(), images.astype(np.float32), U8) is None, why


def test_only_convolutions_make_up_for_it():
    images, _ = pictures(4)
    rng = np.random.default_rng(0)
    pool = make_graph((3, 24, 24), [
        Pool("p", ("x",), "p_out", window=Window((2, 2), (2, 2))), conv(rng, "a", "p_out", 3, 4)])
    assert choose_intake(pool, images, U8) is None
    unlike = make_graph((3, 24, 24), [
        conv(rng, "a", "x", 3, 4, window=SAME), conv(rng, "b", "x", 3, 4),
        Add("s", ("a_out", "b_out"), "s_out")])
    assert choose_intake(unlike, images, U8) is None
    assert choose_intake(unlike, images - images.min((0, 2, 3))[:, None, None], U8) is not None
    again = fit_input(network(), choose_intake(network(), images, U8))
    assert choose_intake(again, images, U8) is None


def test_engines_agree(tmp_path):
    images, _ = pictures(6, size=9)
    model = quantized(network(Window((3, 3), (2, 2), (0, 1, 1, 0)), 9), images, fit_ends=True)
    others, _ = pictures(3, 5, size=9)
    others *= 1.3  # beyond what calibration saw
    codes = quantize_input(model, others)
    assert codes.shape == (3, 3, 10, 10)
    expected = execute(model, codes)
    assert_same(ort_tensors(model, others), expected)
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    np.testing.assert_array_equal(quantize_input(again, others), codes)
    file = tmp_path / "model.onnx"
    file.write_bytes(export_qdq(model).SerializeToString())
    imported = import_quantized(file)
    np.testing.assert_array_equal(run(imported, others), run(model, others))


def test_nothing_is_lost_where_the_user_gives_the_format():
    images, _ = pictures(4)
    fmt = Format(8, 5)
    model = quantized(network(), images, fit_ends=True, overrides={"x": fmt})
    assert model.graph.intake is None
    assert model.formats["x"] == fmt


@pytest.mark.parametrize("options", [
    {"data_bits": 16, "weight_bits": 16}, {"data_bits": 5},
    {"equalize": True, "correct": True, "weight_rounding": "feedback", "per_channel": True},
    {"first_last_bits": 16}])
def test_other_options(options):
    images, _ = pictures(6, size=12)
    graph = network(size=12)
    others, _ = pictures(4, 7, size=12)
    exact = SlowReference(graph).tensors(others)["b_out"]

    def quality(**more):
        return snr_db(exact, run(quantized(graph, images, **options, **more), others))

    assert quality(fit_ends=True) > quality() - 3


def test_static_precision_has_the_units_of_the_file():
    images, _ = pictures(4)
    model = quantized(network(), images, fit_ends=True, precision="static")
    assert model.graph.intake is None
    assert not model.graph.offsets


def test_real_input():
    images, _ = pictures(8)
    model = quantized(network(), images, fit_ends=True)
    values = model.real("x", quantize_input(model, images))
    np.testing.assert_allclose(values, images, atol=1e-5)


def test_padding_is_the_hosts_only_with_offsets():
    graph = network()
    images = np.random.default_rng(0).uniform(0, 1.9, (8, 3, 24, 24)).astype(np.float32)
    model = quantized(graph, images, fit_ends=True)
    assert model.graph.intake.pads == (0, 0, 0, 0)
    assert not model.graph.intake.offset.any()
    assert model.graph.shapes["x"] == graph.shapes["x"]
    first = model.graph.nodes[0]
    assert isinstance(first, Conv)
    assert first.window == replace(SAME)
