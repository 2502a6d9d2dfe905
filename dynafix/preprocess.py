"""How an image becomes the input of a network: resize, crop, color, normalize, CHW."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data import Dataset
from .errors import UsageError


__all__ = (
    "COLORS",
    "Preprocess",
    "resolve",
)


COLORS = ("RGB", "BGR", "GRAY")
METADATA = ("src", "resize", "crop", "color", "mean", "std", "formula")
MOST_PIXELS = 4096
MOST_STRETCHED = 1 << 14
LARGEST = 1e9
FORMULA = "(q-zero_point)*scale"
GRAY = np.array([0.299, 0.587, 0.114])


def _shape(dims: Sequence[int]) -> str:
    return "×".join(str(size) for size in dims) if dims else "scalar"


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:g}" for value in values)


@dataclass(frozen=True)
class Preprocess:
    """The way from the images of a data file to the input of a network.

    Parameters
    ----------
    kind : str
        ``"image"``: ``(x - mean) / std`` after resize, crop and color;
        ``"integers"``: ``(q - zero_point) * scale``; ``"none"``: values are taken as they are.
    resize : int, (int, int) or None
        Length of the shorter side, or height and width, in pixels.
    crop : int or None
        Side of the square cut from the center, in pixels.
    color : str or None
        ``"RGB"``, ``"BGR"`` or ``"GRAY"``: what RGB pictures become.
    mean, std : tuple of float
        One value, or one a channel.
    scale : float
        Step of integer values.
    zero_point : int
        Integer that stands for zero.
    source : str
        Where the rule comes from, for messages.
    """

    kind: str = "none"
    resize: int | tuple[int, int] | None = None
    crop: int | None = None
    color: str | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    scale: float = 1.0
    zero_point: int = 0
    source: str = "the data"

    def __str__(self) -> str:
        """Return the rule in one line."""
        if self.kind == "none":
            return f"values as they are, from {self.source}"
        if self.kind == "integers":
            return f"(q − {self.zero_point}) × {self.scale:g}, from {self.source}"
        parts = []
        if self.resize is not None:
            resize = (self.resize,) if isinstance(self.resize, int) else self.resize
            parts.append(f"resize {_shape(resize)}")
        if self.crop is not None:
            parts.append(f"crop {self.crop}")
        if self.color is not None:
            parts.append(self.color)
        mean, std = (_numbers(sorted(set(v)) if len(set(v)) == 1 else v)
                     for v in (self.mean, self.std))
        parts.append(f"(x − {mean}) / {std}, from {self.source}")
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """Return all parameters as plain values."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        return {key: list(value) if isinstance(value, tuple) else value
                for key, value in plain.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Preprocess":
        """Inverse of :meth:`to_json`."""
        return cls(**{key: tuple(value) if isinstance(value, list) else value
                      for key, value in values.items()})

    def apply(self, images: NDArray | Sequence[NDArray], dims: Sequence[int],
              name: str = "the images") -> NDArray[np.float32]:
        """Turn images into inputs.

        Parameters
        ----------
        images : (n, ...) or list of arrays
            Images: ``(h, w)`` or ``(h, w, 3)`` pictures, or arrays of shape ``dims``.
        dims : tuple of int
            Shape of the network's input without batch.
        name : str
            Where the images come from, for messages.

        Returns
        -------
        float32, (n, *dims)
            Inputs.

        Raises
        ------
        UsageError
            If the images do not have the shape that the network needs, or values that cannot be
            meant.
        """
        with np.errstate(all="ignore"):
            if self.kind == "image":
                _check_pictures(images, name)
                values = self._pictures(images, dims, name)
            else:
                values = self._values(images, dims, name)
        self._check_size(values, name)
        return np.ascontiguousarray(values, dtype=np.float32)

    def of_pixels(self) -> NDArray[np.float32] | None:
        """Return what each value of a pixel becomes, after resize, crop and color.

        Returns
        -------
        float32, (c, 256) or (1, 256), or None
            For each channel, or for all alike; ``None`` if images are not pictures.
        """
        if self.kind != "image":
            return None
        channels = max(len(self.mean), len(self.std))
        pixels = np.broadcast_to(np.arange(256.0)[:, None, None, None], (256, 1, 1, channels))
        return _normalize(pixels, self.mean, self.std).reshape(256, channels).T

    def _check_size(self, values: NDArray, name: str) -> None:
        low, high = float(values.min()), float(values.max())
        if not (low >= -LARGEST and high <= LARGEST):
            rule = "" if self.kind == "none" else f", after {self}"
            raise UsageError(f"{name}: inputs of the network must be in ±{LARGEST:g}, not "
                             f"{low:g} … {high:g}{rule}")

    def _size_hint(self, dims: Sequence[int]) -> str:
        """Return what makes pictures of a wrong size fit."""
        if len(dims) != 3:
            return ""
        if self.crop is None:
            return f". Give --resize {_side(dims)}"
        if dims[1] == dims[2]:
            return f". Give --crop {dims[1]}, not {self.crop}"
        return f". Give --resize {_side(dims)} without --crop"

    def _values(self, images: Any, dims: Sequence[int], name: str) -> NDArray:
        if not isinstance(images, np.ndarray):
            raise UsageError(f"{name}: the pictures have different sizes. "
                             f"Give --resize {_side(dims)}")
        shape = images.shape[1:]
        if tuple(size for size in shape if size > 1) != tuple(size for size in dims if size > 1):
            raise UsageError(f"{name}: images must have the shape of the network's input "
                             f"{_shape(dims)}, not {_shape(shape)}")
        values = images.reshape(-1, *dims)
        if self.kind == "integers":
            values = (values.astype(np.float32) - np.float32(self.zero_point)) \
                * np.float32(self.scale)
        return values

    def _pictures(self, images: Any, dims: Sequence[int], name: str) -> NDArray:
        if self.resize is not None:
            images = [_resize(image, self.resize, name) for image in images]
        if self.crop is not None:
            images = [_crop(image, self.crop, name) for image in images]
        if not isinstance(images, np.ndarray):
            if len({image.shape for image in images}) > 1:
                raise UsageError(f"{name}: the pictures have different sizes. "
                                 f"Give --resize {_side(dims)}")
            images = np.stack(images)
        if images.ndim == 4 and images.shape[3] not in (1, 3) and images.shape[1] in (1, 3):
            images = images.transpose(0, 2, 3, 1)
        channels = dims[0] if len(dims) == 3 else 1
        values = _normalize(_color(images, self.color, channels, name), self.mean, self.std)
        if values.ndim == 4:
            values = values.transpose(0, 3, 1, 2)
        got = values.shape[1:] if values.ndim == 4 or len(dims) < 3 else (1, *values.shape[1:])
        if tuple(got) != tuple(dims):
            raise UsageError(f"{name}: images must be {_shape(dims)}, the network's input, "
                             f"not {_shape(got)}{self._size_hint(dims)}")
        return values.reshape(-1, *dims)


