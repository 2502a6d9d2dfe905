"""Learned rounding: codes go up or down while the error falls.

Source: the objective is that of M. Nagel et al., "Up or Down? Adaptive Rounding for Post-Training
Quantization", arXiv:2004.10568, section 3.2; it is minimized by coordinate descent in integers
instead of by gradients through a relaxation.
"""

import numpy as np
from numpy.typing import NDArray

from arch.formats import Format


__all__ = ("descend",)


_BLOCK = 64
_SWEEPS = 20


def _sweep(
    hessian: NDArray[np.float64], codes: NDArray[np.float64], slope: NDArray[np.float64],
    fmt: Format,
) -> bool:
    """Move every code to its best value, the others fixed; return whether one moved."""
    count, moved = codes.shape[2], False
    for start in range(0, count, _BLOCK):
        stop = min(start + _BLOCK, count)
        steps = np.zeros((*codes.shape[:2], stop - start))
        for index in range(start, stop):
            row = hessian[:, None, index, :]
            best = codes[:, :, index] + np.rint(-slope[:, :, index] / row[:, :, index])
            step = np.clip(best, fmt.min, fmt.max) - codes[:, :, index]
            if step.any():
                steps[:, :, index - start] = step
                codes[:, :, index] += step
                slope[:, :, start:stop] += step[:, :, None] * row[:, :, start:stop]
        if steps.any():
            moved = True
            change = steps @ hessian[:, start:stop, :]
            change[:, :, start:stop] = 0
            slope += change
    return moved


def descend(
    hessian: NDArray[np.float64], target: NDArray[np.float64], codes: NDArray[np.float64],
    fmt: Format,
) -> NDArray[np.float64]:
    """Lower the quadratic form, one input after the other, all output channels at once.

    Parameters
    ----------
    hessian : float64, (groups, p, p)
        Positive definite.
    target : float64, (groups, k, p)
        Weights in units of a code.
    codes : float64, (groups, k, p)
        Where to start.
    fmt : Format
        Bounds of the codes.

    Returns
    -------
    float64, (groups, k, p)
        Codes, none of which can go up or down alone without a larger error; or those after a
        bounded number of sweeps.
    """
    codes = codes.copy()
    slope = (codes - target) @ hessian
    for _ in range(_SWEEPS):
        if not _sweep(hessian, codes, slope, fmt):
            break
    return codes
