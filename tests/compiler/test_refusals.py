"""What cannot run is refused, with the layer, the buffer and what would do."""

import re
from dataclasses import replace

import numpy as np
import pytest

from arch.config import preset
from arch.formats import Format, Rounding
from compiler import CompileError, compile_model
from quantizer.graph import Graph, Softmax

from .configs import NANO
from .networks import NetworkBuilder


def build(shape=(4, 6, 6), **options):
    return NetworkBuilder(np.random.default_rng(2), shape, **options)


def refuse(model, config, message):
    with pytest.raises(CompileError, match=f"^{re.escape(message)}$"):
        compile_model(model, config)


def test_feature_memory_too_small():
    b = build((64, 6, 6))
    x = b.conv("input", 40, (1, 1))
    model = b.model(b.fc(x, 4))
    refuse(model, NANO, (
        "Layer 'conv1': one output position needs 361 rows of 4 bytes of feature memory (its "
        "windows and its result), config 'nano' has 256; use a feature_depth of at least 512, or "
        "preset tiny or small or ecp5_85f or large"))
    compile_model(model, replace(NANO, feature_depth=512))
    compile_model(model, preset("tiny"))


def test_accumulator_that_could_overflow():
    b = build((64, 40, 40), signed=False)
    x = b.fc("input", 2)
    model = b.model(x)
    weights = model.weights["conv0"]
    weights.bias[1] = (1 << 31) - 1
    refuse(model, preset("tiny"), (
        "Layer 'conv0': an accumulator can need 33 bits, the config has 32 (acc_bits); use fewer "
        "data or weight bits for this layer"))


def test_worst_accumulator_is_reported():
    b = build((1, 2, 2))
    b.fc("input", 1)
    model = b.model()
    model.weights["conv0"].codes[:] = 127
    model.weights["conv0"].bias[:] = -3
    program = compile_model(model, preset("tiny"))
    assert program.worst_acc_bits == (4 * 127 * 128 + 3).bit_length() + 1


def test_accumulator_of_a_clamped_input_is_smaller():
    b = build((1, 2, 2))
    x = b.clamp("input")  # 0..127
    b.fc(x, 1)
    model = b.model()
    model.weights["conv1"].codes[:] = 127
    model.weights["conv1"].bias[:] = 0
    assert compile_model(model, preset("tiny")).layers[1].acc_bits == (
        4 * 127 * 127).bit_length() + 1


def test_data_bits():
    b = build()
    b.conv("input", 4)
    model = b.model()
    model.formats["conv0_out"] = Format(16, 3)
    refuse(model, preset("tiny"), (
        "Layer 'conv0': tensor 'conv0_out' has codes of 16 bits, config 'tiny' computes with 8 "
        "(data_bits); quantize with at most 8 data bits"))


def test_weight_bits():
    b = build()
    b.conv("input", 4)
    model = b.model()
    model.weights["conv0"] = replace(model.weights["conv0"], bits=16)
    refuse(model, preset("tiny"), (
        "Layer 'conv0': weights have 16 bits, config 'tiny' multiplies by 8 (weight_bits); "
        "quantize with at most 8 weight bits"))


def test_shift_out_of_range():
    b = build()
    b.conv("input", 4)
    model = b.model()
    model.formats["conv0_out"] = Format(8, 60)
    with pytest.raises(CompileError, match=(
            r"^Layer 'conv0': right shifts must be in 0..31 bits, not -\d+..-\d+; choose other "
            r"formats for its weights or output$")):
        compile_model(model, preset("tiny"))


def test_alignment_out_of_range():
    b = build()
    x = b.conv("input", 4, (3, 3), pads=(1, 1, 1, 1))
    b.add(x, "input")
    model = b.model()
    model.formats["add1_out"] = Format(8, model.formats["input"].frac - 40)
    with pytest.raises(CompileError, match=(
            r"^Layer 'add1': shifts must be at most 15 bits left and 0..31 right, not \(\d+, \d+\) "
            r"and \d+; choose closer formats for its inputs and output$")):
        compile_model(model, preset("tiny"))


def test_rounding_of_another_config():
    b = build()
    b.conv("input", 4)
    refuse(b.model(rounding=Rounding.FLOOR), preset("tiny"), (
        "Config 'tiny' rounds half_even, the model was quantized for floor; use a config with "
        "that rounding, or quantize again"))


def test_more_layers_than_counters():
    b = build()
    x = "input"
    for _ in range(5):
        x = b.clamp(x)
    refuse(b.model(), replace(NANO, layer_depth=4), (
        "Network 'network' has 5 layers, the counters of config 'nano' tell 4 apart; use a "
        "layer_depth of at least 8"))


def test_map_wider_than_the_counters():
    b = build((1, 1, 2050))
    b.conv("input", 2, (1, 3), pads=(0, 1, 0, 1))
    refuse(b.model(), preset("large"), (
        "Layer 'conv0': columns of its input must be in -2048..2047, padding included, not "
        "-1..2050"))


def test_nothing_to_accelerate():
    node = Softmax("softmax", ("input",), "out")
    shape = {"input": (4, 1, 1), "out": (4, 1, 1)}
    b = build()
    model = b.model("input")
    model.graph = Graph("only", "input", "out", [node], shape, (4,), (4,))
    refuse(model, preset("tiny"), (
        "Network 'only' has no layer for the accelerator between input and output"))


def test_softmax_is_left_to_the_host():
    b = build()
    x = b.fc("input", 4)
    model = b.model()
    b.nodes.append(Softmax("softmax", (x,), "probabilities"))
    b.shapes["probabilities"] = (4, 1, 1)
    model.graph.output = "probabilities"
    program = compile_model(model, preset("tiny"))
    assert program.output_name == x
    assert [layer.name for layer in program.layers] == ["conv0"]


def test_input_codes_are_checked():
    b = build((2, 3, 3), signed=False)
    b.conv("input", 2)
    layout = compile_model(b.model(), preset("tiny")).input_layout
    codes = np.zeros((2, 3, 3), np.int64)
    shapes = r"^Input codes must have shape \(2, 3, 3\), not \(3, 3\)$"
    with pytest.raises(ValueError, match=shapes):
        layout.pack(codes[0])
    with pytest.raises(ValueError, match=r"^Input codes must be in 0..255, not -1..-1$"):
        layout.pack(codes - 1)
    with pytest.raises(TypeError, match=r"^Input codes must be integers, not float64$"):
        layout.pack(codes * 0.5)


UP5K = preset("up5k")


def test_operator_without_vector_unit():
    b = build((4, 8, 8))
    x = b.conv("input", 4, (1, 1))
    model = b.model(b.add(x, b.conv("input", 4, (1, 1))))
    refuse(model, UP5K, (
        "Layer 'add2': Add + ReLU needs the vector unit, config 'up5k' has none (vector_unit); use "
        "a config with it"))


def test_loops_that_are_too_long():
    b = build((4, 3, 70))
    model = b.model(b.conv("input", 4, (1, 1)))
    refuse(model, UP5K, (
        "Layer 'conv0': its maps and loops need 7 bits (width is 70), config 'up5k' has 6 "
        "(loop_bits); use a loop_bits of at least 7"))


def test_network_that_cannot_be_addressed():
    model = build((8, 20, 20))
    model = model.model(model.conv("input", 64, (20, 20)))
    refuse(model, replace(UP5K, acc_bits=32), (
        "Network 'network' takes 237632 bytes of DRAM, config 'up5k' addresses 131072 "
        "(address_bits); use an address_bits of at least 18"))