def _side(dims: Sequence[int]) -> str:
    return "x".join(str(size) for size in dims[-2:])


def _check_pictures(images: Any, name: str) -> None:
    """Refuse integers that no picture holds."""
    for each in [images] if isinstance(images, np.ndarray) else images:
        if each.dtype.kind in "iu" and each.dtype != np.uint8:
            low, high = each.min(), each.max()
            if low < 0 or high > 255:
                raise UsageError(
                    f"{name}: pictures must be integers in 0..255, not {low} … {high} "
                    f"({each.dtype}). Store uint8, or floating point numbers that are the "
                    f"network's input already, or 'scale' and 'zero_point' beside the integers")


def _resize(image: NDArray, size: int | tuple[int, int], name: str) -> NDArray:
    from PIL import Image

    height, width = image.shape[:2]
    if isinstance(size, int):
        short = min(height, width)
        size = (round(height * size / short), round(width * size / short))
    if max(size) > MOST_STRETCHED:
        raise UsageError(f"{name}: a picture of {height}×{width} would become {_shape(size)}, "
                         f"more than {MOST_STRETCHED} pixels a side. Give --resize HxW")
    plane = image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image
    if plane.dtype != np.uint8:
        raise UsageError(f"--resize: pictures must be uint8, not {plane.dtype}")
    picture = Image.fromarray(plane).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(picture).reshape(*size, *image.shape[2:])


def _crop(image: NDArray, side: int, name: str) -> NDArray:
    height, width = image.shape[:2]
    if height < side or width < side:
        raise UsageError(f"{name}: a picture of {height}×{width} is too small for a crop of "
                         f"{side}. Give --resize {side}")
    y, x = (height - side) // 2, (width - side) // 2
    return image[y:y + side, x:x + side]


def _color(images: NDArray, color: str | None, channels: int, name: str) -> NDArray:
    if images.ndim == 4 and images.shape[3] not in (1, 3, channels):
        raise UsageError(f"{name}: pictures must be (h, w) or, in color, (h, w, 3), "
                         f"not {images.shape[1:]}")
    colored = images.ndim == 4 and images.shape[3] == 3
    if not colored:
        if channels == 3:
            raise UsageError(f"{name}: pictures must have 3 channels, as the network's input, "
                             f"not 1")
        return images
    if color == "GRAY":
        return np.rint(images @ GRAY)
    if channels == 1:
        raise UsageError(f"{name}: pictures have 3 channels, the network's input has 1. "
                         f"Give --color GRAY")
    return images[..., ::-1] if color == "BGR" else images


def _normalize(images: NDArray, mean: Sequence[float], std: Sequence[float]) -> NDArray:
    channels = images.shape[3] if images.ndim == 4 else 1
    for option, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, channels):
            raise UsageError(f"--{option} must have 1 value or one a channel ({channels}), "
                             f"not {len(values)}")
    return (images.astype(np.float32) - np.float32(mean)) / np.float32(std)


