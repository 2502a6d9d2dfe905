"""Input unrolled by the host, and layouts as JSON."""

import json

import numpy as np
import pytest

from arch.formats import Format
from compiler.maps import InputLayout, OutputLayout
from compiler.plan import UNROLLS, plan_layers
from quantizer.graph import Window
from quantizer.layout import unpack_map

from .configs import SQUARE
from .networks import NetworkBuilder, random_codes


WINDOWS = (
    Window((3, 3), (1, 1), (1, 1, 1, 1)),
    Window((5, 2), (2, 3), (2, 0, 1, 1)),
    Window((2, 3), (1, 2), (0, 3, 3, 0), (2, 2)),
)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("unroll", UNROLLS[:-1])
def test_unrolled_input_with_reordered_weights_is_the_same_sum(window, unroll):
    rng = np.random.default_rng(8)
    b = NetworkBuilder(rng, (2, 9, 10))
    b.conv("input", 3, window.kernel, strides=window.strides, pads=window.pads,
           dilations=window.dilations)
    model = b.model()
    (plain,) = plan_layers(model, SQUARE)
    (task,) = plan_layers(model, SQUARE, unroll)
    codes = random_codes(rng, model)[0]
    used = window if unroll != "none" else Window()
    layout = InputLayout((2, 9, 10), Format(8, 4), 4, unroll, used)
    stored = unpack_map(layout.pack(codes), task.inputs[0].shape, 4, True)
    np.testing.assert_array_equal(_conv(stored, task), _conv(codes, plain))


def _conv(codes, task):
    """Return sums of products, without any library."""
    window = task.window
    top, left, bottom, right = window.pads
    padded = np.pad(codes, ((0, 0), (top, bottom), (left, right)))
    _, height, width = task.output.shape
    total = np.zeros(task.output.shape, np.int64)
    for r in range(window.kernel[0]):
        for s in range(window.kernel[1]):
            y, x = r * window.dilations[0], s * window.dilations[1]
            part = padded[
                :, y:y + (height - 1) * window.strides[0] + 1:window.strides[0],
                x:x + (width - 1) * window.strides[1] + 1:window.strides[1]]
            total += np.einsum("kc,chw->khw", task.codes[:, :, r, s], part)
    return total


@pytest.mark.parametrize("code_size", [1, 2])
def test_lines_for_the_loader_are_compact(code_size):
    layout = InputLayout((3, 2, 3), Format(8, 4), 4, "loader", WINDOWS[0], code_size, beat=4)
    codes = np.arange(-9, 9).reshape(3, 2, 3)
    size = 9 * code_size
    lines = np.frombuffer(layout.pack(codes), np.uint8).reshape(2, -(-size // 4) * 4)
    assert not lines[:, size:].any()
    for y in range(2):
        line = np.frombuffer(lines[y, :size].tobytes(), f"<i{code_size}").reshape(3, 3)
        np.testing.assert_array_equal(line, codes[:, y].T)


@pytest.mark.parametrize("code_size", [1, 2])
@pytest.mark.parametrize("unroll", UNROLLS)
def test_input_layout_as_json(unroll, code_size):
    layout = InputLayout((2, 9, 10), Format(8, -3, False), 8, unroll, WINDOWS[2], code_size)
    assert InputLayout.from_json(json.loads(json.dumps(layout.to_json()))) == layout


def test_output_layout():
    layout = OutputLayout((5, 2, 3), Format(8, 4), 4)
    assert OutputLayout.from_json(json.loads(json.dumps(layout.to_json()))) == layout
    assert layout.size == 48
    data = np.arange(48, dtype=np.uint8) + 100
    codes = layout.unpack(data.tobytes())
    assert codes.shape == (5, 2, 3)
    assert codes[4, 1, 2] == data.view(np.int8)[(1 * 3 + 2) * 8 + 4]


def test_output_layout_of_two_bytes():
    layout = OutputLayout((5, 2, 3), Format(16, 4), 4, 2)
    assert OutputLayout.from_json(json.loads(json.dumps(layout.to_json()))) == layout
    assert layout.size == 96
    words = (np.arange(48) * 1000).astype("<u2")
    assert layout.unpack(words.tobytes())[4, 1, 2] == words.view("<i2")[(1 * 3 + 2) * 8 + 4] < 0


def test_input_of_two_bytes():
    layout = InputLayout((3, 1, 1), Format(16, 4), 4, code_size=2)
    assert layout.pack(np.array([[[1]], [[-2]], [[0x1234]]])).hex(" ") == "01 00 fe ff 34 12 00 00"
