"""Data files: what is read, and the full text of every refusal."""

import io

import numpy as np
import pytest
from PIL import Image

from dynafix.data import load_data
from dynafix.errors import UsageError


def _npz(tmp_path, **arrays):
    path = tmp_path / "data.npz"
    np.savez(path, **arrays)
    return path


def _images(count=4, shape=(6, 5), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def _refused(path, **options):
    with pytest.raises(UsageError) as caught:
        load_data(path, **options)
    return str(caught.value)


def test_npz(tmp_path):
    calib, evaluation = _images(3), _images(4, seed=1)
    path = _npz(tmp_path, calib_x=calib, eval_x=evaluation, eval_y=np.arange(4, dtype=np.uint8),
                class_names=["a", "b"], scale=np.float32(0.5), zero_point=np.int32(83))
    data = load_data(path, calibration=2)
    assert (len(data.calibration), len(data.evaluation)) == (2, 4)
    assert data.calibration.labels is None
    assert data.evaluation.labels.tolist() == [0, 1, 2, 3]
    assert data.evaluation.labels_name == "data.npz: eval_y"
    assert np.array_equal(data.evaluation.read([2, 0]), evaluation[[2, 0]])
    assert (data.class_names, data.scale, data.zero_point) == (("a", "b"), 0.5, 83)
    assert len(data.digest()) == 64


def _packed(pictures):
    files = []
    for picture in pictures:
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, "png")
        files.append(stream.getvalue())
    offsets = np.cumsum([0, *map(len, files)])
    return np.frombuffer(b"".join(files), dtype=np.uint8), offsets


def test_packed_pictures(tmp_path):
    calib, evaluation = _images(2, (6, 5, 3)), _images(3, (6, 5, 3), seed=1)
    (calib_jpeg, calib_off), (eval_jpeg, eval_off) = _packed(calib), _packed(evaluation)
    path = _npz(tmp_path, calib_jpeg=calib_jpeg, calib_off=calib_off, eval_jpeg=eval_jpeg,
                eval_off=eval_off, eval_y=np.arange(3))
    data = load_data(path)
    assert len(data.calibration) == 2
    assert np.array_equal(data.evaluation.read([1, 2]), evaluation[1:])


def test_packed_pictures_without_their_end(tmp_path):
    packed, offsets = _packed(_images(2))
    path = _npz(tmp_path, calib_jpeg=packed, calib_off=offsets[:-1], eval_x=_images(),
                eval_y=np.arange(4))
    message = (f"{path}: 'calib_off' must hold integers from 0 upward, the start of each picture "
               f"in 'calib_jpeg', and its end, {packed.size}")
    assert _refused(path) == message
    for wrong in (offsets.astype(float), offsets[::-1], [-5, *offsets[1:]], [], 3):
        _npz(tmp_path, calib_jpeg=packed, calib_off=wrong, eval_x=_images(), eval_y=np.arange(4))
        assert _refused(path) == message
    _npz(tmp_path, calib_jpeg=packed.astype(float), calib_off=offsets, eval_x=_images(),
         eval_y=np.arange(4))
    assert _refused(path) == (
        f"{path}: 'calib_jpeg' must hold the bytes of all pictures, uint8 of one axis, not float64 "
        f"of shape {packed.shape}")


@pytest.mark.parametrize(("arrays", "message"), [
    ({"scale": np.ones(3)}, "'scale' must hold one finite number, not float64 of shape (3,)"),
    ({"scale": "a"}, "'scale' must hold one finite number, not a"),
    ({"scale": np.nan}, "'scale' must hold one finite number, not nan"),
    ({"scale": -1.0}, "'scale' must be positive, not -1"),
    ({"zero_point": np.inf}, "'zero_point' must hold one finite number, not inf"),
    ({"zero_point": 0.5}, "'zero_point' must be a whole number, not 0.5"),
    ({"class_names": "cat"}, "'class_names' must be a list of names, one a class, not of shape ()"),
])
def test_what_is_beside_the_images(tmp_path, arrays, message):
    path = _npz(tmp_path, calib_x=_images(), eval_x=_images(), eval_y=np.arange(4), **arrays)
    assert _refused(path) == f"{path}: {message}"


def test_packed_picture_unreadable(tmp_path):
    path = _npz(tmp_path, calib_jpeg=np.zeros(8, np.uint8), calib_off=[0, 8], eval_x=_images(),
                eval_y=np.arange(4))
    data = load_data(path)
    with pytest.raises(UsageError) as caught:
        data.calibration.read([0])
    assert str(caught.value) == f"{path}: picture 0 of 'calib_jpeg': not a readable picture"


def _folder(tmp_path, counts, size=(6, 5)):
    for label, count in counts.items():
        (tmp_path / label).mkdir()
        for i, picture in enumerate(_images(count, (*size, 3), seed=len(label))):
            Image.fromarray(picture).save(tmp_path / label / f"{i}.png")


