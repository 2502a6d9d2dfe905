"""Accuracy and losses against numbers worked out by hand."""

import numpy as np
import pytest

from arch.formats import Format
from dynafix.api.evaluation import check_labels, confidence, evaluate
from dynafix.data import Images
from dynafix.errors import UsageError
from dynafix.steps import Steps
from quantizer.graph import Graph, Pool
from quantizer.model import QuantizedModel


VALUES = np.array([[1.0, 0.0, 0.25], [0.0, 0.5, 1.0], [0.0, 0.25, 0.0], [0.25, 0.5, 1.75]],
                  np.float32)


class Reference:
    """The float network of an identity."""

    def run(self, inputs):
        return inputs

    def tensors(self, inputs):
        maps = inputs.reshape(-1, 3, 1, 1)
        return {"x": maps, "y": maps}


def _model(frac, bits=8):
    fmt = Format(bits, frac, signed=False)
    graph = Graph("identity", "x", "y", [Pool("copy", ("x",), "y")],
                  {"x": (3, 1, 1), "y": (3, 1, 1)}, (3,), (3,))
    return QuantizedModel(graph, {"x": fmt, "y": fmt}, {})


def _evaluate(labels, *models):
    images = Images("eval_x", 4, lambda indices: VALUES[np.asarray(indices)], np.array(labels),
                    "eval_y")
    static = models[1] if len(models) > 1 else None
    return evaluate(Reference(), models[0], static, images,
                    lambda indices: VALUES[np.asarray(indices)], Steps())


def test_accuracies():
    found = _evaluate([0, 2, 1, 1], _model(4), _model(0))
    assert found["float_accuracy"] == 0.75
    assert found["quantized_accuracy"] == 0.75
    assert found["static_accuracy"] == 0.5
    assert found["images_evaluated"] == 4
    assert found["float_classes"] == [0, 2, 1, 2]
    assert found["confidence_95"] == pytest.approx(1.96 * (0.75 * 0.25 / 4) ** 0.5)


def test_losses():
    exact, coarse = _model(4), _model(0)
    tensors = _evaluate([0, 2, 0, 1], exact, coarse)["tensors"]
    assert tensors["x"]["snr_db"] is None
    rounded = np.rint(VALUES.astype(float))
    expected = 10 * np.log10((VALUES**2).sum() / ((VALUES - rounded) ** 2).sum())
    assert tensors["x"]["static_snr_db"] == pytest.approx(expected)
    assert tensors["y"]["range"] == [0.0, 1.75]


def test_without_baseline():
    found = _evaluate([0, 2, 0, 1], _model(0))
    assert found["static_accuracy"] is None
    assert found["tensors"]["y"]["static_snr_db"] is None


@pytest.mark.parametrize("label", [-1, 3])
def test_label_out_of_range(label):
    images = Images("eval_x", 4, lambda indices: VALUES, np.array([0, 2, 0, label]), "eval_y")
    with pytest.raises(UsageError) as caught:
        check_labels(images, _model(4).graph)
    assert str(caught.value) == (
        f"eval_y: labels must be in 0..2, the network's outputs, not {label}")


def test_confidence():
    assert confidence(0.988, 500) == pytest.approx(0.00954, abs=1e-5)
    assert confidence(1.0, 10) == 0
