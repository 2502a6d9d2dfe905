"""Rounding of weights by what it does to the output of their layer.

``feedback`` rounds one input of the kernels after the other, and lets the rest make up for each
error; ``learned`` goes on from there and moves codes up and down while the error falls. Both aim at
the output of the float layer on the float inputs, so that they also make up for the errors of the
quantized inputs, and both set the bias so that no mean error is left. Memory is that of one layer.
"""

from .layer import Rounder, form_source


__all__ = (
    "Rounder",
    "form_source",
)
