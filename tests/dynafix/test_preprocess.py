"""Preprocessing against the rule written out, and the full text of every refusal."""

import json

import numpy as np
import pytest

from dynafix.data import Dataset, Images
from dynafix.errors import UsageError
from dynafix.preprocess import Preprocess, resolve


IMAGENET = json.dumps({"src": "imagenet", "crop": 4, "resize": None, "color": "BGR",
                       "mean": [104.0, 117.0, 123.0], "std": [1.0, 2.0, 4.0]})


def _pictures(shape, seed=0, dtype=np.uint8):
    return np.random.default_rng(seed).integers(0, 256, (3, *shape)).astype(dtype)


def _data(images, **fields):
    part = Images("data.npz: calib_x", len(images), lambda indices: images[np.asarray(indices)])
    return Dataset("data.npz", part, part, **fields)


def _rule(images, metadata=None, dims=(3, 8, 8), fields=None, **options):
    return resolve(metadata, options, _data(images, **(fields or {})), dims)


def _refused(action, *arguments, **options):
    with pytest.raises(UsageError) as caught:
        action(*arguments, **options)
    return str(caught.value)


def test_crop_color_normalize():
    images = _pictures((8, 8, 3))
    rule = _rule(images, IMAGENET, (3, 4, 4))
    expected = images[:, 2:6, 2:6, ::-1].astype(np.float32)
    expected = (expected - np.float32([104, 117, 123])) / np.float32([1, 2, 4])
    got = rule.apply(images, (3, 4, 4))
    assert got.dtype == np.float32
    assert np.array_equal(got, expected.transpose(0, 3, 1, 2))
    assert str(rule) == "crop 4, BGR, (x − 104 117 123) / 1 2 4, from the model's metadata"


def test_gray_of_color():
    images = _pictures((4, 4, 3))
    rule = _rule(images, '{"color": "GRAY", "mean": [0], "std": [256]}', (1, 4, 4))
    red, green, blue = images.astype(float).transpose(3, 0, 1, 2)
    expected = np.round(0.299 * red + 0.587 * green + 0.114 * blue) / 256
    assert np.array_equal(rule.apply(images, (1, 4, 4))[:, 0], expected.astype(np.float32))


def test_gray_pictures():
    images = _pictures((4, 4))
    rule = _rule(images, '{"color": "GRAY", "mean": [0], "std": [256]}', (1, 4, 4))
    assert np.array_equal(rule.apply(images, (1, 4, 4))[:, 0], np.float32(images) / 256)
    assert str(rule) == "GRAY, (x − 0) / 256, from the model's metadata"


def test_channels_first_pictures():
    images = _pictures((3, 8, 8))
    rule = _rule(images, mean=[1, 2, 3], std=[2])
    expected = (np.float32(images) - np.float32([1, 2, 3]).reshape(3, 1, 1)) / 2
    assert np.array_equal(rule.apply(images, (3, 8, 8)), expected)


def test_vectors():
    images = _pictures((10,))
    rule = _rule(images, mean=[8], std=[4], dims=(10,))
    assert np.array_equal(rule.apply(images, (10,)), (np.float32(images) - 8) / 4)


def test_keyword_spotting():
    images = _pictures((6, 4), dtype=np.int8)
    metadata = '{"src": "kws", "formula": "(q-zero_point)*scale"}'
    rule = _rule(images, metadata, (1, 6, 4), {"scale": 0.5847, "zero_point": 83})
    expected = (np.float32(images) - np.float32(83)) * np.float32(0.5847)
    assert np.array_equal(rule.apply(images, (1, 6, 4))[:, 0], expected)
    assert str(rule) == "(q − 83) × 0.5847, from the model's metadata and the data"


def test_floats_as_they_are():
    images = np.random.default_rng(0).standard_normal((3, 1, 4, 4)).astype(np.float32)
    rule = _rule(images, None, (1, 4, 4))
    assert np.array_equal(rule.apply(images, (1, 4, 4)), images)
    assert str(rule) == "values as they are, from the data (float32)"


def test_options_over_metadata():
    rule = _rule(_pictures((8, 8, 3)), IMAGENET, crop=6, color="RGB")
    assert str(rule) == ("crop 6, RGB, (x − 104 117 123) / 1 2 4, from options over the model's "
                         "metadata")


def test_resize_shorter_side_and_both():
    images = np.full((2, 8, 16, 3), 77, np.uint8)
    rule = _rule(images, mean=[0], std=[1], resize=4, crop=4)
    assert np.array_equal(rule.apply(images, (3, 4, 4)), np.full((2, 3, 4, 4), 77, np.float32))
    rule = _rule(images, mean=[0], std=[1], resize=(4, 8))
    assert rule.apply(list(images), (3, 4, 8)).shape == (2, 3, 4, 8)
    assert str(rule) == "resize 4×8, (x − 0) / 1, from options"


