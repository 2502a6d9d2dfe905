"""Images as small pictures for the report."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


__all__ = ("picture",)


MOST_SIDE = 160


def picture(image: NDArray, dims: Sequence[int]) -> str | None:
    """Return an image as a data URI of a PNG file.

    Parameters
    ----------
    image : (h, w), (h, w, c), or an array of shape ``dims``
        An image as it came from the data file; values that are not uint8 are stretched between
        black and white.
    dims : tuple of int
        Shape of the network's input without batch.

    Returns
    -------
    str or None
        ``data:image/png;base64,...``; ``None`` if it is no picture.
    """
    from PIL import Image

    plane = _plane(image, tuple(dims))
    if plane is None:
        return None
    shown = Image.fromarray(_to_bytes(plane))
    shown.thumbnail((MOST_SIDE, MOST_SIDE))
    stream = io.BytesIO()
    shown.save(stream, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def _plane(image: NDArray, dims: tuple[int, ...]) -> NDArray | None:
    """Return an image as (h, w) or (h, w, 3), ``None`` if it is neither."""
    if image.ndim == 3 and image.shape == dims and image.shape[2] not in (1, 3):
        image = image.transpose(1, 2, 0)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    colored = image.ndim == 3 and image.shape[2] == 3
    return image if (image.ndim == 2 or colored) and image.size else None


def _to_bytes(plane: NDArray) -> NDArray[np.uint8]:
    if plane.dtype == np.uint8:
        return np.ascontiguousarray(plane)
    values = plane.astype(np.float64)
    low, high = values.min(), values.max()
    scaled = (values - low) * (255 / (high - low) if high > low else 0.0)
    return np.ascontiguousarray(np.rint(scaled).astype(np.uint8))
