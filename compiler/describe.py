"""What others want to know about a layer."""

from dataclasses import dataclass

import numpy as np

from quantizer.graph import Activation, Conv, ConvTranspose, Graph, Lrn, Node, Pool, Resize, Window


__all__ = (
    "Layer",
    "operator_text",
)


@dataclass(frozen=True)
class Layer:
    """What others want to know about a layer.

    Parameters
    ----------
    index : int
        Index; the counters of the hardware use it.
    name : str
        Name of the node.
    operator : str
        Operator for tables, such as ``Conv 3×3/2 + ReLU``.
    inputs : tuple of str
        Tensors read.
    output : str
        Tensor written.
    input_shape, output_shape : (int, int, int)
        Shapes ``(c, h, w)`` of the first input and of the output.
    macs : int
        Multiply-accumulate operations.
    acc_bits : int
        Bits that the largest possible accumulator needs, sign included.
    weight_size : int
        Bytes of weights and biases without padding.
    weight_address, stored_size : int
        Place in region 0 of its parameter rows and weight tiles, in bytes; and their size.
    host : bool
        Whether the host computes it while the accelerator stands still.
    fused : str
        Name of the pooling that takes up its results before they are written, if one does; the
        tensor of the layer does not exist then.
    """

    index: int
    name: str
    operator: str
    inputs: tuple[str, ...]
    output: str
    input_shape: tuple[int, int, int]
    output_shape: tuple[int, int, int]
    macs: int
    acc_bits: int = 0
    weight_size: int = 0
    weight_address: int = 0
    stored_size: int = 0
    host: bool = False
    fused: str = ""


def _times(pair: tuple[int, int]) -> str:
    return f"{pair[0]}×{pair[1]}"


def _strided(window: Window) -> str:
    if window.strides == (1, 1):
        return ""
    sy, sx = window.strides
    return f"/{sy}" if sy == sx else f"/{_times(window.strides)}"


def operator_text(graph: Graph, node: Node) -> str:
    """Return an operator for tables, such as ``Conv 3×3/2 + ReLU``."""
    match node:
        case Resize(repeats=repeats, steps=steps):
            text = f"Resize {_times(repeats)}" + (f"/{_times(steps)}" if steps != (1, 1) else "")
        case ConvTranspose(window=window):
            text = f"ConvTranspose {_times(window.kernel)}{_strided(window)}" + (
                f" g{node.groups}" if node.groups > 1 else "")
        case Conv(window=window):
            _, height, width = graph.shapes[node.inputs[0]]
            whole = window.kernel == (height, width) and not any(window.pads)
            grouped = node.groups > 1
            depthwise = grouped and node.groups == graph.shapes[node.inputs[0]][0]
            text = (
                "FC" if whole and not grouped
                else f"Conv {_times(window.kernel)}{_strided(window)}"
                + (" dw" if depthwise else f" g{node.groups}" if grouped else "")
                + (f" d{_times(window.dilations)}" if window.dilations != (1, 1) else ""))
        case Pool(kind="max", window=window) if window.kernel == (1, 1):
            text = "Clamp" if node.clamped else "Copy"
        case Pool(kind=kind, window=window):
            text = f"{kind.capitalize()}Pool {_times(window.kernel)}{_strided(window)}"
        case Activation(kind="silu"):
            text = "SiLU"
        case Activation(kind=kind):
            text = kind.title().replace("_", "")
        case Lrn(size=size):
            text = f"LRN {size}"
        case _:
            text = type(node).__name__
    if isinstance(node, Conv) and node.addend is not None:
        text += " + Add"
    if node.lo == 0:
        text += " + ReLU" if node.hi == np.inf else f" + ReLU{node.hi:g}"
    elif node.clamped:
        text += " + Clip"
    return text
