"""The integers of a layer suffice to compute it."""

import numpy as np
import pytest

from arch.formats import requantize
from quantizer.errors import ModelError
from quantizer.execute import execute, quantize_input
from quantizer.integers import layer_integers
from quantizer.layout import unpack_params, unpack_weights
from tests.quantizer.networks import inputs_for, quantized, small_graph


@pytest.mark.parametrize("weight_bits", [8, 12])
def test_layer_from_packed_integers(weight_bits):
    model = quantized(small_graph(), per_channel=True, weight_bits=weight_bits)
    layer = layer_integers(model, "fc_out")
    assert layer.name == "fc"
    data = layer.pack_weights(4, 8)
    weights = unpack_weights(data, layer.weights.shape, 4, 8, code_size=layer.code_size)
    bias, shift, upper = unpack_params(layer.pack_params(4), 4)
    assert bias.shape == (2, 4)
    codes = execute(model, quantize_input(model, inputs_for(model.graph)))
    acc = np.einsum("ncrs,kcrs->nk", codes["mean_out"], weights) + bias.ravel()[:5]
    y = requantize(acc, shift.ravel()[:5], layer.bounds[0], layer.upper)
    np.testing.assert_array_equal(upper.ravel()[:5], layer.upper & 0xFFFF)
    np.testing.assert_array_equal(y, codes["fc_out"][:, :, 0, 0])
    assert layer.input_format == model.formats["mean_out"]
    assert layer.output_format == model.formats["fc_out"]


def test_grouped_layer():
    model = quantized(small_graph())
    layer = layer_integers(model, "conv2")
    assert layer.groups == 6
    assert len(layer.pack_weights(2, 4)) == 2 * 3 * 9 * 8


def test_refuses_layer_without_weights():
    with pytest.raises(ModelError) as error:
        layer_integers(quantized(small_graph(), fuse_add=False), "add")
    assert str(error.value) == "Layer 'add' must be a convolution to have weights, not Add"
