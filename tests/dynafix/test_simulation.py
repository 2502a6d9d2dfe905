"""What is made of a simulation's events, and pictures."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from dynafix.api.pictures import picture
from dynafix.api.simulation import layer_cycles, timeline


EVENTS = [
    (2, "load", "start", 0), (9, "load", "done", 0), (9, "load", "start", 1),
    (10, "calc", "start", 0), (20, "calc", "done", 0), (21, "calc", "start", 0),
    (25, "load", "done", 1), (30, "calc", "done", 0), (31, "calc", "start", 1),
    (44, "calc", "done", 1), (45, "save", "start", 1), (50, "save", "done", 1),
]


def test_layer_cycles_add_up():
    assert layer_cycles(EVENTS, 2, 53) == [30, 23]


def test_layers_that_take_turns():
    events = [
        (10, "calc", "done", 0), (12, "calc", "done", 1), (15, "calc", "done", 0),
        (20, "calc", "done", 1)]
    assert layer_cycles(events, 3, 25) == [13, 7, 5]


def test_timeline():
    assert timeline(EVENTS) == [
        {"engine": "load", "layer": 0, "start": 2, "end": 9},
        {"engine": "load", "layer": 1, "start": 9, "end": 25},
        {"engine": "calc", "layer": 0, "start": 10, "end": 20},
        {"engine": "calc", "layer": 0, "start": 21, "end": 30},
        {"engine": "calc", "layer": 1, "start": 31, "end": 44},
        {"engine": "save", "layer": 1, "start": 45, "end": 50},
    ]


def _decoded(uri):
    head, data = uri.split(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def _random(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("shape", [(28, 28), (32, 30, 3), (9, 9, 1)])
def test_pictures(shape):
    image = _random(*shape)
    assert np.array_equal(_decoded(picture(image, (shape[-1], *shape[:2]))), image.squeeze())


def test_channels_first_picture():
    image = _random(3, 8, 6)
    assert np.array_equal(_decoded(picture(image, (3, 8, 6))), image.transpose(1, 2, 0))


def test_values_are_stretched():
    image = np.array([[-1.5, 0.0], [0.75, 1.5]], np.float32)
    assert _decoded(picture(image[np.newaxis], (1, 2, 2))).tolist() == [[0, 128], [191, 255]]
    assert _decoded(picture(np.full((2, 2), 7, np.int8), (1, 2, 2))).max() == 0


def test_large_pictures_shrink():
    assert _decoded(picture(_random(224, 448, 3), (3, 224, 448))).shape == (80, 160, 3)


def test_no_picture():
    assert picture(_random(640), (640,)) is None
    assert picture(_random(4, 8, 8), (4, 8, 8)) is None