def test_json_round_trip():
    rule = _rule(_pictures((8, 8, 3)), IMAGENET, resize=(9, 9))
    assert Preprocess.from_json(json.loads(json.dumps(rule.to_json()))) == rule


def test_no_rule():
    assert _refused(_rule, _pictures((8, 8, 3))) == (
        "The model has no 'preprocess' metadata, and data.npz: calib_x holds uint8 values. Say "
        "how they become the network's input, for example --mean 0 --std 255")


def test_options_on_floats():
    images = np.zeros((3, 1, 4, 4), np.float32)
    assert _refused(_rule, images, None, (1, 4, 4), std=[2]) == (
        "--std: data.npz: calib_x holds float32 values, which are taken as they are; "
        "preprocessing options are for integer pictures")


def test_another_size():
    images = _pictures((9, 8, 3))
    rule = _rule(images, mean=[0])
    assert _refused(rule.apply, images, (3, 8, 8), "eval_x") == (
        "eval_x: images must be 3×8×8, the network's input, not 3×9×8. Give --resize 8x8")


def test_another_shape_of_floats():
    rule = _rule(np.zeros((3, 1, 4, 4), np.float32))
    assert _refused(rule.apply, np.zeros((3, 1, 5, 4), np.float32), (1, 4, 4), "eval_x") == (
        "eval_x: images must have the shape of the network's input 1×4×4, not 1×5×4")


def test_different_sizes():
    images = [np.zeros((4, 4, 3), np.uint8), np.zeros((5, 4, 3), np.uint8)]
    rule = _rule(_pictures((4, 4, 3)), mean=[0])
    assert _refused(rule.apply, images, (3, 4, 4), "photos") == (
        "photos: the pictures have different sizes. Give --resize 4x4")


def test_gray_for_a_color_network():
    rule = _rule(_pictures((8, 8)), mean=[0])
    assert _refused(rule.apply, _pictures((8, 8)), (3, 8, 8), "photos") == (
        "photos: pictures must have 3 channels, as the network's input, not 1")


def test_color_for_a_gray_network():
    rule = _rule(_pictures((8, 8, 3)), mean=[0])
    assert _refused(rule.apply, _pictures((8, 8, 3)), (1, 8, 8), "photos") == (
        "photos: pictures have 3 channels, the network's input has 1. Give --color GRAY")


def test_crop_too_large():
    rule = _rule(_pictures((8, 8, 3)), mean=[0], crop=9)
    assert _refused(rule.apply, _pictures((8, 8, 3)), (3, 9, 9), "photos") == (
        "photos: a picture of 8×8 is too small for a crop of 9. Give --resize 9")


def test_mean_of_wrong_length():
    rule = _rule(_pictures((8, 8, 3)), mean=[0, 1])
    assert _refused(rule.apply, _pictures((8, 8, 3)), (3, 8, 8)) == (
        "--mean must have 1 value or one a channel (3), not 2")


@pytest.mark.parametrize(("options", "message"), [
    ({"mean": ["a"]}, "--mean must be finite numbers, not ['a']"),
    ({"std": [0.0, 1.0, 1.0]}, "--std must not be zero, not 0 1 1"),
    ({"mean": [0], "color": "HSV"}, "--color must be one of RGB, BGR, GRAY, not 'HSV'"),
    ({"mean": [0], "crop": -1}, "--crop must be a positive number of pixels, not -1"),
    ({"mean": [0], "resize": (3, 99999999)}, "--resize must be at most 4096 pixels, not 99999999"),
    ({"mean": [0], "crop": 4097}, "--crop must be at most 4096 pixels, not 4097"),
    ({"mean": [0], "resize": (3, 0)}, "--resize must be a positive number of pixels, not (3, 0)"),
])
def test_bad_options(options, message):
    assert _refused(_rule, _pictures((8, 8, 3)), **options) == message


@pytest.mark.parametrize(("metadata", "message"), [
    ("mean 0", "The model's 'preprocess' metadata is not JSON: 'mean 0'"),
    ('{"gamma": 2}', ("The model's 'preprocess' metadata has unknown 'gamma'; known are src, "
                     "resize, crop, color, mean, std, formula")),
    ('{"formula": "q*q"}', ("The model's 'preprocess' formula must be (q-zero_point)*scale, not "
                           "'q*q'")),
    ('{"formula": "(q-zero_point)*scale"}', ("data.npz: 'scale' and 'zero_point' are missing: the "
                                            "model's preprocessing is (q-zero_point)*scale")),
])
def test_bad_metadata(metadata, message):
    assert _refused(_rule, _pictures((8, 8, 3)), metadata) == message


