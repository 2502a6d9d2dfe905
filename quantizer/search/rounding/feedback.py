"""Rounding one input after the other, each making up for the errors of those before.

Source: E. Frantar, S. Ashkboos, T. Hoefler, D. Alistarh, "GPTQ: Accurate Post-Training
Quantization for Generative Pre-trained Transformers", arXiv:2210.17323, section 3.
"""

import numpy as np
from numpy.typing import NDArray

from arch.formats import Format


__all__ = ("Feedback",)


_BLOCK = 64  # inputs after which the others learn of the errors


class Feedback:
    """Rounds weights so that a quadratic form stays small.

    The inputs with the largest power come first, while there are most left to make up for them.

    Parameters
    ----------
    hessian : float64, (groups, p, p)
        Positive definite.
    """

    def __init__(self, hessian: NDArray[np.float64]) -> None:
        order = np.argsort(-np.diagonal(hessian, axis1=1, axis2=2), axis=1, kind="stable")
        sorted_hessian = np.take_along_axis(
            np.take_along_axis(hessian, order[:, :, None], 1), order[:, None, :], 2)
        self._order = order[:, None, :]
        self._upper = np.linalg.cholesky(np.linalg.inv(sorted_hessian)).transpose(0, 2, 1)

    def __call__(self, target: NDArray[np.float64], fmt: Format) -> NDArray[np.float64]:
        """Return codes, (groups, k, p).

        Parameters
        ----------
        target : float64, (groups, k, p)
            Weights in units of a code.
        fmt : Format
            Bounds of the codes.
        """
        rest = np.take_along_axis(target, self._order, 2)
        codes = np.empty_like(rest)
        count = rest.shape[2]
        for start in range(0, count, _BLOCK):
            stop = min(start + _BLOCK, count)
            errors = np.empty((*rest.shape[:2], stop - start))
            for index in range(start, stop):
                row = self._upper[:, None, index, :]
                wanted = rest[:, :, index]
                codes[:, :, index] = np.clip(np.rint(wanted), fmt.min, fmt.max)
                error = (wanted - codes[:, :, index]) / row[:, :, index]
                errors[:, :, index - start] = error
                rest[:, :, index + 1:stop] -= error[:, :, None] * row[:, :, index + 1:stop]
            rest[:, :, stop:] -= errors @ self._upper[:, start:stop, stop:]
        result = np.empty_like(codes)
        np.put_along_axis(result, np.broadcast_to(self._order, codes.shape), codes, 2)
        return result
