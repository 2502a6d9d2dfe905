"""Images to calibrate and to evaluate with, from an ``.npz`` file or a folder of pictures."""

import io
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import UsageError
from .files import named, sha256


__all__ = (
    "Dataset",
    "Images",
    "load_data",
    "load_evaluation",
    "load_pictures",
)


PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm")
GRAY_MODES = ("1", "L")


@dataclass(frozen=True)
class Images:
    """A list of images, read when asked for.

    Parameters
    ----------
    name : str
        Where they come from, for messages.
    count : int
        How many there are.
    read : callable
        Takes indices and returns the images: one array when they share one shape and dtype,
        else a list.
    labels : int64, (count,), or None
        Class of each image.
    labels_name : str
        Where the labels come from, for messages; that of the images by default.
    targets : float32, (count, ...), or None
        What the network should return for each image, in place of labels.
    """

    name: str
    count: int
    read: Callable[[Sequence[int]], NDArray | list[NDArray]]
    labels: NDArray[np.int64] | None = None
    labels_name: str = ""
    targets: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """Return how many images there are."""
        return self.count


@dataclass(frozen=True)
class Dataset:
    """Calibration and evaluation images; the two are disjoint.

    Parameters
    ----------
    path : Path
        The file or folder.
    calibration, evaluation : Images
        The images; those for evaluation have labels.
    class_names : tuple of str, or None
        Name of each class.
    scale, zero_point : float and int, or None
        What integer arrays stand for: ``(q - zero_point) * scale``.
    """

    path: Path
    calibration: Images
    evaluation: Images
    class_names: tuple[str, ...] | None = None
    scale: float | None = None
    zero_point: int | None = None

    def digest(self) -> str:
        """Return the SHA-256 digest of the file or folder."""
        return sha256(self.path)


def load_data(path: str | Path, *, calibration: int = 100) -> Dataset:
    """Open images.

    Parameters
    ----------
    path : path
        An ``.npz`` file with ``calib_x``, ``eval_x`` and ``eval_y`` (and, if wanted, ``calib_y``,
        ``class_names``, ``scale``, ``zero_point``); ``calib_jpeg`` and ``calib_off`` (likewise
        ``eval_*``) hold packed JPEG files instead. Or a folder with one folder of pictures a class.
    calibration : int
        Most images to calibrate with; from a folder of pictures that many, and at most half, are
        set aside, chosen with a fixed seed.

    Returns
    -------
    Dataset
        The images.

    Raises
    ------
    UsageError
        If something is missing, empty or of a wrong type.
    """
    path = named(path, "--data")
    if calibration < 1:
        raise UsageError(f"--calibration must be at least 1 image, not {calibration}")
    if not path.exists():
        raise UsageError(f"--data {path}: no such file or folder")
    if path.is_dir():
        return _load_folder(path, calibration)
    return _load_npz(path, calibration)


def load_evaluation(path: str | Path, *, calibration: int | None = None) -> Images:
    """Open images to evaluate with.

    Parameters
    ----------
    path : path
        As for :func:`load_data`, but an ``.npz`` file needs no calibration images, and its
        ``eval_y`` may hold floating point numbers, what the network should return for each image.
    calibration : int, optional
        How many images to calibrate with :func:`load_data` was asked for; those that it set aside
        from a folder are left out.

    Returns
    -------
    Images
        The images, with labels or targets.

    Raises
    ------
    UsageError
        If something is missing, empty or of a wrong type.
    """
    path = named(path, "--data")
    if not path.exists():
        raise UsageError(f"--data {path}: no such file or folder")
    if path.is_dir():
        return _load_folder(path, calibration or 0).evaluation
    return _part(path, _arrays(path), "eval", labeled=True, targets=True)


def load_pictures(files: Sequence[str | Path]) -> Images:
    """Open picture files as images without labels.

    Raises
    ------
    UsageError
        If one does not exist. One that is not readable is refused when it is read.
    """
    paths = [named(file, "IMAGE") for file in files]
    for path in paths:
        if not path.is_file():
            raise UsageError(f"{path}: no such picture")
    mode = _common_mode(paths)

    def read(indices: Sequence[int]) -> NDArray | list[NDArray]:
        return _stack([_picture(paths[i], str(paths[i]), mode) for i in indices])

    return Images("the pictures", len(paths), read)