def test_folder_of_pictures(tmp_path):
    _folder(tmp_path, {"cat": 3, "zebra": 4})
    data = load_data(tmp_path, calibration=2)
    assert data.class_names == ("cat", "zebra")
    assert (len(data.calibration), len(data.evaluation)) == (2, 5)
    labels = [*data.calibration.labels, *data.evaluation.labels]
    assert sorted(labels) == [0, 0, 0, 1, 1, 1, 1]
    assert data.evaluation.read([0, 1]).shape == (2, 6, 5, 3)
    again = load_data(tmp_path, calibration=2)
    assert np.array_equal(again.evaluation.read(range(5)), data.evaluation.read(range(5)))


def test_folder_calibrates_with_at_most_half(tmp_path):
    _folder(tmp_path, {"a": 3, "b": 4})
    assert len(load_data(tmp_path).calibration) == 3


def test_gray_and_color_pictures(tmp_path):
    _folder(tmp_path, {"a": 3})
    gray = _images(1)[0]
    for index in range(3):
        Image.fromarray(gray).save(tmp_path / "a" / f"gray{index}.png")
    data = load_data(tmp_path)
    pictures = [*data.calibration.read(range(3)), *data.evaluation.read(range(3))]
    assert {picture.shape for picture in pictures} == {(6, 5, 3)}
    assert sum(np.array_equal(picture, np.stack([gray] * 3, 2)) for picture in pictures) == 3


def test_gray_pictures_stay_gray(tmp_path):
    (tmp_path / "a").mkdir()
    for index, picture in enumerate(_images(2)):
        Image.fromarray(picture).save(tmp_path / "a" / f"{index}.png")
    assert load_data(tmp_path).calibration.read([0]).shape == (1, 6, 5)


def test_folder_without_pictures(tmp_path):
    assert _refused(tmp_path) == (
        f"--data {tmp_path}: must hold one folder of pictures a class, at least two pictures in "
        f"all (.png, .jpg, .jpeg, .bmp, .gif, .webp, .ppm, .pgm), not 0")


def test_empty_name():
    assert _refused("") == "--data must not be empty"


def test_missing_file(tmp_path):
    assert _refused(tmp_path / "no.npz") == f"--data {tmp_path / 'no.npz'}: no such file or folder"


def test_not_an_npz(tmp_path):
    path = tmp_path / "text.npz"
    path.write_text("hello")
    assert _refused(path) == (f"--data {path}: must be an .npz file, or a folder of pictures with "
                              f"one folder a class")


def test_pickled(tmp_path):
    path = _npz(tmp_path, calib_x=np.array([{}], dtype=object))
    assert _refused(path) == (
        f"--data {path}: not readable as .npz (Object arrays cannot be loaded when "
        f"allow_pickle=False)")


def test_images_missing(tmp_path):
    path = _npz(tmp_path, x=_images())
    assert _refused(path) == (f"{path}: 'calib_x' is missing: the calibration images. "
                              f"The file holds x")


def test_labels_missing(tmp_path):
    path = _npz(tmp_path, calib_x=_images(), eval_x=_images())
    assert _refused(path) == (f"{path}: 'eval_y' is missing: the labels of the 4 images of "
                              f"'eval_x', one integer each")


def test_labels_of_another_shape(tmp_path):
    path = _npz(tmp_path, calib_x=_images(), eval_x=_images(), eval_y=np.zeros((3,)))
    assert _refused(path) == (f"{path}: 'eval_y' must hold 4 integers, one label an image, not "
                              f"float64 of shape (3,)")


def test_empty_calibration(tmp_path):
    path = _npz(tmp_path, calib_x=_images(0), eval_x=_images(), eval_y=np.arange(4))
    assert _refused(path) == (f"{path}: 'calib_x' is empty: at least one calibration image is "
                              f"needed")


def test_no_calibration_asked_for(tmp_path):
    path = _npz(tmp_path, calib_x=_images(), eval_x=_images(), eval_y=np.arange(4))
    assert _refused(path, calibration=0) == "--calibration must be at least 1 image, not 0"


def test_nan(tmp_path):
    images = np.zeros((4, 1, 3, 3), np.float32)
    images[2, 0, 1, 1] = np.nan
    path = _npz(tmp_path, calib_x=images, eval_x=images, eval_y=np.arange(4))
    assert _refused(path) == f"{path}: 'calib_x' holds NaN or infinity in image 2 (1 of 4 images)"


def test_dtype(tmp_path):
    path = _npz(tmp_path, calib_x=np.array([["a", "b"]]), eval_x=_images(), eval_y=np.arange(4))
    assert _refused(path) == (f"{path}: 'calib_x' must hold integers or floating point numbers, "
                              f"not <U1")


def test_one_number_an_image(tmp_path):
    path = _npz(tmp_path, calib_x=np.zeros(3), eval_x=_images(), eval_y=np.arange(4))
    assert _refused(path) == f"{path}: 'calib_x' must have one image a row, not shape (3,)"
