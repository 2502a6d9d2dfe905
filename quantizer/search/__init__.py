"""The two-phase search for fractional lengths.

First the weights, layer by layer, against themselves; then the data, from input to output: with
everything before already in fixed point, a tensor gets the fractional length whose codes are
nearest to what the float network has there on the calibration images.

Source: J. Qiu et al., "Going Deeper with Embedded FPGA Platform for Convolutional Neural
Network", FPGA 2016, section 4.
"""

from .narrower import narrower_weights
from .options import Options, Precision, Progress, WeightRounding
from .quantize import quantize


__all__ = (
    "Options",
    "Precision",
    "Progress",
    "WeightRounding",
    "narrower_weights",
    "quantize",
)