def _arrays(path: Path) -> dict[str, NDArray]:
    if not zipfile.is_zipfile(path):
        raise UsageError(f"--data {path}: must be an .npz file, or a folder of pictures with one "
                         f"folder a class")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise UsageError(f"--data {path}: not readable as .npz ({error})") from error


def _load_npz(path: Path, calibration: int) -> Dataset:
    arrays = _arrays(path)
    names = arrays.get("class_names")
    if names is not None and names.ndim != 1:
        raise UsageError(f"{path}: 'class_names' must be a list of names, one a class, not of "
                         f"shape {names.shape}")
    scale, zero_point = _number(path, arrays, "scale"), _number(path, arrays, "zero_point")
    if scale is not None and scale <= 0:
        raise UsageError(f"{path}: 'scale' must be positive, not {scale:g}")
    if zero_point is not None and not zero_point.is_integer():
        raise UsageError(f"{path}: 'zero_point' must be a whole number, not {zero_point:g}")
    return Dataset(
        path,
        _part(path, arrays, "calib", most=calibration),
        _part(path, arrays, "eval", labeled=True),
        None if names is None else tuple(str(name) for name in names),
        scale,
        None if zero_point is None else int(zero_point),
    )


def _number(path: Path, arrays: dict[str, NDArray], key: str) -> float | None:
    """Return the number that an array holds, ``None`` where there is no array."""
    if key not in arrays:
        return None
    values = arrays[key]
    if values.size != 1 or values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        found = values.item() if values.size == 1 else f"{values.dtype} of shape {values.shape}"
        raise UsageError(f"{path}: '{key}' must hold one finite number, not {found}")
    return float(values.item())


def _part(path: Path, arrays: dict[str, NDArray], part: str, *, most: int | None = None,
          labeled: bool = False, targets: bool = False) -> Images:
    what = {"calib": "calibration", "eval": "evaluation"}[part]
    if f"{part}_jpeg" in arrays:
        name, count, read = _packed(path, arrays, part)
    elif f"{part}_x" in arrays:
        name, (count, read) = f"{path.name}: {part}_x", _plain(path, arrays[f"{part}_x"], part)
    else:
        raise UsageError(f"{path}: '{part}_x' is missing: the {what} images. "
                         f"The file holds {', '.join(sorted(arrays)) or 'nothing'}")
    if not count:
        raise UsageError(f"{path}: '{part}_x' is empty: at least one {what} image is needed")
    truth, labels_name = arrays.get(f"{part}_y"), f"{path.name}: {part}_y"
    if targets and truth is not None and truth.dtype.kind == "f":
        return Images(name, count, read, None, labels_name, _targets(path, truth, part, count))
    labels = _labels(path, truth, part, count, labeled=labeled)
    if most is not None and most < count:
        count, labels = most, None if labels is None else labels[:most]
    return Images(name, count, read, labels, labels_name)


def _plain(path: Path, values: NDArray, part: str) -> tuple[int, Callable]:
    if values.ndim < 2:
        raise UsageError(f"{path}: '{part}_x' must have one image a row, not shape {values.shape}")
    if values.dtype.kind not in "iuf":
        raise UsageError(f"{path}: '{part}_x' must hold integers or floating point numbers, "
                         f"not {values.dtype}")
    if values.dtype.kind == "f":
        bad = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
        if bad.any():
            raise UsageError(f"{path}: '{part}_x' holds NaN or infinity in image "
                             f"{int(np.argmax(bad))} ({int(bad.sum())} of {len(values)} images)")
    return len(values), lambda indices: values[np.asarray(indices)]


