"""Results that the host shifts and scales back: what is chosen, and the same in float."""

import numpy as np
import pytest

from arch.formats import Format
from quantizer.execute import execute, quantize_input, run
from quantizer.export import QdqSession, export_qdq
from quantizer.prepare import choose_result, fit_output
from quantizer.quantized_import import import_quantized
from quantizer.ranges import snr_db
from quantizer.storage import load, save
from tests.quantizer.networks import (
    SlowReference,
    conv,
    inputs_for,
    make_graph,
    quantized,
    small_graph,
)
from tests.quantizer.test_execute import assert_same


S8 = Format(8, 0)


def uneven_result(*, relu=False):
    """Return a network whose results are from about -0.2 to 1.5, and images."""
    rng = np.random.default_rng(2)
    last = conv(rng, "b", "a_out", 16, 6, relu=relu)
    last.bias[:] = np.linspace(0.4, 0.9, 6)
    graph = make_graph((3, 4, 4), [conv(rng, "a", "x", 3, 16, relu=True), last])
    return graph, inputs_for(graph, 24) / 2


@pytest.mark.parametrize("softmax", [False, True])
def test_the_same_in_float(softmax):
    graph = small_graph(softmax=softmax)
    images = inputs_for(graph, 4)
    fitted = fit_output(graph, choose_result(graph, SlowReference(graph), images, S8), S8)
    expected, found = (SlowReference(each).tensors(images)["fc_out"] for each in (graph, fitted))
    assert not np.allclose(found, expected)
    np.testing.assert_allclose(fitted.real("fc_out", found), expected, atol=1e-5)
    assert np.ptp(fitted.exponents["fc_out"]) == np.ptp(fitted.offsets["fc_out"]) == 0


def test_codes_reach_a_little_further_than_calibration():
    graph, images = uneven_result()
    model = quantized(graph, images, fit_ends=True)
    codes = execute(model, quantize_input(model, images))["b_out"]
    assert -128 < codes.min() < -105
    assert 105 < codes.max() < 127
    assert 200 < np.ptp(codes)


def test_it_gains():
    graph, images = uneven_result()
    exact = SlowReference(graph).tensors(images)["b_out"]
    noise = [exact - run(quantized(graph, images, fit_ends=fit, overrides={"x": Format(8, 7)},
                                   data_bits=8, weight_bits=16), images) for fit in (False, True)]
    assert snr_db(exact, exact - noise[1]) > snr_db(exact, exact - noise[0]) + 1


def test_clamped_results_stay():
    graph, images = uneven_result(relu=True)
    assert choose_result(graph, SlowReference(graph), images, S8) is None


def test_the_user_may_give_the_format():
    graph, images = uneven_result()
    model = quantized(graph, images, fit_ends=True, overrides={"b_out": Format(8, 6)})
    assert "b_out" not in model.graph.offsets
    assert model.formats["b_out"] == Format(8, 6)


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("options", [
    {}, {"equalize": True, "correct": True, "refine": True}])
def test_engines_agree(tmp_path, softmax, options):
    graph = small_graph(softmax=softmax)
    images = inputs_for(graph, 6)
    model = quantized(graph, images, fit_ends=True, **options)
    assert "fc_out" in model.graph.offsets
    others = inputs_for(graph, 3, 9)
    results, codes = QdqSession(model).run(others)
    assert_same(codes, execute(model, quantize_input(model, others)))
    np.testing.assert_allclose(results, run(model, others), rtol=1e-4, atol=1e-5)
    exact = SlowReference(graph).tensors(others)
    if not softmax:
        assert snr_db(exact["fc_out"].ravel(), run(model, others).ravel()) > 18
    save(model, tmp_path / "model")
    np.testing.assert_array_equal(run(load(tmp_path / "model"), others), run(model, others))
    file = tmp_path / "model.onnx"
    file.write_bytes(export_qdq(model).SerializeToString())
    np.testing.assert_allclose(run(import_quantized(file), others), run(model, others), atol=1e-6)