def test_resize_of_wide_integers():
    images = _pictures((8, 8, 3), dtype=np.int16)
    rule = _rule(images, mean=[0], resize=4)
    assert _refused(rule.apply, images, (3, 4, 4)) == "--resize: pictures must be uint8, not int16"


@pytest.mark.parametrize(("dtype", "value"), [("int64", 76500), ("int16", -1), ("uint16", 256)])
def test_integers_that_are_no_pictures(dtype, value):
    images = _pictures((8, 8, 3), dtype=dtype)
    images[1, 2, 3, 0] = value
    rule = _rule(images, mean=[0])
    low, high = images.min(), images.max()
    assert _refused(rule.apply, images, (3, 8, 8), "eval_x") == (
        f"eval_x: pictures must be integers in 0..255, not {low} … {high} ({dtype}). Store uint8, "
        f"or floating point numbers that are the network's input already, or 'scale' and "
        f"'zero_point' beside the integers")


def test_kinds_differ():
    floats = np.zeros((2, 3, 8, 8), np.float32)
    pictures = _pictures((8, 8, 3))
    for first, second in ((floats, pictures), (pictures, floats)):
        data = Dataset("data.npz", *(
            Images(name, len(x), lambda indices, x=x: x[np.asarray(indices)])
            for name, x in (("calib_x", first), ("eval_x", second))))
        assert _refused(resolve, IMAGENET, {}, data, (3, 8, 8)) == (
            f"calib_x holds {first.dtype} values, eval_x {second.dtype} values: both must be "
            f"integer pictures, or both floating point numbers that are the network's input "
            f"already")


def test_half_precision():
    """Whose numbers end below the limit."""
    images = np.linspace(-60000, 60000, 32).reshape(2, 1, 4, 4).astype(np.float16)
    found = _rule(images, dims=(1, 4, 4)).apply(images, (1, 4, 4), "eval_x")
    assert np.array_equal(found, images.astype(np.float32))


def test_huge_values():
    images = np.full((2, 1, 4, 4), 1e30)
    images[0] = 0
    rule = _rule(images, dims=(1, 4, 4))
    assert _refused(rule.apply, images, (1, 4, 4), "eval_x") == (
        "eval_x: inputs of the network must be in ±1e+09, not 0 … 1e+30")
    pictures = _pictures((4, 4))
    pictures[0, 0, 0] = 0
    rule = _rule(pictures, mean=[0], std=[1e-40], dims=(1, 4, 4))
    assert _refused(rule.apply, np.minimum(pictures, 1) * np.uint8(255), (1, 4, 4), "eval_x") == (
        "eval_x: inputs of the network must be in ±1e+09, not 0 … inf, after (x − 0) / 1e-40, "
        "from options")


def test_four_channels():
    rule = _rule(_pictures((8, 8, 4)), mean=[0], dims=(1, 8, 8))
    assert _refused(rule.apply, _pictures((8, 8, 4)), (1, 8, 8), "eval_x") == (
        "eval_x: pictures must be (h, w) or, in color, (h, w, 3), not (8, 8, 4)")


@pytest.mark.parametrize(("dims", "hint"), [
    ((1, 8, 8), "Give --crop 8, not 6"), ((1, 8, 7), "Give --resize 8x7 without --crop")])
def test_crop_of_another_size(dims, hint):
    rule = _rule(_pictures((9, 9)), mean=[0], crop=6, dims=dims)
    shape = "×".join(map(str, dims))
    assert _refused(rule.apply, _pictures((9, 9)), dims, "eval_x") == (
        f"eval_x: images must be {shape}, the network's input, not 1×6×6. {hint}")


def test_resize_of_a_stripe():
    images = _pictures((1, 8))
    rule = _rule(images, mean=[0], resize=4096, dims=(1, 8, 8))
    assert _refused(rule.apply, images, (1, 8, 8), "eval_x") == (
        "eval_x: a picture of 1×8 would become 4096×32768, more than 16384 pixels a side. "
        "Give --resize HxW")


def test_messages_name_the_model():
    data, rule = _data(_pictures((8, 8, 3))), '{"mean": "a"}'
    for metadata, message in (
            ("{", "m.onnx's 'preprocess' metadata is not JSON: '{'"),
            (rule, "m.onnx's 'preprocess' metadata: mean must be finite numbers, not 'a'")):
        assert _refused(resolve, metadata, {}, data, (3, 8, 8), model="m.onnx") == message