def _packed(path: Path, arrays: dict[str, NDArray], part: str) -> tuple[str, int, Callable]:
    packed, offsets = arrays[f"{part}_jpeg"], arrays.get(f"{part}_off")
    if packed.dtype != np.uint8 or packed.ndim != 1:
        raise UsageError(f"{path}: '{part}_jpeg' must hold the bytes of all pictures, uint8 of one "
                         f"axis, not {packed.dtype} of shape {packed.shape}")
    if offsets is None or offsets.ndim != 1 or offsets.dtype.kind not in "iu" or (
            len(offsets) < 1 or offsets[0] != 0 or offsets[-1] != packed.size
            or np.any(offsets[1:] < offsets[:-1])):
        raise UsageError(f"{path}: '{part}_off' must hold integers from 0 upward, the start of "
                         f"each picture in '{part}_jpeg', and its end, {packed.size}")

    def file(index: int) -> io.BytesIO:
        return io.BytesIO(packed[offsets[index]:offsets[index + 1]].tobytes())

    mode = _common_mode(file(i) for i in range(len(offsets) - 1))

    def read(indices: Sequence[int]) -> NDArray | list[NDArray]:
        return _stack([
            _picture(file(i), f"{path}: picture {i} of '{part}_jpeg'", mode) for i in indices])

    return f"{path.name}: {part}_jpeg", len(offsets) - 1, read


def _labels(path: Path, values: NDArray | None, part: str, count: int, *,
            labeled: bool) -> NDArray[np.int64] | None:
    if values is None:
        if labeled:
            raise UsageError(f"{path}: '{part}_y' is missing: the labels of the {count} images "
                             f"of '{part}_x', one integer each")
        return None
    if values.shape != (count,) or values.dtype.kind not in "iu":
        raise UsageError(f"{path}: '{part}_y' must hold {count} integers, one label an image, "
                         f"not {values.dtype} of shape {values.shape}")
    return values.astype(np.int64)


def _targets(path: Path, values: NDArray, part: str, count: int) -> NDArray[np.float32]:
    if values.ndim < 2 or len(values) != count or not (
            np.abs(values) <= np.finfo(np.float32).max).all():
        raise UsageError(f"{path}: '{part}_y' must hold {count} integers, one label an image, or "
                         f"{count} outputs of the network, finite in float32, not {values.dtype} "
                         f"of shape {values.shape}")
    return values.astype(np.float32)


def _load_folder(path: Path, calibration: int) -> Dataset:
    classes = sorted(entry for entry in path.iterdir()
                     if entry.is_dir() and not entry.name.startswith("."))
    pictures = [
        (file, label)
        for label, folder in enumerate(classes)
        for file in sorted(folder.iterdir()) if file.suffix.lower() in PICTURES
    ]
    if len(pictures) < 2:
        raise UsageError(f"--data {path}: must hold one folder of pictures a class, at least two "
                         f"pictures in all ({', '.join(PICTURES)}), not {len(pictures)}")
    order = np.random.default_rng(0).permutation(len(pictures))
    split = min(calibration, len(pictures) // 2)
    mode = _common_mode(file for file, _ in pictures)
    return Dataset(
        path,
        _picture_files(path, [pictures[i] for i in order[:split]], mode),
        _picture_files(path, [pictures[i] for i in order[split:]], mode),
        tuple(folder.name for folder in classes),
    )


def _picture_files(path: Path, pictures: list[tuple[Path, int]], mode: str) -> Images:
    def read(indices: Sequence[int]) -> NDArray | list[NDArray]:
        return _stack([_picture(pictures[i][0], str(pictures[i][0]), mode) for i in indices])

    labels = np.array([label for _, label in pictures], dtype=np.int64)
    return Images(path.name, len(pictures), read, labels)


def _common_mode(files: Iterable[Path | io.BytesIO]) -> str:
    """Return ``"L"`` if all pictures are gray, else ``"RGB"``; reads headers only."""
    return "L" if all(map(_is_gray, files)) else "RGB"


def _is_gray(file: Path | io.BytesIO) -> bool:
    """Tell whether a picture is gray; one that is not readable is refused when it is read."""
    from PIL import Image

    try:
        with Image.open(file) as picture:
            return picture.mode in GRAY_MODES
    except (OSError, SyntaxError, Image.DecompressionBombError):
        return True


def _picture(file: Path | io.BytesIO, what: str, mode: str) -> NDArray[np.uint8]:
    from PIL import Image

    try:
        with Image.open(file) as picture:
            return np.asarray(picture.convert(mode))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise UsageError(f"{what}: not a readable picture") from error


def _stack(pictures: list[NDArray]) -> NDArray | list[NDArray]:
    same = len({picture.shape for picture in pictures}) == 1
    return np.stack(pictures) if same else pictures