def resolve(metadata: str | None, options: Mapping[str, Any], data: Dataset,
            dims: Sequence[int], *, model: str = "The model") -> Preprocess:
    """Decide how images become inputs: options first, then the model's metadata, then the data.

    Parameters
    ----------
    metadata : str or None
        The model's ``preprocess`` metadata, JSON.
    options : mapping
        ``resize``, ``crop``, ``color``, ``mean``, ``std``; those that are ``None`` do not count.
    data : Dataset
        The images.
    dims : tuple of int
        Shape of the network's input without batch.
    model : str
        The model's file, for messages.

    Returns
    -------
    Preprocess
        The rule.

    Raises
    ------
    UsageError
        If the rule is not clear, or does not fit the images.
    """
    given = {key: value for key, value in options.items() if value is not None}
    first, second = (part.read([0])[0] for part in (data.calibration, data.evaluation))
    if (first.dtype.kind == "f") != (second.dtype.kind == "f"):
        raise UsageError(
            f"{data.calibration.name} holds {first.dtype} values, {data.evaluation.name} "
            f"{second.dtype} values: both must be integer pictures, or both floating point "
            f"numbers that are the network's input already")
    if first.dtype.kind == "f":
        if given:
            raise UsageError(
                f"--{min(given)}: {data.calibration.name} holds {first.dtype} values, which are "
                f"taken as they are; preprocessing options are for integer pictures")
        return Preprocess(source=f"the data ({first.dtype})")
    stored = _metadata(metadata, model)
    if not given and "kind" in stored:
        return replace(Preprocess.from_json(stored), source="the model's metadata")
    if not given and (stored.get("formula") or (stored.get("mean") is None
                                                and data.scale is not None)):
        return _integers(stored, data)
    rule = {key: value for key, value in {**stored, **given}.items()
            if key in ("resize", "crop", "color", "mean", "std") and value is not None}
    if "mean" not in rule and "std" not in rule:
        raise UsageError(f"{model} has no 'preprocess' metadata, and {data.calibration.name} "
                         f"holds {first.dtype} values. Say how they become the network's input, "
                         f"for example --mean 0 --std 255")
    sources = (("options", given), ("the model's metadata", stored))
    names = {key: f"--{key}" if key in given else f"{model}'s 'preprocess' metadata: {key}"
             for key in rule}
    return _image_rule(rule, names, " over ".join(name for name, used in sources if used))


def _metadata(text: str | None, model: str) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        stored = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{model}'s 'preprocess' metadata is not JSON: {text!r}") from error
    if isinstance(stored, dict) and set(stored) == {field.name for field in fields(Preprocess)}:
        return stored  # of an export of ours
    if not isinstance(stored, dict) or not set(stored) <= set(METADATA):
        unknown = sorted(set(stored) - set(METADATA)) if isinstance(stored, dict) else [stored]
        raise UsageError(f"{model}'s 'preprocess' metadata has unknown {unknown[0]!r}; "
                         f"known are {', '.join(METADATA)}")
    if stored.get("formula") not in (None, FORMULA):
        raise UsageError(f"{model}'s 'preprocess' formula must be {FORMULA}, "
                         f"not {stored['formula']!r}")
    return stored


def _integers(stored: Mapping[str, Any], data: Dataset) -> Preprocess:
    if data.scale is None or data.zero_point is None:
        raise UsageError(f"{data.path}: 'scale' and 'zero_point' are missing: the model's "
                         f"preprocessing is {FORMULA}")
    source = "the model's metadata and the data" if stored.get("formula") else "the data"
    return Preprocess("integers", scale=data.scale, zero_point=data.zero_point, source=source)


def _image_rule(rule: Mapping[str, Any], names: Mapping[str, str], source: str) -> Preprocess:
    color = rule.get("color")
    if color is not None and color not in COLORS:
        raise UsageError(f"{names['color']} must be one of {', '.join(COLORS)}, not {color!r}")
    mean, std = (_floats(names.get(name, name), rule.get(name, default))
                 for name, default in (("mean", 0.0), ("std", 1.0)))
    if not all(std):
        raise UsageError(f"{names['std']} must not be zero, not {_numbers(std)}")
    base = Preprocess("image", color=color, mean=mean, std=std, source=source)
    return replace(base, resize=_pixels("resize", rule, names),
                   crop=_pixels("crop", rule, names))


def _floats(name: str, value: Any) -> tuple[float, ...]:
    values = value if isinstance(value, (list, tuple)) else [value]
    try:
        numbers = tuple(float(number) for number in values)
    except (TypeError, ValueError):
        numbers = ()
    if not numbers or not np.isfinite(numbers).all():
        raise UsageError(f"{name} must be finite numbers, not {value!r}")
    return numbers


def _pixels(name: str, rule: Mapping[str, Any], names: Mapping[str, str]) -> Any:
    value = rule.get(name)
    sizes = value if isinstance(value, (list, tuple)) else [value]
    pair = name == "resize" and len(sizes) == 2
    if value is None:
        return None
    if not (len(sizes) == 1 or pair) or any(type(s) is not int or s < 1 for s in sizes):
        raise UsageError(f"{names[name]} must be a positive number of pixels, not {value!r}")
    if max(sizes) > MOST_PIXELS:
        raise UsageError(f"{names[name]} must be at most {MOST_PIXELS} pixels, not {max(sizes)}")
    return tuple(sizes) if pair else sizes[0]
